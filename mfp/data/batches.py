"""Batches: batch k is a function of (seed, k), so that a resumed run needs no iterator state.

A batch is a flat dict: the arrays of `features.py`, and for each target

    targets/<name>  float32 [B]   in the network's scale, 0 where unknown
    weights/<name>  float32 [B]   1 where known, 0 where unknown or the row is padding
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import grain
import numpy as np

from mfp.config import TargetsConfig
from mfp.data import targets
from mfp.data.features import Arrays, FeatureSpec
from mfp.film import Film, Outcome


@dataclass(frozen=True)
class FilmArrays:
    """All films of a split as arrays, with leading axis N."""

    ids: list[str]
    columns: Arrays  # inputs, targets/<name>, weights/<name>
    truth: dict[str, np.ndarray]  # float64 [N] natural units, NaN where unknown

    def __len__(self) -> int:
        return len(self.ids)

    def rows(self, indices: np.ndarray, size: int) -> Arrays:
        """The batch of the films at `indices`, padded to `size` rows of weight 0.

        Padding repeats the first film of the batch: real values, so that nothing in the
        network meets an input that no film has.
        """
        padded = np.full(size, indices[0], np.intp)
        padded[: len(indices)] = indices
        batch = {name: column[padded] for name, column in self.columns.items()}
        for name in batch:
            if name.startswith("weights/"):
                batch[name][len(indices) :] = 0
        return batch


def film_arrays(
    films: Sequence[tuple[Film, Outcome]], spec: FeatureSpec, config: TargetsConfig
) -> FilmArrays:
    """Apply the fitted transforms to every film of a split."""
    pairs = list(films)
    columns = spec.stack([film for film, _ in pairs])
    truth: dict[str, np.ndarray] = {}
    for name in spec.targets.names:
        found = [targets.value(name, film, outcome, config) for film, outcome in pairs]
        truth[name] = np.array([np.nan if v is None else v for v in found], np.float64)
        known = ~np.isnan(truth[name])
        scaled = [0.0 if v is None else spec.targets.scale(name, v) for v in found]
        columns[f"targets/{name}"] = np.array(scaled, np.float32)
        columns[f"weights/{name}"] = known.astype(np.float32)
    return FilmArrays([film.id for film, _ in pairs], columns, truth)


class TrainingBatches:
    """The endless sequence of training batches; `self[k]` depends on (seed, k) alone."""

    def __init__(self, films: FilmArrays, batch_size: int, seed: int):
        self._films, self._size = films, batch_size
        self.per_epoch = -(-len(films) // batch_size)
        # Grain reshuffles each epoch from (seed, epoch); an epoch sees every film once.
        self._indices = (
            grain.MapDataset.range(len(films))
            .seed(seed)
            .shuffle()
            .batch(batch_size, batch_fn=np.asarray)
            .repeat()
        )

    def indices(self, k: int) -> np.ndarray:
        """Which films stand in batch k."""
        return self._indices[k]

    def __getitem__(self, k: int) -> Arrays:
        return self._films.rows(self.indices(k), self._size)


def in_order(films: FilmArrays, batch_size: int) -> Iterator[tuple[Arrays, int]]:
    """Every film once, in order, as (batch, number of real rows); the last batch is padded."""
    for start in range(0, len(films), batch_size):
        indices = np.arange(start, min(start + batch_size, len(films)))
        yield films.rows(indices, batch_size), len(indices)
