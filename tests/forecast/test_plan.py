"""The release planner: the same forecasts, the best marked, noise and extrapolation told."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from mfp.calibration.differences import Differences
from mfp.forecast import axes, plan
from mfp.forecast.axes import PlanError
from mfp.forecast.predict import Forecaster


def made(forecaster, film, *texts, **settings):
    return plan.make(forecaster, film, [axes.parse(text) for text in texts], **settings)


@pytest.fixture(scope="module")
def film(test_films):
    return next(f for f in test_films if f.runtime_minutes and f.directors and f.genres)


def test_plans_are_the_forecasts_of_the_changed_films(forecaster, film):
    found = made(
        forecaster, film, "genres=Drama|Comedy", "runtime_minutes=80,100,120", goal="rating"
    )
    assert len(found.plans) == 6
    assert found.plans[1].values == {"genres": "Drama", "runtime_minutes": "100"}
    changed = dataclasses.replace(film, genres=("Comedy",), runtime_minutes=80.0)
    (alone,) = forecaster.predict([changed])
    assert found.plans[3].forecast.rating == pytest.approx(alone.rating, abs=1e-5)
    assert found.plans[3].forecast.rating_high == pytest.approx(alone.rating_high, abs=1e-4)
    ratings = [p.forecast.rating for p in found.plans]
    assert found.best.forecast.rating == max(ratings)
    assert sum(p.best for p in found.plans) == 1
    np.testing.assert_array_equal(found.goals(), ratings)


def with_noise(forecaster, factor):
    """The same bundle, its differences more or less certain."""
    calibration = forecaster.bundle.calibration
    size = calibration.differences.whitening.shape[0]
    noise = Differences(np.eye(size) * factor, {"rating": 1.0, "revenue": 1.0})
    calibration = dataclasses.replace(calibration, differences=noise)
    return Forecaster(dataclasses.replace(forecaster.bundle, calibration=calibration))


def test_differences_within_the_noise_are_told(forecaster, film):
    noisy = made(with_noise(forecaster, 1e6), film, "runtime_minutes=80,100,120", goal="rating")
    assert all(p.as_good for p in noisy.plans)
    assert "all differences lie within the noise" in noisy.warnings[-1]
    sure = made(with_noise(forecaster, 0.0), film, "runtime_minutes=80,100,120", goal="rating")
    assert [p.as_good for p in sure.plans] == [p.best for p in sure.plans]
    assert not any("noise" in warning for warning in sure.warnings)


def test_a_hit_is_noise_where_rating_and_box_office_are(forecaster, film):
    noisy = made(with_noise(forecaster, 1e6), film, "runtime_minutes=80,120", goal="hit")
    assert all(p.as_good for p in noisy.plans)
    assert noisy.goals().tolist() == [p.forecast.hit_probability for p in noisy.plans]


def test_an_older_bundle_says_that_noise_is_not_known(forecaster, film):
    bundle = dataclasses.replace(forecaster.bundle, calibration=None)
    found = made(Forecaster(bundle), film, "runtime_minutes=80,120")
    assert found.plans[0].as_good is None
    assert "as_good_as_the_best" not in found.plans[0].to_json()
    assert found.warnings == ("this bundle cannot tell differences between plans from noise",)


def test_extrapolation_is_marked_and_summed_up(forecaster, film):
    found = made(forecaster, film, "release_date=1954..1957/year", "runtime_minutes=90,900")
    assert [bool(p.extrapolates) for p in found.plans] == [False, True] * 2 + [True] * 4
    assert found.warnings[0] == (
        "6 of 8 plans lie outside what the model was trained on (runtime_minutes, release_date)"
    )
    assert found.plans[1].to_json()["extrapolates"] is True
    assert found.plans[0].to_json()["plan"] == {"release_date": "1954", "runtime_minutes": "90"}


def test_what_cannot_be_planned_is_told(forecaster, film):
    with pytest.raises(PlanError, match="--vary budget_usd: this bundle does not read it"):
        made(forecaster, film, "budget_usd=1e6,1e7")
    with pytest.raises(PlanError, match="makes 3,000 plans"):
        made(forecaster, film, "runtime_minutes=1..300/150", "release_date=1950..1969/year")
    bundle = forecaster.bundle
    ratings = dataclasses.replace(bundle.manifest, targets=("rating",))
    only = Forecaster(dataclasses.replace(bundle, manifest=ratings))
    assert made(only, film, "runtime_minutes=80,100").goal == "rating"
    with pytest.raises(PlanError, match="predicts rating: no revenue to plan"):
        made(only, film, "runtime_minutes=80,100", goal="revenue")
