"""Whether the intervals hold: coverage and width on films that calibrated nothing.

Test films are judged by the calibration that is served. Validation films are judged by
calibrations of folds that have not seen them: what the same procedure does on films of the same
years, so that the difference to the test films is the drift over time. N films.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mfp.calibration import patterns
from mfp.calibration.conformal import Distribution
from mfp.calibration.fitted import Calibration, CalibrationFilms
from mfp.data.batches import FilmArrays
from mfp.training import metrics

# Budget tiers, in dollars: label, from, below.
TIERS = (
    ("below $1M", 0.0, 1e6),
    ("$1M to $10M", 1e6, 1e7),
    ("$10M to $50M", 1e7, 5e7),
    ("$50M to $150M", 5e7, 1.5e8),
    ("$150M and more", 1.5e8, np.inf),
)
_UNKNOWN = "budget unknown"
_MOST_PATTERNS = 12


@dataclass(frozen=True)
class HeldOutFilms:
    """Validation films, and calibrations of folds: (the fold's films, one that saw the others)."""

    films: CalibrationFilms
    folds: Sequence[tuple[np.ndarray, Calibration]]


@dataclass(frozen=True)
class Judged:
    """Films and the bounds that one target was given. All [N]; truth NaN where unknown.

    Without finite bounds (a fold of too few films) there is nothing to judge.
    """

    truth: np.ndarray
    forecast: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @classmethod
    def of(cls, distribution: Distribution, truth: np.ndarray, level: float) -> Judged:
        return cls(truth, distribution.forecast, *distribution.interval(level))

    def scores(self, rows: np.ndarray | None = None) -> dict[str, float] | None:
        """Coverage, mean width, bias and deviation of the errors; None where no film is known."""
        known = ~np.isnan(self.truth) & np.isfinite(self.high - self.low)
        known = known if rows is None else rows & known
        if not known.any():
            return None
        truth, low, high = self.truth[known], self.low[known], self.high[known]
        error = truth - self.forecast[known]
        return {
            "coverage": float(np.mean((low <= truth) & (truth <= high))),
            "below": float(np.mean(truth < low)),
            "above": float(np.mean(truth > high)),
            "width": float(np.mean(high - low)),
            "bias": float(np.mean(error)),
            "deviation": float(np.std(error)),
            "n": int(known.sum()),
        }


def report(
    calibration: Calibration,
    test: FilmArrays,
    outputs: Mapping[str, np.ndarray],
    embedding: np.ndarray,
    held_out: HeldOutFilms | None,
    level: float,
) -> dict[str, Any]:
    """Coverage and width of every target with intervals, overall and in slices.

    Args:
      outputs: {target: [N]} of the test films in natural units; embedding: [N, E].
      held_out: None leaves out what is told of validation films.
    """
    missing = calibration.parts.missing(test.columns)
    distributions = calibration.distributions(outputs, embedding, missing)
    found: dict[str, Any] = {"level": level, "films": dict(calibration.films)}
    if calibration.without:
        found["without"] = dict(calibration.without)
    years, budgets = test.facts["release_year"], test.facts["budget_usd"]
    for name, distribution in distributions.items():
        judged = Judged.of(distribution, test.truth[name], level)
        overall = judged.scores()
        if overall is None:
            continue
        found[name] = {
            "test": overall,
            "by_year": _by_year(judged, years),
            "by_budget": _by_budget(judged, budgets),
            "by_missing": _by_missing(judged, missing, calibration.parts.names),
        }
        if held_out is not None:
            earlier = _held_out(held_out, name, level, hidden=0)
            validation = earlier.scores()
            if validation is None:
                continue
            found[name]["validation"] = validation
            found[name]["by_year"] = (
                _by_year(earlier, held_out.films.release_year) | found[name]["by_year"]
            )
            found[name]["by_hidden"] = _by_hidden(held_out, name, level, calibration.parts.names)
            found[name]["drift"] = drift(validation, overall)
    if "hit" in outputs and calibration.rules is not None:
        served = calibration.hit(outputs["hit"], distributions, budgets)
        truth = {"hit": test.truth["hit"]}
        found["hit"] = {
            "network": metrics.evaluate(truth, {"hit": outputs["hit"]}).get("hit"),
            "served": metrics.evaluate(truth, {"hit": served}).get("hit"),
            "calibrator": calibration.calibrator.kind,
            "validation_log_loss": dict(calibration.hit_log_loss),
        }
    return found


def drift(validation: Mapping[str, float], test: Mapping[str, float]) -> dict[str, float]:
    """How far test films depart from validation films, and how far chance alone could.

    `chance` is two standard deviations of the difference of two binomial shares.
    """
    variance = sum(s["coverage"] * (1 - s["coverage"]) / s["n"] for s in (validation, test))
    return {
        "coverage": test["coverage"] - validation["coverage"],
        "chance": 2 * float(np.sqrt(variance)),
        "bias": test["bias"] - validation["bias"],
        "deviation_ratio": test["deviation"] / max(validation["deviation"], 1e-9),
    }


def _by_year(judged: Judged, years: np.ndarray) -> dict[str, Any]:
    known = np.unique(years[~np.isnan(years)])
    return _slices(judged, {str(int(year)): years == year for year in known})


def _by_budget(judged: Judged, budgets: np.ndarray) -> dict[str, Any]:
    tiers = {label: (budgets >= low) & (budgets < high) for label, low, high in TIERS}
    return _slices(judged, tiers | {_UNKNOWN: np.isnan(budgets)})


def _by_missing(judged: Judged, missing: np.ndarray, names: Sequence[str]) -> dict[str, Any]:
    rows, counts = np.unique(missing, axis=0, return_counts=True)
    frequent = rows[np.argsort(-counts, kind="stable")][:_MOST_PATTERNS]
    rows_of = {patterns.label(names, row): (missing == row).all(axis=1) for row in frequent}
    return _slices(judged, rows_of)


def _slices(judged: Judged, rows: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Scores of each set of films that has any whose truth is known."""
    found = {label: judged.scores(chosen) for label, chosen in rows.items()}
    return {label: scores for label, scores in found.items() if scores is not None}


def _held_out(held_out: HeldOutFilms, name: str, level: float, hidden: int) -> Judged:
    """Validation films with pattern `hidden` hidden, each by a calibration that did not see it."""
    films = held_out.films
    low, high = (np.full(len(films.natural), np.nan) for _ in range(2))
    missing = films.natural | films.patterns[hidden]
    for rows, calibration in held_out.folds:
        outputs = {target: y[hidden, rows] for target, y in films.outputs.items()}
        found = calibration.distributions(outputs, films.embedding[hidden, rows], missing[rows])
        low[rows], high[rows] = found[name].interval(level)
    return Judged(films.truth[name], films.outputs[name][hidden], low, high)


def _by_hidden(
    held_out: HeldOutFilms, name: str, level: float, parts: Sequence[str]
) -> dict[str, Any]:
    """Validation films with nothing, each key part and all of them hidden on purpose."""
    found = {}
    hidden = held_out.films.patterns
    for s, row in enumerate(hidden):
        every = s == len(hidden) - 1
        if row.sum() > 1 and not every:
            continue
        scores = _held_out(held_out, name, level, s).scores()
        if scores is not None:
            label = patterns.label(parts, row) if row.any() else "as they are"
            found["without all of these" if every and row.sum() > 1 else label] = scores
    return found
