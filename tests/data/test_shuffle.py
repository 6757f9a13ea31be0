"""The shuffle is a permutation, the same however it is asked for, and without a pattern."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from mfp.data.shuffle import shuffled


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 3000), st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 10**6)))
def test_it_is_a_permutation(count: int, key: tuple[int, int]):
    assert sorted(shuffled(np.arange(count), count, key)) == list(range(count))


@pytest.mark.parametrize("count", [2**20, 2**20 + 1, 10**6])
def test_it_is_a_permutation_of_many(count: int):
    assert np.bincount(shuffled(np.arange(count), count, (3, 1))).max() == 1


def test_any_positions_may_be_asked_for_and_the_numbers_stay_as_they_are():
    whole = shuffled(np.arange(10**4), 10**4, (0, 7))
    some = np.array([9_999, 3, 3, 17])
    np.testing.assert_array_equal(shuffled(some, 10**4, (0, 7)), whole[some])
    assert shuffled(np.array([], np.int64), 5, (0,)).shape == (0,)
    # A saved run goes on with the order that it began with: on any machine, in any version.
    assert shuffled(np.arange(6), 10**7, (0, 0)).tolist() == [
        1918180, 7189055, 6554222, 6265511, 271832, 2962890,
    ]  # fmt: skip


def chi_square(observed: np.ndarray, dependent: int = 0) -> float:
    """The p-value of equal expected counts; `dependent` of them follow from the others."""
    return float(stats.chisquare(observed.ravel(), ddof=dependent).pvalue)


@pytest.mark.parametrize("count", [5, 7, 33])
def test_every_element_is_as_likely_at_every_position_and_after_every_other(count: int):
    orders = np.array([shuffled(np.arange(count), count, (1, e)) for e in range(1000)])
    places = np.array([np.bincount(column, minlength=count) for column in orders.T])
    assert chi_square(places, 2 * count - 2) > 1e-4  # rows and columns have known sums
    pairs = np.zeros((count, count))
    np.add.at(pairs, (orders[:, 0], orders[:, 1]), 1)
    assert chi_square(pairs[~np.eye(count, dtype=bool)]) > 1e-4


def test_a_long_order_has_no_pattern():
    count = 10**6
    order = shuffled(np.arange(count), count, (0, 0))
    other = shuffled(np.arange(count), count, (0, 1))
    bound = 5 / np.sqrt(count)  # five deviations of a correlation of independent numbers
    for lag in (1, 2, 256, 2**10, 2**16):
        assert abs(np.corrcoef(order[:-lag], order[lag:])[0, 1]) < bound
    assert abs(np.corrcoef(order, other)[0, 1]) < bound
    assert abs(np.corrcoef(order, np.arange(count))[0, 1]) < bound
    for start in (0, 250_000, 999_000):  # a batch spreads evenly over the films
        assert stats.kstest(order[start : start + 1000] / count, "uniform").pvalue > 1e-4
