"""What is wrong with films before a network learns from them: leaks, twins, odd values, shift.

Each check says in a line what it found and where; a *grave* finding would make held-out figures
untrue. Test films are compared with the others only for twins and for shift.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mfp import film as films
from mfp.config import HistoryConfig, TargetsConfig
from mfp.data import leaks
from mfp.data.history import HistoryTable, asked_on, known_on, member_key, spaces
from mfp.data.leaks import FEWEST, INPUTS, Pairs
from mfp.data.tabular import fold
from mfp.dates import short
from mfp.film import FIELDS, Film, Outcome

_TWINS = 0.01  # of a split, with the same outcomes: more is grave
_SHIFT = 0.25  # population stability index, by custom a large one
_SHOWN = 3  # examples of a finding
_SAMPLE = 2_000  # films whose histories are counted again

# Outside of these a value is no budget of a film in cinemas, no running time, no gross.
_PLAUSIBLE = {"budget_usd": (1e3, 1e9), "runtime_minutes": (20, 400), "revenue_usd": (1e3, 5e9)}


@dataclass(frozen=True)
class Finding:
    """Something found; `grave` where figures on these films could not be trusted."""

    kind: str  # leak, twins, impossible, shift
    message: str
    grave: bool = False

    def __str__(self) -> str:
        return f"{'ERROR' if self.grave else 'note'}: {self.kind}: {self.message}"


def check(
    splits: Mapping[str, Pairs],
    history: HistoryConfig,
    table: HistoryTable | None,
    targets: TargetsConfig,
) -> list[Finding]:
    """All findings, the grave ones first.

    Args:
      splits: the films of train, validation and test.
      table: what track records are looked up in; None where none are read.
      targets: what a hit and a verdict are.
    """
    everything = list(itertools.chain.from_iterable(splits.values()))
    leaking = leaks.leaks(splits["train"], splits["validation"], targets)
    found = [
        *(Finding("leak", said, True) for said in (*leaking, *leaks.renamed(everything))),
        *(Finding("leak", said) for said in leaks.suspects(everything)),
        *(futures(everything, history, table) if table is not None else ()),
        *twins(splits),
        *impossible(everything),
        *shifts(splits["train"], splits["test"]),
    ]
    return sorted(found, key=lambda finding: not finding.grave)


def futures(pairs: Pairs, config: HistoryConfig, table: HistoryTable) -> Iterator[Finding]:
    """Track records that hold a film not yet known when the film that reads them opened.

    Of a sample of films what the table says is compared with a count of all films.
    """
    dated = [(film, o) for film, o in pairs if film.release_date is not None]
    known: dict[tuple[str, int], list[int]] = defaultdict(list)
    for film, outcome in dated:
        assert film.release_date is not None
        day = known_on(film.release_date, config.delay_days)
        keys = {key for _, key in _members(film, config)}
        for target in config.outcomes:
            if _told(outcome, target):
                for key in keys:
                    known[target, key].append(day)
    step = max(len(dated) // _SAMPLE, 1)
    for target in config.outcomes:
        asked = [
            (film, field, key, asked_on(film.release_date))
            for film, _ in dated[::step]
            if film.release_date is not None
            for field, key in _members(film, config)
        ]
        if not asked or target not in table.ledgers:
            continue
        members = np.array([key for _, _, key, _ in asked], np.uint64)
        days = np.array([day for *_, day in asked], np.int64)
        found = table.known(target, members, days)
        ahead = [
            (film, field)
            for (film, field, key, day), count, latest in zip(
                asked, found.count, found.released, strict=True
            )
            if count > sum(on < day for on in known[target, key]) or (count and latest >= day)
        ]
        if ahead:
            film, field = ahead[0]
            yield Finding(
                "leak",
                f"histories: the {target} of a later film is in the track record ({field}) of "
                f"{short(film.title)} ({film.release_date}), and of {len(ahead) - 1:,} more",
                True,
            )


def _members(film: Film, config: HistoryConfig) -> Iterator[tuple[str, int]]:
    for field in config.fields:
        for name in films.names(film, field):
            for space in spaces(field, config):
                yield field, member_key(space, name)


def _told(outcome: Outcome, target: str) -> bool:
    return getattr(outcome, "revenue_usd" if target == "revenue" else target, None) is not None


def twins(splits: Mapping[str, Pairs]) -> Iterator[Finding]:
    """The same film in two splits: by id, or by title and director."""
    split_of_id: dict[str, str] = {}
    seen: dict[tuple[str, str], tuple[str, Film, Outcome]] = {}
    same: list[str] = []
    alike: list[str] = []
    twice: dict[str, int] = defaultdict(int)
    for split, pairs in splits.items():
        for film, outcome in pairs:
            if film.id and split_of_id.setdefault(film.id, split) != split:
                same.append(f"{film.id} in {split_of_id[film.id]} and {split}")
            for director in film.directors:
                key = fold(film.title), fold(director)
                other, twin, its = seen.setdefault(key, (split, film, outcome))
                if other == split:
                    continue
                years = f"{twin.release_date} in {other}, {film.release_date} in {split}"
                alike.append(f"{short(film.title)} of {director} ({years})")
                twice[split] += its == outcome
                break
    if same:
        yield Finding("twins", f"{len(same):,} ids stand in two splits: {_some(same)}", True)
    if alike:
        grave = any(n > max(_TWINS * len(splits[s]), _SHOWN) for s, n in twice.items())
        with_outcome = sum(twice.values())
        yield Finding(
            "twins",
            f"{len(alike):,} films of one title and director stand in two splits, {with_outcome:,} "
            f"of them with the same outcome: {_some(alike)}",
            grave,
        )


def impossible(pairs: Pairs) -> Iterator[Finding]:
    """Values that no film has; grave where they are most of a column."""
    for name, (low, high) in _PLAUSIBLE.items():
        place = 0 if name in FIELDS else 1
        known = [(pair[0], v) for pair in pairs if (v := getattr(pair[place], name)) is not None]
        odd = [(film, v) for film, v in known if not low <= v <= high]
        if odd:
            examples = [f"{short(film.title)} {value:g}" for film, value in odd]
            grave = place == 0 and len(known) >= FEWEST and len(odd) > len(known) / 2
            what = ": which column is it?" if grave else ""
            yield Finding(
                "impossible",
                f"{name} is outside {low:,.0f} to {high:,.0f} in {len(odd):,} of {len(known):,} "
                f"films ({_some(examples)}){what}",
                grave,
            )


def shifts(train: Pairs, test: Pairs) -> Iterator[Finding]:
    """Fields whose values, or whose absence, differ much between training and test films."""
    for name in INPUTS:
        gone = [np.mean([not getattr(film, name) for film, _ in pairs]) for pairs in (train, test)]
        if abs(gone[0] - gone[1]) > 0.2:
            yield Finding(
                "shift", f"{name} is missing in {gone[0]:.0%} of train, {gone[1]:.0%} of test"
            )
    columns = {
        name: [_known(value(film) for film, _ in pairs) for pairs in (train, test)]
        for name, value in leaks.numbers([*train, *test]).items()
    }
    for name in ("rating", "revenue_usd"):
        columns[name] = [_known(getattr(o, name) for _, o in pairs) for pairs in (train, test)]
    for name, (before, after) in columns.items():
        if min(len(before), len(after)) >= FEWEST and (index := stability(before, after)) > _SHIFT:
            yield Finding(
                "shift",
                f"{name} differs between train and test (population stability index {index:.2f}; "
                f"medians {np.median(before):,.4g} and {np.median(after):,.4g})",
            )


def _known(values: Iterable[float | None]) -> np.ndarray:
    return np.array([value for value in values if value is not None], float)


def stability(before: np.ndarray, after: np.ndarray) -> float:
    """Population stability index: sum of (q - p) log(q / p) over the tenths of `before`."""
    edges = np.unique(np.quantile(before, np.linspace(0, 1, 11)[1:-1]))
    shares = []
    for values in (before, after):
        counts = np.bincount(np.searchsorted(edges, values), minlength=len(edges) + 1)
        shares.append((counts + 0.5) / (len(values) + 0.5 * len(counts)))
    p, q = shares
    return float(np.sum((q - p) * np.log(q / p)))


def _some(texts: Sequence[str]) -> str:
    more = f"; {len(texts) - _SHOWN:,} more" if len(texts) > _SHOWN else ""
    return "; ".join(texts[:_SHOWN]) + more
