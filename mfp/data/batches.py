"""Batches: batch k is a function of (seed, k), so that a resumed run needs no iterator state.

A batch is a flat dict: the arrays of `features.py`, and for each target

    targets/<name>  float32 [B]   in the network's scale, 0 where unknown
    weights/<name>  float32 [B]   0 where unknown or the row is padding, else above 0 to 1
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import grain
import numpy as np

from mfp import film as records
from mfp.config import TargetsConfig
from mfp.data import targets
from mfp.data.features import Arrays, FeatureSpec
from mfp.film import Film, Outcome

FACTS = ("release_year", "budget_usd", "runtime_minutes")


@dataclass(frozen=True)
class Pool:
    """Media of films: most films have none, so only those that exist are held, and a blank."""

    index: np.ndarray  # int32 [N], which of `content`; 0 where the film has none
    content: np.ndarray  # uint8 [n + 1, ...]; row 0 is blank


@dataclass(frozen=True)
class FilmArrays:
    """All films of a split as arrays, with leading axis N."""

    ids: list[str]
    columns: Arrays  # inputs but media, targets/<name>, weights/<name>
    media: dict[str, Pool]  # images/<field>, videos/<field>
    truth: dict[str, np.ndarray]  # float64 [N] natural units, NaN where unknown
    # float64 [N], NaN where unknown: what metrics are sliced by (FACTS), read by no network
    facts: dict[str, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids)

    def select(self, chosen: np.ndarray) -> FilmArrays:
        """Only the films at the indices `chosen`."""
        return FilmArrays(
            [self.ids[i] for i in chosen],
            {name: column[chosen] for name, column in self.columns.items()},
            {name: Pool(pool.index[chosen], pool.content) for name, pool in self.media.items()},
            {name: truth[chosen] for name, truth in self.truth.items()},
            {name: fact[chosen] for name, fact in self.facts.items()},
        )

    def text_fill(self) -> np.ndarray:
        """How full a film's fullest long text is, 0 to 1 of what is kept of it. [N]."""
        fill = np.zeros(len(self))
        for name in self.long_texts:
            ids = self.columns[name].reshape(len(self), -1, self.columns[name].shape[-1])
            longest = np.count_nonzero(ids, axis=-1).max(axis=-1)
            fill = np.maximum(fill, longest / ids.shape[-1])
        return fill

    @cached_property
    def long_texts(self) -> list[str]:
        """The texts whose padding costs time, at least half as long as the longest.

        Titles are not: nearly every batch has one that fills them, which would leave nothing to
        cut of the plots.
        """
        widths = {n: c.shape[-1] for n, c in self.columns.items() if n.startswith("texts/")}
        return [name for name, width in widths.items() if 2 * width >= max(widths.values())]

    def rows(self, indices: np.ndarray, size: int, buckets: int = 1) -> Arrays:
        """The batch of the films at `indices`, padded to `size` rows of weight 0.

        Long texts are cut to the shortest of `buckets` lengths that holds all of the batch.

        Padding repeats the first film of the batch: real values, so that nothing in the
        network meets an input that no film has.
        """
        padded = np.full(size, indices[0], np.intp)
        padded[: len(indices)] = indices
        batch = {name: column[padded] for name, column in self.columns.items()}
        batch |= {name: pool.content[pool.index[padded]] for name, pool in self.media.items()}
        for name in batch:
            if name.startswith("weights/"):
                batch[name][len(indices) :] = 0
        if buckets > 1:
            used = [_used(batch[name]) / batch[name].shape[-1] for name in self.long_texts]
            share = max(1, int(np.ceil(max(used, default=0) * buckets))) / buckets
            for name in self.long_texts:
                batch[name] = batch[name][..., : int(np.ceil(share * batch[name].shape[-1]))]
        return batch


def _used(ids: np.ndarray) -> int:
    """Tokens of the longest text."""
    return int(np.count_nonzero(ids, axis=-1).max(initial=0))


def film_arrays(
    films: Sequence[tuple[Film, Outcome]], spec: FeatureSpec, config: TargetsConfig
) -> FilmArrays:
    """Apply the fitted transforms to every film of a split.

    `films` may offer `pixels(i)`, the prepared media of a film, as `dataset.Films` does.
    """
    pairs = list(films)
    columns, media = _inputs(pairs, getattr(films, "pixels", lambda _: {}), spec)
    truth: dict[str, np.ndarray] = {}
    for name in spec.targets.names:
        found = [targets.value(name, film, outcome, config) for film, outcome in pairs]
        truth[name] = np.array([np.nan if v is None else v for v in found], np.float64)
        known = ~np.isnan(truth[name])
        scaled = [0.0 if v is None else spec.targets.scale(name, v) for v in found]
        columns[f"targets/{name}"] = np.array(scaled, np.float32)
        counts = [targets.weight(name, film, config) for film, _ in pairs]
        columns[f"weights/{name}"] = (known * counts).astype(np.float32)
    facts = {
        name: np.array([records.number(film, name) for film, _ in pairs], np.float64)
        for name in FACTS
    }
    return FilmArrays([film.id for film, _ in pairs], columns, media, truth, facts)


def _inputs(
    pairs: Sequence[tuple[Film, Outcome]],
    pixels: Callable[[int], Mapping[str, bytes]],
    spec: FeatureSpec,
) -> tuple[Arrays, dict[str, Pool]]:
    """The inputs of all films: columns [N, ...], and media once per film that has any."""
    shapes = spec.shapes()
    large = [name for name in shapes if name.startswith(("images/", "videos/"))]
    columns = {
        name: np.zeros((len(pairs), *shape), dtype)
        for name, (shape, dtype) in shapes.items()
        if name not in large
    }
    contents = {name: [np.zeros(*shapes[name])] for name in large}
    indices = {name: np.zeros(len(pairs), np.int32) for name in large}
    for i, (film, _) in enumerate(pairs):
        arrays = spec.transform(film, pixels(i) if large else None)
        for name in columns:
            columns[name][i] = arrays[name]
        for name in large:
            if arrays[f"present/{name.split('/')[1]}"]:
                indices[name][i] = len(contents[name])
                contents[name].append(arrays[name])
    return columns, {name: Pool(indices[name], np.stack(contents[name])) for name in large}


class TrainingBatches:
    """The endless sequence of training batches; `self[k]` depends on (seed, k) alone."""

    def __init__(self, films: FilmArrays, batch_size: int, seed: int, buckets: int = 1):
        self._films, self._size, self._seed, self._buckets = films, batch_size, seed, buckets
        self.per_epoch = -(-len(films) // batch_size)
        # Grain reshuffles each epoch from (seed, epoch); an epoch sees every film once.
        self._shuffled = grain.MapDataset.range(len(films)).seed(seed).shuffle().repeat()
        self._fill = films.text_fill() if buckets > 1 else None
        self._epoch: tuple[int, list[np.ndarray]] = (-1, [])

    def indices(self, k: int) -> np.ndarray:
        """Which films stand in batch k."""
        epoch, position = divmod(k, self.per_epoch)
        if self._epoch[0] != epoch:
            self._epoch = (epoch, self._order(epoch))
        return self._epoch[1][position]

    def _order(self, epoch: int) -> list[np.ndarray]:
        """The batches of an epoch."""
        n = len(self._films)
        order = np.array([self._shuffled[i] for i in range(epoch * n, (epoch + 1) * n)], np.intp)
        if self._fill is None:
            return _chunks(order, self._size)
        # Films of like length share a batch, within windows so that batches stay random.
        windows = _chunks(order, _WINDOW * self._size)
        order = np.concatenate([w[np.argsort(self._fill[w], kind="stable")] for w in windows])
        batches = _chunks(order, self._size)
        rng = np.random.default_rng((self._seed, epoch))
        return [batches[i] for i in rng.permutation(len(batches))]

    def __getitem__(self, k: int) -> Arrays:
        return self._films.rows(self.indices(k), self._size, self._buckets)


# Batches that are sorted by length together.
_WINDOW = 32


def _chunks(order: np.ndarray, size: int) -> list[np.ndarray]:
    return [order[start : start + size] for start in range(0, len(order), size)]


def once(
    films: FilmArrays, batch_size: int, buckets: int = 1
) -> Iterator[tuple[Arrays, np.ndarray]]:
    """Every film once, as (batch, which films its first rows are); the last batch is padded."""
    order = np.arange(len(films))
    if buckets > 1:
        order = np.argsort(films.text_fill(), kind="stable")
    for indices in _chunks(order, batch_size):
        yield films.rows(indices, batch_size, buckets), indices
