"""Prepare `movie_feedback` once, and open it: random access to (Film, Outcome) of each split."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import logging
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any, overload

from mfp.config import ConfigError, DataConfig, TrainConfig
from mfp.data import media, prepared
from mfp.data.sources import Source, open_source
from mfp.files import named
from mfp.film import Film, Outcome
from mfp.tables import Place, Record, Reject

KEPT = 20_000  # films of a split, of 3 kB each


@dataclass(frozen=True)
class Dataset:
    """A prepared dataset on disk."""

    folder: Path
    fingerprint: str  # of source content, split dates and record format
    splits: Mapping[str, Films | Joined]
    rejects: list[dict]  # what could not be used: file, row, id, field, reason

    @property
    def count(self) -> int:
        """Films of all splits."""
        return sum(map(len, self.splits.values()))

    def of_run(self, config: TrainConfig) -> Dataset:
        """The splits of a run: of a final fit, train and validation films are one, in that order.

        What was joined stays so.
        """
        if not config.final_epochs or "validation" not in self.splits:
            return self
        both = Joined(self.splits["train"], self.splits["validation"])
        return replace(self, splits={"train": both, "test": self.splits["test"]})


class Films(Sequence[tuple[Film, Outcome]]):
    """The films of one split, read from disk on access; safe to share between threads.

    Those of a small split are kept as they are read: decoding one takes about a millisecond, and a
    training asks for each some five times.
    """

    def __init__(self, records: Sequence):
        self._records = records
        self._kept: dict[int, tuple[Film, Outcome]] | None = {} if len(records) <= KEPT else None

    def __len__(self) -> int:
        return len(self._records)

    @overload
    def __getitem__(self, index: int) -> tuple[Film, Outcome]: ...
    @overload
    def __getitem__(self, index: slice) -> list[tuple[Film, Outcome]]: ...
    def __getitem__(self, index):
        from mfp.data.builder import records

        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        index %= len(self)
        if self._kept is None:
            return records.decode(self._records[index])
        if index not in self._kept:
            self._kept[index] = records.decode(self._records[index])
        return self._kept[index]

    def pixels(self, index: int) -> dict[str, bytes]:
        """The prepared media of a film: {field: bytes of `media.prepare`}, without missing ones."""
        record = self._records[index]
        found = {name: record[f"{name}_pixels"] for name in media.MEDIA_FIELDS}
        return {name: data for name, data in found.items() if data}

    def __iter__(self) -> Iterator[tuple[Film, Outcome]]:
        return (self[i] for i in range(len(self)))

    def select(self, chosen: Sequence[int]) -> Films:
        """Only the films at the indices `chosen`, still read on access."""
        return Films(_Chosen(self._records, chosen))


class _Chosen(Sequence):
    """Some of the records."""

    def __init__(self, records: Sequence, chosen: Sequence[int]):
        self._records, self._chosen = records, chosen

    def __len__(self) -> int:
        return len(self._chosen)

    def __getitem__(self, index):
        return self._records[self._chosen[index]]


class Joined(Sequence[tuple[Film, Outcome]]):
    """The films of several splits, one after another."""

    def __init__(self, *parts: Sequence[tuple[Film, Outcome]]):
        self._parts = parts

    def __len__(self) -> int:
        return sum(map(len, self._parts))

    @overload
    def __getitem__(self, index: int) -> tuple[Film, Outcome]: ...
    @overload
    def __getitem__(self, index: slice) -> list[tuple[Film, Outcome]]: ...
    def __getitem__(self, index):
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        part, i = self._place(range(len(self))[index])
        return part[i]

    def pixels(self, index: int) -> dict[str, bytes]:
        """The prepared media of a film, as `Films.pixels`."""
        part, i = self._place(index)
        return part.pixels(i) if isinstance(part, Films) else {}

    def _place(self, index: int) -> tuple[Sequence[tuple[Film, Outcome]], int]:
        for part in self._parts:
            if index < len(part):
                return part, index
            index -= len(part)
        raise IndexError(index)

    def __iter__(self) -> Iterator[tuple[Film, Outcome]]:
        return chain(*self._parts)


def prepare(
    config: DataConfig,
    warn: Callable[[str], None] = print,
    on_film: Callable[[], None] = lambda: None,
    runner: str | None = None,
    runner_options: Sequence[str] = (),
    splits: Sequence[str] | None = None,
) -> Dataset:
    """Open the prepared dataset of a config, preparing it first where its content is new.

    `warn` is told of unknown columns, `on_film` after each film that is written.

    Args:
      runner: an Apache Beam runner that prepares it (see `builder.beam`), for example
        DataflowRunner; None prepares it here. The outcome is the same; `on_film` is not told.
      runner_options: Beam's pipeline options, "key=value".
      splits: what to open; the files of other splits stay closed. None opens all.

    Raises:
      ConfigError: the source is missing, a split has no films, or Beam is not installed.
      PipelineError: the runner failed.
    """
    if runner is not None and importlib.util.find_spec("apache_beam") is None:
        raise ConfigError(
            f"--runner {runner}: Apache Beam is not installed; run: pip install 'mfp[beam]'"
        )
    source = open_source(config, warn)
    fingerprint = _fingerprint(source, config)
    name = f"{source.name}-{fingerprint[:16]}"
    # TFDS takes most of a second to import: not before it is needed.
    import tensorflow_datasets as tfds

    from mfp.data.builder import movie_feedback

    tfds.disable_progress_bar()
    logging.getLogger("absl").setLevel(logging.ERROR)  # it announces each custom config
    rejects: list[Reject] = []
    later: list[int] = []
    home = Path(config.prepared).expanduser().absolute()
    with prepared.only_one(home, name), named(home):
        folder = home / movie_feedback.MovieFeedback.name / name
        folder /= str(movie_feedback.MovieFeedback.VERSION)
        whole = prepared.is_whole(folder)
        if not whole and folder.exists():  # a preparation did not end, or lost files since
            shutil.rmtree(folder)
        builder = movie_feedback.MovieFeedback(
            data_dir=str(home),
            config=movie_feedback.FilmsConfig(
                name=name,
                description=f"{source.name}, split {asdict(config.split)}",
                source=source,
                split=config.split,
                image_size=config.image_size,
                video_frames=config.video_frames,
                on_reject=rejects.append,
                on_film=on_film,
                on_later=lambda: later.append(1),
            ),
            file_format="array_record",
        )
        assert Path(builder.data_dir) == folder, builder.data_dir
        if not whole:
            try:
                if runner is None:
                    _write(builder)
                else:
                    from mfp.data.builder import beam

                    beam.write(builder, config, runner, runner_options)
            except movie_feedback.EmptySplitError as split:
                column = config.split.column
                remedy = (
                    f"no row that can be used says so in its column '{column}'"
                    if column
                    else _suggestion(source, rejects)
                )
                raise ConfigError(f"data.split: no film falls into {split}; {remedy}") from None
            prepared.seal(folder, [json.dumps(reject.to_json()) for reject in rejects])
            if later:
                warn(f"{len(later):,} films released after data.split.test_until are left out")
        lines = (folder / prepared.REJECTS).read_text(encoding="utf-8").splitlines()
    return Dataset(
        folder,
        fingerprint,
        {s: Films(builder.as_data_source(split=s)) for s in splits or movie_feedback.SPLITS},
        [json.loads(line) for line in lines],
    )


def _suggestion(source: Source, rejects: Sequence[Reject] = ()) -> str:
    """Split dates at whole years that leave about the last fifth of the films held out."""
    dates = (r.film.release_date for r in source.records() if isinstance(r, Record))
    years = sorted(date.year for date in dates if date is not None)
    distinct = sorted(set(years))
    if len(distinct) < 3:
        needed = "films of at least three years, with their release_date, are needed"
        if rejects:
            needed += f"; {len(rejects)} rows were rejected, the first: {rejects[0]}"
        return needed
    # Only years that have films end a split, so that none is empty.
    *earlier, _, test = distinct
    train = max([y for y in earlier if y <= years[int(0.8 * (len(years) - 1))]])
    between = [y for y in distinct if train < y < test]
    validation = max(
        [y for y in between if y <= years[int(0.9 * (len(years) - 1))]], default=between[0]
    )
    ends = {"train": train, "validation": validation, "test": test}
    options = " ".join(f"--set data.split.{s}_until={year}-12-31" for s, year in ends.items())
    return f"the films run from {years[0]} to {test}; try {options}"


def describe(reject: dict) -> str:
    """A line for people from one of `Dataset.rejects`."""
    place = Place(reject["file"], reject["row"], reject["id"])
    return str(Reject(place, reject["field"], reject["reason"]))


def _fingerprint(source: Source, config: DataConfig) -> str:
    from mfp.data.builder.records import RECORD_VERSION

    parts = [source.name, source.fingerprint(), asdict(config.split), RECORD_VERSION]
    if source.media_folder is not None:
        parts += [config.image_size, config.video_frames]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _write(builder: Any) -> None:
    """Run TFDS, whose announcements ("Downloading ...") would only puzzle a reader."""
    from mfp.data.builder.files import plain_files

    with contextlib.redirect_stdout(None), plain_files():
        builder.download_and_prepare()
