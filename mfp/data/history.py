"""What was known of people and companies on a day: the outcomes of their earlier films.

A *member* is a name in a space: a person as director, a person in any role, a company, a genre. A
`Ledger` holds, of one outcome, each member's state after each day on which an outcome of one of
its films became known, so that the state on any day is one bisection away: whatever became known
on that day or later cannot enter. Weights decay exponentially, 2^(-age / half life), which keeps
a sum over all earlier films a product away from the sum on another day.

Members are kept as 64-bit hashes of their names: of a million names, two share one with a chance
of one in ten million. NumPy and JSON only; the files are memory maps when read.

    <outcome>-keys.npy     uint64 [G], rising: the members
    <outcome>-days.npy     int64 [E], rising: place in keys << 21 | ordinal of the day
    <outcome>-states.npy   STATE [E], the member's state after that day; of films MADE [E]
    history.json           {"version", "half_life_days", "outcomes"}

Letters: N films, G members, E events, Q queries.
"""

from __future__ import annotations

import datetime
import hashlib
import json
from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

from mfp import film as films
from mfp.config import HistoryConfig, TargetsConfig
from mfp.data import targets
from mfp.data.tabular import fold, vocabulary_name
from mfp.dates import PartialDate
from mfp.film import Film, Outcome

FILMS = "films"  # the ledger of the films themselves, whatever became of them
FOLDER, INDEX = "history", "history.json"
_VERSION = 1
_DAY_BITS = 21
_DAY_MASK = (1 << _DAY_BITS) - 1
_DAYS_A_YEAR = 365.25

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


def spaces(field: str, config: HistoryConfig) -> tuple[str, ...]:
    """The spaces of a set field's names: the field's own, and that of people in any role."""
    return tuple(dict.fromkeys((field, vocabulary_name(field)))) if config.any_role else (field,)


# All films together, with their outcomes as they are.
_EVERYONE = member_key("", "all films")


def asked_on(date: PartialDate) -> int:
    """The first day (ordinal) that a film's release may be: what is known before may enter."""
    return date.first_day().toordinal()


def known_on(date: PartialDate, delay_days: int) -> int:
    """The day (ordinal) on which the outcome of a film is known: after the last it may open on."""
    return date.last_day().toordinal() + delay_days


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


@dataclass(frozen=True, eq=False)
class Known:
    """What was known of Q members, each on a day; 0 where nothing was."""

    count: np.ndarray  # films
    weight: np.ndarray  # decayed to the day
    mean: np.ndarray  # weighted
    spread: np.ndarray  # weighted standard deviation
    best: np.ndarray
    last: np.ndarray  # of the day on which the last became known
    released: np.ndarray  # ordinal of the latest release among them


@dataclass(frozen=True, eq=False)
class HistoryTable:
    """A ledger of each outcome, and one of the films themselves."""

    ledgers: Mapping[str, Ledger]
    half_life: float  # days; 0 for none
    until: int | None = None  # frozen: what became known after this day does not enter

    def known(self, outcome: str, keys_Q: np.ndarray, days_Q: np.ndarray) -> Known:
        """What was known of members before a day each: strictly before."""
        state, since = self.ledgers[outcome].before(keys_Q, self._heard(days_Q))
        weight, total, squares = (
            state[name].astype(np.float64) for name in ("weight", "total", "squares")
        )
        some = np.maximum(weight, np.finfo(np.float32).tiny)
        mean = total / some
        spread = np.sqrt(np.maximum(squares / some - mean**2, 0))
        if self.half_life:
            weight = weight * np.exp2((since - days_Q) / self.half_life)
        best, last = (state[name].astype(np.float64) for name in ("best", "last"))
        return Known(state["count"], weight, mean, spread, best, last, state["released"])

    def made(self, keys_Q: np.ndarray, days_Q: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """How many films members made before a day each, and the ordinal of the latest, [Q]."""
        state, _ = self.ledgers[FILMS].before(keys_Q, self._heard(days_Q))
        return state["count"], state["released"]

    def _heard(self, days_Q: np.ndarray) -> np.ndarray:
        """The days before which news counts."""
        return days_Q if self.until is None else np.minimum(days_Q, self.until + 1)

    def mean_of_all(self, outcome: str, days_Q: np.ndarray) -> np.ndarray:
        """The mean outcome of all films, as known before each day; NaN before any was."""
        found = self.known(outcome, np.full(len(days_Q), _EVERYONE, np.uint64), days_Q)
        return np.where(found.count > 0, found.mean, np.nan)

    def frozen(self, day: datetime.date) -> HistoryTable:
        """The same as if nothing had become known after a day."""
        return replace(self, until=day.toordinal())

    def write(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        for outcome, ledger in self.ledgers.items():
            for part in ("keys", "days", "states"):
                np.save(folder / f"{outcome}-{part}.npy", getattr(ledger, part))
        index = {
            "version": _VERSION,
            "half_life_days": self.half_life,
            "outcomes": list(self.ledgers),
        }
        (folder / INDEX).write_text(json.dumps(index), encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> HistoryTable:
        """Maps of the files. Raises OSError or ValueError where they are missing or damaged."""
        try:
            index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
            if index["version"] != _VERSION:
                raise ValueError(f"{INDEX}: has version {index['version']}, not {_VERSION}")
            ledgers = {str(name): _read(folder, name) for name in index["outcomes"]}
            return cls(ledgers, float(index["half_life_days"]))
        except (KeyError, TypeError) as error:
            raise ValueError(f"{INDEX}: is damaged: {error!r}") from None


def _read(folder: Path, outcome: str) -> Ledger:
    # As plain arrays: np.memmap is a subclass, which makes every access slower.
    keys, days, states = (
        np.asarray(npy.open_memmap(folder / f"{outcome}-{part}.npy", mode="r"))
        for part in ("keys", "days", "states")
    )
    kind = MADE if outcome == FILMS else STATE
    kinds = (keys.dtype, days.dtype, states.dtype) == (np.uint64, np.int64, kind)
    if not kinds or len(days) != len(states) or (len(days) == 0) != (len(keys) == 0):
        raise ValueError(f"{outcome}-*.npy do not belong together")
    return Ledger(keys, days, states)


def build(
    collection: Iterable[tuple[Film, Outcome]], config: HistoryConfig, rules: TargetsConfig
) -> HistoryTable:
    """The table of all films, in one pass over them and one sort.

    A film without a release date enters nowhere. A stationary outcome enters as its difference
    from the mean of all films known when its own film opened; before any was known, it does not.
    """
    found = _Collected(config, rules)
    for film, outcome in collection:
        found.add(film, outcome)
    half_life = config.half_life_years * _DAYS_A_YEAR
    ledgers = {name: found.ledger(name, half_life) for name in config.outcomes}
    return HistoryTable({**ledgers, FILMS: found.appearances()}, half_life)


class _Collected:
    """What a table needs to know of each film, in flat arrays."""

    def __init__(self, config: HistoryConfig, rules: TargetsConfig):
        self._config, self._rules = config, rules
        self._opens, self._ends, self._known = array("q"), array("q"), array("q")
        self._values = {name: array("d") for name in config.outcomes}
        self._weights = {name: array("d") for name in config.outcomes}
        self._members, self._film = array("Q"), array("q")  # each member, and whose film

    def add(self, film: Film, outcome: Outcome) -> None:
        date = film.release_date
        if date is None:
            return
        keys = {
            member_key(space, name)
            for field in self._config.fields
            for name in films.names(film, field)
            for space in spaces(field, self._config)
        }
        self._members.extend(keys)
        self._film.extend([len(self._opens)] * len(keys))
        self._opens.append(asked_on(date))
        self._ends.append(date.last_day().toordinal())
        self._known.append(known_on(date, self._config.delay_days))
        for name in self._config.outcomes:
            value = targets.value(name, film, outcome, self._rules)
            self._values[name].append(np.nan if value is None else value)
            self._weights[name].append(targets.weight(name, film, self._rules))

    def ledger(self, name: str, half_life: float) -> Ledger:
        opens, known = _array(self._opens), _array(self._known)
        values, weights = _array(self._values[name]), _array(self._weights[name])
        usable = np.flatnonzero(~np.isnan(values) & (weights > 0))
        everyone = (
            np.full(len(usable), _EVERYONE, np.uint64),
            known[usable],
            values[usable],
            weights[usable],
            opens[usable],
        )
        entering = values
        if self._config.stationary:
            of_all = Ledger.build(*everyone, half_life)
            table = HistoryTable({name: of_all}, half_life)
            entering = values - table.mean_of_all(name, opens)
        members, film = _array(self._members), _array(self._film)
        enters = ~np.isnan(entering) & (weights > 0)
        members, film = members[enters[film]], film[enters[film]]
        theirs = (members, known[film], entering[film], weights[film], opens[film])
        keys, days, values, weights, released = (
            np.concatenate(pair) for pair in zip(everyone, theirs, strict=True)
        )
        return Ledger.build(keys, days, values, weights, released, half_life)

    def appearances(self) -> Ledger:
        """Of films as such, which are known to exist from their release on."""
        members, film = _array(self._members), _array(self._film)
        ones = np.ones(len(film))
        days, opens = _array(self._ends)[film], _array(self._opens)[film]
        full = Ledger.build(members, days, np.zeros(len(film)), ones, opens, 0.0)
        states = np.zeros(len(full.states), MADE)
        for name in MADE.names or ():
            states[name] = full.states[name]
        return replace(full, states=states)


def _array(values: array) -> np.ndarray:
    return np.array(values)
