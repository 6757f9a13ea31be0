"""How sure the network is of the difference between two forecasts of one film.

Two plans for the same film share the film: most of what an interval allows for (taste, luck)
moves both alike and cancels. What remains is how well the weights that turn the difference of
their fused vectors into a difference of forecasts are determined by the training films. The
output is linear in the fused vector, so this is the posterior of a linear regression (last-layer
Laplace; MacKay 1992, Kristiadi et al. 2020):

    var(difference) = s^2 d' (n (C + l I))^-1 d

with d the difference of fused vectors, s the deviation of the network's errors on validation
films, n the training films that know the target, C the covariance of fused vectors. It takes the
encoders as given, so it is a lower bound of the doubt. An ensemble's spread of the differences
may stand in its place.

Letters: N pairs of forecasts, E features of the fused vector.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

_RIDGE = 1e-3  # l, of the mean variance of the fused vector's features
_DIGITS = 4


@dataclass(frozen=True)
class Differences:
    """A whitening of fused vectors, and the scale of each target."""

    whitening: np.ndarray  # [E, E] lower triangle; |d @ whitening| is the root of d'(C + l)^-1 d
    scale: Mapping[str, float]  # target -> s / sqrt(n), in its unit (revenue: log10 dollars)

    @classmethod
    def fit(
        cls, embedding: np.ndarray, errors: Mapping[str, np.ndarray], trained: Mapping[str, int]
    ) -> Differences:
        """From calibration films.

        Args:
          embedding: [N, E].
          errors: of each target, truth - forecast, NaN where unknown. [N].
          trained: how many training films know each target.
        """
        centred = np.asarray(embedding, np.float64) - embedding.mean(axis=0)
        covariance = centred.T @ centred / len(centred)
        size = len(covariance)
        ridge = _RIDGE * float(np.trace(covariance)) / size + 1e-12
        inverse = np.linalg.inv(covariance + ridge * np.eye(size))
        # inverse = L L', so d' inverse d = |d L|^2.
        lower = np.linalg.cholesky((inverse + inverse.T) / 2)
        scale = {
            name: float(np.nanstd(error) / np.sqrt(max(trained[name], 1)))
            for name, error in errors.items()
        }
        return cls(lower, scale)

    def deviation(self, name: str, difference_NxE: np.ndarray) -> np.ndarray:
        """Standard deviation of the differences of a target's forecasts. [N]."""
        return self.scale[name] * np.linalg.norm(difference_NxE @ self.whitening, axis=-1)

    def to_json(self) -> dict[str, Any]:
        rows = [row[: i + 1] for i, row in enumerate(self.whitening)]
        whitening = [[float(f"{v:.{_DIGITS}g}") for v in row] for row in rows]
        return {"scale": dict(self.scale), "whitening": whitening}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Differences:
        rows = values["whitening"]
        whitening = np.zeros((len(rows), len(rows)))
        for i, row in enumerate(rows):
            whitening[i, : i + 1] = row
        return cls(whitening, {name: float(s) for name, s in values["scale"].items()})
