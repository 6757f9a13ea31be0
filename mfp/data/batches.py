"""Batches: batch k is a function of (seed, k), so that a resumed run needs no iterator state.

A batch is a flat dict: the arrays of `features.py`, and for each target

    targets/<name>  float32 [B]   in the network's scale, 0 where unknown
    weights/<name>  float32 [B]   0 where unknown or the row is padding, else above 0 to 1

Memory is that of one window of batches, whatever the number of films: `columns.py` keeps a
split's arrays on disk, and only the rows of a batch are read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from mfp import film as film_record
from mfp.config import TargetsConfig
from mfp.data import targets
from mfp.data.features import Arrays, FeatureSpec
from mfp.data.shuffle import shuffled
from mfp.film import Film, Outcome

# (i, n): the i-th of n equal parts of a batch's rows, which is what one of n processes reads.
Share = tuple[int, int]
WHOLE: Share = (0, 1)
# Batches that are sorted by length together.
_WINDOW = 32
# What metrics are sliced by, read by no network.
FACTS = ("release_year", "budget_usd", "runtime_minutes")


@dataclass(frozen=True)
class Pool:
    """Media of films: most films have none, so only those that exist are held, and a blank."""

    index: np.ndarray  # int32 [N], which of `content`; 0 where the film has none
    content: np.ndarray  # uint8 [n + 1, ...]; row 0 is blank


@dataclass(frozen=True)
class FilmArrays:
    """All films of a split as arrays, with leading axis N; in memory or maps of files."""

    ids: Sequence[str]
    columns: Arrays  # inputs but media, targets/<name>, weights/<name>
    media: dict[str, Pool]  # images/<field>, videos/<field>
    truth: dict[str, np.ndarray]  # float64 [N] natural units, NaN where unknown
    fill: np.ndarray | None = None  # `text_fill` of every film, where it was computed before
    facts: dict[str, np.ndarray] = field(default_factory=dict)  # FACTS: float64 [N], NaN unknown

    def __len__(self) -> int:
        return len(self.ids)

    def select(self, chosen: np.ndarray) -> FilmArrays:
        """Only the films at the indices `chosen`, copied into memory (media are not)."""
        return FilmArrays(
            [self.ids[i] for i in chosen],
            {name: column[chosen] for name, column in self.columns.items()},
            {name: Pool(pool.index[chosen], pool.content) for name, pool in self.media.items()},
            {name: truth[chosen] for name, truth in self.truth.items()},
            None if self.fill is None else self.fill[chosen],
            {name: fact[chosen] for name, fact in self.facts.items()},
        )

    def between(self, start: int, stop: int) -> FilmArrays:
        """Only the films from `start` to before `stop`, as views."""
        which = slice(start, stop)
        return FilmArrays(
            self.ids[which],
            {name: column[which] for name, column in self.columns.items()},
            {name: Pool(pool.index[which], pool.content) for name, pool in self.media.items()},
            {name: truth[which] for name, truth in self.truth.items()},
            None if self.fill is None else self.fill[which],
            {name: fact[which] for name, fact in self.facts.items()},
        )

    def text_fill(self, indices: np.ndarray | slice) -> np.ndarray:
        """How full the fullest long text of each film is, 0 to 1 of what is kept of it."""
        if self.fill is not None:
            return self.fill[indices]
        return text_fill({name: self.columns[name][indices] for name in self.long_texts})

    @cached_property
    def long_texts(self) -> list[str]:
        return long_texts({name: column.shape[1:] for name, column in self.columns.items()})

    def rows(
        self, indices: np.ndarray, size: int, buckets: int = 1, share: Share = WHOLE
    ) -> Arrays:
        """The batch of the films at `indices`, padded to `size` rows of weight 0.

        Long texts are cut to the shortest of `buckets` lengths that holds all of the batch.

        Padding repeats the first film of the batch: real values, so that nothing in the
        network meets an input that no film has.

        Args:
          share: read only this part of the rows; the parts, one after another, are the batch.
        """
        mine = part(size, share)
        read = padded(indices, size, share)
        columns = self.columns
        if buckets > 1 and self.long_texts:
            used = self.text_fill(indices).max()  # of the whole batch: all parts have one shape
            length = max(1, int(np.ceil(used * buckets))) / buckets
            cut = {n: int(np.ceil(length * columns[n].shape[-1])) for n in self.long_texts}
            columns = columns | {n: columns[n][..., :width] for n, width in cut.items()}
        batch = {name: column[read] for name, column in columns.items()}
        batch |= {name: pool.content[pool.index[read]] for name, pool in self.media.items()}
        for name in batch:
            if name.startswith("weights/"):
                batch[name][max(0, len(indices) - mine.start) :] = 0
        return batch


def padded(indices: np.ndarray, size: int, share: Share = WHOLE) -> np.ndarray:
    """The film of each row of a share of a batch; the rows after the last film repeat the first."""
    rows = np.full(size, indices[0], np.intp)
    rows[: len(indices)] = indices
    return rows[part(size, share)]


def recency(year: np.ndarray, newest: float, half_life: float) -> np.ndarray:
    """2^-(age / half-life) of films by their year of release, 1 where it is not known. [N].

    Age counts from the newest film. A loss is divided by the sum of a batch's weights, so only
    the proportions of these count.
    """
    age = np.where(np.isnan(year), 0.0, newest - year)
    return np.exp2(-age / half_life).astype(np.float32)


def newest_year(films: FilmArrays) -> float:
    """Of release; 0 where no film tells it."""
    years = films.facts["release_year"]
    return float(np.max(years, where=~np.isnan(years), initial=0.0))


def long_texts(shapes: Mapping[str, tuple[int, ...]]) -> list[str]:
    """The texts whose padding costs time, at least half as long as the longest.

    Titles are not: nearly every batch has one that fills them, which would leave nothing to
    cut of the plots.

    Args:
      shapes: of the columns, without the leading axis.
    """
    widths = {name: shape[-1] for name, shape in shapes.items() if name.startswith("texts/")}
    return [name for name, width in widths.items() if 2 * width >= max(widths.values())]


def text_fill(long: Mapping[str, np.ndarray]) -> np.ndarray:
    """How full the fullest of a film's long texts is: float64 [N], 0 to 1."""
    (count,) = {len(column) for column in long.values()}
    fill = np.zeros(count)
    for column in long.values():
        ids = column.reshape(count, -1, column.shape[-1])
        fill = np.maximum(fill, np.count_nonzero(ids, axis=-1).max(axis=-1) / ids.shape[-1])
    return fill


def part(size: int, share: Share) -> slice:
    """The rows of a batch of `size` that a share is.

    Raises:
      ValueError: the batch cannot be divided so.
    """
    i, n = share
    if not 0 <= i < n or size % n:
        raise ValueError(f"no part {i} of {n} equal parts of a batch of {size}")
    return slice(i * size // n, (i + 1) * size // n)


@dataclass(frozen=True)
class Transformed:
    """Films after the fitted transforms: a record each, which is what a batch reads of a film."""

    ids: list[str]
    records: np.ndarray  # `record_type` [N]
    truth: np.ndarray  # float64 [N], a field per target
    fill: np.ndarray  # float64 [N], `text_fill`
    facts: np.ndarray  # float64 [N], a field per fact
    media: dict[str, list[np.ndarray]]  # of the films that have any, in their order


def record_type(spec: FeatureSpec) -> np.dtype:
    """A film's inputs but media, targets, weights, and index/<media>: its place in the pool."""
    shapes = {n: (dtype, shape) for n, (shape, dtype) in spec.shapes().items() if not _is_media(n)}
    for name in spec.targets.names:
        shapes |= {f"targets/{name}": (np.float32, ()), f"weights/{name}": (np.float32, ())}
    for name in media_shapes(spec):
        shapes[f"index/{name}"] = (np.int32, ())
    return np.dtype([(name, dtype, shape) for name, (dtype, shape) in shapes.items()])


def media_shapes(spec: FeatureSpec) -> dict[str, tuple[int, ...]]:
    """Of one film's images/<field> and videos/<field>, uint8."""
    return {name: shape for name, (shape, _) in spec.shapes().items() if _is_media(name)}


def _is_media(name: str) -> bool:
    return name.startswith(("images/", "videos/"))


def transform(
    films: Sequence[tuple[Film, Outcome]],
    which: range,
    spec: FeatureSpec,
    config: TargetsConfig,
) -> Transformed:
    """Apply the fitted transforms to the films at `which`.

    `films` may offer `pixels(i)`, the prepared media of a film, as `dataset.Films` does.
    """
    records = np.zeros(len(which), record_type(spec))
    truth = np.full(len(which), np.nan, [(name, np.float64) for name in spec.targets.names])
    media: dict[str, list[np.ndarray]] = {name: [] for name in media_shapes(spec)}
    pixels: Any = getattr(films, "pixels", lambda _: {})
    facts = np.zeros(len(which), [(name, np.float64) for name in FACTS])
    ids, collection = [], []
    for record, known, fact, i in zip(records, truth, facts, which, strict=True):
        film, outcome = films[i]
        ids.append(film.id)
        collection.append(film)
        for name in FACTS:
            fact[name] = film_record.number(film, name)
        arrays = spec.of_film(film, pixels(i) if media else None)
        for name, array in arrays.items():
            if not _is_media(name):
                record[name] = array
            elif arrays[f"present/{name.split('/')[1]}"]:
                media[name].append(array)
                record[f"index/{name}"] = len(media[name])
        for name in spec.targets.names:
            value = targets.value(name, film, outcome, config)
            if value is not None:
                known[name] = value
                record[f"targets/{name}"] = spec.targets.scale(name, value)
                record[f"weights/{name}"] = targets.weight(name, film, config)
    for name, column in spec.histories(collection).items():
        records[name] = column
    long = long_texts({name: records.dtype[name].shape for name in records.dtype.names or ()})
    fill = text_fill({name: records[name] for name in long}) if long else np.zeros(len(which))
    return Transformed(ids, records, truth, fill, facts, media)


def joined(
    ids: Sequence[str],
    records: np.ndarray,
    truth: np.ndarray,
    fill: np.ndarray,
    facts: np.ndarray,
    content: Mapping[str, np.ndarray],
) -> FilmArrays:
    """`Transformed` and the pools' content as the arrays of a split, which are views of them."""
    names = [name for name in records.dtype.names or () if not name.startswith("index/")]
    return FilmArrays(
        ids,
        {name: records[name] for name in names},
        {name: Pool(records[f"index/{name}"], pixels) for name, pixels in content.items()},
        {name: truth[name] for name in truth.dtype.names or ()},
        fill,
        {name: facts[name] for name in FACTS},
    )


def film_arrays(
    films: Sequence[tuple[Film, Outcome]], spec: FeatureSpec, config: TargetsConfig
) -> FilmArrays:
    """The arrays of a split, in memory. `columns.open_splits` keeps them on disk."""
    found = transform(films, range(len(films)), spec, config)
    content = {
        name: np.stack([np.zeros(shape, np.uint8), *found.media[name]])
        for name, shape in media_shapes(spec).items()
    }
    return joined(found.ids, found.records, found.truth, found.fill, found.facts, content)


class TrainingBatches:
    """The endless sequence of training batches; `self[k]` depends on (seed, k) alone.

    Only the window of batches that was asked for last is kept: 32 of them where films of like
    length share a batch, else one. Safe to share between threads.
    """

    def __init__(
        self,
        films: FilmArrays,
        batch_size: int,
        seed: int,
        buckets: int = 1,
        share: Share = WHOLE,
        half_life: float = 0.0,
    ):
        """Args:
          share: `self[k]` is only this part of batch k, of which all parts have the same shapes.
          half_life: years after which a film weighs half, see `recency`; 0: all weigh alike.

        Raises:
          ValueError: `batch_size` cannot be divided into the parts.
        """
        part(batch_size, share)
        self._films, self._size, self._seed, self._buckets = films, batch_size, seed, buckets
        self._share, self._half_life = share, half_life
        if half_life:
            self._newest = newest_year(films)
        self.per_epoch = -(-len(films) // batch_size)
        self._window = _WINDOW if buckets > 1 and films.long_texts else 1
        self._last: tuple[tuple[int, int], list[np.ndarray]] = ((-1, -1), [])

    def indices(self, k: int) -> np.ndarray:
        """Which films stand in batch k."""
        epoch, position = divmod(k, self.per_epoch)
        window, position = divmod(position, self._window)
        last = self._last
        if last[0] != (epoch, window):
            last = self._last = ((epoch, window), self._batches(epoch, window))
        return last[1][position]

    def _batches(self, epoch: int, window: int) -> list[np.ndarray]:
        """The batches of a window of an epoch, which sees every film once."""
        count, span = len(self._films), self._window * self._size
        positions = np.arange(window * span, min((window + 1) * span, count))
        order = shuffled(positions, count, (self._seed, epoch))
        if self._window == 1:
            return [order]
        # Films of like length share a batch, within windows so that batches stay random.
        order = order[np.argsort(self._films.text_fill(order), kind="stable")]
        batches = _chunks(order, self._size)
        rng = np.random.default_rng((self._seed, epoch, window))
        return [batches[i] for i in rng.permutation(len(batches))]

    def __getitem__(self, k: int) -> Arrays:
        indices = self.indices(k)
        batch = self._films.rows(indices, self._size, self._buckets, self._share)
        if self._half_life:
            read = padded(indices, self._size, self._share)
            years = self._films.facts["release_year"][read]
            factor = recency(years, self._newest, self._half_life)
            for name in batch:
                if name.startswith("weights/"):
                    batch[name] = batch[name] * factor
        return batch


def _chunks(order: np.ndarray, size: int) -> list[np.ndarray]:
    return [order[start : start + size] for start in range(0, len(order), size)]


def once(
    films: FilmArrays, batch_size: int, buckets: int = 1, share: Share = WHOLE
) -> Iterator[tuple[Arrays, np.ndarray]]:
    """Every film once, as (batch, which films its first rows are); the last batch is padded.

    Args:
      share: the arrays are only this part of each batch, of the same shapes for every share; the
        indices are of the whole batch.
    """
    order = np.arange(len(films))
    if buckets > 1 and films.long_texts:
        order = np.argsort(films.text_fill(slice(None)), kind="stable")
    for indices in _chunks(order, batch_size):
        yield films.rows(indices, batch_size, buckets, share), indices
