"""Parts of a film that may be missing, and how to hide them on purpose.

A part is a modality of the network, or a number that its makers may not know: budget, running
time, release date. With a part go the numbers that are told from it: with people their count and
their track record, with the release date all track records.

Letters: N films (or B, in a batch), P parts, K key parts, S patterns, D numbers and after them
the numbers of the track record.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from mfp import film as films
from mfp.data.features import NUMBERS, FeatureSpec
from mfp.data.track_record import HISTORY

# Films are grouped by the parts that move the forecast most, at most so many (2^6 groups). What
# else is missing only enters the spread.
MAX_KEYS = 6


@dataclass(frozen=True)
class Parts:
    """The parts of a network's inputs."""

    names: tuple[str, ...]
    modalities: tuple[str, ...]  # those of the parts that have a presence mask of their own
    numbers: int  # how many of D are numbers
    record: int  # how many are of the track record
    columns: Mapping[str, tuple[int, ...]]  # part -> which of D go with it

    @classmethod
    def of(cls, spec: FeatureSpec) -> Parts:
        """Number fields first, then the other modalities, in the network's order."""
        sources = [films.sources(name) for name in spec.numbers]
        record = spec.history.sources if spec.history else ()
        fields = list(dict.fromkeys(field for needed in sources for field in needed))
        fields = [field for field in fields if films.kind_of(field) in ("number", "date")]
        modalities = tuple(name for name in spec.modalities if name != NUMBERS)
        of_part: dict[str, tuple[str, ...]] = {field: (field,) for field in fields}
        of_part |= {name: tuple(spec.sets.get(name, ())) for name in modalities}
        columns = {
            part: tuple(
                i for i, needed in enumerate((*sources, *record)) if set(needed) & set(within)
            )
            for part, within in of_part.items()
        }
        return cls(tuple(of_part), modalities, len(sources), len(record), columns)

    def missing(self, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        """Which parts each film lacks. bool [N, P]."""
        lacking = []
        for part in self.names:
            if part in self.modalities:
                lacking.append(inputs[f"present/{part}"] == 0)
            else:
                columns = [column for column in self.columns[part] if column < self.numbers]
                lacking.append(~inputs["numbers/known"][:, columns].any(axis=1))
        return np.stack(lacking, axis=1) if lacking else np.zeros((0, 0), bool)

    def numbers_shown(self, hidden_SxP: np.ndarray) -> np.ndarray:
        """1 for the numbers that remain when parts are hidden. float32 [S, D]."""
        shown = np.ones((len(hidden_SxP), self.numbers + self.record), np.float32)
        for p, part in enumerate(self.names):
            for column in self.columns[part]:
                shown[hidden_SxP[:, p], column] = 0
        return shown

    def hide(self, inputs: Mapping[str, Any], hidden_P: Any, numbers_shown_D: Any) -> Any:
        """The inputs [B, ...] as if films lacked the parts; what they lack stays missing.

        Works on NumPy and on JAX arrays alike.
        """
        changed = dict(inputs)
        for p, part in enumerate(self.names):
            if part in self.modalities:
                changed[f"present/{part}"] = inputs[f"present/{part}"] * (1 - hidden_P[p])
        if self.numbers:
            shown = numbers_shown_D[: self.numbers]
            changed["numbers/known"] = inputs["numbers/known"] * shown
            changed["numbers/values"] = inputs["numbers/values"] * shown
            changed[f"present/{NUMBERS}"] = changed["numbers/known"].max(axis=-1)
        if self.record:
            shown = numbers_shown_D[self.numbers :]
            changed[f"{HISTORY}/known"] = inputs[f"{HISTORY}/known"] * shown
            changed[f"{HISTORY}/values"] = inputs[f"{HISTORY}/values"] * shown
            left = changed[f"{HISTORY}/known"].max(axis=-1)
            changed[f"present/{HISTORY}"] = changed[f"present/{HISTORY}"] * left
        return changed


def combinations(parts: int, keys: Sequence[int]) -> np.ndarray:
    """Every pattern of the key parts missing, the others as they are. bool [2^K, P].

    The first hides nothing, the last every key part.
    """
    found = np.zeros((2 ** len(keys), parts), bool)
    if keys:
        found[:, list(keys)] = list(product((False, True), repeat=len(keys)))
    return found


def within(smaller: np.ndarray, larger: np.ndarray) -> np.ndarray:
    """Whether a film lacking `smaller` lacks nothing that `larger` does not. [..., K] -> [...]."""
    return ~(smaller & ~larger).any(axis=-1)


def cover(patterns_SxK: np.ndarray, missing_K: np.ndarray) -> int:
    """The pattern that lacks all of `missing` and as little else as possible.

    One must lack everything, so that there always is one. Of equals the first is taken.
    """
    fits = within(missing_K, patterns_SxK)
    more = np.where(fits, patterns_SxK.sum(axis=1), patterns_SxK.shape[1] + 1)
    return int(np.argmin(more))


def label(names: Sequence[str], missing_P: np.ndarray) -> str:
    """A pattern in words: 'nothing missing', 'without poster, budget_usd'."""
    lacking = [name for name, gone in zip(names, missing_P, strict=True) if gone]
    return f"without {', '.join(lacking)}" if lacking else "nothing missing"
