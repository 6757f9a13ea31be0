"""Boosted trees: grown as the formula says, and read by the network as they were grown."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from mfp.config import Config, ModelConfig, TreesModelConfig
from mfp.models import trees
from mfp.training import trees as training
from mfp.training.trees import grow, stand_ins, thresholds

OF = TreesModelConfig(count=1, depth=1, rate=0.5, features=1.0, films=1.0, l2=2.0)


def of(**changes):
    return dataclasses.replace(OF, **changes)


@pytest.fixture(scope="module")
def films():
    """Features, truth and weights. [N, F], [N], [N]."""
    draw = np.random.default_rng(0)
    x = draw.normal(size=(60, 4)).astype(np.float32).round(1)
    x[:, 3] = x[:, 3] > 0
    y = x[:, 0] * (x[:, 1] > 0) + 0.5 * x[:, 3] + draw.normal(0, 0.2, 60)
    return x, y, draw.uniform(0.2, 1.0, 60)


def leaf_of(x, features, cuts):
    """The number of a film's leaf, one question after the other."""
    number = 0
    for feature, cut in zip(features, cuts, strict=True):
        number = 2 * number + int(x[int(feature)] > cut)
    return number


def says(x, grown):
    """What the trees say of a film, tree by tree."""
    parts = zip(grown.feature, grown.threshold, grown.leaves, strict=True)
    return grown.constant + sum(leaves[leaf_of(x, f, c)] for f, c, leaves in parts)


def gain(residual, weight, leaf):
    """How far the error falls, leaf by leaf."""
    inside = [leaf == number for number in np.unique(leaf)]
    return sum((weight * residual)[i].sum() ** 2 / (weight[i].sum() + 2.0) for i in inside)


def test_a_tree_asks_what_lessens_the_error_most(films):
    x, y, w = films
    found = grow(x, y, w, of(depth=2), seed=0)
    constant = np.sum(w * y) / np.sum(w)
    np.testing.assert_allclose(found.constant, constant, rtol=1e-6)
    residual, leaf = y - constant, np.zeros(len(y), int)
    for d in range(2):
        options = [(f, cut) for f in range(4) for cut in thresholds(x[:, f])]
        gains = [gain(residual, w, 2 * leaf + (x[:, f] > cut)) for f, cut in options]
        best = options[int(np.argmax(gains))]
        assert (found.feature[0, d], found.threshold[0, d]) == best
        leaf = 2 * leaf + (x[:, best[0]] > best[1])
    for number in range(4):
        i = leaf == number
        expected = 0.5 * np.sum((w * residual)[i]) / (np.sum(w[i]) + 2.0)
        np.testing.assert_allclose(found.leaves[0, number], expected, rtol=1e-5)


def test_the_next_tree_explains_what_is_left(films):
    x, y, w = films
    both = grow(x, y, w, of(count=2), seed=0)
    one = both._replace(**{n: getattr(both, n)[:1] for n in ("feature", "threshold", "leaves")})
    left = y - [says(film, one) for film in x]
    alone = grow(x, left - np.sum(w * left) / np.sum(w), w, of(), seed=0)
    # The constant of what is left is not said anew: leaves hold it.
    i = np.array([leaf_of(film, both.feature[1], both.threshold[1]) for film in x]) == 1
    expected = 0.5 * np.sum((w * left)[i]) / (np.sum(w[i]) + 2.0)
    np.testing.assert_allclose(both.leaves[1, 1], expected, rtol=1e-4)
    assert alone.feature.shape == (1, 1)


def test_the_network_reads_them_as_they_were_grown(films):
    x, y, w = films
    found = grow(x, y, w, of(count=30, depth=3), seed=0)
    new = np.random.default_rng(1).normal(size=(20, 4)).astype(np.float32)
    at = np.repeat(found.threshold[:, :1], 4, axis=1)  # on a threshold a film is not above it
    for some in (x, new, at):
        total = trees.total(some, found.feature.astype(int), found.threshold, found.leaves)
        expected = [says(film, found) for film in some]
        np.testing.assert_allclose(found.constant + total, expected, atol=1e-5)


def test_they_learn_what_no_sum_of_features_says():
    draw = np.random.default_rng(0)
    x = draw.normal(size=(2200, 6)).astype(np.float32)
    y = 2 * (x[:, 0] > 0) * (x[:, 1] > 0) + draw.normal(0, 0.2, len(x))
    found = grow(x[:2000], y[:2000], np.ones(2000), TreesModelConfig(count=200, rate=0.1), seed=0)
    said = trees.total(x[2000:], found.feature.astype(int), found.threshold, found.leaves)
    line = np.linalg.lstsq(x[:2000], y[:2000] - np.mean(y[:2000]))[0]
    r2 = [1 - np.var(y[2000:] - p) / np.var(y[2000:]) for p in (said, x[2000:] @ line)]
    assert r2[0] > 0.9
    assert r2[1] < 0.75


def test_each_tree_is_grown_on_a_draw_of_films_and_features(films):
    x, y, w = films
    settings = of(count=40, features=0.5, films=0.5)
    a, b, other = (grow(x, y, w, settings, seed) for seed in (0, 0, 1))
    for name, one in a._asdict().items():
        np.testing.assert_array_equal(one, getattr(b, name))
    assert (a.feature != other.feature).any()
    assert len(np.unique(a.feature)) == 4
    # Of one feature that was drawn, and all films, the best threshold.
    one = grow(x, y, w, of(features=0.25), seed=0)
    f, cut = int(one.feature[0, 0]), one.threshold[0, 0]
    gains = {c: gain(y - one.constant, w, x[:, f] > c) for c in thresholds(x[:, f])}
    assert gains[cut] == max(gains.values())
    # Of films that were drawn: what half of them leave is not what all do.
    half = grow(x, y, w, of(films=0.5), seed=0)
    i = x[:, int(half.feature[0, 0])] > half.threshold[0, 0]
    of_all_films = 0.5 * np.sum((w * (y - half.constant))[i]) / (np.sum(w[i]) + 2.0)
    assert abs(half.leaves[0, 1] / of_all_films - 1) > 0.01


def test_films_weigh_as_they_do_in_the_loss(films):
    x, y, w = films
    twice = grow(np.concatenate([x, x]), np.concatenate([y, y]), np.concatenate([w, w]) / 2, OF, 0)
    once = grow(x, y, w, OF, 0)
    np.testing.assert_allclose(twice.leaves, once.leaves, rtol=1e-5)
    assert (twice.feature == once.feature).all()


def test_where_nothing_varies_they_say_the_mean():
    found = grow(np.ones((5, 2), np.float32), np.arange(5.0), np.array([1, 1, 1, 1, 4.0]), OF, 0)
    assert found.constant == pytest.approx((0 + 1 + 2 + 3 + 16) / 8)
    assert not found.leaves.any()


@pytest.mark.parametrize("size", [2, 61, 62, 500])
def test_thresholds_part_the_films_evenly_and_lie_on_none(size):
    draw = np.random.default_rng(size)
    often = draw.normal(size=3)[draw.integers(0, 3, 50)]
    values = np.concatenate([draw.normal(size=size), often])
    values = values.astype(np.float32)
    found = thresholds(values)
    assert found.dtype == np.float32
    assert not np.isin(found, values).any()
    distinct, times = np.unique(values, return_counts=True)
    assert (np.diff(found) > 0).all()
    if len(distinct) <= 64:
        np.testing.assert_allclose(found, (distinct[1:] + distinct[:-1]) / 2, atol=1e-6)
        return
    between = np.diff([0, *(np.sum(values < cut) for cut in found), len(values)])
    assert 32 < len(found) <= 63
    assert between.min() > 0
    assert between.max() <= len(values) / 64 + times.max() + 1


def test_a_name_is_asked_for_between_not_there_and_there():
    np.testing.assert_array_equal(thresholds(np.array([0, 1, 0, 0], np.float32)), [0.5])
    assert not len(thresholds(np.zeros(3, np.float32)))


def eighty():
    """Films of two numbers, all known, as the network is given them."""
    draw = np.random.default_rng(0)
    return {
        "numbers/values": draw.normal(size=(80, 2)).astype(np.float32),
        "numbers/known": np.ones((80, 2), np.float32),
        "present/numbers": np.ones(80, np.float32),
        "targets/rating": draw.normal(size=80).astype(np.float32),
        "weights/rating": np.ones(80, np.float32),
    }


def grown(films, config):
    """The parameters of trees that predict the rating from numbers."""
    return training.grown(trees.features(films, {}), films, ("rating",), config, lambda text: None)


def test_films_whose_target_is_not_known_grow_nothing():
    films = eighty()
    films["weights/rating"][40:] = 0
    config = Config(seed=3, model=ModelConfig(trees=of(count=5, depth=2, films=0.5)))
    known = {name: y[:40] for name, y in films.items()}
    whole, found = (grown(part, config) for part in (films, known))
    for name in (name for name in found if name.startswith("rating_")):
        np.testing.assert_array_equal(whole[name], found[name])
    other = grown(known, dataclasses.replace(config, seed=4))
    assert (other["rating_feature"] != found["rating_feature"]).any()


def test_the_network_fills_in_as_the_trees_were_grown():
    films = eighty()
    films["numbers/known"][:30, 0] = 0  # a value that some lack; a modality that none does
    x = np.where(films["numbers/known"] > 0, films["numbers/values"], trees.UNKNOWN)
    films["targets/rating"] = (x[:, 0] + np.sign(x[:, 1]) * (x[:, 0] > -5)).clip(-3, 3)
    config = Config(model=ModelConfig(trees=of(count=9, depth=2)))
    params = grown(films, config)
    module = trees.TreesRegression(config.model.trees, ("rating",))
    films["present/numbers"][60:] = 0
    x[60:] = np.nanmedian(np.where(x > trees.UNKNOWN, x, np.nan), axis=0)
    found = module.apply({"params": params}, trees.features(films, {}))["rating"]
    keys = ("feature", "threshold", "leaves", "constant")
    of_rating = training.Trees(*(params[f"rating_{key}"] for key in keys))
    np.testing.assert_allclose(found, [says(film, of_rating) for film in x], atol=1e-5)
    assert np.std(found[:30]) > 0.01 < abs(found[60] - np.mean(found))


INPUTS = {
    "numbers/values": np.array([[-4.0, 4.0], [0.0, -4.0]], np.float32),
    "numbers/known": np.array([[1.0, 0.0], [1.0, 1.0]], np.float32),
    "present/numbers": np.array([1.0, 1.0], np.float32),
    "sets/genres": np.array([[2, 4, 0], [1, 0, 0]]),
    "present/content": np.array([1.0, 1.0], np.float32),
}
GENRES = {"genres": ("content", 5)}


def test_numbers_and_names_are_read():
    read = trees.features(INPUTS, GENRES)
    found = trees.filled(read, np.arange(5) * 10.0, np.arange(5) * 100.0)
    np.testing.assert_array_equal(found, [[-4, 10, 1, 0, 1], [0, -4, 0, 0, 0]])
    np.testing.assert_array_equal(read.named, [False, False, True, True, True])
    gone = trees.features(INPUTS | {"present/content": np.zeros(2, np.float32)}, GENRES)
    found = trees.filled(gone, np.arange(5) * 10.0, np.arange(5) * 100.0)
    np.testing.assert_array_equal(found, [[-4, 10, 200, 300, 400], [0, -4, 200, 300, 400]])


def test_what_no_training_film_lacks_is_typical_where_it_is_not_known():
    """A film without a date is not one of the days of the first films."""
    values = np.array([[1.0, 2, 1], [3, 5, 1], [5, 8, 0]] * 7)
    known, present = np.ones((21, 3)), np.ones((21, 3))
    named = np.array([False, False, True])
    read = trees.Read(values, known, present, named)
    for found in stand_ins(read):
        np.testing.assert_array_equal(found, [3, 5, 1])
    known[:5, 1], present[:, 2][:4] = 0, 0
    unknown, absent = stand_ins(read)
    np.testing.assert_array_equal(unknown, [3, trees.UNKNOWN, 1])  # 1 of the 16 is the median
    np.testing.assert_array_equal(absent, [3, 5, 1])  # 4 films are too few
    present[4, :] = 0
    unknown, absent = stand_ins(read)
    assert list(absent) == [3, 5, 0]
    assert list(unknown) == [3, 5, 1]  # 4 of the 5 are left
    known[:, 1] = 0
    assert [found[1] for found in stand_ins(read)] == [trees.UNKNOWN, 0]
    assert trees.UNKNOWN < -100
