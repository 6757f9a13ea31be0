"""Films as a table of columns, for linear models and trees: what the network reads, unrolled.

Every `<group>/values` (with its `<group>/known`) is read as numbers, every set field as names of
0 or 1, every text as TF-IDF. What is fitted is fitted on training films and looks at no target.
Pictures and clips are not read.

Letters: N films, D numbers, V names, W words.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from mfp.data.batches import FilmArrays
from mfp.data.features import Arrays, FeatureSpec, vocabulary_name
from mfp.data.track_record import HISTORY

# Films whose columns are held in memory at once.
_CHUNK = 65_536


@dataclass(frozen=True)
class Table:
    """Films as columns, all float32."""

    numbers: np.ndarray  # [N, D], NaN where unknown
    names: sparse.csr_matrix  # [N, V] of 0 and 1
    words: sparse.csr_matrix  # [N, W] TF-IDF

    @property
    def linear(self) -> sparse.csr_matrix:
        """Numbers (0 where unknown), whether each is known, names, words: [N, 2 D + V + W]."""
        known = ~np.isnan(self.numbers)
        numbers = (np.nan_to_num(self.numbers), known.astype(np.float32))
        blocks = [*map(sparse.csr_matrix, numbers), self.names, self.words]
        return sparse.hstack(blocks, format="csr")


@dataclass(frozen=True)
class Design:
    """How films become a table: the features of the network, and how rare words are."""

    spec: FeatureSpec
    rarity: Mapping[str, np.ndarray]  # of each text field, [its words]

    @classmethod
    def fit(cls, spec: FeatureSpec, training: FilmArrays) -> Design:
        """Inverse document frequencies ln((1 + N) / (1 + films with the word)) + 1."""
        films = {field: np.zeros(size) for field, (_, size) in _word_columns(spec).items()}
        for columns in _chunks(training):
            for field, (column, size) in _word_columns(spec).items():
                films[field] += np.bincount(_counts(columns[column], size).indices, minlength=size)
        count = 1 + len(training)
        return cls(spec, {field: np.log(count / (1 + n)) + 1 for field, n in films.items()})

    @property
    def fields_of_names(self) -> dict[str, slice]:
        """Which columns of `Table.names` are of each set field."""
        found, start = {}, 0
        for fields in self.spec.sets.values():
            for field in fields:
                size = self.spec.vocabularies[vocabulary_name(field)].size
                found[field] = slice(start, start + size)
                start += size
        return found

    def numbers(self, films: FilmArrays) -> list[str]:
        """The names of the columns of `Table.numbers`; those without one of their own empty."""
        history = self.spec.history
        of_group = {"numbers": list(self.spec.numbers)}
        of_group[HISTORY] = list(history.numbers) if history else []
        found: list[str] = []
        for name, values in films.columns.items():
            if name.endswith("/values"):
                width = int(np.prod(values.shape[1:]))
                found += of_group.get(name.removesuffix("/values"), [""] * width)
        return found

    def linear(self, films: FilmArrays) -> sparse.csr_matrix:
        """`Table.linear`, made a chunk of films at a time: some 8 bytes for a name or word."""
        return sparse.vstack([self._table(c).linear for c in _chunks(films)], format="csr")

    def table(self, films: FilmArrays) -> Table:
        """The table of films, in memory."""
        parts = [self._table(columns) for columns in _chunks(films)]
        return Table(
            np.concatenate([part.numbers for part in parts]),
            sparse.vstack([part.names for part in parts], format="csr"),
            sparse.vstack([part.words for part in parts], format="csr"),
        )

    def _table(self, columns: Arrays) -> Table:
        count = len(next(iter(columns.values())))
        nothing = sparse.csr_matrix((count, 0), dtype=np.float32)
        names = [nothing, *self._names(columns)]
        words = [nothing, *self._words(columns)]
        return Table(
            _numbers(columns, count),
            sparse.hstack(names, format="csr"),
            sparse.hstack(words, format="csr"),
        )

    def _names(self, columns: Arrays) -> Iterator[sparse.csr_matrix]:
        for field, place in self.fields_of_names.items():
            found = _counts(columns[f"sets/{field}"], place.stop - place.start)
            found.data[:] = 1
            yield found

    def _words(self, columns: Arrays) -> Iterator[sparse.csr_matrix]:
        """Sublinear TF-IDF, each text of length 1 (Salton and Buckley 1988)."""
        for field, (column, size) in _word_columns(self.spec).items():
            found = _counts(columns[column], size)
            found.data = (1 + np.log(found.data)) * self.rarity[field][found.indices]
            length = np.sqrt(np.asarray(found.multiply(found).sum(axis=1)).ravel())
            row = np.repeat(np.arange(found.shape[0]), np.diff(found.indptr))
            found.data = (found.data / length[row]).astype(np.float32)
            yield found


def _chunks(films: FilmArrays) -> Iterator[Arrays]:
    for start in range(0, len(films), _CHUNK):
        yield {name: column[start : start + _CHUNK] for name, column in films.columns.items()}


def _word_columns(spec: FeatureSpec) -> dict[str, tuple[str, int]]:
    """Of each text field the array that is read, n-grams where there are any, and its ids."""
    return {
        field: (f"ngrams/{field}", text.ngram_size)
        if text.config.ngrams
        else (f"texts/{field}", text.size)
        for field, text in spec.texts.items()
    }


def _numbers(columns: Arrays, count: int) -> np.ndarray:
    """The numbers of every group, NaN where unknown. [N, D]."""
    blocks = [np.zeros((count, 0), np.float32)]
    for name, values in columns.items():
        if name.endswith("/values"):
            known = columns.get(f"{name.removesuffix('values')}known", np.ones_like(values))
            block = np.where(known > 0, values, np.float32(np.nan))
            blocks.append(block.reshape(count, -1).astype(np.float32))
    return np.concatenate(blocks, axis=1)


def _counts(ids: np.ndarray, size: int) -> sparse.csr_matrix:
    """How often each id stands in a film: [N, ...] ids -> float32 [N, size]; 0 is padding."""
    flat = ids.reshape(len(ids), -1)
    rows, columns = np.nonzero(flat)
    found = sparse.csr_matrix(
        (np.ones(len(rows), np.float32), (rows, flat[rows, columns])), shape=(len(ids), size)
    )
    found.sum_duplicates()
    return found
