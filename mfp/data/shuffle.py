"""A shuffle of any length that takes no memory: each position's element is computed alone."""

from __future__ import annotations

import numpy as np

_ROUNDS = 8
# Networks narrower than this permute badly, so that small counts are walked to from here.
_LEAST_BITS = 6


def shuffled(positions: np.ndarray, count: int, key: tuple[int, ...]) -> np.ndarray:
    """What stands at `positions` of a pseudorandom order of range(count): int64, same shape [n].

    A Feistel network over the next power of two, walked along its cycles until it lands inside
    the range (Black and Rogaway 2002, "Ciphers with Arbitrary Finite Domains"): a bijection,
    with at most two rounds of it expected of a count of 32 or more.

    Args:
      positions: integers from 0 to below `count`.
      key: non-negative integers that choose the order.
    """
    keys = np.random.SeedSequence(key).generate_state(_ROUNDS, np.uint64)
    bits = max(_LEAST_BITS, (count - 1).bit_length())
    low_bits = bits // 2
    low_mask, high_mask = (1 << low_bits) - 1, (1 << bits - low_bits) - 1
    found = np.asarray(positions).astype(np.uint64)
    outside = np.arange(len(found))
    while len(outside):
        low, high = found[outside] & low_mask, found[outside] >> low_bits
        for i in range(0, _ROUNDS, 2):
            high ^= _mixed(low + keys[i]) & high_mask
            low ^= _mixed(high + keys[i + 1]) & low_mask
        found[outside] = high << low_bits | low
        outside = outside[found[outside] >= count]
    return found.astype(np.int64)


def _mixed(values: np.ndarray) -> np.ndarray:
    """The finaliser of SplitMix64 (Steele, Lea and Flood 2014): uint64, modulo 2^64."""
    values = (values ^ values >> 30) * 0xBF58476D1CE4E5B9
    values = (values ^ values >> 27) * 0x94D049BB133111EB
    return values ^ values >> 31
