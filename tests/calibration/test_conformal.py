"""Split conformal: exact coverage of exchangeable scores, groups by what is missing."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from mfp.calibration import conformal, fitted
from mfp.calibration.conformal import Distribution, Sample, Scores, TargetCalibration, TargetFit
from mfp.calibration.spread import SpreadFits


@pytest.mark.parametrize(
    ("films", "level", "lower", "upper"),
    [
        (19, 0.9, 1, 19),  # floor(20 * .05) = 1, ceil(20 * .95) = 19
        (99, 0.9, 5, 95),
        (99, 0.8, 10, 90),
        (100, 0.9, 5, 96),  # floor(5.05), ceil(95.95)
        (39, 0.95, 1, 39),
    ],
)
def test_tails_are_the_ranks_of_the_finite_sample_rule(films, level, lower, upper):
    scores = Scores.of(np.random.default_rng(0).permutation(np.arange(1.0, films + 1)))
    assert scores.tails(level) == (lower, upper)


def test_too_few_films_for_a_level_have_no_finite_bounds():
    scores = Scores.of(np.arange(18.0))
    assert scores.max_level == pytest.approx(1 - 2 / 19)
    assert scores.tails(0.9) == (-math.inf, math.inf)
    low, high = scores.tails(scores.max_level - 1e-12)
    assert (low, high) == (0.0, 17.0)


@pytest.mark.parametrize("films", [25, 60, 99])
def test_coverage_of_exchangeable_films_is_within_the_exact_bounds(films):
    """At least 1 - a and at most 1 - a + 2 / (n + 1), over many draws of calibration films."""
    rng, draws = np.random.default_rng(films), 4000
    covered = 0
    for _ in range(draws):
        errors = rng.standard_t(3, films + 1)
        low, high = Scores.of(errors[:-1]).tails(0.8)
        covered += low <= errors[-1] <= high
    slack = 3 * math.sqrt(0.8 * 0.2 / draws)
    assert 0.8 - slack <= covered / draws <= 0.8 + 2 / (films + 1) + slack


def test_thinned_scores_bound_no_less_than_all_of_them():
    values = np.sort(np.random.default_rng(1).normal(size=5000))
    scores = Scores.of(values)
    assert len(scores.ranks) < 300
    for level in (0.5, 0.8, 0.9, 0.95, 0.99, 0.999):
        tail = (5001 * (1 - level)) / 2
        low, high = scores.tails(level)
        assert low <= values[math.floor(tail) - 1]
        assert high >= values[math.ceil(5001 - tail) - 1]
        assert high - low <= 1.05 * (values[math.ceil(5001 - tail) - 1] - values[int(tail) - 1])


def test_the_probability_below_agrees_with_the_tails_even_where_scores_tie():
    rng = np.random.default_rng(2)
    for values in (rng.normal(size=300), rng.integers(0, 8, 300) / 2, np.zeros(50)):
        scores = Scores.of(values)
        grid = np.unique(np.concatenate([values, values + 1e-9, values - 1e-9, [-9.0, 9.0]]))
        below = scores.below(grid)
        assert (np.diff(below) >= 0).all()
        assert ((below > 0) & (below < 1)).all()
        for level in (0.5, 0.8, 0.9, 0.95):
            low, high = scores.tails(level)
            assert (below[grid <= low] <= (1 - level) / 2 + 1e-12).all()
            assert (below[grid > high] >= (1 + level) / 2 - 1e-12).all()


def test_the_probability_below_is_the_share_of_scores():
    scores = Scores.of(np.arange(1.0, 100))
    np.testing.assert_allclose(scores.below(np.array([1.0, 50.0, 50.5])), [0.01, 0.5, 0.505])


def test_beyond_all_scores_it_is_half_way_to_certainty():
    scores = Scores.of(np.arange(1.0, 100))
    np.testing.assert_allclose(scores.below(np.array([0.0, 100.0])), [0.005, 0.995])


def test_between_thinned_scores_it_rises_evenly():
    scores = Scores(99, np.array([1, 11]), np.array([0.0, 10.0]))
    np.testing.assert_allclose(scores.below(np.array([2.5, 5.0])), [0.035, 0.06])


def test_the_outer_scores_are_all_kept():
    ranks = Scores.of(np.arange(5000.0)).ranks
    np.testing.assert_array_equal(ranks[:40], np.arange(1, 41))
    np.testing.assert_array_equal(ranks[-40:], np.arange(4961, 5001))
    assert np.diff(ranks).max() < 30


@pytest.mark.parametrize(("ranks", "values"), [([], []), ([1, 2], [0.5])])
def test_ranks_without_their_scores_are_refused(ranks, values):
    with pytest.raises(ValueError, match="do not belong together"):
        Scores.from_json({"films": 9, "ranks": ranks, "values": values})


@pytest.mark.parametrize(
    ("films", "ranks", "values"),
    [
        (-1, [1, 2], [0.1, 0.2]),
        (1, [1, 2], [0.1, 0.2]),  # a rank of a film that is not there
        (9, [0, 2], [0.1, 0.2]),
        (9, [2, 2], [0.1, 0.2]),
        (9, [1, 2], [0.2, 0.1]),
        (9, [1, 2], [0.1, math.nan]),
    ],
)
def test_scores_that_do_not_rise_or_are_of_no_films_are_refused(films, ranks, values):
    with pytest.raises(ValueError, match="rise"):
        Scores.from_json({"films": films, "ranks": ranks, "values": values})


def test_a_distribution_counts_in_spreads_of_each_film_and_scores_of_its_group():
    scores = [Scores.of(np.arange(1.0, 100)), Scores.of(np.arange(101.0, 200))]
    found = Distribution(np.array([5.0, 7.0]), np.array([2.0, 0.5]), np.array([0, 1]), scores)
    below = found.below(np.array([5.0 + 2.0 * 30, 7.0 + 0.5 * 140]))
    np.testing.assert_allclose(below, [0.3, 0.4])


def test_an_interval_holds_the_forecast_whatever_the_level():
    scores = Scores.of(np.linspace(1, 2, 99))  # the network is always too low
    distribution = Distribution(np.array([5.0]), np.array([2.0]), np.array([0]), [scores])
    low, high = distribution.interval(0.1)
    assert low[0] == 5.0 <= high[0]


def sample(natural, patterns, films_seed=0):
    """Films whose error has the deviation 1, 2 where part 0 is missing, 3 where part 1 is."""
    rng = np.random.default_rng(films_seed)
    count = len(natural)
    missing = patterns[:, None] | natural[None]
    deviation = 1.0 + missing[..., 0] + 2.0 * missing[..., 1]
    truth = rng.normal(size=count)
    error = rng.normal(size=count) * deviation
    features = np.concatenate([missing, rng.normal(size=(*missing.shape[:2], 3))], -1)
    fold = rng.permutation(count) % fitted.FOLDS
    return Sample(patterns, natural, features.astype(float), fold), truth - error, truth


PATTERNS = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], bool)


def natural(counts):
    return np.repeat(PATTERNS, counts, axis=0)


def widths(calibration: TargetCalibration, level=0.9):
    """Of films with each pattern missing."""
    features = np.concatenate([PATTERNS, np.zeros((4, 3))], -1).astype(float)
    low, high = calibration.distribution(np.zeros(4), features, PATTERNS).interval(level)
    return high - low


@pytest.mark.parametrize("counts", [(400, 0, 0, 0), (150, 150, 150, 150), (300, 40, 5, 0)])
def test_intervals_widen_with_what_is_missing(counts):
    """By films that lack it themselves where there are enough, else by hiding it."""
    films, forecast, truth = sample(natural(counts), PATTERNS)
    found = widths(TargetFit(films, forecast, truth).calibrate())
    nothing, second, first, both = found
    assert nothing < first < second < both
    assert nothing == pytest.approx(2 * 1.645, rel=0.25)


def test_coverage_holds_in_every_group_and_of_hidden_parts():
    films, forecast, truth = sample(natural((600, 100, 200, 100)), PATTERNS)
    calibration = TargetFit(films, forecast, truth).calibrate()
    fresh, new_forecast, new_truth = sample(natural((2000,) * 4), PATTERNS, films_seed=9)
    low, high = calibration.distribution(
        new_forecast[0], fresh.features[0], fresh.natural
    ).interval(0.9)
    covered = ((low <= new_truth) & (new_truth <= high)).reshape(4, -1).mean(axis=1)
    # Coverage given n calibration films is a Beta variable of about this deviation.
    deviation = np.sqrt(0.9 * 0.1 / np.array([600, 100, 200, 100]))
    assert (np.abs(covered - 0.9) < 3 * deviation).all(), covered


def test_a_spread_that_says_nothing_costs_no_coverage():
    films, forecast, truth = sample(natural((500, 0, 0, 0)), PATTERNS)
    noise = np.random.default_rng(5).normal(size=films.features.shape)
    blind = Sample(films.patterns, films.natural, noise, films.fold)
    calibration = TargetFit(blind, forecast, truth).calibrate()
    _, new_forecast, new_truth = sample(natural((4000, 0, 0, 0)), PATTERNS, films_seed=7)
    features = np.random.default_rng(6).normal(size=(4000, noise.shape[-1]))
    found = calibration.distribution(new_forecast[0], features, np.zeros((4000, 2), bool))
    low, high = found.interval(0.9)
    assert np.mean((low <= new_truth) & (new_truth <= high)) == pytest.approx(0.9, abs=0.03)


def test_films_that_lack_exactly_the_pattern_come_first():
    usable = np.ones((1, 250), bool)
    (group,) = conformal.group_films(usable, np.arange(250)[None] < 120)
    assert group.sum() == 120  # enough by themselves
    (group,) = conformal.group_films(usable, np.arange(250)[None] < 99)
    assert group.sum() == 250  # else all that lack no more, the rest hidden on purpose
    (group,) = conformal.group_films(usable, np.arange(250)[None] < 100)
    assert group.sum() == 100  # just enough
    few = np.arange(250)[None] < 90
    groups = conformal.group_films(np.concatenate([few, usable]), np.zeros((2, 250), bool))
    assert groups[0] is None


def test_a_pattern_of_too_few_films_is_merged_into_the_one_that_misses_more():
    """No film has part 1, so 'nothing missing' and 'without 0' have no films at all."""
    films, forecast, truth = sample(natural((0, 200, 0, 200)), PATTERNS)
    calibration = TargetFit(films, forecast, truth).calibrate()
    assert calibration.patterns.tolist() == [[False, True], [True, True]]
    everything_there = calibration.distribution(
        np.zeros(2), np.zeros((2, 5)), np.array([[False, False], [True, False]])
    )
    assert everything_there.group.tolist() == [0, 1]


def test_few_films_share_one_group_and_fewer_have_no_interval():
    films, forecast, truth = sample(natural((30, 5, 5, 0)), PATTERNS)
    calibration = TargetFit(films, forecast, truth).calibrate()
    assert calibration.patterns.tolist() == [[True, True]]
    assert calibration.max_level == pytest.approx(1 - 2 / 41)
    truth[25:] = np.nan
    assert TargetFit(films, forecast, truth).films == 25
    truth[24:] = np.nan
    with pytest.raises(ValueError, match="only 24 calibration films know it, 25 are needed"):
        TargetFit(films, forecast, truth)


def test_a_group_that_misses_more_is_made_no_narrower():
    wide, narrow = Scores.of(np.linspace(-2, 2, 99)), Scores.of(np.linspace(-1, 1, 99))
    patterns = np.array([[False], [True]])
    found = conformal.no_narrower(patterns, {0: wide, 1: narrow}, {0: 1.0, 1: 1.0})
    np.testing.assert_allclose(found[1].values, wide.values)
    unchanged = conformal.no_narrower(patterns, {0: narrow, 1: wide}, {0: 1.0, 1: 1.0})
    np.testing.assert_array_equal(unchanged[1].values, wide.values)


def test_groups_of_any_width_are_compared():
    narrow, flat = Scores.of(np.linspace(-1, 1, 99)), Scores.of(np.full(99, 0.5))
    patterns = np.array([[False], [True]])
    found = conformal.no_narrower(patterns, {0: narrow, 1: narrow}, {0: 0.2, 1: 0.1})
    np.testing.assert_allclose(found[1].values, 2 * narrow.values)
    found = conformal.no_narrower(patterns, {0: flat, 1: flat}, {0: 1.0, 1: 1.0})
    np.testing.assert_array_equal(found[1].values, flat.values)  # nothing to scale


def test_films_that_lack_a_pattern_by_themselves_lack_all_of_it_and_nothing_else():
    films, _, _ = sample(natural((1, 1, 1, 1)), PATTERNS)
    np.testing.assert_array_equal(films.as_they_are, np.eye(4, dtype=bool))
    within = [[1, 0, 0, 0], [1, 1, 0, 0], [1, 0, 1, 0], [1, 1, 1, 1]]
    np.testing.assert_array_equal(films.exact, np.array(within, bool))


@pytest.mark.parametrize("lacking", [(0, 0, 0, 300), (300, 0, 0, 0), (150, 0, 0, 150)])
def test_films_as_they_are_and_with_parts_hidden_weigh_the_same(lacking):
    """Of the pattern that misses both parts; a film whose truth is unknown weighs nothing."""
    films, forecast, truth = sample(natural(lacking), np.array([[1, 1]], bool))
    truth[::3] = np.nan
    weights = TargetFit(films, forecast, truth)._weights()
    assert (weights[:, ::3] == 0).all()
    both = films.natural.all(axis=1)
    for rows in (both, ~both):
        assert weights[:, rows].sum() == pytest.approx(1 if rows.any() else 0)


def test_each_film_is_scored_by_the_spread_of_its_own_fold(monkeypatch):
    films, forecast, truth = sample(natural((300, 0, 0, 0)), PATTERNS)
    target, every = TargetFit(films, forecast, truth), set(range(fitted.FOLDS))

    def fit(self, folds):
        left_out = min(every - set(folds), default=0)
        return lambda features: np.full(features.shape[:-1], 1.0 + left_out)

    monkeypatch.setattr(SpreadFits, "fit", fit)
    scores = target.calibrate().scores[0]
    expected = np.sort((truth - forecast[0]) / (1.0 + films.fold))
    np.testing.assert_allclose(scores.values, expected[scores.ranks - 1])


def test_a_fold_left_out_does_not_enter():
    films, forecast, truth = sample(natural((300, 0, 0, 0)), PATTERNS)
    first = TargetFit(films, forecast, truth).calibrate(without=[0])
    changed = np.where(films.fold == 0, truth + 100, truth)
    again = TargetFit(films, forecast, changed)
    # The penalty of the ridge is chosen once, on all films: it may differ, the scores may not
    # hold any film of the fold.
    assert max(s.films for s in again.calibrate(without=[0]).scores) == 240
    assert max(abs(s.values).max() for s in first.scores) < 20
    assert max(abs(s.values).max() for s in again.calibrate(without=[0]).scores) < 20


def test_each_film_is_scored_by_a_spread_that_saw_only_others(monkeypatch):
    """And the spread that is served has seen all of them."""
    films, forecast, truth = sample(natural((300, 0, 0, 0)), PATTERNS)
    fitted_target, seen = TargetFit(films, forecast, truth), []
    fit = SpreadFits.fit

    def noting(self, folds, *rest):
        seen.append(set(folds))
        return fit(self, folds, *rest)

    monkeypatch.setattr(SpreadFits, "fit", noting)
    fitted_target.calibrate()
    every = set(range(fitted.FOLDS))
    assert seen == [*(every - {fold} for fold in range(fitted.FOLDS)), every]
    seen.clear()
    fitted_target.calibrate(without=[2])
    assert seen == [*(every - {2, fold} for fold in (0, 1, 3, 4)), every - {2}]


def test_json_and_back_gives_the_same_intervals():
    films, forecast, truth = sample(natural((200, 50, 20, 10)), PATTERNS)
    calibration = TargetFit(films, forecast, truth).calibrate()
    again = TargetCalibration.from_json(json.loads(json.dumps(calibration.to_json())))
    np.testing.assert_allclose(widths(again), widths(calibration), rtol=1e-5)
    assert again.to_json() == calibration.to_json()


def as_json(keys, missing):
    """A calibration of so many key parts, with a group for each list of missing ones."""
    films, forecast, truth = sample(natural((200, 50, 20, 10)), PATTERNS)
    values = TargetFit(films, forecast, truth).calibrate().to_json()
    groups = [values["groups"][0] | {"missing": parts} for parts in missing]
    return values | {"keys": keys, "groups": groups}


@pytest.mark.parametrize(("keys", "missing"), [(0, [[]]), (64, [list(range(64))])])
def test_no_part_and_as_many_as_there_may_be_are_read(keys, missing):
    assert TargetCalibration.from_json(as_json(keys, missing)).patterns.shape == (1, keys)


@pytest.mark.parametrize(
    ("keys", "missing", "reason"),
    [
        (-1, [[]], "parts are not possible"),
        (65, [list(range(65))], "parts are not possible"),
        (2, [[0]], "no group misses everything"),
        (2, [], "no group misses everything"),
    ],
)
def test_groups_that_cannot_be_are_refused(keys, missing, reason):
    with pytest.raises(ValueError, match=reason):
        TargetCalibration.from_json(as_json(keys, missing))
