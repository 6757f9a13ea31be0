"""Smearing by hand, and verdicts that also say the rare classes."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm
from sklearn import metrics as sklearn_metrics

from mfp.calibration import points
from mfp.calibration.points import PointRules


def test_smearing_is_the_mean_of_ten_to_the_errors():
    # Fewer than two groups' worth of films: one factor, Duan's.
    error = np.tile([0.0, 1.0, -1.0, 0.0, 0.0], 6)
    places, factors = points.fit_smearing(np.full(30, 7.0), 7 + error)
    assert places == (7.0,)
    assert factors == pytest.approx([np.log10((3 * 1 + 10 + 0.1) / 5)])


def test_small_and_large_films_have_factors_of_their_own():
    forecast = np.repeat([5.0, 7.0, 8.0], 30)
    error = np.concatenate([np.tile([1.0, -1.0], 15), np.tile([0.3, -0.3], 15), np.zeros(30)])
    rules = PointRules(*points.fit_smearing(forecast, forecast + error))
    assert rules.forecasts == (5.0, 7.0, 8.0)
    factors = [5.05, (10**0.3 + 10**-0.3) / 2, 1.0]
    np.testing.assert_allclose(10 ** np.array(rules.smearing), factors)
    mean = rules.mean_usd(np.array([4.0, 5.0, 6.0, 8.0, 9.0]))
    between = np.sqrt(factors[0] * factors[1])  # lines between logarithms
    np.testing.assert_allclose(mean, [1e4 * factors[0], 1e5 * factors[0], 1e6 * between, 1e8, 1e9])


def test_means_add_up_to_what_films_earn_and_medians_to_less():
    rng = np.random.default_rng(0)
    forecast = rng.uniform(5, 8, 6000)
    truth = forecast + rng.normal(size=6000) * (10 - forecast) / 8  # small films err more
    fitted, new = slice(0, 3000), slice(3000, None)
    rules = PointRules.fit({"revenue": forecast[fitted]}, {"revenue": truth[fitted]})
    earned = np.sum(10 ** truth[new])
    assert np.sum(10 ** forecast[new]) / earned < 0.8
    assert np.sum(rules.mean_usd(forecast[new])) / earned == pytest.approx(1, abs=0.06)
    one_factor = np.mean(10 ** (truth[fitted] - forecast[fitted]))
    assert one_factor * np.sum(10 ** forecast[new]) / earned > 1.2


def test_with_few_films_there_is_no_mean_and_the_likeliest_class_is_said():
    rules = PointRules.fit({"revenue": np.zeros(10)}, {"revenue": np.zeros(10)})
    assert rules == PointRules()
    assert rules.mean_usd(np.zeros(3)) is None
    assert rules.verdict(np.array([[0.1, 0.2, 0.6, 0.1], [0.4, 0.3, 0.2, 0.1]])).tolist() == [2, 0]


def test_macro_f1_equals_scikit_learns():
    rng = np.random.default_rng(0)
    truth, said = rng.integers(0, 4, (2, 300))
    expected = sklearn_metrics.f1_score(truth, said, average=None)
    found = points.f1_by_class(truth, said)
    np.testing.assert_allclose(list(found.values()), expected)
    assert points.macro_f1(truth, said) == pytest.approx(expected.mean())
    assert points.f1_by_class(np.array([0, 0]), np.array([1, 1])) == {0: 0.0}


def rare(count):
    """Calibrated probabilities of a rare class 3 that is never the likeliest."""
    rng = np.random.default_rng(count)
    chance = rng.beta(0.3, 3, count) * 0.45
    probability = np.stack([(1 - chance) * 0.2, (1 - chance) * 0.5, (1 - chance) * 0.3, chance], 1)
    truth = np.array([rng.choice(4, p=p) for p in probability])
    return probability, truth


def test_weights_find_a_rare_class_on_films_they_were_not_fitted_on():
    probability, truth = rare(2000)
    weights = points.fit_weights(probability, truth)
    rules = PointRules(verdict_weights=weights)
    assert max(weights) == 1
    assert weights[3] == 1
    new, labels = rare(2001)
    assert points.f1_by_class(labels, new.argmax(-1))[3] < 0.1
    assert points.f1_by_class(labels, rules.verdict(new))[3] > 0.15
    assert points.macro_f1(labels, rules.verdict(new)) > points.macro_f1(labels, new.argmax(-1))


def ordered(count):
    """Four classes of one hidden measure, a sixth of the films in each of the outer two."""
    rng = np.random.default_rng(count)
    forecast = rng.normal(0, 0.64, count)
    truth = np.searchsorted([-1.0, 0.0, 1.0], forecast + rng.normal(0, 0.77, count))
    below = norm.cdf((np.array([-1.0, 0.0, 1.0]) - forecast[:, None]) / 0.77)
    return np.diff(below, axis=1, prepend=0, append=1), truth


def test_no_class_is_left_behind_on_films_the_weights_were_not_fitted_on():
    probability, truth = ordered(4000)
    rules = PointRules(verdict_weights=points.fit_weights(probability, truth))
    new, labels = ordered(4001)
    likeliest = points.f1_by_class(labels, new.argmax(-1))
    said = points.f1_by_class(labels, rules.verdict(new))
    assert min(likeliest.values()) < 0.4
    assert min(said.values()) > 0.42
    assert np.mean(list(said.values())) > np.mean(list(likeliest.values()))


def test_of_few_films_one_number_is_fitted_and_not_one_a_class():
    probability, truth = ordered(300)
    count = np.bincount(truth)
    assert count.min() < 100
    of_shares = np.log((1 + count) / (4 + count.sum()))
    weights = np.log(points.fit_weights(probability, truth))
    power = np.polyfit(of_shares, weights, 1)
    np.testing.assert_allclose(weights, np.polyval(power, of_shares), atol=1e-9)


def test_through_json():
    rules = PointRules((5.0, 7.0), (0.3, 0.1), (0.1, 0.2, 0.3, 1.0))
    assert PointRules.from_json(rules.to_json()) == rules
    assert PointRules.from_json({}) == PointRules()  # of an older bundle
    with pytest.raises(ValueError, match="do not belong together"):
        PointRules.from_json({"forecasts": [1.0], "smearing": []})
