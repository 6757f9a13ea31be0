"""Metrics equal scikit-learn's, which is installed for the tests alone."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics

from mfp.training import metrics

RNG = np.random.default_rng(0)
TRUTH = RNG.normal(6, 1, 200)
PRED = TRUTH + RNG.normal(size=200)
HITS = RNG.integers(0, 2, 200).astype(float)
PROBABILITY = np.clip(HITS * 0.3 + RNG.uniform(0, 0.7, 200), 0.01, 0.99)


def test_regression_equals_scikit_learn():
    assert metrics.regression(TRUTH, PRED) == pytest.approx(
        {
            "rmse": sklearn_metrics.root_mean_squared_error(TRUTH, PRED),
            "mae": sklearn_metrics.mean_absolute_error(TRUTH, PRED),
            "r2": sklearn_metrics.r2_score(TRUTH, PRED),
            "n": 200,
        },
        rel=1e-12,
    )


def test_r2_of_the_mean_is_zero_and_of_one_film_unknown():
    assert metrics.regression(TRUTH, np.full(200, TRUTH.mean()))["r2"] == pytest.approx(0)
    assert math.isnan(metrics.regression(TRUTH[:1], PRED[:1])["r2"])


def test_revenue_is_judged_in_logs_and_by_its_median_relative_error():
    truth, pred = np.log10([100.0, 200.0, 400.0]), np.log10([110.0, 100.0, 1200.0])
    found = metrics.revenue(truth, pred)
    assert found["median_relative_error"] == pytest.approx(0.5)  # of 0.1, 0.5, 2
    assert found["rmse"] == pytest.approx(metrics.regression(truth, pred)["rmse"])
    assert found["within_factor_two"] == pytest.approx(2 / 3)  # 1.1, exactly half, 3 times
    logs = np.log([111 / 101, 101 / 201, 1201 / 401])
    assert found["rmsle"] == pytest.approx(np.sqrt(np.mean(logs**2)))


def test_what_is_said_from_a_threshold_on():
    truth, chance = np.array([1, 1, 0, 0, 1.0]), np.array([0.9, 0.5, 0.6, 0.1, 0.3])
    found = metrics.decided(truth, chance, 0.5)  # says yes to three, two of them right
    assert found["precision"] == pytest.approx(2 / 3)
    assert found["recall"] == pytest.approx(2 / 3)
    assert found["f1"] == pytest.approx(sklearn_metrics.f1_score(truth, chance >= 0.5))
    assert (found["said"], found["true"], found["n"]) == (3, 3, 5)
    assert metrics.decided(truth, chance, 0.25)["recall"] == 1
    nothing = metrics.decided(truth, chance, 0.95)
    assert math.isnan(nothing["precision"])
    assert (nothing["recall"], nothing["f1"]) == (0, 0)
    assert math.isnan(metrics.decided(np.zeros(5), chance, 0.5)["recall"])
    assert metrics.decided(np.zeros(5), chance, 0.95)["f1"] == 0  # said of none, true of none


def test_binary_equals_scikit_learn():
    assert metrics.binary(HITS, PROBABILITY) == pytest.approx(
        {
            "auc": sklearn_metrics.roc_auc_score(HITS, PROBABILITY),
            "log_loss": sklearn_metrics.log_loss(HITS, PROBABILITY),
            "accuracy": sklearn_metrics.accuracy_score(HITS, PROBABILITY >= 0.5),
            "n": 200,
        },
        rel=1e-12,
    )


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 4)), min_size=2, max_size=40))
def test_auc_with_ties_equals_scikit_learn(pairs):
    truth, score = np.array(pairs, float).T
    if len(set(truth)) < 2:
        assert math.isnan(metrics.auc(truth, score))
    else:
        expected = sklearn_metrics.roc_auc_score(truth, score)
        assert metrics.auc(truth, score) == pytest.approx(expected, abs=1e-12)


def test_a_certain_and_wrong_probability_has_a_finite_log_loss():
    found = metrics.binary(np.array([0.0, 1.0]), np.array([1.0, 0.0]))
    assert found["log_loss"] == pytest.approx(-math.log(1e-7), rel=1e-6)
    assert found["auc"] == 0
    assert found["accuracy"] == 0


def test_from_one_half_on_a_probability_says_yes():
    found = metrics.binary(np.array([1.0, 0.0]), np.array([0.5, 0.4]))
    assert found["accuracy"] == 1


def test_a_class_held_impossible_has_a_finite_log_loss():
    found = metrics.classes(np.array([1.0]), np.array([[1.0, 0.0]]))
    assert found["log_loss"] == pytest.approx(-math.log(1e-7))


def test_classes_equal_scikit_learn():
    labels = RNG.integers(0, 4, 200)
    probability = RNG.dirichlet(np.ones(4), 200) * 0.96 + 0.01
    found = metrics.classes(labels.astype(float), probability)
    assert found["log_loss"] == pytest.approx(
        sklearn_metrics.log_loss(labels, probability, labels=range(4)), rel=1e-12
    )
    assert found["accuracy"] == pytest.approx(
        sklearn_metrics.accuracy_score(labels, probability.argmax(-1))
    )


def test_films_of_unknown_truth_are_left_out():
    truth = {"rating": TRUTH.copy(), "hit": np.full(200, np.nan)}
    truth["rating"][50:] = np.nan
    found = metrics.evaluate(truth, {"rating": PRED, "hit": PROBABILITY})
    assert found == {"rating": metrics.regression(TRUTH[:50], PRED[:50])}


def test_what_has_no_truth_is_passed_over():
    """The spread of an ensemble's members stands beside its targets."""
    predictions = {"rating.spread": PRED, "rating": PRED}
    assert set(metrics.evaluate({"rating": TRUTH}, predictions)) == {"rating"}
