"""Solve for the Gaussian process beside the network, on training films.

Subset of regressors (Quinonero-Candela and Rasmussen 2005, section 3): with anchors m among the
films n, films weighing w as in the loss, and the noise s^2,

    (K_mm + nugget I + K_mn diag(w / s^2) K_nm) weights = K_mn diag(w / s^2) y

which is the exact process where every film is an anchor and the nugget is 0. Time grows with the
films and with the square of the anchors. How far each feature reaches is learned before that, see
`training/reaches.py`. Letters: N films, M anchors, F features.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from scipy import linalg

from mfp.config import Config
from mfp.models import kernel
from mfp.models.kernel import Reaches
from mfp.training import reaches

_RARE = 5  # a name of fewer films says nothing
_STILL = 1e-3  # deviation of a number that does not vary
_ROWS = 2_048  # films at a time


def process(
    read: Sequence[np.ndarray],
    films: Mapping[str, Any],
    targets: tuple[str, ...],
    config: Config,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """The parameters of `kernel.KernelRegression`.

    Args:
      read: `kernel.features` of the training films.
      films: their targets and weights.
      say: told what is solved for; it takes half a minute.
    """
    of = config.model.kernel
    values, present, named = read
    values = values.astype(np.float64)
    center, scale = values.mean(axis=0), _scale(values, named)
    x = np.asarray(kernel.standardised(values, present, center, scale), np.float64)
    fitted: dict[str, Any] = {"center": center, "scale": scale}
    draw = np.random.default_rng(config.seed)
    for target in targets:
        say(f"solving for the Gaussian process beside the network: {target}")
        weight = films[f"weights/{target}"].astype(np.float64)
        known = np.flatnonzero(weight > 0)
        count = min(len(known), of.anchors)
        anchors = x[np.sort(draw.choice(known, count, replace=False))]
        truth = films[f"targets/{target}"].astype(np.float64)
        reach = reaches.learn(
            x[known], truth[known], weight[known], kernel.reaches(named, of), of, config.seed
        )
        precision = weight[known] / of.noise
        solved = solve(x[known], truth[known], precision, anchors, reach, of.nugget)
        pad = of.anchors - count  # of weight 0
        fitted[f"{target}_anchors"] = np.pad(anchors * reach.smooth, ((0, pad), (0, 0)))
        fitted[f"{target}_weights"] = np.pad(solved, (0, pad))
        fitted[f"{target}_constant"] = np.asarray(kernel.CONSTANT * solved.sum())
        fitted[f"{target}_slope"] = reach.linear**2 * (solved @ anchors)
        fitted[f"{target}_reach"] = reach.smooth
    return fitted


def _scale(values_NxF: np.ndarray, named_F: np.ndarray) -> np.ndarray:
    """What features are multiplied by: 1 over the deviation of numbers, 1 of names; 0: no use."""
    deviation = values_NxF.std(axis=0)
    usable = np.where(named_F, values_NxF.sum(axis=0) >= _RARE, deviation > _STILL)
    return np.where(usable, 1 / np.where(named_F | ~usable, 1.0, deviation), 0.0)


def solve(
    x_NxF: np.ndarray,
    y_N: np.ndarray,
    precision_N: np.ndarray,
    anchors_MxF: np.ndarray,
    reach: Reaches,
    nugget: float,
) -> np.ndarray:
    """The weights of the anchors, in float64. [M].

    Args:
      precision_N: w / s^2 of each film.
    """

    def covariance(a: np.ndarray) -> np.ndarray:
        return kernel.covariance(a, anchors_MxF, reach, np)

    left = covariance(anchors_MxF)
    left[np.diag_indices_from(left)] += nugget
    right = np.zeros(len(anchors_MxF))
    for start in range(0, len(x_NxF), _ROWS):
        rows = slice(start, start + _ROWS)
        part = covariance(x_NxF[rows])
        left += part.T @ (precision_N[rows, None] * part)
        right += part.T @ (precision_N[rows] * y_N[rows])
    return linalg.solve(left, right, assume_a="pos")
