"""Coverage and width by hand, and in the metrics of a run."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from mfp.training import coverage
from mfp.training.coverage import Judged

NAN = np.nan


@pytest.fixture
def judged():
    """Six films: below, inside, inside, above, on the edge, unknown."""
    return Judged(
        truth=np.array([1.0, 5.0, 6.0, 9.5, 8.0, NAN]),
        forecast=np.full(6, 5.0),
        low=np.array([2.0, 2.0, 4.0, 4.0, 4.0, 0.0]),
        high=np.full(6, 8.0),
    )


def test_scores_by_hand(judged):
    found = judged.scores()
    assert found == {
        "coverage": pytest.approx(3 / 5),
        "below": pytest.approx(1 / 5),
        "above": pytest.approx(1 / 5),
        "width": pytest.approx((6 + 6 + 4 + 4 + 4) / 5),
        "bias": pytest.approx(0.9),
        "deviation": pytest.approx(np.std([-4, 0, 1, 4.5, 3])),
        "n": 5,
    }
    assert judged.scores(np.arange(6) == 5) is None
    endless = dataclasses.replace(judged, high=np.full(6, np.inf))
    assert endless.scores() is None  # a fold of too few films, not a perfect one


def test_slices_hold_the_films_of_each_and_none_without(judged):
    years = np.array([2010.0, 2010, 2011, 2011, 2011, 2012])
    found = coverage._by_year(judged, years)
    assert {year: scores["n"] for year, scores in found.items()} == {"2010": 2, "2011": 3}
    budgets = np.array([NAN, 0.0, 1e6, 4.9e7, 1.5e8, NAN])
    found = coverage._by_budget(judged, budgets)
    assert {tier: scores["n"] for tier, scores in found.items()} == {
        "below $1M": 1,
        "$1M to $10M": 1,
        "$10M to $50M": 1,
        "$150M and more": 1,
        "budget unknown": 1,
    }
    missing = np.array([[True], [True], [False], [False], [False], [True]])
    found = coverage._by_missing(judged, missing, ["poster"])
    assert {label: scores["n"] for label, scores in found.items()} == {
        "nothing missing": 3,
        "without poster": 2,
    }


def test_drift_is_the_difference_and_what_chance_may_do():
    earlier = {"coverage": 0.9, "n": 900, "bias": 0.1, "deviation": 1.0}
    later = {"coverage": 0.84, "n": 1600, "bias": -0.1, "deviation": 1.2}
    found = coverage.drift(earlier, later)
    assert found["coverage"] == pytest.approx(-0.06)
    assert found["chance"] == pytest.approx(2 * np.sqrt(0.09 / 900 + 0.84 * 0.16 / 1600))
    assert found["bias"] == pytest.approx(-0.2)
    assert found["deviation_ratio"] == pytest.approx(1.2)


def test_the_metrics_of_a_run_hold_its_coverage(run):
    report = json.loads((run.path / "metrics.json").read_text("utf-8"))
    found = report["intervals"]
    assert found["level"] == 0.9
    rating = found["rating"]
    assert rating["test"]["n"] == report["test"]["rating"]["n"]
    assert list(rating["by_year"]) == ["1950", "1951", "1952", "1953", "1954", "1955"]
    later = [rating["by_year"][year]["n"] for year in ("1953", "1954", "1955")]
    assert sum(later) == rating["test"]["n"]
    assert sum(s["n"] for s in rating["by_budget"].values()) == rating["test"]["n"]
    # A calibration that has not seen a film covers it as often as it says.
    n = rating["validation"]["n"]
    assert rating["validation"]["coverage"] == pytest.approx(0.9, abs=3 * np.sqrt(0.09 / n))
    hidden = rating["by_hidden"]
    assert hidden["without all of these"]["width"] > hidden["as they are"]["width"]
    assert rating["drift"]["coverage"] == pytest.approx(
        rating["test"]["coverage"] - rating["validation"]["coverage"]
    )
    assert set(found["hit"]["validation_log_loss"]) >= {"none", "platt", "isotonic", "network"}
    assert found["hit"]["served"]["n"] == report["test"]["hit"]["n"]


def test_the_bundle_carries_the_calibration_of_the_run(run):
    manifest = json.loads((run.bundle / "manifest.json").read_text("utf-8"))
    assert manifest["calibration"] == json.loads((run.path / "calibration.json").read_text("utf-8"))
    assert manifest["metrics"]["intervals"]["rating"]["test"]["n"] > 0
    assert (run.path / "coverage.png").stat().st_size > 10_000
    years = [film.release_date.year for film, _ in run.films["train"]]
    low, high = manifest["data"]["ranges"]["release_year"]
    assert min(years) <= low < high <= max(years)
    assert np.mean([low <= year <= high for year in years]) >= 0.99
