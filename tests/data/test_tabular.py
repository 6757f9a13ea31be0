"""Numbers and names: what a transform and a vocabulary promise."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfp.data.tabular import (
    FIRST_NAME,
    PADDING,
    UNKNOWN,
    NumberTransform,
    Vocabulary,
    fold,
    transform_from_json,
    transform_to_json,
)

NUMBERS = st.lists(st.floats(-1e12, 1e12), min_size=1, max_size=40)


@settings(max_examples=100)
@given(NUMBERS, st.lists(st.floats(-1e13, 1e13), min_size=2, max_size=10))
def test_the_quantile_transform_is_monotone_and_bounded(train: list[float], new: list[float]):
    transform = NumberTransform.fit(train, linear=False)
    scores = [transform(value) for value in sorted(new + train)]
    assert np.all(np.isfinite(scores))
    assert np.all(np.diff(scores) >= 0)
    assert max(map(abs, scores)) <= 3


def test_the_quantile_transform_makes_a_long_tail_normal():
    values = np.exp(np.random.default_rng(0).normal(10, 3, 5000))
    transform = NumberTransform.fit(values.tolist(), linear=False)
    scores = [transform(float(value)) for value in values]
    assert np.mean(scores) == pytest.approx(0, abs=0.02)
    assert np.std(scores) == pytest.approx(1, abs=0.05)
    assert transform(float(np.median(values))) == pytest.approx(0, abs=0.02)


def test_the_linear_transform_extrapolates():
    transform = NumberTransform.fit([1990.0, 2000.0], linear=True)
    assert [transform(y) for y in (1990, 1995, 2000, 2010)] == [-1, 0, 1, 3]


@pytest.mark.parametrize("linear", [False, True])
def test_a_constant_number_says_nothing(linear: bool):
    transform = NumberTransform.fit([7.0] * 5, linear)
    assert transform(7.0) == pytest.approx(0, abs=1e-9)


@settings(max_examples=30)
@given(NUMBERS, st.booleans())
def test_a_transform_survives_json(train: list[float], linear: bool):
    transform = NumberTransform.fit([round(value) for value in train], linear)
    again = transform_from_json(json.loads(json.dumps(transform_to_json(transform))))
    assert again == transform


@pytest.mark.parametrize(
    "values",
    [
        {"knots": [], "scores": []},
        {"knots": [1, 2], "scores": [1]},
        {"knots": [2, 1], "scores": [1, 2]},
        {"knots": [1, 1], "scores": [1, 2]},
        {"knots": ["x"], "scores": [1]},
    ],
)
def test_what_is_no_transform_is_refused(values: dict):
    with pytest.raises(ValueError, match=r"knots|could not convert"):
        transform_from_json(values)


FILMS = [["Ann", "Bob"], ["Ann", "ann"], ["Bob", "Cid"], ["Ann"], ["Dan", "Cid"]]


def test_a_vocabulary_counts_films_and_orders_by_count_then_alphabet():
    # Ann: 3 films (twice in one film is once), Bob and Cid 2, Dan 1.
    assert Vocabulary.fit(FILMS, min_films=1, max_names=9).names == ("Ann", "Bob", "Cid", "Dan")
    assert Vocabulary.fit(FILMS, min_films=2, max_names=9).names == ("Ann", "Bob", "Cid")
    assert Vocabulary.fit(FILMS, min_films=1, max_names=2).names == ("Ann", "Bob")
    assert Vocabulary.fit([], min_films=1, max_names=2).size == FIRST_NAME


def test_a_vocabulary_does_not_depend_on_the_order_of_films():
    one = Vocabulary.fit(FILMS, 1, 3)
    for seed in range(5):
        shuffled = random.Random(seed).sample(FILMS, len(FILMS))
        other = Vocabulary.fit(shuffled, 1, 3)
        assert [fold(name) for name in other.names] == [fold(name) for name in one.names]


def test_encode_pads_and_knows_no_stranger():
    vocabulary = Vocabulary(("Ann", "Bob"))
    row = vocabulary.encode(["Bob", "Zoe"], 4, ordered=True)
    assert row.dtype == np.int32
    assert row.tolist() == [3, UNKNOWN, PADDING, PADDING]
    assert vocabulary.encode([], 2, ordered=True).tolist() == [PADDING, PADDING]


def test_case_width_and_spacing_do_not_matter():
    vocabulary = Vocabulary(("Al Pacino", "STRASSE"))
    for name in ("al  PACINO", " Ａｌ Ｐａｃｉｎｏ", "Al\u00a0Pacino"):
        assert vocabulary.encode([name], 1, ordered=True).tolist() == [2]
    assert vocabulary.encode(["Straße"], 1, ordered=True).tolist() == [3]


NAMES = st.lists(st.sampled_from("ABCDEFG"), unique=True, max_size=7)


@settings(max_examples=100)
@given(NAMES, st.randoms(use_true_random=False), st.integers(1, 5))
def test_the_order_of_an_unordered_set_does_not_matter(names: list[str], rng, length: int):
    vocabulary = Vocabulary(("C", "A", "F"))
    shuffled = rng.sample(names, len(names))
    one = vocabulary.encode(names, length, ordered=False)
    assert one.tolist() == vocabulary.encode(shuffled, length, ordered=False).tolist()
    # Of a long set the most frequent names stay, strangers go first.
    known = sorted(vocabulary.ids[fold(n)] for n in names if fold(n) in vocabulary.ids)
    assert [i for i in one.tolist() if i >= FIRST_NAME] == known[:length]


@settings(max_examples=50)
@given(NAMES, st.integers(1, 5))
def test_an_ordered_list_keeps_its_first_members_in_order(names: list[str], length: int):
    vocabulary = Vocabulary(("C", "A", "F"))
    expected = [vocabulary.ids.get(fold(name), UNKNOWN) for name in names][:length]
    assert vocabulary.encode(names, length, ordered=True).tolist()[: len(expected)] == expected


@settings(max_examples=50)
@given(NAMES, st.integers(1, 5), st.booleans())
def test_kept_names_are_those_that_are_encoded(names: list[str], length: int, ordered: bool):
    vocabulary = Vocabulary(("C", "A", "F"))
    kept = vocabulary.kept(names, length, ordered)
    again = vocabulary.encode([names[i] for i in kept], length, ordered=True)
    assert again.tolist() == vocabulary.encode(names, length, ordered).tolist()


def test_billing_order_is_kept():
    vocabulary = Vocabulary(("Ann", "Bob"))
    assert vocabulary.encode(["Bob", "Ann"], 2, ordered=True).tolist() == [3, 2]
    assert vocabulary.encode(["Bob", "Ann"], 2, ordered=False).tolist() == [2, 3]
