"""From the network's outputs to the single numbers that people read, fitted on validation films.

Ten to the power of a forecast of log10 dollars is a median: the mean is larger, by what the errors
make of it. Duan's smearing factor (1983) is the mean of 10^error. One factor for all films would
be that of the small ones, whose errors are large (Manning 1998), and give the large ones far too
much: so it is estimated in thirds of the films by their forecast, with lines between, and all
together are moved so that the means of these films add up to what they earned.

The likeliest of four unequal classes is hardly ever a rare one. A verdict is the class of the
largest weighed probability, the weights chosen for the macro-averaged F1 and the lowest F1.

Letters: N films, C classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

_GROUPS = 3
_PER_GROUP = 25  # films; with fewer in all there is no mean
# Powers of the inverse class shares that are tried as weights; 0 takes the likeliest class.
_POWERS = tuple(power / 10 for power in range(16))
_PER_CLASS = 100  # films; with fewer of a class one number is fitted, not one a class
_STEPS = (1.3, 1.1, 1.03)


@dataclass(frozen=True)
class PointRules:
    """Rules of the points; empty where validation films were too few, or of an older bundle."""

    forecasts: tuple[float, ...] = ()  # log10 dollars, rising
    smearing: tuple[float, ...] = ()  # log10 of the factor at each
    verdict_weights: tuple[float, ...] = ()  # of each class

    @classmethod
    def fit(cls, outputs: Mapping[str, np.ndarray], truth: Mapping[str, np.ndarray]) -> PointRules:
        """Args: outputs {target: [N] or [N, C]} in natural units; truth [N], NaN where unknown."""
        known = {name: ~np.isnan(truth[name]) for name in outputs}
        found: dict[str, tuple[float, ...]] = {}
        if "revenue" in outputs:
            rows = known["revenue"]
            forecasts, factors = fit_smearing(outputs["revenue"][rows], truth["revenue"][rows])
            found |= {"forecasts": forecasts, "smearing": factors}
        if "verdict" in outputs and known["verdict"].any():
            rows = known["verdict"]
            classes = truth["verdict"][rows].astype(int)
            found["verdict_weights"] = fit_weights(outputs["verdict"][rows], classes)
        return cls(**found)

    def mean_usd(self, forecast: np.ndarray) -> np.ndarray | None:
        """Expected dollars of forecasts of log10 dollars [N]; None without smearing factors."""
        if not self.forecasts:
            return None
        factor = np.interp(forecast, self.forecasts, self.smearing)
        return 10.0 ** np.clip(forecast + factor, 0, 12)

    def verdict(self, probability: np.ndarray) -> np.ndarray:
        """The class that is said: [N, C] -> int [N]."""
        return _said(probability, np.array(self.verdict_weights or np.ones(probability.shape[-1])))

    def to_json(self) -> dict[str, Any]:
        return {name: list(values) for name, values in vars(self).items()}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> PointRules:
        """The inverse of `to_json`. Raises ValueError where numbers are missing."""
        found = cls(**{name: tuple(map(float, numbers)) for name, numbers in values.items()})
        if len(found.forecasts) != len(found.smearing):
            raise ValueError("smearing factors and forecasts do not belong together")
        return found


def fit_smearing(
    forecast: np.ndarray, truth: np.ndarray
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Middle forecasts of groups, and log10 of the smearing factor of each. [N], [N]."""
    groups = min(_GROUPS, len(truth) // _PER_GROUP)
    if not groups:
        return (), ()
    order = np.argsort(forecast, kind="stable")
    places, factors = [], []
    for rows in np.array_split(order, groups):
        places.append(float(np.median(forecast[rows])))
        factors.append(float(np.log10(np.mean(10.0 ** (truth[rows] - forecast[rows])))))
    if groups > 1:  # steps this coarse miss the largest films, which have most of the money
        means = 10.0 ** (forecast + np.interp(forecast, places, factors))
        moved = float(np.log10(np.sum(10.0**truth) / np.sum(means)))
        factors = [factor + moved for factor in factors]
    return tuple(places), tuple(factors)


def fit_weights(probability: np.ndarray, truth: np.ndarray) -> tuple[float, ...]:
    """Weights of the classes for the best macro-averaged F1, and for the lowest of the F1.

    The inverse shares of the classes to the power that is best; then, where every class has films
    enough for a number of its own, each weight is moved as long as the mean of macro-averaged and
    lowest F1 rises. [N, C], int [N] -> C weights, the largest 1.
    """
    classes = probability.shape[-1]
    shares = (1 + np.bincount(truth, minlength=classes)) / (classes + len(truth))
    best = max(_POWERS, key=lambda power: macro_f1(truth, _said(probability, shares**-power)))
    weights = shares**-best
    if np.bincount(truth, minlength=classes).min() >= _PER_CLASS:
        weights = _climbed(probability, truth, weights)
    return tuple((weights / np.max(weights)).tolist())


def _said(probability: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return np.argmax(probability * weights, axis=-1)


def _climbed(probability: np.ndarray, truth: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weights, one moved at a time by ever smaller factors, where no move is better."""

    def score(candidate: np.ndarray) -> float:
        f1 = list(f1_by_class(truth, _said(probability, candidate)).values())
        return float(np.mean(f1) + min(f1))

    best = score(weights)
    for step in _STEPS:
        risen = True
        while risen:
            risen = False
            for c in range(len(weights)):
                for factor in (step, 1 / step):
                    moved = np.where(np.arange(len(weights)) == c, weights * factor, weights)
                    if (found := score(moved)) > best:
                        best, weights, risen = found, moved, True
    return weights


def macro_f1(truth: np.ndarray, said: np.ndarray) -> float:
    """The mean F1 of the classes that are there. [N], [N] of class indices."""
    return float(np.mean(list(f1_by_class(truth, said).values())))


def f1_by_class(truth: np.ndarray, said: np.ndarray) -> dict[int, float]:
    """F1 = 2 hits / (true + said) of each class that any film is of, by index."""
    return {
        int(c): float(
            2 * np.sum((truth == c) & (said == c)) / (np.sum(truth == c) + np.sum(said == c))
        )
        for c in np.unique(truth)
    }
