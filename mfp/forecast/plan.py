"""Release planner: one film in many plans, the best of them, and what the difference is worth.

Two differences matter and are not the same. How good the film turns out is open by the width of
the interval, whatever the plan. Whether one plan is forecast better than another is a statement
about the network alone: it is noise where the difference of the two forecasts is below
NOISE times its standard deviation (`calibration/differences.py`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from mfp.calibration.differences import Differences
from mfp.film import Film
from mfp.forecast import axes as grids
from mfp.forecast.axes import Axis, PlanError
from mfp.forecast.intervals import DEFAULT_LEVEL
from mfp.forecast.predict import Forecast, Forecaster

# Standard deviations. Two would do if the encoders were certain; they are not, and trainings
# from other seeds differ by up to twice what `differences` says.
NOISE = 3.0

Goal = Literal["revenue", "rating", "hit"]
# What is best, by default: the first that the bundle predicts.
_GOALS: dict[Goal, str] = {
    "revenue": "revenue_usd",
    "rating": "rating",
    "hit": "hit_probability",
}


@dataclass(frozen=True)
class Plan:
    """One combination of the varied values, and its forecast."""

    values: dict[str, str]  # field -> value, as shown
    forecast: Forecast
    extrapolates: tuple[str, ...]  # in words, where the network was not trained
    best: bool
    as_good: bool | None  # the difference to the best is noise; None where that is not known

    def to_json(self) -> dict[str, Any]:
        marks = {"extrapolates": bool(self.extrapolates), "best": self.best}
        if self.as_good is not None:
            marks["as_good_as_the_best"] = self.as_good
        return {**self.forecast.to_json(), "plan": self.values, **marks}


@dataclass(frozen=True)
class Plans:
    """All plans of a film, in the order of the product of the axes."""

    axes: tuple[Axis, ...]
    goal: Goal
    plans: tuple[Plan, ...]
    warnings: tuple[str, ...]

    @property
    def best(self) -> Plan:
        return next(plan for plan in self.plans if plan.best)

    def goals(self) -> np.ndarray:
        """What is maximised, of each plan. [N]."""
        return np.array([getattr(plan.forecast, _GOALS[self.goal]) for plan in self.plans])


def make(
    forecaster: Forecaster,
    film: Film,
    axes: Sequence[Axis],
    media: str | Path | None = None,
    level: float = DEFAULT_LEVEL,
    goal: Goal | None = None,
) -> Plans:
    """Forecast a film in every combination of the axes' values.

    Args:
      goal: what the best plan has most of; by default box office, else rating, else hit.

    Raises:
      PlanError: too many plans, a field that the bundle does not read, a goal it does not
        predict.
      ValueError: the calibration films are too few for the level.
    """
    targets = forecaster.bundle.manifest.targets
    if goal is None:
        goal = next((name for name in _GOALS if name in targets), None)
    if goal not in targets:
        raise PlanError(f"this bundle predicts {', '.join(targets)}: no {goal or 'goal'} to plan")
    unread = [axis.field for axis in axes if axis.field not in forecaster.experience.read]
    if unread:
        raise PlanError(
            f"--vary {unread[0]}: this bundle does not read it, so that it would change nothing"
        )
    varied = list(grids.films(film, axes))
    forecasts, fused = zip(*forecaster.fused(varied, media, level), strict=True)
    amounts = np.array([getattr(forecast, _GOALS[goal]) for forecast in forecasts])
    best = int(np.argmax(amounts))
    calibration = forecaster.bundle.calibration
    differences = calibration.differences if calibration else None
    as_good = _as_good(differences, goal, forecasts, np.array(fused), best)
    labels = np.array(np.meshgrid(*(axis.labels for axis in axes), indexing="ij")).reshape(
        len(axes), -1
    )
    plans = tuple(
        Plan(
            {axis.field: str(labels[a, i]) for a, axis in enumerate(axes)},
            forecast,
            forecaster.experience.extrapolates(varied[i]),
            i == best,
            None if as_good is None else bool(as_good[i]),
        )
        for i, forecast in enumerate(forecasts)
    )
    return Plans(tuple(axes), goal, plans, _warnings(plans, as_good))


def _as_good(
    differences: Differences | None,
    goal: Goal,
    forecasts: Sequence[Forecast],
    fused_NxE: np.ndarray,
    best: int,
) -> np.ndarray | None:
    """Whether each plan's difference to the best is noise. bool [N]; None: cannot be told.

    The chance of a hit follows from rating and box office, so there it is noise where both are.
    """
    decisive: tuple[Goal, ...] = ("rating", "revenue") if goal == "hit" else (goal,)
    names = [name for name in decisive if differences and name in differences.scale]
    if differences is None or not names:
        return None
    noise = np.ones(len(forecasts), bool)
    for name in names:
        known = np.array([getattr(forecast, _GOALS[name]) for forecast in forecasts])
        values = np.log10(known) if name == "revenue" else known
        deviation = differences.deviation(name, fused_NxE - fused_NxE[best])
        noise &= np.abs(values - values[best]) <= NOISE * deviation
    noise[best] = True
    return noise


def _warnings(plans: Sequence[Plan], as_good: np.ndarray | None) -> tuple[str, ...]:
    """In words: where the plans extrapolate, and whether the differences mean anything."""
    said = []
    outside = sum(bool(plan.extrapolates) for plan in plans)
    if outside:
        reasons = Counter(_kind(reason) for plan in plans for reason in plan.extrapolates)
        said.append(
            f"{outside:,} of {len(plans):,} plans lie outside what the model was trained on "
            f"({', '.join(reasons)})"
        )
    if as_good is None:
        said.append("this bundle cannot tell differences between plans from noise")
    elif len(plans) > 1 and as_good.all():
        said.append("all differences lie within the noise: the forecast does not tell them apart")
    elif as_good.sum() > 1:
        said.append(
            f"{as_good.sum() - 1:,} other plans are as good as the best: "
            "their differences lie within the noise"
        )
    return tuple(said)


def _kind(reason: str) -> str:
    """The field that a reason of `Experience.extrapolates` is about."""
    first = reason.split()[0]
    return "release_date" if first == "released" else first
