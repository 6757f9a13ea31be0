"""How sure the network is of a difference: the posterior of a linear regression."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mfp.calibration.differences import Differences


def test_the_deviation_is_that_of_least_squares_refitted_many_times():
    """Weights fitted on n films spread as said about the true ones, along any difference."""
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(4, 4))
    fused = rng.normal(size=(2000, 4)) @ mixing
    noise, trained = 0.7, 500
    differences = rng.normal(size=(6, 4))
    estimates = []
    for _ in range(400):
        films = rng.normal(size=(trained, 4)) @ mixing
        truth = films @ np.ones(4) + rng.normal(0, noise, trained)
        weights, *_ = np.linalg.lstsq(films, truth, rcond=None)
        estimates.append(differences @ weights)
    errors = {"rating": rng.normal(0, noise, 2000)}
    found = Differences.fit(fused, errors, {"rating": trained}).deviation("rating", differences)
    np.testing.assert_allclose(found, np.std(estimates, axis=0), rtol=0.15)


def test_the_same_plan_twice_differs_by_nothing_and_more_films_are_surer():
    rng = np.random.default_rng(1)
    fused, errors = rng.normal(size=(100, 3)), rng.normal(size=100)
    errors[::2] = np.nan  # unknown
    few = Differences.fit(fused, {"rating": errors}, {"rating": 100})
    many = Differences.fit(fused, {"rating": errors}, {"rating": 400})
    step = np.array([[0.0, 0, 0], [1, 0, 0], [2, 0, 0]])
    assert few.deviation("rating", step)[0] == 0
    np.testing.assert_allclose(few.deviation("rating", step), 2 * many.deviation("rating", step))
    assert few.deviation("rating", step)[2] == pytest.approx(2 * few.deviation("rating", step)[1])


def test_features_that_never_vary_and_json():
    rng = np.random.default_rng(2)
    fused = rng.normal(size=(50, 3)) * [1, 1, 0]
    made = Differences.fit(fused, {"revenue": rng.normal(size=50)}, {"revenue": 30})
    again = Differences.from_json(json.loads(json.dumps(made.to_json())))
    step = rng.normal(size=(5, 3))
    found = again.deviation("revenue", step)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found, made.deviation("revenue", step), rtol=1e-2)
