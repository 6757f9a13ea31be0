"""Intervals of a batch of forecasts, and the chance of a hit that agrees with them. Pure NumPy.

The statistics are `mfp.calibration`; here they meet a bundle's outputs and natural units.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mfp.calibration.fitted import DEFAULT_LEVEL, TARGETS, Calibration
from mfp.film import VERDICTS, Film

if TYPE_CHECKING:
    from mfp.forecast.bundle import Bundle

__all__ = ["DEFAULT_LEVEL", "check_level", "intervals", "no_intervals"]


def check_level(level: float, calibration: Calibration | None) -> None:
    """Whether intervals of this level can be given.

    Raises:
      ValueError: it is no share, or the calibration films are too few for it.
    """
    if not 0 < level < 1:
        raise ValueError(f"level {level:g}: is not a share; write a number between 0 and 1")
    if calibration and calibration.targets and level > calibration.max_level:
        raise ValueError(
            f"level {level:g}: needs more calibration films than this bundle has; "
            f"at most {np.floor(calibration.max_level * 1000) / 1000:g}"
        )


def no_intervals(bundle: Bundle) -> list[str]:
    """In words, of which targets that could have intervals a bundle has none, and why."""
    predicted = [name for name in TARGETS if name in bundle.manifest.targets]
    if bundle.calibration is None:
        return ["has no intervals; export it with this version of mfp"] if predicted else []
    without = bundle.calibration.without.items()
    return [f"has no intervals of {name}: {reason}" for name, reason in without]


def intervals(
    calibration: Calibration,
    films: Sequence[Film],
    inputs: Mapping[str, np.ndarray],
    outputs: Mapping[str, np.ndarray],
    embedding: np.ndarray,
    level: float,
) -> list[dict[str, Any]]:
    """What a Forecast says besides the point forecasts, per film.

    rating_low, rating_high (within 0-10); revenue_usd_low, revenue_usd_high, revenue_mean_usd
    (dollars); hit_probability (calibrated); verdict; level, where there is any interval.

    Args:
      inputs: the network's, [N, ...]; outputs: in natural units, [N]; embedding: [N, E].
    """
    missing = calibration.parts.missing(inputs)
    found = calibration.distributions(outputs, embedding, missing)
    columns: dict[str, np.ndarray] = {}
    if found:
        columns["level"] = np.full(len(films), level)
    if "rating" in found:
        low, high = found["rating"].interval(level)
        columns |= {"rating_low": np.clip(low, 0, 10), "rating_high": np.clip(high, 0, 10)}
    if "revenue" in found:
        low, high = found["revenue"].interval(level)
        # Between a dollar and a trillion, which no film leaves: an unsure network would.
        columns["revenue_usd_low"] = 10.0 ** np.clip(low, 0, 12)
        columns["revenue_usd_high"] = 10.0 ** np.clip(high, 0, 12)
    if "hit" in outputs:
        budgets = np.array([film.budget_usd for film in films], np.float64)
        columns["hit_probability"] = calibration.hit(outputs["hit"], found, budgets)
    if "revenue" in outputs:
        mean = calibration.points.mean_usd(outputs["revenue"])
        columns |= {} if mean is None else {"revenue_mean_usd": mean}
    said: list[dict[str, Any]] = [
        {name: float(y[i]) for name, y in columns.items()} for i in range(len(films))
    ]
    if "verdict" in outputs:
        classes = calibration.points.verdict(outputs["verdict"])
        said = [row | {"verdict": VERDICTS[c]} for row, c in zip(said, classes, strict=True)]
    return said
