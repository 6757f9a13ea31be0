"""What was known of people and companies on a day: the outcomes of their earlier films.

Of each outcome a `Ledger` (see ledger.py) holds what its members' films came to: weights decay
exponentially, 2^(-age / half life), which keeps a sum over all earlier films a product away from
the sum on another day. NumPy and JSON only; the files are memory maps when read.

    <outcome>-keys.npy     uint64 [G], rising: the members
    <outcome>-days.npy     int64 [E], rising: place in keys << 21 | ordinal of the day
    <outcome>-states.npy   [E], the member's state after that day: STATE, MADE or joint.EFFECT
    history.json           {"version", "half_life_days", "outcomes": the ledgers}

Letters: N films, G members, E events, M members of all films, Q queries.
"""

from __future__ import annotations

import datetime
import json
from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

from mfp import film as films
from mfp.config import HistoryConfig, TargetsConfig
from mfp.data import joint, targets
from mfp.data.ledger import MADE, STATE, Ledger, member_key
from mfp.data.tabular import vocabulary_name
from mfp.dates import PartialDate
from mfp.film import Film, Outcome

FILMS = "films"  # the ledger of the films themselves, whatever became of them
_JOINT = "joint-"  # and an outcome: the ledger of what members add to it, see joint.py
FOLDER, INDEX = "history", "history.json"
_VERSION = 1
_DAYS_A_YEAR = 365.25


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

    def expected(
        self, outcome: str, members: joint.Members, days_N: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """What films' members were expected to add to it before a day each, and the deviation."""
        return members.expected(self.ledgers[_JOINT + outcome], days_N, self._heard(days_N))

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
    kind = MADE if outcome == FILMS else joint.EFFECT if outcome.startswith(_JOINT) else STATE
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
    together = {_JOINT + name: found.joint(name) for name in config.outcomes if config.joint}
    return HistoryTable({**ledgers, **together, FILMS: found.appearances()}, half_life)


class _Collected:
    """What a table needs to know of each film, in flat arrays."""

    def __init__(self, config: HistoryConfig, rules: TargetsConfig):
        self._config, self._rules = config, rules
        self._opens, self._ends, self._known = array("q"), array("q"), array("q")
        self._values = {name: array("d") for name in config.outcomes}
        self._weights = {name: array("d") for name in config.outcomes}
        self._members, self._film = array("Q"), array("q")  # each member, and whose film
        self._terms = joint.Terms(config)

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
        if self._config.joint:
            self._terms.add(film)
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

    def joint(self, name: str) -> Ledger:
        members = self._terms.arrays(name, self._config.joint)
        values, weights = _array(self._values[name]), _array(self._weights[name])
        return joint.follow(members, _array(self._known), values, weights)

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
