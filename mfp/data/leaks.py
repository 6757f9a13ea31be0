"""Inputs that tell an outcome better than anything known before release can.

Looked for one field at a time, by fitting on training films and judging on validation films: a copy
of an outcome, whole or as a class, as a number, a name among others, a word of a text, or by being
there at all; and columns known only after release under another name.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from scipy import sparse

from mfp import film as films
from mfp.config import TargetsConfig
from mfp.data import targets
from mfp.data.tabular import fold
from mfp.dates import short
from mfp.film import FIELDS, Film, Outcome
from mfp.schema.targets import TARGETS

Pairs = Sequence[tuple[Film, Outcome]]
Number = Callable[[Film], float | None]

# Squared correlation with the outcome of films not fitted on. Of two real tables no field comes to
# more than 0.51 (budget and box office), of rating 0.30 (directors), of the classes 0.22 (genres).
_TOO_GOOD = {"rating": 0.6, "hit": 0.6, "verdict": 0.6, "sentiment": 0.6}
_TOO_GOOD_OF_OTHERS = 0.8
_COPIED = 0.2  # share of texts in which the own outcome of a film stands
_SAME_COLUMN = 0.98  # rank correlation with a number known only after release
FEWEST = 50  # films that a share is told of
_FEWEST_OF_A_CLASS = 10  # and of each of two classes, which one film more or less should not make

INPUTS = [name for name, spec in FIELDS.items() if spec.availability == "pre_release"]
_READ = [name for name in INPUTS if name != "id"]
_AFTER = [name for name, spec in FIELDS.items() if spec.availability == "post_release"]
_NUMERIC = ("number", "date")
# Words of a column's name that speak of what is known after release.
_LATER = {
    *("vote", "votes", "voters", "popularity", "rating", "ratings", "score", "scores", "metascore"),
    *("review", "reviews", "critics", "gross", "revenue", "earnings", "profit", "opening"),
    *("weekend", "admissions", "tickets", "award", "awards", "oscars", "nominations", "streams"),
}
_DIGITS = re.compile(r"\d[\d,]*(?:\.\d+)?")


def leaks(train: Pairs, held_out: Pairs, config: TargetsConfig) -> Iterator[str]:
    """A message of each leak.

    Args:
      config: what a hit and a verdict are; targets of other packages.
    """
    everything = [*train, *held_out]
    yield from _too_good(train, held_out, config)
    for name in _READ:
        if FIELDS[name].kind in ("text", "names"):
            yield from _spelled_out(name, everything)


def numbers(pairs: Pairs) -> dict[str, Number]:
    """Every number that is an input: mfp's fields, and the table's own."""
    own = sorted({name for film, _ in pairs for name, _ in film.numbers})
    named = [*(name for name in INPUTS if FIELDS[name].kind == "number"), *own]
    return {name: _number(name) for name in named}


def _number(name: str) -> Number:
    return lambda film: films.number(film, name)


def _day(film: Film) -> float | None:
    return None if film.release_date is None else float(film.release_date.first_day().toordinal())


def _too_good(train: Pairs, held_out: Pairs, config: TargetsConfig) -> Iterator[str]:
    split, pairs = len(train), [*train, *held_out]
    outcomes = {name: _outcomes(name, pairs, config) for name in (*TARGETS, *config.added)}
    for name, value in (numbers(pairs) | {"release_date": _day}).items():
        x = _floats(value(film) for film, _ in pairs)
        for target, y in outcomes.items():
            told = _by_bins(x[:split], y[:split], x[split:])
            yield from _judged(name, target, told, y[split:])
            there = np.isfinite(x[split:]).astype(float)
            yield from _judged(f"whether {name} is there", target, there, y[split:])
    for name in _READ:
        if FIELDS[name].kind in _NUMERIC:
            continue
        parts = _parts([film for film, _ in pairs], name)
        there = (np.diff(parts.indptr) > 0)[split:].astype(float)
        for target, y in outcomes.items():
            yield from _judged(name, target, _by_parts(parts, y[:split]), y[split:])
            yield from _judged(f"whether {name} is there", target, there, y[split:])


def _outcomes(name: str, pairs: Pairs, config: TargetsConfig) -> np.ndarray:
    """A target of all films, NaN where it is unknown. [N]"""
    return _floats(targets.value(name, film, outcome, config) for film, outcome in pairs)


def _floats(values: Iterator[float | None]) -> np.ndarray:
    return np.array([np.nan if value is None else value for value in values], float)


def _judged(what: str, target: str, told: np.ndarray, y: np.ndarray) -> Iterator[str]:
    known = np.isfinite(told) & np.isfinite(y)
    told, y = told[known], y[known]
    if len(y) < FEWEST:
        return
    counts = np.unique(y, return_counts=True)[1]
    if len(counts) == 2 and counts.min() < _FEWEST_OF_A_CLASS:
        return
    share = squared_correlation(told, y)
    if share > _TOO_GOOD.get(target, _TOO_GOOD_OF_OTHERS):
        yield (
            f"{what} alone tells {share:.0%} of the variance of {target}: is it a copy, or known "
            "only after release?"
        )


def _by_bins(x: np.ndarray, y: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """The mean outcome in each of 50 equally filled bins of a number, NaN where it is missing."""
    known = np.isfinite(x) & np.isfinite(y)
    if known.sum() < FEWEST:
        return np.full(len(asked), np.nan)
    x, y = x[known], y[known]
    edges = np.unique(np.quantile(x, np.linspace(0, 1, 51)[1:-1]))
    bins = np.searchsorted(edges, x)
    sums, counts = (np.bincount(bins, w, len(edges) + 1) for w in (y, None))
    means = np.where(counts > 0, sums / np.maximum(counts, 1), y.mean())
    return np.where(np.isfinite(asked), means[np.searchsorted(edges, asked)], np.nan)


def _parts(catalogue: Sequence[Film], name: str) -> sparse.csr_array:
    """Which words of a text or path, or names of a list, which film has: 0 or 1. [N, V]"""
    number: Mapping[str, int]
    number, columns, ends = {}, [], [0]
    for film in catalogue:
        columns += [number.setdefault(part, len(number)) for part in _part_names(film, name)]
        ends.append(len(columns))
    shape = len(catalogue), len(number)
    return sparse.csr_array((np.ones(len(columns)), columns, ends), shape=shape)


def _part_names(film: Film, name: str) -> list[str]:
    value = getattr(film, name)
    if isinstance(value, tuple):
        return sorted({fold(item) for item in value})
    if name in films.SET_FIELDS:
        return [fold(value)] if value else []
    return sorted(set(fold(str(value)).split()))


def _by_parts(parts: sparse.csr_array, y: np.ndarray) -> np.ndarray:
    """The outcome of the films after the first len(y), by what those had who shared a part.

    The mean over a film's parts, each weighted by how little the outcomes of its films differ: one
    telling name among twenty others is heard. NaN where a film has no known part.
    """
    known = np.flatnonzero(np.isfinite(y))
    if len(known) < FEWEST:
        return np.full(parts.shape[0] - len(y), np.nan)
    middle, spread = y[known].mean(), max(float(y[known].var()), 1e-12)
    seen, away = parts[known], y[known] - middle
    n, sums, squares = (seen.T @ v for v in (np.ones(len(known)), away, away**2))
    within = np.maximum(squares - sums**2 / np.maximum(n, 1), 0)
    precision = n / (within + spread)
    asked = parts[len(y) :]
    weights = asked @ precision
    told = asked @ (precision * sums / (n + 1)) / np.where(weights > 0, weights, np.nan)
    return middle + told


def squared_correlation(x: np.ndarray, y: np.ndarray) -> float:
    """Of two columns [N]; 0 where one of them is constant."""
    if np.std(x) < 1e-12 or np.std(y) < 1e-12:
        return 0.0
    return float(np.corrcoef(x, y)[0, 1] ** 2)


def _spelled_out(name: str, pairs: Pairs) -> Iterator[str]:
    """A text or list in which the film's own outcome stands as a number, perhaps of millions."""
    for target, unit in (("rating", np.inf), ("revenue_usd", 1e6)):
        stands = there = 0
        for film, outcome in pairs:
            value, content = getattr(outcome, target), getattr(film, name)
            if value is None or not content:
                continue
            there += 1
            text = " ".join(content) if isinstance(content, tuple) else content
            figures = {float(d.replace(",", "")) for d in _DIGITS.findall(text)}
            stands += value in figures or (value > unit and round(value / unit) in figures)
        if there >= FEWEST and stands / there > _COPIED:
            yield f"{target} stands in {name} of {stands:,} of {there:,} films"


def renamed(pairs: Pairs) -> Iterator[str]:
    """Input numbers that order films as a number does which is known only after release."""
    columns = {
        name: _floats(value(film) for film, _ in pairs) for name, value in numbers(pairs).items()
    }
    later = {
        name: _floats(films.number(film, name) for film, _ in pairs)
        for name in _AFTER
        if FIELDS[name].kind == "number"
    }
    for name in ("rating", "revenue_usd"):
        later[name] = _floats(getattr(outcome, name) for _, outcome in pairs)
    for (name, x), (other, y) in itertools.product(columns.items(), later.items()):
        both = np.isfinite(x) & np.isfinite(y)
        if both.sum() < FEWEST:
            continue
        ranks = (np.unique(column[both], return_inverse=True)[1] for column in (x, y))
        if squared_correlation(*ranks) > _SAME_COLUMN**2:
            yield f"{name} is {other}, which is known only after release"
    for name in films.SET_FIELDS:
        values = [item for film, _ in pairs for item in films.names(film, name)]
        figures = sum(bool(_DIGITS.fullmatch(item)) for item in values)
        if len(values) >= FEWEST and figures > len(values) / 2:
            yield f"{name} holds numbers ({short(values[0])}), not names: which column is it?"


def suspects(pairs: Pairs) -> Iterator[str]:
    """Numbers of the table's own whose names speak of what is known after release."""
    for name in numbers(pairs):
        if films.is_own_number(name) and (said := sorted(_LATER & set(re.split(r"[\W_]+", name)))):
            yield (
                f"{name} is named like a thing known only after release ({', '.join(said)}): "
                "was it known before each film opened?"
            )
