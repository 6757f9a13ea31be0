"""The track record of a film's people and companies as numbers: fitted, then the same in use.

Of each field and outcome a fixed number of statistics over the field's members. `<field>` counts
a member's films in that role; `<field> in any role`, of people and where asked for, all of them.

    mean            mean over the members of their shrunk means, an unknown member's being average
    highest         the highest of these
    first, leading  of the first member and of the first three, where the order means something
    best, last      the best outcome of any member; the mean of the members' latest ones
    spread          mean over the members of the deviation of their outcomes
    known           log of how many outcomes of theirs are known
    expected, unsure        what all its members together add, and the deviation of that (joint.py)
    films, recency, new     log of how many films they made, years since the latest, and the share
                    of members who made none

Letters: N films, D numbers, G groups (a field and a space), M members of all groups of all films.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from mfp import film as films
from mfp import typed_toml
from mfp.config import HistoryConfig
from mfp.data import history, joint
from mfp.data.history import FILMS, HistoryTable
from mfp.data.ledger import member_key
from mfp.data.tabular import (
    NumberTransform,
    NumberTransforms,
    transform_from_json,
    transform_to_json,
)
from mfp.dates import PartialDate
from mfp.film import Film

HISTORY = "history"
_ANY_ROLE = " in any role"
_LEADING = 3  # members whose billing counts
_DAYS_A_YEAR = 365.25
_TINY = np.finfo(float).tiny


@dataclass(frozen=True, slots=True)
class MemberRecord:
    """What was known of one person, company or the like when a film opened."""

    films: int  # they had made
    means: tuple[tuple[str, float], ...]  # (outcome, its mean over those that were known)
    relative: bool  # means are differences from films of their time


@dataclass(frozen=True)
class TrackRecord:
    """Which statistics are read of a film's members, and their fitted transforms."""

    config: HistoryConfig
    ordered: frozenset[str]
    numbers: Mapping[str, NumberTransform]
    # What all members together add is told of films with some member in each of these.
    groups: tuple[tuple[str, ...], ...] = ()

    @classmethod
    def fit(
        cls,
        training: Sequence[Film],
        table: HistoryTable,
        config: HistoryConfig,
        ordered: frozenset[str],
        linear: bool,
        groups: Sequence[Sequence[str]] = (),
    ) -> TrackRecord | None:
        """The transform of every number that is known of any training film; None without one.

        Args:
          groups: set fields that are one input of the network each. A film without any member in
            one of them is told nothing of all together: so is one from which that input is hidden.
        """
        every = numbers_of(config, ordered)
        joined = [[field for field in group if field in config.fields] for group in groups]
        needed = tuple(tuple(group) for group in joined if group)
        values = _where_complete(statistics(training, table, config), training, config, needed)
        values = values[:, [number.place for number in every]]
        numbers = {}
        for number, column in zip(every, values.T, strict=True):
            known = column[~np.isnan(column)]
            if len(known):
                numbers[number.name] = NumberTransform.fit(known, linear)
        return cls(config, ordered, numbers, needed) if numbers else None

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields of a film that are read."""
        return (*self.config.fields, "release_date")

    @property
    def sources(self) -> list[tuple[str, ...]]:
        """The fields of the film that each number is told from."""
        return [(*number.fields, "release_date") for number in self._read]

    @cached_property
    def _read(self) -> list[Number]:
        found = {number.name: number for number in numbers_of(self.config, self.ordered)}
        return [found[name] for name in self.numbers]

    @cached_property
    def _places(self) -> list[int]:
        return [number.place for number in self._read]

    @cached_property
    def _transforms(self) -> NumberTransforms:
        return NumberTransforms(list(self.numbers.values()))

    def arrays(self, collection: Sequence[Film], table: HistoryTable) -> dict[str, np.ndarray]:
        """history/values, history/known [N, D] and present/history [N], float32."""
        every = statistics(collection, table, self.config)
        raw = _where_complete(every, collection, self.config, self.groups)[:, self._places]
        known = ~np.isnan(raw)
        scaled = self._transforms(np.where(known, raw, 0.0))
        return {
            f"{HISTORY}/values": np.where(known, scaled, 0.0).astype(np.float32),
            f"{HISTORY}/known": known.astype(np.float32),
            f"present/{HISTORY}": known.any(axis=1).astype(np.float32),
        }

    def of_member(
        self, field: str, name: str, date: PartialDate, table: HistoryTable
    ) -> MemberRecord:
        """The record of a member of a field, in that role, as a film of that date is told it."""
        key = np.array([member_key(field, name)], np.uint64)
        day = np.array([history.asked_on(date)])
        made, _ = table.made(key, day)
        known = {outcome: table.known(outcome, key, day) for outcome in self.config.outcomes}
        means = tuple((o, float(found.mean[0])) for o, found in known.items() if found.count[0])
        return MemberRecord(int(made[0]), means, self.config.stationary)

    def to_json(self) -> dict[str, Any]:
        numbers = {name: transform_to_json(t) for name, t in self.numbers.items()}
        return {
            "config": asdict(self.config),
            "ordered": sorted(self.ordered),
            "numbers": numbers,
            "groups": self.groups,
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> TrackRecord:
        """Raises KeyError, TypeError or ValueError where the values are no track record."""
        config = typed_toml.build(HistoryConfig, values["config"], "features.history")
        numbers = {name: transform_from_json(v) for name, v in values["numbers"].items()}
        groups = tuple(tuple(group) for group in values.get("groups", ()))
        return cls(config, frozenset(values["ordered"]), numbers, groups)


class Number(NamedTuple):
    """One number of a track record."""

    name: str
    fields: tuple[str, ...]  # of whose members it tells
    place: int  # which column of `statistics`


_OF_OUTCOME = ("mean", "spread", "known", "highest", "best", "last", "first", "leading")
_OF_FILMS = ("films", "recency", "new")
_OF_CLOCKS = ("mean", "spread")
_OF_ANY_ROLE = ("mean", "spread", "known")
_OF_BILLING = ("first", "leading")
_OF_ALL = ("expected", "unsure")
_TOGETHER = "all together: "


def is_joint(name: str) -> bool:
    """Whether a number tells what all members together add."""
    return name.startswith(_TOGETHER)


def numbers_of(config: HistoryConfig, ordered: frozenset[str]) -> list[Number]:
    """The numbers that mean something: those of a field's own role, less of any role."""
    groups, kinds = _groups(config), _kinds(config)
    found = []
    for g, (field, space) in enumerate(groups):
        for k, (outcome, kind) in enumerate(kinds):
            if field in config.clocks:
                read = kind in _OF_CLOCKS
            elif space != field:
                read = kind in _OF_ANY_ROLE
            else:
                read = kind not in _OF_BILLING or field in ordered
            if read:
                label = field if space == field else f"{field}{_ANY_ROLE}"
                of = "" if outcome == FILMS else f"{outcome} "
                found.append(Number(f"{label}: {of}{kind}", (field,), k * len(groups) + g))
    if config.joint:
        names = [f"{_TOGETHER}{o} {kind}" for o in config.outcomes for kind in _OF_ALL]
        place = len(kinds) * len(groups)
        found += [Number(name, config.fields, place + i) for i, name in enumerate(names)]
    return found


def _groups(config: HistoryConfig) -> list[tuple[str, str]]:
    return [(field, space) for field in config.fields for space in history.spaces(field, config)]


def _kinds(config: HistoryConfig) -> list[tuple[str, str]]:
    of_outcomes = [(outcome, kind) for outcome in config.outcomes for kind in _OF_OUTCOME]
    return of_outcomes + [(FILMS, kind) for kind in _OF_FILMS]


def statistics(
    collection: Sequence[Film], table: HistoryTable, config: HistoryConfig
) -> np.ndarray:
    """Every statistic of every group, then those of all members: float64 [N, kinds x G + A].

    NaN where it is not known.
    """
    members = _Members.of(collection, _groups(config))
    found = [
        array
        for outcome in config.outcomes
        for array in _of_outcome(members, table, outcome, config)
    ]
    found += _of_films(members, table)
    if config.joint:
        found.append(_of_all(collection, table, config))
    return np.concatenate(found, axis=1)


@dataclass(frozen=True, eq=False)
class _Members:
    """The members of G groups of N films, one group of a film after another."""

    keys: np.ndarray  # uint64 [M]
    cell: np.ndarray  # int64 [M], film x G + group, rising
    position: np.ndarray  # int64 [M], from 0 in the order that the film names them
    days: np.ndarray  # int64 [M], before which the record counts
    counts: np.ndarray  # int64 [N, G]

    @classmethod
    def of(cls, collection: Sequence[Film], groups: Sequence[tuple[str, str]]) -> _Members:
        """A film without a release date has no members: no record of theirs can be told."""
        keys: list[int] = []
        positions: list[int] = []
        counts = np.zeros((len(collection), len(groups)), np.int64)
        asked = np.zeros(len(collection), np.int64)
        for i, film in enumerate(collection):
            if film.release_date is None:
                continue
            asked[i] = history.asked_on(film.release_date)
            for g, (field, space) in enumerate(groups):
                names = films.names(film, field)
                distinct = list(dict.fromkeys(member_key(space, name) for name in names))
                # In the order of their keys, so that sums are the same bits in any order of names.
                order = sorted(range(len(distinct)), key=distinct.__getitem__)
                keys += [distinct[k] for k in order]
                positions += order
                counts[i, g] = len(distinct)
        cell = np.repeat(np.arange(counts.size), counts.ravel())
        return cls(
            np.array(keys, np.uint64),
            cell,
            np.array(positions, np.int64),
            asked[cell // max(len(groups), 1)],
            counts,
        )

    def sum(self, values_M: np.ndarray) -> np.ndarray:
        """Of each group's members: [N, G]."""
        sums = np.bincount(self.cell, values_M, self.counts.size)
        return sums.reshape(self.counts.shape)

    def mean(self, values_M: np.ndarray, which_M: np.ndarray) -> np.ndarray:
        """Of those members that count: [N, G], NaN where there is none."""
        counts = self.sum(which_M)
        sums = self.sum(np.where(which_M, values_M, 0.0))
        return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)

    def highest(self, values_M: np.ndarray, which_M: np.ndarray) -> np.ndarray:
        """Of those members that count: [N, G], NaN where there is none."""
        found = np.full(self.counts.size, -np.inf)
        np.maximum.at(found, self.cell[which_M], values_M[which_M])
        return np.where(np.isfinite(found), found, np.nan).reshape(self.counts.shape)


def _of_outcome(
    members: _Members, table: HistoryTable, outcome: str, config: HistoryConfig
) -> list[np.ndarray]:
    """_OF_OUTCOME, [N, G] each."""
    found = table.known(outcome, members.keys, members.days)
    prior = np.zeros(len(members.keys))
    if not config.stationary:
        prior = np.nan_to_num(table.mean_of_all(outcome, members.days))
    strength = np.maximum(found.weight + config.shrinkage, _TINY)
    means = (found.weight * found.mean + config.shrinkage * prior) / strength
    known, everyone = found.count > 0, np.ones(len(means), bool)
    # A group of which nothing at all is known has no mean: the prior alone says nothing.
    of_any = np.where(members.sum(known) > 0, 0.0, np.nan)
    return [
        members.mean(means, everyone) + of_any,
        members.mean(found.spread, found.count > 1),
        np.log1p(members.sum(found.count)) + np.where(members.counts > 0, 0.0, np.nan),
        members.highest(means, everyone) + of_any,
        members.highest(found.best, known),
        members.mean(found.last, known),
        members.mean(means, known & (members.position == 0)),
        members.mean(means, known & (members.position < _LEADING)),
    ]


def _of_films(members: _Members, table: HistoryTable) -> list[np.ndarray]:
    """_OF_FILMS, [N, G] each."""
    count, released = table.made(members.keys, members.days)
    some = count > 0
    given = np.where(members.counts > 0, 0.0, np.nan)
    years = (members.days - released) / _DAYS_A_YEAR
    return [
        np.log1p(members.sum(count)) + given,
        -members.highest(-years, some),
        members.mean(~some, np.ones(len(some), bool)),
    ]


def _where_complete(
    values: np.ndarray,
    collection: Sequence[Film],
    config: HistoryConfig,
    groups: Sequence[Sequence[str]],
) -> np.ndarray:
    """`statistics`, with NaN for those of all members where a group of fields has no member."""
    if not config.joint:
        return values
    for i, film in enumerate(collection):
        if not all(any(films.names(film, field) for field in group) for group in groups):
            values[i, -len(_OF_ALL) * len(config.outcomes) :] = np.nan
    return values


def _of_all(collection: Sequence[Film], table: HistoryTable, config: HistoryConfig) -> np.ndarray:
    """_OF_ALL of each outcome, [N, 2 x outcomes]; NaN of a film without a release date."""
    terms = joint.Terms(config)
    for film in collection:
        terms.add(film)
    dates = [film.release_date for film in collection]
    days = np.array([history.asked_on(date) if date else 0 for date in dates], np.int64)
    found = [
        each
        for outcome in config.outcomes
        for each in table.expected(outcome, terms.arrays(outcome, config.joint), days)
    ]
    return np.stack(found, axis=1)
