"""Split conformal prediction: intervals and predictive distributions of a regression target.

A score is (truth - forecast) / spread of a calibration film. For a new film exchangeable with
the n calibration films, forecast + spread * (score of rank r) bounds the truth from below with
probability at least 1 - r / (n + 1): the two-sided interval takes the ranks floor((n + 1) a / 2)
and ceil((n + 1) (1 - a / 2)) and covers at least 1 - a, at most 1 - a + 2 / (n + 1) where scores
do not tie (Vovk, Gammerman and Shafer 2005; as distributions, Vovk et al. 2019).

Films are grouped by what is missing (Mondrian). Letters: N films, K key parts (`patterns.py`),
S patterns, F features.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mfp.calibration import patterns
from mfp.calibration.spread import Spread, SpreadFits

MIN_FILMS = 100  # calibration films of a group, where there are that many
FEWEST = 25  # below this a target has no intervals; 19 would just do for 90 %
_REFERENCE = 0.9  # level at which groups that miss more are made no narrower
_KEPT = 200  # scores kept of a group: the outer ones all, the inner ones thinned
_OUTER = 40


_MOST_KEYS = 64  # parts of a film that groups are told by


@dataclass(frozen=True)
class Scores:
    """The ordered scores of a group's calibration films, thinned."""

    films: int  # n
    ranks: np.ndarray  # int [R], rising, 1 to n
    values: np.ndarray  # [R], not falling

    @classmethod
    def of(cls, scores: np.ndarray) -> Scores:
        """From the scores of all films of the group, in any order."""
        n = len(scores)
        inner = np.linspace(1, n, min(n, _KEPT)).round().astype(int)
        outer = np.arange(1, min(n, _OUTER) + 1)
        ranks = np.unique(np.concatenate([inner, outer, n + 1 - outer]))
        return cls(n, ranks, np.sort(scores)[ranks - 1])

    @property
    def max_level(self) -> float:
        """The highest level with a finite interval."""
        return 1 - 2 / (self.films + 1)

    def tails(self, level: float) -> tuple[float, float]:
        """The lower and upper score of a two-sided interval; infinite where n is too small.

        Of thinned ranks the next outer one is taken, which only widens.
        """
        # Rounded: (n + 1) * 0.05 is 0.9999999999 where it should be 1.
        tail = round((self.films + 1) * (1 - level) / 2, 9)
        lower = int(np.searchsorted(self.ranks, math.floor(tail), side="right")) - 1
        upper = int(np.searchsorted(self.ranks, math.ceil(self.films + 1 - tail), side="left"))
        low = self.values[lower] if lower >= 0 else -math.inf
        high = self.values[upper] if upper < len(self.ranks) else math.inf
        return float(low), float(high)

    def below(self, score: np.ndarray) -> np.ndarray:
        """The probability of a smaller score. [N] -> [N], rising from above 0 to below 1.

        Agrees with `tails`: where the lower score of a level is at least `score` this is at most
        (1 - level) / 2, and where the upper one is less it is at least (1 + level) / 2.
        """
        after = np.searchsorted(self.values, score, side="left")
        ranks = np.concatenate([[0], self.ranks, [self.films + 1]]).astype(np.float64)
        left, right = ranks[after], ranks[after + 1]
        values = np.concatenate([[-np.inf], self.values, [np.inf]])
        start, end = values[after], values[after + 1]
        inside = np.isfinite(start) & np.isfinite(end)
        # Beyond the scores: half way to certainty.
        share = np.full(np.shape(score), 0.5)
        np.divide(score - start, end - start, out=share, where=inside)
        share = np.where(~inside & (score == end), 1.0, share)
        return (left + share * (right - left)) / (self.films + 1)

    def to_json(self) -> dict[str, Any]:
        return {
            "films": self.films,
            "ranks": self.ranks.tolist(),
            "values": [float(f"{value:.6g}") for value in self.values],
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Scores:
        found = cls(
            int(values["films"]),
            np.array(values["ranks"], np.int64),
            np.array(values["values"], np.float64),
        )
        if not found.ranks.size or found.ranks.shape != found.values.shape:
            raise ValueError("ranks and scores do not belong together")
        rising = np.all(np.diff(found.ranks) > 0) and np.all(np.diff(found.values) >= 0)
        if not (rising and found.ranks[0] >= 1 and found.ranks[-1] <= found.films):
            raise ValueError(f"the scores of {found.films} films rise, each with its rank")
        return found


@dataclass(frozen=True)
class Distribution:
    """Predictive distributions of films: forecast + spread * a score of the film's group."""

    forecast: np.ndarray  # [N]
    spread: np.ndarray  # [N]
    group: np.ndarray  # int [N], which of `scores`
    scores: Sequence[Scores]

    def interval(self, level: float) -> tuple[np.ndarray, np.ndarray]:
        """Two-sided bounds, which hold the forecast itself in any case. [N], [N]."""
        groups, which = np.unique(self.group, return_inverse=True)
        tails = np.array([self.scores[group].tails(level) for group in groups]).reshape(
            len(groups), 2
        )
        low = self.forecast + self.spread * tails[which, 0]
        high = self.forecast + self.spread * tails[which, 1]
        return np.minimum(low, self.forecast), np.maximum(high, self.forecast)

    def below(self, limit: np.ndarray) -> np.ndarray:
        """The probability that the truth is below a limit. [N] -> [N]."""
        score = (limit - self.forecast) / self.spread
        found = np.zeros(len(score))
        for group in np.unique(self.group):
            rows = self.group == group
            found[rows] = self.scores[group].below(score[rows])
        return found


@dataclass(frozen=True)
class Sample:
    """Calibration films shown whole and with parts hidden on purpose."""

    patterns: np.ndarray  # bool [S, K], key parts missing; one row misses all
    natural: np.ndarray  # bool [N, K], key parts that a film lacks by itself
    features: np.ndarray  # [S, N, F] of `spread.features`
    fold: np.ndarray  # int [N]

    @property
    def exact(self) -> np.ndarray:
        """Where hiding leaves exactly the pattern: the film lacks nothing else. bool [S, N]."""
        return patterns.within(self.natural[None], self.patterns[:, None])

    @property
    def as_they_are(self) -> np.ndarray:
        """Where nothing needs hiding: the film lacks the pattern by itself. bool [S, N]."""
        return (self.natural[None] == self.patterns[:, None]).all(axis=-1)


@dataclass(frozen=True)
class TargetCalibration:
    """What turns a forecast of one target into a distribution."""

    spread: Spread
    patterns: np.ndarray  # bool [S, K]
    scores: tuple[Scores, ...]  # of each pattern

    @property
    def max_level(self) -> float:
        return min(scores.max_level for scores in self.scores)

    def distribution(
        self, forecast: np.ndarray, features: np.ndarray, missing: np.ndarray
    ) -> Distribution:
        """Of films: forecast [N], features [N, F], missing key parts [N, K]."""
        distinct, which = np.unique(missing, axis=0, return_inverse=True)
        covered = [patterns.cover(self.patterns, row) for row in distinct]
        group = np.array(covered, np.int64)[which.ravel()]
        return Distribution(
            np.asarray(forecast, np.float64), self.spread(features), group, self.scores
        )

    def to_json(self) -> dict[str, Any]:
        groups = [
            {"missing": np.flatnonzero(row).tolist(), **scores.to_json()}
            for row, scores in zip(self.patterns, self.scores, strict=True)
        ]
        return {"spread": self.spread.to_json(), "keys": self.patterns.shape[1], "groups": groups}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> TargetCalibration:
        if not 0 <= int(values["keys"]) <= _MOST_KEYS:
            raise ValueError(f"{values['keys']!r} parts are not possible")
        rows = np.zeros((len(values["groups"]), int(values["keys"])), bool)
        for row, group in zip(rows, values["groups"], strict=True):
            row[group["missing"]] = True
        if not (len(rows) and rows.all(axis=1).any()):
            raise ValueError("no group misses everything")
        scores = tuple(Scores.from_json(group) for group in values["groups"])
        return cls(Spread.from_json(values["spread"]), rows, scores)


class TargetFit:
    """One target's errors on the calibration films; calibrates with or without some folds."""

    def __init__(self, sample: Sample, forecast_SxN: np.ndarray, truth_N: np.ndarray):
        self._sample = sample
        self._errors = truth_N[None] - forecast_SxN
        self._usable = sample.exact & ~np.isnan(truth_N)[None]  # [S, N]
        self.films = int((~np.isnan(truth_N)).sum())
        chosen = self._usable
        if self.films < FEWEST:
            raise ValueError(f"only {self.films} calibration films know it, {FEWEST} are needed")
        fold = np.broadcast_to(sample.fold, chosen.shape)[chosen]
        self._spreads = SpreadFits(
            sample.features[chosen], self._errors[chosen], self._weights()[chosen], fold
        )

    def _weights(self) -> np.ndarray:
        """Half of the weight to films as they are, half to the same with parts hidden. [S, N]."""
        as_they_are = self._usable & self._sample.as_they_are
        hidden = self._usable & ~as_they_are
        return as_they_are / max(as_they_are.sum(), 1) + hidden / max(hidden.sum(), 1)

    def calibrate(self, without: Collection[int] = ()) -> TargetCalibration:
        """From the films of all folds but some. Each film is scored by a spread that saw others."""
        sample = self._sample
        seen = [fold for fold in self._spreads.folds if fold not in without]
        scores = np.full(self._errors.shape, np.nan)
        spreads = np.full(self._errors.shape, np.nan)
        for fold in seen:
            others = [other for other in seen if other != fold] or [fold]
            rows = sample.fold == fold
            spreads[:, rows] = self._spreads.fit(others)(sample.features[:, rows])
            scores[:, rows] = self._errors[:, rows] / spreads[:, rows]
        usable = self._usable & np.isin(sample.fold, seen)[None]
        chosen = group_films(usable, sample.as_they_are)
        found = {s: Scores.of(scores[s, rows]) for s, rows in enumerate(chosen) if rows is not None}
        typical = {s: float(np.median(spreads[s, chosen[s]])) for s in found}
        widened = no_narrower(sample.patterns, found, typical)
        return TargetCalibration(
            self._spreads.fit(seen),
            sample.patterns[list(widened)],
            tuple(widened.values()),
        )


def group_films(usable_SxN: np.ndarray, as_they_are_SxN: np.ndarray) -> list[np.ndarray | None]:
    """Which films calibrate each pattern, None where there are too few. bool [N] each.

    The films that lack exactly the pattern by themselves, where these are MIN_FILMS: they are
    exchangeable with later ones that do. Else every film that lacks no more, with the rest
    hidden on purpose. Where these are too few as well the pattern has no group: it is merged
    into the one that misses a little more (`patterns.cover`), whose intervals are no narrower.
    """
    needed = min(MIN_FILMS, int(usable_SxN.any(axis=0).sum()))
    groups: list[np.ndarray | None] = []
    for usable, as_they_are in zip(usable_SxN, as_they_are_SxN, strict=True):
        own = usable & as_they_are
        if own.sum() >= needed:
            groups.append(own)
        else:
            groups.append(usable if usable.sum() >= needed else None)
    return groups


def no_narrower(
    patterns_SxK: np.ndarray, scores: Mapping[int, Scores], typical: Mapping[int, float]
) -> dict[int, Scores]:
    """The scores, scaled up where a group would be narrower than one that misses less.

    Knowing less about a film makes no one surer of it; where a group comes out narrower it is
    by chance or because such films differ. The width compared is that of the 90 % interval at
    the group's median spread. Scaling up only widens.
    """
    widths: dict[int, float] = {}
    found = {}
    for s in sorted(scores, key=lambda s: int(patterns_SxK[s].sum())):
        low, high = scores[s].tails(min(_REFERENCE, scores[s].max_level))
        width = (high - low) * typical[s]
        less = [widths[t] for t in widths if patterns.within(patterns_SxK[t], patterns_SxK[s])]
        widths[s] = max(width, *less) if less else width
        factor = widths[s] / width if width > 0 else 1.0
        found[s] = Scores(scores[s].films, scores[s].ranks, scores[s].values * factor)
    return dict(sorted(found.items()))
