"""The probability of a hit: calibrated, and never at odds with the intervals."""

from __future__ import annotations

import numpy as np
import pytest

from mfp.calibration import hit
from mfp.calibration.conformal import Distribution, Scores
from mfp.calibration.hit import KINDS, Calibrator, HitRules

RNG = np.random.default_rng(0)


def distribution(forecast, seed=0, scale=1.0):
    scores = Scores.of(np.random.default_rng(seed).normal(size=400))
    forecast = np.asarray(forecast, float)
    return Distribution(
        forecast, np.full(len(forecast), scale), np.zeros(len(forecast), int), [scores]
    )


def overconfident(count=4000, factor=3.0):
    """Probabilities whose logits are `factor` times the true ones, and outcomes."""
    logits = RNG.normal(size=count)
    truth = (RNG.random(count) < 1 / (1 + np.exp(-logits))).astype(float)
    return 1 / (1 + np.exp(-factor * logits)), truth


def test_one_rule_decides_the_probability():
    found = distribution(np.linspace(3, 10, 50))
    rules = HitRules(7.0, 0.0, 0.0)
    least, most = rules.bounds({"rating": found}, np.full(50, np.nan))
    np.testing.assert_array_equal(least, most)
    np.testing.assert_array_equal(least, 1 - found.below(np.full(50, 7.0)))
    assert (np.diff(least) >= 0).all()


@pytest.mark.parametrize("level", [0.5, 0.8, 0.9, 0.95])
def test_agreement_with_the_interval_at_every_level(level):
    ratings = distribution(np.linspace(0, 10, 400), scale=1.3)
    least, most = HitRules(7.0, 0.0, 0.0).bounds({"rating": ratings}, np.full(400, np.nan))
    low, high = ratings.interval(level)
    above, below = low >= 7.0, high < 7.0
    assert above.any()
    assert below.any()
    assert (~(above | below)).any()
    assert (least[above] >= (1 + level) / 2 - 1e-9).all()
    assert (most[below] <= (1 - level) / 2 + 1e-9).all()


def test_two_rules_are_bounded_by_the_larger_and_the_sum():
    ratings, revenues = distribution([6.0, 6.5, 8.0]), distribution([7.0, 7.5, 9.0], seed=1)
    rules = HitRules(7.0, 1e8, 0.0)
    budgets = np.full(3, np.nan)
    least, most = rules.bounds({"rating": ratings, "revenue": revenues}, budgets)
    p = 1 - ratings.below(np.full(3, 7.0))
    q = 1 - revenues.below(np.full(3, 8.0))
    np.testing.assert_allclose(least, np.maximum(p, q))
    np.testing.assert_allclose(most, np.minimum(p + q, 1))


def test_revenue_over_budget_needs_the_budget():
    revenues = distribution([8.0, 8.0, 8.0])
    rules = HitRules(0.0, 0.0, 2.0)
    least, most = rules.bounds({"revenue": revenues}, np.array([5e7, 5e8, np.nan]))
    np.testing.assert_allclose(least[0], 1 - revenues.below(np.array([8.0] * 3))[0])
    assert least[1] == most[1] < least[0]
    assert (least[2], most[2]) == (0.0, 1.0)  # nothing follows


def test_a_rule_without_a_distribution_bounds_nothing_from_above():
    rules = HitRules(7.0, 1e8, 0.0)
    least, most = rules.bounds({"rating": distribution([5.0, 9.0])}, np.full(2, np.nan))
    assert (most == 1).all()
    assert least[0] < least[1] < 1


@pytest.mark.parametrize("kind", ["temperature", "platt", "isotonic"])
def test_calibration_undoes_overconfidence(kind):
    probability, truth = overconfident()
    fitted = Calibrator.fit(kind, probability, truth)
    found = fitted(probability)
    assert hit.log_loss(found, truth) < hit.log_loss(probability, truth) - 0.05
    for low, high in ((0.0, 0.3), (0.3, 0.6), (0.6, 1.0)):
        rows = (found >= low) & (found < high)
        assert found[rows].mean() == pytest.approx(truth[rows].mean(), abs=0.05)
    assert (np.diff(fitted(np.linspace(0.001, 0.999, 200))) >= 0).all()
    again = Calibrator.from_json(fitted.to_json())
    np.testing.assert_array_equal(again(probability), found)


def test_the_temperature_is_the_factor():
    fitted = Calibrator.fit("temperature", *overconfident(20_000))
    assert 1 / fitted.values[0][0] == pytest.approx(3.0, rel=0.1)


def free(count):
    return np.zeros(count), np.ones(count)


def test_the_method_of_least_log_loss_is_chosen():
    probability, truth = overconfident(2000)
    kind, losses = hit.choose(probability, truth, free(2000), np.arange(2000) % 5)
    assert set(losses) == set(KINDS)
    assert losses[kind] == min(losses.values())
    assert kind in ("temperature", "platt")
    assert losses["none"] > losses[kind] + 0.05


def test_where_the_intervals_decide_the_simplest_method_is_taken():
    probability, truth = overconfident(500)
    p = np.full(500, 0.4)
    kind, losses = hit.choose(probability, truth, (p, p), np.arange(500) % 5)
    assert kind == "none"
    assert losses["none"] == pytest.approx(hit.log_loss(p, truth))


def test_classes_that_separate_leave_the_fit_finite():
    probability = np.array([0.1] * 30 + [0.9] * 30)
    truth = np.array([0.0] * 30 + [1.0] * 30)
    for kind in KINDS:
        assert np.isfinite(Calibrator.fit(kind, probability, truth)(probability)).all()


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="beta"):
        Calibrator.from_json({"kind": "beta", "values": []})
