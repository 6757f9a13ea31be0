"""The probability of a hit: the network's own, calibrated, within what the intervals allow.

A hit is decided by rules on rating and revenue, so its probability follows from their predictive
distributions: with one rule exactly, with several between the largest of their probabilities and
their sum (Frechet's bounds, whatever their dependence). The network's probability is calibrated
and then clipped to these bounds. Hence, for every level: where a two-sided interval lies wholly
at or above a rule's threshold, a hit is at least (1 + level) / 2 likely; where every rule can be
judged and every interval lies wholly below its threshold, a hit is at most the sum of the rules'
(1 - level) / 2 likely.

Letters: N films.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from mfp.calibration.conformal import Distribution

_EDGE = 1e-4  # probabilities stay this far from 0 and 1
Kind = Literal["none", "temperature", "platt", "isotonic"]
KINDS: tuple[Kind, ...] = ("none", "temperature", "platt", "isotonic")  # simplest first


@dataclass(frozen=True)
class HitRules:
    """The rules of `HitConfig`; 0 turns one off."""

    rating_at_least: float
    revenue_at_least_usd: float
    revenue_over_budget: float

    def bounds(
        self, distributions: Mapping[str, Distribution], budget_usd: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """The least and greatest probability of a hit that the distributions allow. [N], [N].

        A rule that cannot be judged (no distribution, budget NaN) bounds from neither side.

        Args:
          distributions: of "rating" (0-10) and "revenue" (log10 dollars), where there are any.
          budget_usd: NaN where unknown. [N].
        """
        least = np.zeros(len(budget_usd))
        most = np.zeros(len(budget_usd))
        judged = np.ones(len(budget_usd), bool)
        if self.rating_at_least > 0:
            if "rating" in distributions:
                limit = np.full(len(budget_usd), self.rating_at_least)
                least = most = 1 - distributions["rating"].below(limit)
            else:
                judged[:] = False
        if self.revenue_at_least_usd > 0 or self.revenue_over_budget > 0:
            # Two rules on one amount are one rule: the easier of them.
            limit = np.full(len(budget_usd), self.revenue_at_least_usd or np.inf)
            if self.revenue_over_budget > 0:
                limit = np.fmin(limit, self.revenue_over_budget * budget_usd)
                judged &= ~np.isnan(budget_usd)
            if "revenue" in distributions:
                chance = np.zeros(len(budget_usd))
                known = np.isfinite(limit)
                below = distributions["revenue"].below(np.log10(np.where(known, limit, 1.0)))
                chance[known] = 1 - below[known]
                least, most = np.maximum(least, chance), most + chance
            else:
                judged[:] = False
        return least, np.where(judged, np.minimum(most, 1.0), 1.0)


@dataclass(frozen=True)
class Calibrator:
    """A monotone map of probabilities, by one of four methods.

    temperature: logit / t (Guo et al. 2017). platt: a * logit + b (Platt 1999). isotonic: the
    best rising steps, joined by lines (Zadrozny and Elkan 2002). none: as they are.
    """

    kind: Kind
    values: tuple[tuple[float, ...], ...] = ()

    @classmethod
    def fit(cls, kind: Kind, probability: np.ndarray, truth: np.ndarray) -> Calibrator:
        """Least log loss (isotonic: least squares) on films [N] whose truth (0 or 1) is known."""
        # SciPy is needed to fit only; forecasts are made without it.
        from scipy import optimize

        if kind == "none":
            return cls(kind)
        logits = _logit(probability)
        if kind == "isotonic":
            order = np.argsort(probability, kind="stable")
            steps = optimize.isotonic_regression(truth[order]).x
            x, y = probability[order], np.clip(steps, _EDGE, 1 - _EDGE)
            corner = np.ones(len(x), bool)  # the inside of a flat step says nothing
            corner[1:-1] = (np.diff(y)[:-1] != 0) | (np.diff(y)[1:] != 0)
            return cls(kind, (tuple(x[corner].tolist()), tuple(y[corner].tolist())))

        def loss(parameters: np.ndarray) -> float:
            slope, shift = np.exp(parameters[0]), parameters[1] if kind == "platt" else 0.0
            z = slope * logits + shift
            # A weak pull to "none" keeps the fit finite where classes separate.
            return float(np.mean(np.logaddexp(0, z) - truth * z) + 1e-4 * np.sum(parameters**2))

        start = np.zeros(2 if kind == "platt" else 1)
        slope, *shift = optimize.minimize(loss, start, method="BFGS").x.tolist()
        return cls(kind, ((float(np.exp(slope)),), (shift[0] if shift else 0.0,)))

    def __call__(self, probability: np.ndarray) -> np.ndarray:
        """[N] -> [N]."""
        if self.kind == "none":
            return np.asarray(probability, np.float64)
        first, second = self.values
        if self.kind == "isotonic":
            return np.interp(probability, first, second)
        return 1 / (1 + np.exp(-(first[0] * _logit(probability) + second[0])))

    def to_json(self) -> dict[str, Any]:
        return {"kind": self.kind, "values": [list(part) for part in self.values]}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Calibrator:
        if values["kind"] not in KINDS:
            raise ValueError(f"a calibrator of kind {values['kind']!r} is not known")
        found = cls(values["kind"], tuple(tuple(map(float, part)) for part in values["values"]))
        if found.kind != "none":
            first, second = found.values
            if not first or len(first) != len(second):
                raise ValueError("the values of a calibrator do not belong together")
        return found


def _logit(probability: np.ndarray) -> np.ndarray:
    p = np.clip(np.asarray(probability, np.float64), _EDGE, 1 - _EDGE)
    return np.log(p) - np.log1p(-p)


def log_loss(probability: np.ndarray, truth: np.ndarray) -> float:
    """Mean log loss. [N], [N] of 0 or 1."""
    p = np.clip(probability, _EDGE, 1 - _EDGE)
    return float(-np.mean(truth * np.log(p) + (1 - truth) * np.log1p(-p)))


def choose(
    probability: np.ndarray,
    truth: np.ndarray,
    bounds: tuple[np.ndarray, np.ndarray],
    fold: np.ndarray,
) -> tuple[Kind, dict[str, float]]:
    """The method of least log loss on films that its fit did not see; the simplest of equals.

    Judged as it will be served, within the bounds. All [N], truth known.
    """
    losses: dict[str, float] = {}
    for kind in KINDS:
        served = np.empty(len(truth))
        for k in np.unique(fold):
            seen, unseen = fold != k, fold == k
            if not seen.any():
                seen = unseen
            fitted = Calibrator.fit(kind, probability[seen], truth[seen])
            served[unseen] = fitted(probability[unseen])
        losses[kind] = log_loss(np.clip(served, *bounds), truth)
    return _least(KINDS, losses), losses


def _least(kinds: Sequence[Kind], losses: Mapping[str, float]) -> Kind:
    return min(kinds, key=lambda kind: (round(losses[kind], 6), kinds.index(kind)))
