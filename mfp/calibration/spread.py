"""How far the network is likely to be off, film by film: a ridge on the log of its errors.

The spread only normalises the conformal scores, so a poor one costs width, never coverage. Of an
ensemble, the log of the deviation between its members is one more feature.

Letters: N films, F features, K folds. Pairs are (film, pattern of missing parts).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

# Ridge penalties tried, per unit of weight; the last one is a constant spread.
_PENALTIES = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 1e9)
_MOST = float(np.log(3.0))  # the spread of a film is within a third and three times the usual one
_AGREED = 1e-6  # members that say the same differ by rounding
_FLOOR = 0.05  # of the errors' deviation, added before the log: an exact hit is luck


def with_members(outputs: Mapping[str, Any], deviations: Mapping[str, Any]) -> dict[str, Any]:
    """Outputs, and beside them the deviation between an ensemble's members as `spread/<target>`."""
    return {**outputs, **{f"spread/{name}": y for name, y in deviations.items()}}


def features(
    outputs: Mapping[str, np.ndarray], embedding: np.ndarray, missing: np.ndarray
) -> np.ndarray:
    """What the spread is read from: the fused vector, the forecasts, what is missing. [N, F].

    And the log of the members' deviation of each forecast, where `with_members` put it.
    """
    names = [name for name in ("rating", "revenue") if name in outputs]
    forecasts = [outputs[name][..., None] for name in names]
    members = [outputs[f"spread/{n}"] for n in names if f"spread/{n}" in outputs]
    logs = [np.log(np.maximum(deviation, _AGREED))[..., None] for deviation in members]
    parts = [embedding, *forecasts, missing, *logs]
    return np.concatenate([np.asarray(part, np.float64) for part in parts], axis=-1)


@dataclass(frozen=True)
class Spread:
    """exp(intercept + weights . features), bounded to a factor of 3 each way."""

    intercept: float
    weights: np.ndarray  # [F]
    offset: float  # weights . mean features, taken away

    def __call__(self, features_NxF: np.ndarray) -> np.ndarray:
        """In the unit of the errors, above 0. [N]."""
        tilt = features_NxF @ self.weights - self.offset
        return np.exp(self.intercept + np.clip(tilt, -_MOST, _MOST))

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": "residual",
            "intercept": self.intercept,
            "offset": self.offset,
            "weights": [float(f"{w:.8g}") for w in self.weights],
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Spread:
        if values["kind"] != "residual":
            raise ValueError(f"a spread of kind {values['kind']!r} is not known")
        weights = np.array(values["weights"], np.float64)
        return cls(float(values["intercept"]), weights, float(values["offset"]))


class SpreadFits:
    """Spreads fitted without some folds, so that no film is judged by a spread that saw it.

    The normal equations of each fold are summed up once; every fit adds those that it may see.
    """

    def __init__(
        self,
        features_NxF: np.ndarray,
        errors_N: np.ndarray,
        weight_N: np.ndarray,
        fold_N: np.ndarray,
    ):
        self.folds = tuple(int(fold) for fold in np.unique(fold_N))
        total = weight_N.sum()
        self._mean = weight_N @ features_NxF / total
        deviation = np.sqrt(weight_N @ (features_NxF - self._mean) ** 2 / total)
        self._scale = np.where(deviation > 1e-6, deviation, np.inf)
        floor = _FLOOR * np.sqrt(weight_N @ errors_N**2 / total)
        self._floor = max(float(floor), 1e-9)
        z = (features_NxF - self._mean) / self._scale
        z = np.concatenate([z, np.ones((len(z), 1))], axis=1)
        logs = np.log(np.abs(errors_N) + self._floor)
        self._sums = {}
        for fold in self.folds:
            rows = fold_N == fold
            weighted = z[rows] * weight_N[rows, None]
            self._sums[fold] = (
                weighted.T @ z[rows],
                weighted.T @ logs[rows],
                weight_N[rows].sum(),
            )
        self._penalty = min(
            _PENALTIES,
            key=lambda penalty: self._loss(penalty, features_NxF, errors_N, weight_N, fold_N),
        )

    def fit(self, seen: Collection[int], penalty: float | None = None) -> Spread:
        """The spread of the films in the folds `seen`."""
        gram, moment, total = (sum(self._sums[fold][i] for fold in seen) for i in range(3))
        penalty = self._penalty if penalty is None else penalty
        ridge = np.full(len(gram), penalty * total)
        ridge[-1] = 0.0  # the intercept is free
        solution = np.linalg.solve(gram + np.diag(ridge + 1e-9 * total), moment)
        weights = solution[:-1] / self._scale
        return Spread(float(solution[-1]), weights, float(weights @ self._mean))

    def _loss(
        self,
        penalty: float,
        features_NxF: np.ndarray,
        errors_N: np.ndarray,
        weight_N: np.ndarray,
        fold_N: np.ndarray,
    ) -> float:
        """Mean negative log likelihood of Laplace errors of this spread, films unseen.

        Laplace and not normal: a few box offices of a hundred dollars would decide alone.
        """
        spread = np.ones(len(errors_N))
        for fold in self.folds:
            rows = fold_N == fold
            seen = [other for other in self.folds if other != fold] or [fold]
            spread[rows] = self.fit(seen, penalty)(features_NxF[rows])
        share = weight_N / weight_N.sum()
        ratio = share @ (np.abs(errors_N) / spread)
        return float(share @ np.log(spread) + np.log(ratio + 1e-12))
