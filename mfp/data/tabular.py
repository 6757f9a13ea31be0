"""Numbers and names: fitted on training films, applied unchanged everywhere.

Letters: D numbers, P members of a set.
"""

from __future__ import annotations

import statistics
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

PADDING, UNKNOWN = 0, 1  # ids of every vocabulary; known names start at 2
FIRST_NAME = 2

# Numbers whose future values lie outside the training range: scaled linearly, so that they
# extrapolate. All others are quantile-normalised, which tames wrong values and long tails.
LINEAR_NUMBERS = frozenset({"release_year"})
_KNOTS = 65
_CLIP = 3.0  # standard deviations

# People work in several roles: directors, writers and cast share one vocabulary.
_SHARED = {"directors": "people", "writers": "people", "cast": "people"}


@dataclass(frozen=True)
class NumberTransform:
    """A number to about N(0, 1), piecewise linear through (knots, scores)."""

    knots: tuple[float, ...]  # rising
    scores: tuple[float, ...]
    linear: bool  # one line through two knots, without an end; else clipped at the outer knots

    @classmethod
    def fit(cls, values: Sequence[float], linear: bool) -> NumberTransform:
        """From the known training values (at least one)."""
        data = np.asarray(values, np.float64)
        if linear:
            mean, deviation = float(data.mean()), float(data.std()) or 1.0
            return cls((mean - deviation, mean + deviation), (-1.0, 1.0), True)
        # The knots are quantiles; a value that fills several of them gets their mean score.
        levels = (np.arange(_KNOTS) + 0.5) / _KNOTS
        normal = statistics.NormalDist()
        scores = np.array([normal.inv_cdf(level) for level in levels])
        quantiles = np.quantile(data, levels)
        knots, where = np.unique(quantiles, return_inverse=True)
        mean_scores = np.bincount(where, weights=scores) / np.bincount(where)
        return cls(tuple(knots.tolist()), tuple(mean_scores.tolist()), False)

    @cached_property
    def _line(self) -> tuple[np.ndarray, np.ndarray]:
        return np.asarray(self.knots, np.float64), np.asarray(self.scores, np.float64)

    def __call__(self, value: float) -> float:
        if self.linear:
            middle = (self.knots[0] + self.knots[1]) / 2
            return (value - middle) / ((self.knots[1] - self.knots[0]) / 2)
        # Rounded: interpolation between close knots is off by 1e-17, which would break order.
        score = round(float(np.interp(value, *self._line)), 9)
        return min(max(score, -_CLIP), _CLIP)


class NumberTransforms:
    """Many transforms at once: a call on [N, D] gives what each of them gives of its column."""

    def __init__(self, transforms: Sequence[NumberTransform]):
        count = max((len(t.knots) for t in transforms), default=0)
        # Beyond its last knot a column never gets.
        self._knots = np.full((len(transforms), count), np.inf)
        self._scores, self._slopes = np.zeros((2, len(transforms), count))
        self._low, self._high = np.full((2, len(transforms)), [[-np.inf], [np.inf]])
        self._clip = np.array([np.inf if t.linear else _CLIP for t in transforms])
        for d, t in enumerate(transforms):
            knots, scores = np.array(t.knots), np.array(t.scores)
            self._knots[d, : len(knots)], self._scores[d, : len(knots)] = knots, scores
            self._slopes[d, : len(knots) - 1] = np.diff(scores) / np.diff(knots)
            if t.linear:  # its line goes on in both directions
                self._knots[d, 1:] = np.inf
            else:
                self._low[d], self._high[d] = knots[0], knots[-1]

    def __call__(self, values_NxD: np.ndarray) -> np.ndarray:
        x = np.clip(values_NxD, self._low, self._high)
        piece = np.maximum((self._knots <= x[..., None]).sum(axis=-1) - 1, 0)
        of = np.arange(x.shape[1])
        scores = self._scores[of, piece] + (x - self._knots[of, piece]) * self._slopes[of, piece]
        return np.clip(scores.round(9), -self._clip, self._clip)


def vocabulary_name(field: str) -> str:
    """The vocabulary that a set field looks its names up in."""
    return _SHARED.get(field, field)


def fold(name: str) -> str:
    """The key under which a name is found: case, width and spacing do not matter."""
    # Of ASCII both come to the same; a bundle's ten thousand names are folded when it is opened.
    plain = name.lower() if name.isascii() else unicodedata.normalize("NFKC", name).casefold()
    return " ".join(plain.split())


@dataclass(frozen=True)
class Vocabulary:
    """Names with ids from 2; id 0 is padding and id 1 any name not seen often enough."""

    names: tuple[str, ...]  # most frequent first

    @classmethod
    def fit(cls, films: Iterable[Iterable[str]], min_films: int, max_names: int) -> Vocabulary:
        """From the names of each training film; a name counts once per film."""
        counts: Counter[str] = Counter()
        spelling: dict[str, str] = {}
        for names in films:
            keys = {fold(name): name for name in names}
            counts.update(keys.keys())  # a dict would add its values
            for key, name in keys.items():
                spelling.setdefault(key, name)
        return cls.from_counts(counts, spelling, min_films, max_names)

    @classmethod
    def from_counts(
        cls, counts: Mapping[str, int], spelling: Mapping[str, str], min_films: int, max_names: int
    ) -> Vocabulary:
        """The most frequent names, ties in alphabetical order, so that a fit is reproducible."""
        kept = sorted(
            (key for key, count in counts.items() if count >= min_films and key),
            key=lambda key: (-counts[key], key),
        )
        return cls(tuple(spelling[key] for key in kept[:max_names]))

    @cached_property
    def ids(self) -> dict[str, int]:
        return {fold(name): i for i, name in enumerate(self.names, start=FIRST_NAME)}

    @property
    def size(self) -> int:
        """Number of ids, padding and unknown included."""
        return len(self.names) + FIRST_NAME

    def encode(self, names: Iterable[str], length: int, ordered: bool) -> np.ndarray:
        """Ids [P = length], padded with 0.

        Of a longer list an ordered field keeps the first members; an unordered one the most
        frequent names, since its first ones would be an accident of the alphabet.
        """
        found = self._ids(names)
        row = np.zeros(length, np.int32)
        row[: min(length, len(found))] = [found[i] for i in _kept(found, length, ordered)]
        return row

    def kept(self, names: Iterable[str], length: int, ordered: bool) -> list[int]:
        """Which members `encode` keeps, in its order."""
        return _kept(self._ids(names), length, ordered)

    def _ids(self, names: Iterable[str]) -> list[int]:
        return [self.ids.get(fold(name), UNKNOWN) for name in names]


def _kept(ids: Sequence[int], length: int, ordered: bool) -> list[int]:
    order = list(range(len(ids)))
    if not ordered:
        order.sort(key=lambda i: (ids[i] == UNKNOWN, ids[i]))
    return order[:length]


def transform_to_json(transform: NumberTransform) -> dict[str, Any]:
    return {
        "knots": list(transform.knots),
        "scores": list(transform.scores),
        "linear": transform.linear,
    }


def transform_from_json(values: Mapping[str, Any]) -> NumberTransform:
    """Raises ValueError where the values are no transform."""
    knots, scores = (tuple(float(v) for v in values[key]) for key in ("knots", "scores"))
    if not knots or len(knots) != len(scores) or list(knots) != sorted(set(knots)):
        raise ValueError("knots must rise and have one score each")
    if values["linear"] and len(knots) != 2:
        raise ValueError("a line goes through two knots")
    return NumberTransform(knots, scores, bool(values["linear"]))
