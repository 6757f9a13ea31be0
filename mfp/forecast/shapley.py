"""Shapley values: how much each of M players adds, over all orders in which they may come.

Letters: M players, S coalitions.
"""

from __future__ import annotations

import math

import numpy as np

# Players up to which all 2^M coalitions are valued; of more, the steps of random orders.
MAX_EXACT = 10
ORDERS = 64  # every second one is the reverse of the one before, which cancels much of the noise


def coalitions(count: int) -> np.ndarray:
    """Whose values `shares` needs: distinct rows, bool [S, M], the first empty, the last full."""
    if count <= MAX_EXACT:
        return (np.arange(2**count)[:, None] >> np.arange(count)) % 2 == 1
    steps = np.concatenate([_steps(order) for order in _orders(count)])
    rows = np.unique(steps, axis=0)
    return rows[np.argsort(rows.sum(axis=1), kind="stable")]


def shares(shown: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The Shapley value of each player, [M]; they sum to the last value minus the first.

    phi_i = sum over S without i of |S|! (M - |S| - 1)! / M! (v(S with i) - v(S)) (Shapley 1953);
    of random orders, the mean step that i makes (Castro et al. 2009).

    Args:
      shown: bool [S, M], as `coalitions` gives.
      values: [S], the value of each.
    """
    count, v = shown.shape[1], values.astype(np.float64)
    found = np.zeros(count)
    if count <= MAX_EXACT:
        for i in range(count):
            without = np.flatnonzero(~shown[:, i])
            weight = [_weight(int(size), count) for size in shown[without].sum(axis=1)]
            found[i] = np.dot(weight, v[without + 2**i] - v[without])
        return found
    of_row = {row.tobytes(): value for row, value in zip(shown, v, strict=True)}
    for order in _orders(count):
        found[order] += np.diff([of_row[step.tobytes()] for step in _steps(order)])
    return found / ORDERS


def _weight(size: int, count: int) -> float:
    return math.factorial(size) * math.factorial(count - size - 1) / math.factorial(count)


def _orders(count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    drawn = [rng.permutation(count) for _ in range(ORDERS // 2)]
    return [order for one in drawn for order in (one, one[::-1])]


def _steps(order: np.ndarray) -> np.ndarray:
    """The coalitions on the way from none to all, bool [M + 1, M]."""
    rank = np.argsort(order)
    return rank[None, :] < np.arange(len(order) + 1)[:, None]
