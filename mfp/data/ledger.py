"""States of members over time: whatever became known on a day or later cannot enter.

A *member* is a name in a space: a person as director, a person in any role, a company, a genre. A
`Ledger` holds each member's state after each day on which something of it became known, so that
the state on any day is one bisection away.

Members are kept as 64-bit hashes of their names: of a million names, two share one with a chance
of one in ten million.

Letters: G members, E events, Q queries.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from mfp.data.tabular import fold

_DAY_BITS = 21
_DAY_MASK = (1 << _DAY_BITS) - 1

# After a day: decayed sums of weight, weight x value and weight x value^2; the best value so far,
# the mean of those of that day, how many there were, and the ordinal of the latest release.
STATE = np.dtype(
    [
        *((name, np.float32) for name in ("weight", "total", "squares", "best", "last")),
        *((name, np.int32) for name in ("count", "released")),
    ]
)

MADE = np.dtype([("count", np.int32), ("released", np.int32)])  # of the films themselves


@lru_cache(maxsize=1 << 17)  # most names stand in several films
def member_key(space: str, name: str) -> int:
    """The 64-bit key of a name in a space; case, width and spacing do not matter."""
    text = f"{space}\0{fold(name)}".encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")


@dataclass(frozen=True, eq=False)
class Ledger:
    """Each member's states over time, of one outcome."""

    keys: np.ndarray
    days: np.ndarray
    states: np.ndarray

    def before(self, keys_Q: np.ndarray, days_Q: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The last state of each member before a day, [Q], and the day of it, int64 [Q].

        Of members of whom nothing was known by then, zeros.
        """
        found = np.zeros(len(keys_Q), self.states.dtype)
        since = np.zeros(len(keys_Q), np.int64)
        if not len(self.keys):
            return found, since
        group = np.minimum(np.searchsorted(self.keys, keys_Q), len(self.keys) - 1)
        at = np.maximum(np.searchsorted(self.days, (group << _DAY_BITS) | days_Q) - 1, 0)
        last = self.days[at]
        known = self.keys[group] == keys_Q
        known &= (last >> _DAY_BITS == group) & (last & _DAY_MASK < days_Q)
        found[known] = self.states[at[known]]
        since[known] = last[known] & _DAY_MASK
        return found, since

    @classmethod
    def of_states(
        cls, keys: np.ndarray, place_E: np.ndarray, days_E: np.ndarray, states_E: np.ndarray
    ) -> Ledger:
        """From states in the order of their days; the last of a member and day counts.

        Args:
          keys: rising.
          place_E: which of the keys.
        """
        order = np.argsort((place_E << _DAY_BITS) | days_E, kind="stable")
        when = ((place_E << _DAY_BITS) | days_E)[order]
        last = np.append(when[1:] != when[:-1], True)
        when, states = when[last], states_E[order][last]
        group, place = np.unique(when >> _DAY_BITS, return_inverse=True)
        return cls(keys[group], (place << _DAY_BITS) | (when & _DAY_MASK), states)

    @classmethod
    def build(
        cls,
        keys_E: np.ndarray,
        days_E: np.ndarray,
        values_E: np.ndarray,
        weights_E: np.ndarray,
        released_E: np.ndarray,
        half_life: float,
    ) -> Ledger:
        """From events in any order; those of a member and day count as one.

        Args:
          half_life: of the weights, in days; 0 for none.
        """
        # Values and weights too, so that sums are the same bits for any order of the films.
        order = np.lexsort((weights_E, values_E, days_E, keys_E))
        keys, days, values = keys_E[order], days_E[order], values_E[order]
        if not len(keys):
            empty = np.zeros(0, np.int64)
            return cls(empty.astype(np.uint64), empty, np.zeros(0, STATE))
        starts = np.flatnonzero(_differs(keys) | _differs(days))
        keys, days = keys[starts], days[starts]
        first = np.flatnonzero(_differs(keys))
        group = np.cumsum(_differs(keys)) - 1
        weights = weights_E[order]
        states = np.zeros(len(starts), STATE)
        weight, total = (np.add.reduceat(x, starts) for x in (weights, weights * values))
        squares = np.add.reduceat(weights * values**2, starts)
        # Weights as seen from the first day of all, and back to each event's own.
        growth = np.exp2((days - days.min()) / half_life) if half_life else np.ones(len(days))
        for name, sums in (("weight", weight), ("total", total), ("squares", squares)):
            states[name] = _running(np.add, sums * growth, first) / growth
        states["best"] = _running(np.maximum, np.maximum.reduceat(values, starts), first)
        states["last"] = total / weight
        counts = np.diff(np.append(starts, len(values)))
        states["count"] = _running(np.add, counts, first)
        latest = np.maximum.reduceat(released_E[order], starts)
        states["released"] = _running(np.maximum, latest, first)
        return cls(keys[first], (group << _DAY_BITS) | days, states)


def _differs(sorted_E: np.ndarray) -> np.ndarray:
    """Whether each differs from the one before; the first does. bool [E]."""
    return np.append(True, sorted_E[1:] != sorted_E[:-1])


_LONG = 64


def _running(combine: np.ufunc, values_E: np.ndarray, first_G: np.ndarray) -> np.ndarray:
    """The running sum or maximum within each group of consecutive values, given where they start.

    Short groups advance together, long ones one after another: linear in E either way.
    """
    found = values_E.copy()
    lengths = np.diff(np.append(first_G, len(values_E)))
    for g in np.flatnonzero(lengths > _LONG):
        group = found[first_G[g] : first_G[g] + lengths[g]]
        combine.accumulate(group, out=group)
    short = lengths <= _LONG
    starts, lengths = first_G[short], lengths[short]
    for k in range(1, int(lengths.max(initial=0))):
        starts, lengths = starts[lengths > k], lengths[lengths > k]
        found[starts + k] = combine(found[starts + k - 1], found[starts + k])
    return found
