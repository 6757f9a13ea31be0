"""What is wrong with films before a network learns from them: leaks, twins, odd values, shift.

Each check says in a line what it found and where; a *grave* finding would make held-out figures
untrue. Leaks are looked for by fitting on training films and judging on validation films, one field
at a time; test films are compared with the others only for twins and for shift.
"""

from __future__ import annotations

import itertools
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mfp import film as films
from mfp.config import HistoryConfig
from mfp.data.history import HistoryTable, asked_on, known_on, member_key, spaces
from mfp.data.tabular import fold
from mfp.dates import short
from mfp.film import FIELDS, Film, Outcome

Pairs = Sequence[tuple[Film, Outcome]]

# Squared correlation with the outcome of films not fitted on. What is known before release comes to
# 0.6 (budget and box office of the real films).
_TOO_GOOD = 0.8
_COPIED = 0.2  # share of texts in which the film's own outcome stands
_SAME_COLUMN = 0.98  # rank correlation with a post-release number
_FEWEST = 50  # films that a share is told of
_TWINS = 0.01  # of a split, with the same outcomes: more is grave
_SHIFT = 0.25  # population stability index, by custom a large one
_SHOWN = 3  # examples of a finding
_SAMPLE = 2_000  # films whose histories are counted again

_TARGETS: dict[str, Callable[[Outcome], float | None]] = {
    "rating": lambda outcome: outcome.rating,
    "revenue_usd": lambda outcome: outcome.revenue_usd and float(np.log10(outcome.revenue_usd)),
}
# Outside of these a value is no budget of a film in cinemas, no running time, no gross.
_PLAUSIBLE = {"budget_usd": (1e3, 1e9), "runtime_minutes": (20, 400), "revenue_usd": (1e3, 5e9)}
_INPUTS = [name for name, spec in FIELDS.items() if spec.availability == "pre_release"]
_NUMBERS = [name for name in _INPUTS if FIELDS[name].kind == "number"]
_AFTER = [n for n, spec in FIELDS.items() if spec.availability == "post_release"]


@dataclass(frozen=True)
class Finding:
    """Something found; `grave` where figures on these films could not be trusted."""

    kind: str  # leak, twins, impossible, shift
    message: str
    grave: bool = False

    def __str__(self) -> str:
        return f"{'ERROR' if self.grave else 'note'}: {self.kind}: {self.message}"


def check(
    splits: Mapping[str, Pairs], history: HistoryConfig, table: HistoryTable | None
) -> list[Finding]:
    """All findings, the grave ones first.

    Args:
      splits: the films of train, validation and test.
      table: what track records are looked up in; None where none are read.
    """
    everything = list(itertools.chain.from_iterable(splits.values()))
    found = [
        *leaks(splits["train"], splits["validation"]),
        *renamed(everything),
        *(futures(everything, history, table) if table is not None else ()),
        *twins(splits),
        *impossible(everything),
        *shifts(splits["train"], splits["test"]),
    ]
    return sorted(found, key=lambda finding: not finding.grave)


def leaks(train: Pairs, held_out: Pairs) -> Iterator[Finding]:
    """Input fields that tell an outcome better than anything known before release can."""
    for name in _INPUTS:
        if name == "id":
            continue
        for target, value in _TARGETS.items():
            seen = [(film, y) for film, o in train if (y := value(o)) is not None]
            unseen = [(film, y) for film, o in held_out if (y := value(o)) is not None]
            fit = _fit_number if FIELDS[name].kind in ("number", "date") else _fit_parts
            predict = fit(name, seen)
            told = [(p, y) for film, y in unseen if (p := predict(film)) is not None]
            if len(told) >= _FEWEST and (share := _squared_correlation(told)) > _TOO_GOOD:
                yield Finding(
                    "leak",
                    f"{name} alone tells {share:.0%} of the variance of {target}: is it a copy, "
                    "or known only after release?",
                    True,
                )
    for name in _INPUTS:
        if FIELDS[name].kind in ("text", "names"):
            yield from _spelled_out(name, [*train, *held_out])


def _part_names(film: Film, name: str) -> set[str]:
    """What of a film's text, list or path may be found in others: words, or names."""
    value = getattr(film, name)
    if isinstance(value, tuple):
        return {fold(item) for item in value}
    return {fold(value)} if name in films.SET_FIELDS else set(fold(str(value)).split())


def _number(film: Film, name: str) -> float | None:
    value = getattr(film, name)
    if FIELDS[name].kind == "date" and value is not None:
        return float(value.first_day().toordinal())
    return value


def _fit_number(name: str, pairs: list[tuple[Film, float]]) -> Callable[[Film], float | None]:
    """The mean outcome in each of 50 equally filled bins of a number."""
    known = [(x, y) for film, y in pairs if (x := _number(film, name)) is not None]
    if len(known) < _FEWEST:
        return lambda film: None
    x, y = np.array(known).T
    edges = np.unique(np.quantile(x, np.linspace(0, 1, 51)[1:-1]))
    bins = np.searchsorted(edges, x)
    sums, counts = (np.bincount(bins, w, len(edges) + 1) for w in (y, None))
    means = np.where(counts > 0, sums / np.maximum(counts, 1), y.mean())

    def predict(film: Film) -> float | None:
        value = _number(film, name)
        return None if value is None else float(means[np.searchsorted(edges, value)])

    return predict


def _fit_parts(name: str, pairs: list[tuple[Film, float]]) -> Callable[[Film], float | None]:
    """The mean over a film's words or names of the outcome of the films that have them."""
    totals: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for film, y in pairs:
        for part in _part_names(film, name):
            totals[part][0] += y
            totals[part][1] += 1
    middle = float(np.mean([y for _, y in pairs])) if pairs else 0.0

    def predict(film: Film) -> float | None:
        known = [totals[part] for part in _part_names(film, name) if part in totals]
        if not known:
            return None
        return float(np.mean([(s + middle) / (n + 1) for s, n in known]))

    return predict


def _squared_correlation(pairs: list[tuple[float, float]]) -> float:
    x, y = np.array(pairs).T
    if np.std(x) < 1e-12 or np.std(y) < 1e-12:
        return 0.0
    return float(np.corrcoef(x, y)[0, 1] ** 2)


_DIGITS = re.compile(r"\d[\d,]*(?:\.\d+)?")


def _spelled_out(name: str, pairs: Pairs) -> Iterator[Finding]:
    """A text or list in which the film's own outcome stands as a number."""
    for target in _TARGETS:
        stands = there = 0
        for film, outcome in pairs:
            value, content = getattr(outcome, target), getattr(film, name)
            if value is None or not content:
                continue
            there += 1
            text = " ".join(content) if isinstance(content, tuple) else content
            stands += value in {float(d.replace(",", "")) for d in _DIGITS.findall(text)}
        if there >= _FEWEST and stands / there > _COPIED:
            yield Finding(
                "leak", f"{target} stands in {name} of {stands:,} of {there:,} films", True
            )


def renamed(pairs: Pairs) -> Iterator[Finding]:
    """Input numbers that order films as a number does which is known only after release."""
    after = [name for name in _AFTER if FIELDS[name].kind == "number"]
    for name, other in itertools.product(_NUMBERS, after):
        both = [
            (x, y)
            for film, _ in pairs
            if (x := getattr(film, name)) is not None and (y := getattr(film, other)) is not None
        ]
        if len(both) < _FEWEST:
            continue
        x, y = (np.unique(column, return_inverse=True)[1] for column in np.array(both).T)
        if _squared_correlation(list(zip(x, y, strict=True))) > _SAME_COLUMN**2:
            yield Finding("leak", f"{name} is {other}, which is known only after release", True)
    for name in films.SET_FIELDS:
        values = [item for film, _ in pairs for item in films.names(film, name)]
        numbers = sum(bool(_DIGITS.fullmatch(item)) for item in values)
        if len(values) >= _FEWEST and numbers > len(values) / 2:
            message = f"{name} holds numbers ({short(values[0])}), not names: which column is it?"
            yield Finding("leak", message, True)


def futures(pairs: Pairs, config: HistoryConfig, table: HistoryTable) -> Iterator[Finding]:
    """Track records that hold a film not yet known when the film that reads them opened.

    Of a sample of films what the table says is compared with a count of all films.
    """
    dated = [(film, o) for film, o in pairs if film.release_date is not None]
    known: dict[tuple[str, int], list[int]] = defaultdict(list)
    for film, outcome in dated:
        assert film.release_date is not None
        day = known_on(film.release_date, config.delay_days)
        keys = {key for _, key in _members(film, config)}
        for target in config.outcomes:
            if _told(outcome, target):
                for key in keys:
                    known[target, key].append(day)
    step = max(len(dated) // _SAMPLE, 1)
    for target in config.outcomes:
        asked = [
            (film, field, key, asked_on(film.release_date))
            for film, _ in dated[::step]
            if film.release_date is not None
            for field, key in _members(film, config)
        ]
        if not asked or target not in table.ledgers:
            continue
        members = np.array([key for _, _, key, _ in asked], np.uint64)
        days = np.array([day for *_, day in asked], np.int64)
        found = table.known(target, members, days)
        ahead = [
            (film, field)
            for (film, field, key, day), count, latest in zip(
                asked, found.count, found.released, strict=True
            )
            if count > sum(on < day for on in known[target, key]) or (count and latest >= day)
        ]
        if ahead:
            film, field = ahead[0]
            yield Finding(
                "leak",
                f"histories: the {target} of a later film is in the track record ({field}) of "
                f"{short(film.title)} ({film.release_date}), and of {len(ahead) - 1:,} more",
                True,
            )


def _members(film: Film, config: HistoryConfig) -> Iterator[tuple[str, int]]:
    for field in config.fields:
        for name in films.names(film, field):
            for space in spaces(field, config):
                yield field, member_key(space, name)


def _told(outcome: Outcome, target: str) -> bool:
    return getattr(outcome, "revenue_usd" if target == "revenue" else target, None) is not None


def twins(splits: Mapping[str, Pairs]) -> Iterator[Finding]:
    """The same film in two splits: by id, or by title and director."""
    split_of_id: dict[str, str] = {}
    seen: dict[tuple[str, str], tuple[str, Film, Outcome]] = {}
    same: list[str] = []
    alike: list[str] = []
    twice: dict[str, int] = defaultdict(int)
    for split, pairs in splits.items():
        for film, outcome in pairs:
            if film.id and split_of_id.setdefault(film.id, split) != split:
                same.append(f"{film.id} in {split_of_id[film.id]} and {split}")
            for director in film.directors:
                key = fold(film.title), fold(director)
                other, twin, its = seen.setdefault(key, (split, film, outcome))
                if other == split:
                    continue
                years = f"{twin.release_date} in {other}, {film.release_date} in {split}"
                alike.append(f"{short(film.title)} of {director} ({years})")
                twice[split] += its == outcome
                break
    if same:
        yield Finding("twins", f"{len(same):,} ids stand in two splits: {_some(same)}", True)
    if alike:
        grave = any(n > max(_TWINS * len(splits[s]), _SHOWN) for s, n in twice.items())
        with_outcome = sum(twice.values())
        yield Finding(
            "twins",
            f"{len(alike):,} films of one title and director stand in two splits, {with_outcome:,} "
            f"of them with the same outcome: {_some(alike)}",
            grave,
        )


def impossible(pairs: Pairs) -> Iterator[Finding]:
    """Values that no film has; grave where they are most of a column."""
    for name, (low, high) in _PLAUSIBLE.items():
        place = 0 if name in FIELDS else 1
        known = [(pair[0], v) for pair in pairs if (v := getattr(pair[place], name)) is not None]
        odd = [(film, v) for film, v in known if not low <= v <= high]
        if odd:
            examples = [f"{short(film.title)} {value:g}" for film, value in odd]
            grave = place == 0 and len(known) >= _FEWEST and len(odd) > len(known) / 2
            what = ": which column is it?" if grave else ""
            yield Finding(
                "impossible",
                f"{name} is outside {low:,.0f} to {high:,.0f} in {len(odd):,} of {len(known):,} "
                f"films ({_some(examples)}){what}",
                grave,
            )


def shifts(train: Pairs, test: Pairs) -> Iterator[Finding]:
    """Fields whose values, or whose absence, differ much between training and test films."""
    for name in _INPUTS:
        gone = [np.mean([not getattr(film, name) for film, _ in pairs]) for pairs in (train, test)]
        if abs(gone[0] - gone[1]) > 0.2:
            yield Finding(
                "shift", f"{name} is missing in {gone[0]:.0%} of train, {gone[1]:.0%} of test"
            )
    columns = {name: [_column(pairs, name) for pairs in (train, test)] for name in _NUMBERS}
    for target, value in _TARGETS.items():
        columns[target] = [
            np.array([y for _, o in pairs if (y := value(o)) is not None])
            for pairs in (train, test)
        ]
    for name, (before, after) in columns.items():
        if min(len(before), len(after)) >= _FEWEST and (index := stability(before, after)) > _SHIFT:
            yield Finding(
                "shift",
                f"{name} differs between train and test (population stability index {index:.2f}; "
                f"medians {np.median(before):,.4g} and {np.median(after):,.4g})",
            )


def _column(pairs: Pairs, name: str) -> np.ndarray:
    return np.array([v for film, _ in pairs if (v := getattr(film, name)) is not None], float)


def stability(before: np.ndarray, after: np.ndarray) -> float:
    """Population stability index: sum of (q - p) log(q / p) over the tenths of `before`."""
    edges = np.unique(np.quantile(before, np.linspace(0, 1, 11)[1:-1]))
    shares = []
    for values in (before, after):
        counts = np.bincount(np.searchsorted(edges, values), minlength=len(edges) + 1)
        shares.append((counts + 0.5) / (len(values) + 0.5 * len(counts)))
    p, q = shares
    return float(np.sum((q - p) * np.log(q / p)))


def _some(texts: Sequence[str]) -> str:
    more = f"; {len(texts) - _SHOWN:,} more" if len(texts) > _SHOWN else ""
    return "; ".join(texts[:_SHOWN]) + more
