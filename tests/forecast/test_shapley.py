"""Shapley values: the axioms that define them, and games solved by hand."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from mfp.forecast import shapley


def solve(game, count):
    shown = shapley.coalitions(count)
    return shapley.shares(shown, np.array([game(row) for row in shown]))


def random_game(seed):
    """A value for every coalition, drawn once."""

    def game(row):
        return np.random.default_rng((seed, *row.astype(int))).normal()

    return game


def test_no_player_no_share():
    assert shapley.coalitions(0).shape == (1, 0)
    assert solve(lambda row: 5.0, 0).shape == (0,)


def test_the_glove_game_by_hand():
    """Players 0 and 1 own a left glove, 2 a right one; a pair is worth 1: 1/6, 1/6, 4/6."""
    found = solve(lambda row: float((row[0] or row[1]) and row[2]), 3)
    np.testing.assert_allclose(found, [1 / 6, 1 / 6, 4 / 6], atol=1e-12)


@pytest.mark.parametrize("count", [1, 2, 4, 5])
def test_it_is_the_mean_over_all_orders(count):
    game = random_game(1)
    expected = np.zeros(count)
    orders = list(permutations(range(count)))
    for order in orders:
        row = np.zeros(count, bool)
        for player in order:
            before = game(row)
            row[player] = True
            expected[player] += (game(row) - before) / len(orders)
    np.testing.assert_allclose(solve(game, count), expected, atol=1e-12)


@pytest.mark.parametrize("count", [3, shapley.MAX_EXACT, shapley.MAX_EXACT + 2])
def test_the_axioms(count):
    """Efficiency, dummy and symmetry, of all coalitions and of random orders alike."""
    game = random_game(2)

    def with_dummy(row):  # the last player adds 0.25 to whatever there is
        return game(row[:-1]) + 0.25 * row[-1]

    shown = shapley.coalitions(count)
    values = np.array([with_dummy(row) for row in shown])
    found = shapley.shares(shown, values)
    assert not shown[0].any()
    assert shown[-1].all()
    assert found.sum() == pytest.approx(values[-1] - values[0], abs=1e-9)
    assert found[-1] == pytest.approx(0.25, abs=1e-9)
    alike = solve(lambda row: float(row.sum()) ** 2, count)
    # Of random orders too: an order and its reverse make up for each other.
    np.testing.assert_allclose(alike, count, rtol=1e-9)


def test_random_orders_come_near():
    weights = np.linspace(-1, 1, shapley.MAX_EXACT + 1)
    found = solve(lambda row: float(weights @ row + row[0] * row[1] * row[2]), len(weights))
    expected = weights + np.array([1 / 3] * 3 + [0.0] * (len(weights) - 3))
    np.testing.assert_allclose(found, expected, atol=0.12)
    np.testing.assert_allclose(found[3:], expected[3:], atol=1e-9)


def test_few_coalitions_of_many_players():
    shown = shapley.coalitions(20)
    assert len(shown) <= shapley.ORDERS * 21
    assert len(np.unique(shown, axis=0)) == len(shown)
