"""A split's features, transformed once and kept on disk: memory maps instead of memory.

    <prepared dataset>/columns/<key>/<split>/
      records.npy           `batches.record_type` [N]: what a batch reads of a film, in one piece
      truth.npy, fill.npy, facts.npy   [N]
      images-poster.npy     uint8 [n + 1, H, W, 3]: the pool; videos-trailer.npy alike
      ids.npy, id_ends.npy  the ids, one after another in UTF-8, and where each ends

The key is a hash of the dataset's fingerprint, the feature spec, the targets config and the code
that transforms: what any of them changes is written anew, beside the old. The columns lie in the
prepared dataset and not in the run folder, so that resumed runs, evaluations, trials and seeds
with the same features share one copy, and so that preparing the dataset anew removes them. They
take as many bytes a film as a batch does (about 500 with configs/base.toml, 5,000 of a review,
12,288 more for a poster of 64 pixels). Any <key> may be removed while no run uses it: it is
written again when one needs it.

A record is one piece because a batch reads films in random order: one place on disk a film and
not one for every column.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
import os
import shutil
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.lib import format as npy

from mfp import extensions
from mfp.config import TargetsConfig
from mfp.data import batches
from mfp.data.batches import FilmArrays
from mfp.data.dataset import Dataset
from mfp.data.features import FeatureSpec
from mfp.data.prepared import only_one
from mfp.files import named
from mfp.film import Film, Outcome

# Raise it when the files of the same features would come out different.
_VERSION = 1
# Films transformed before they are written.
_CHUNK = 256


def open_splits(
    dataset: Dataset,
    spec: FeatureSpec,
    config: TargetsConfig,
    on_film: Callable[[int], None] = lambda count: None,
) -> dict[str, FilmArrays]:
    """The arrays of every split, as maps of files; the files are written first where they lack.

    Of several processes of a machine one writes and the others wait. The folder appears whole or
    not at all; where files are missing or cut short they are written anew. `on_film` is told how
    many more films are written.
    """
    folder = dataset.folder / "columns" / _key(dataset, spec, config)

    def opened() -> dict[str, FilmArrays]:
        return {name: _open(folder / name, spec) for name in dataset.splits}

    with only_one(folder.parent, folder.name), named(folder):
        if folder.exists():
            with contextlib.suppress(FileNotFoundError, ValueError):
                return opened()
            shutil.rmtree(folder)
        # Machines that share the folder may write at once: to their own names, and one wins.
        partial = folder.with_name(f".{folder.name}.{socket.gethostname()}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        try:
            for name, films in dataset.splits.items():
                _write(partial / name, films, spec, config, on_film)
            _rename(partial, folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        return opened()


def _key(dataset: Dataset, spec: FeatureSpec, config: TargetsConfig) -> str:
    code = hashlib.sha256()
    package = Path(__file__).parent.parent
    for path in [*sorted(package.glob("data/*.py")), *map(package.joinpath, _CODE)]:
        code.update(path.read_bytes())
    parts = [
        _VERSION,
        dataset.fingerprint,
        {name: len(films) for name, films in dataset.splits.items()},
        spec.to_json(),
        asdict(config),
        code.hexdigest(),
        [importlib.metadata.version(name) for name in _LIBRARIES],
        [extensions.digest("modality", name) for name in spec.added],
        [extensions.digest("target", name) for name in spec.targets.names if name in config.added],
    ]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


# What else decides a film's features, besides this package.
_CODE = ("film.py", "dates.py", "prices.py")
_LIBRARIES = ("snowballstemmer", "tokenizers")


def _rename(partial: Path, folder: Path) -> None:
    try:
        os.rename(partial, folder)
    except OSError:
        if not folder.exists():  # else another machine was first, with the same content
            raise


def _write(
    folder: Path,
    films: Sequence[tuple[Film, Outcome]],
    spec: FeatureSpec,
    config: TargetsConfig,
    on_film: Callable[[int], None],
) -> None:
    folder.mkdir(parents=True)
    with contextlib.ExitStack() as stack:

        def column(name: str) -> Column:
            return stack.enter_context(Column(folder / f"{name}.npy"))

        records, truth = column("records"), column("truth")
        fill, facts = column("fill"), column("facts")
        ids, id_ends = column("ids"), column("id_ends")
        pools = {}
        for name, shape in batches.media_shapes(spec).items():
            pools[name] = column(_file_name(name))
            pools[name].append(np.zeros((1, *shape), np.uint8))  # the blank
        for start in range(0, len(films), _CHUNK):
            which = range(start, min(start + _CHUNK, len(films)))
            found = batches.transform(films, which, spec, config)
            for name, pool in pools.items():
                index = found.records[f"index/{name}"]
                index[index > 0] += pool.rows - 1  # of this chunk until now
                if found.media[name]:
                    pool.append(np.stack(found.media[name]))
            records.append(found.records)
            truth.append(found.truth)
            fill.append(found.fill)
            facts.append(found.facts)
            encoded = [id.encode() for id in found.ids]
            ends = ids.rows + np.cumsum([len(id) for id in encoded])
            ids.append(np.frombuffer(b"".join(encoded), np.uint8))
            id_ends.append(ends.astype(np.int64))
            on_film(len(which))


def _file_name(media: str) -> str:
    return media.replace("/", "-")


class Column:
    """A .npy file that grows row by row; a context manager. Not whole until it is left."""

    def __init__(self, path: Path):
        self._file = path.open("wb")
        self._like: np.ndarray | None = None
        self.rows = 0

    def append(self, rows: np.ndarray) -> None:
        """More rows [n, ...], of the dtype and shape of those before."""
        if self._like is None:
            self._like = rows[:0]
            self._header()
        if rows.dtype != self._like.dtype or rows.shape[1:] != self._like.shape[1:]:
            raise ValueError(f"{self._file.name}: rows of another kind")
        self._file.write(rows.tobytes())
        self.rows += len(rows)

    def _header(self) -> None:
        assert self._like is not None
        header = npy.header_data_from_array_1_0(self._like)
        # NumPy leaves room in the header for the first axis to grow (format 1.0, "growth axis").
        header["shape"] = (self.rows, *self._like.shape[1:])
        npy.write_array_header_1_0(self._file, header)

    def __enter__(self) -> Column:
        return self

    def __exit__(self, kind: type | None, *_: object) -> None:
        with self._file:
            if kind is None and self._like is not None:
                self._file.seek(0)
                self._header()
                self._file.flush()
                # The folder's name must not reach the disk before its content does.
                os.fsync(self._file.fileno())


def _open(folder: Path, spec: FeatureSpec) -> FilmArrays:
    def column(name: str) -> np.ndarray:
        # As a plain array: np.memmap is a subclass, which makes every access slower.
        return np.asarray(npy.open_memmap(folder / f"{name}.npy", mode="r"))

    content = {name: column(_file_name(name)) for name in batches.media_shapes(spec)}
    ids = Ids(column("ids"), column("id_ends"))
    records, truth = column("records"), column("truth")
    return batches.joined(ids, records, truth, column("fill"), column("facts"), content)


class Ids(Sequence[str]):
    """The ids of a split, read from its files on access."""

    def __init__(self, text: np.ndarray, ends: np.ndarray):
        self._text, self._ends = text, ends

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        i = range(len(self))[index]
        return self._text[self._ends[i - 1] if i else 0 : self._ends[i]].tobytes().decode()

    def __iter__(self) -> Iterator[str]:
        return (self[i] for i in range(len(self)))
