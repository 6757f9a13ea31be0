"""The paired bootstrap: plain metrics, an analytic interval, its coverage, its pairs."""

from __future__ import annotations

import numpy as np
import pytest

from mfp.training import bootstrap, metrics

RNG = np.random.default_rng(0)
TRUTH = RNG.normal(6, 1, 400)
NEAR, FAR = TRUTH + RNG.normal(0, 0.5, 400), TRUTH + RNG.normal(0.3, 0.8, 400)
HITS = (TRUTH > 6.5).astype(float)


@pytest.mark.parametrize(
    ("name", "score"), [("r2", bootstrap.r2), ("rmse", bootstrap.rmse), ("auc", bootstrap.auc)]
)
def test_a_resample_is_judged_as_its_films_repeated(name, score):
    truth = HITS if name == "auc" else TRUTH
    pred = np.round(FAR, 1)  # with ties
    judge = metrics.binary if name == "auc" else metrics.regression
    counts = np.concatenate([*bootstrap.resampled(len(truth), 5, seed=1), np.ones((1, 400))])
    for row, found in zip(counts, score(truth, pred, counts), strict=True):
        chosen = np.repeat(np.arange(400), row.astype(int))
        p = pred[chosen] if name != "auc" else (pred[chosen] - 2) / 8
        assert found == pytest.approx(judge(truth[chosen], p)[name], rel=1e-9)


def test_without_bias_a_shift_of_all_forecasts_changes_nothing():
    counts = np.concatenate([*bootstrap.resampled(400, 5, seed=1)])
    for score in (bootstrap.r2_without_bias, bootstrap.rmse_without_bias):
        np.testing.assert_allclose(score(TRUTH, NEAR + 3, counts), score(TRUTH, NEAR, counts))
    centred = NEAR - np.mean(NEAR - TRUTH)
    whole = np.ones((1, 400))
    assert bootstrap.r2_without_bias(TRUTH, NEAR, whole) == pytest.approx(
        bootstrap.r2(TRUTH, centred, whole)
    )


def test_every_resample_has_as_many_films_and_the_seed_decides_them():
    blocks = list(bootstrap.resampled(400, 50, seed=3))
    assert all((block.sum(axis=1) == 400).all() for block in blocks)
    again, other = (np.concatenate(list(bootstrap.resampled(400, 50, s))) for s in (3, 4))
    np.testing.assert_array_equal(np.concatenate(blocks), again)
    assert (again != other).any()


def mean(truth, pred, counts):
    return counts @ pred / counts.sum(axis=1)


def test_the_interval_of_a_difference_of_means_is_the_analytic_one():
    count = 2000
    shared, a, b = np.random.default_rng(1).normal(size=(3, count)) * [[5.0], [1.0], [0.5]]
    found = bootstrap.difference(mean, True, np.zeros(count), shared + a + 0.1, shared + b)
    error = np.std(a + 0.1 - b, ddof=1) / np.sqrt(count)
    centre = np.mean(a + 0.1 - b)
    assert found.difference == pytest.approx(centre)
    # 2,000 resamples tell a 2.5% quantile to about 0.06 standard errors.
    assert found.low == pytest.approx(centre - 1.96 * error, abs=0.2 * error)
    assert found.high == pytest.approx(centre + 1.96 * error, abs=0.2 * error)
    # Unpaired, the error of the shared part would count twice: some six times as wide.
    assert found.high - found.low < 0.25 * 2 * 1.96 * 5 * np.sqrt(2 / count)


def test_it_is_paired_so_that_equal_forecasts_differ_by_nothing():
    found = bootstrap.difference(bootstrap.r2, True, TRUTH, NEAR, NEAR.copy())
    assert (found.difference, found.low, found.high) == (0, 0, 0)
    assert found.outcome == "includes 0"


def test_its_intervals_hold_the_true_difference_as_often_as_they_say():
    rng, held, times = np.random.default_rng(2), 0, 300
    for _ in range(times):
        truth = rng.normal(size=200)
        shared, a, b = rng.normal(size=(3, 200))
        one, other = truth + shared * 0.5 + a * 0.5, truth + shared * 0.5 + b * 0.7
        found = bootstrap.difference(bootstrap.rmse, False, truth, one, other, resamples=300)
        held += found.low <= np.sqrt(0.5) - np.sqrt(0.74) <= found.high
    # Three standard deviations of a binomial share, and a percentile interval's own shortfall.
    assert abs(held / times - 0.95) < 3 * np.sqrt(0.95 * 0.05 / times) + 0.01


def test_who_wins_depends_on_whether_more_is_better():
    for score, more in ((bootstrap.r2, True), (bootstrap.rmse, False)):
        assert bootstrap.difference(score, more, TRUTH, NEAR, FAR).outcome == "wins"
        assert bootstrap.difference(score, more, TRUTH, FAR, NEAR).outcome == "loses"


def test_resamples_of_one_class_are_left_out():
    truth = np.zeros(30)
    truth[0] = 1
    found = bootstrap.difference(bootstrap.auc, True, truth, np.arange(30.0), -np.arange(30.0))
    assert np.isfinite([found.low, found.high]).all()
    assert found.difference == -1
    nothing = bootstrap.difference(bootstrap.auc, True, truth[1:], truth[1:], truth[1:])
    assert np.isnan(nothing.low)
