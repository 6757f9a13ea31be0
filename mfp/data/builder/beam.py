"""The TFDS builder on Apache Beam: Dataflow, Flink or Spark prepare what one machine cannot.

The launcher reads the source once, for what it rejects and for how many films fall into each
split. Workers read it again, one worker a split, and all of them decode posters and clips, one
film after another. The records, their order and the rejects are those of the builder alone.

Launcher and workers need this version of mfp, and see the films, their media and `data.prepared`
under the same paths: a shared file system.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import apache_beam as beam
import tensorflow_datasets as tfds
from apache_beam.options.pipeline_options import PipelineOptions

from mfp.config import ConfigError, DataConfig
from mfp.data.builder import movie_feedback
from mfp.data.builder.movie_feedback import LATER, REJECTED, SPLITS, EmptySplitError
from mfp.data.sources import open_source
from mfp.tables import Place, Record, Reject

# DirectRunner would first download Prism, a program that is not Python, and try to run that.
_RUNNERS = {"DirectRunner": "FnApiRunner"}


class PipelineError(RuntimeError):
    """Beam could not run the pipeline; the message is the reason that its runner gave."""


def write(builder: Any, config: DataConfig, runner: str, options: Sequence[str] = ()) -> None:
    """Prepare a `MovieFeedback` builder, whose FilmsConfig is told of rejects and later films.

    Args:
      runner: DirectRunner, DataflowRunner, FlinkRunner, SparkRunner or any other that Beam knows.
      options: "key=value" or "flag", as Beam's pipeline options are called.

    Raises:
      ConfigError: Beam has no such runner.
      EmptySplitError: a split has no films.
      PipelineError: the pipeline failed.
    """
    try:
        pipeline_runner = beam.runners.create_runner(_RUNNERS.get(runner, runner))
    except (ValueError, ImportError, AttributeError) as error:
        raise ConfigError(f"--runner {runner}: {error}") from None
    films = builder.builder_config
    counts: collections.Counter[str] = collections.Counter()
    rejects: list[tuple[list[int], Reject]] = []
    for row, (of, record) in enumerate(movie_feedback.routed(films.source, films.split)):
        counts[of] += 1
        if isinstance(record, Reject):
            rejects.append(([0, row], record))
    for split in SPLITS:
        if not counts[split]:
            raise EmptySplitError(split)
    table, media = _absolute(config.table), _absolute(config.media)
    there = dataclasses.replace(config, table=table, media=media)
    reports = Path(config.prepared).expanduser().absolute() / f".{films.name}.rejects"
    with _emptied(reports) as folder:
        films.on_beam = lambda split: Examples(there, split, folder)
        download_config = tfds.download.DownloadConfig(
            beam_runner=pipeline_runner,
            beam_options=PipelineOptions([f"--{option}" for option in options]),
        )
        try:
            with contextlib.redirect_stdout(None):  # TFDS announces downloads
                builder.download_and_prepare(download_config=download_config)
        except Exception as error:  # whatever a worker or a runner's client raises
            reason = (str(error).strip().splitlines() or [type(error).__name__])[-1]
            raise PipelineError(f"--runner {runner}: the pipeline failed: {reason}") from error
        rejects += _of_media(folder, str(Path(config.table).expanduser()))
    for _, reject in sorted(rejects, key=lambda found: found[0]):
        films.on_reject(reject)
    for _ in range(counts[LATER]):
        films.on_later()


@contextlib.contextmanager
def _emptied(folder: Path) -> Iterator[Path]:
    """A folder that is new, whatever an earlier run left, and gone afterwards."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def _absolute(path: str) -> str:
    return str(Path(path).expanduser().absolute()) if path else ""


def _of_media(folder: Path, table: str) -> Iterator[tuple[list[int], Reject]]:
    """What workers reported: order among all rejects, and the reject."""
    for path in folder.iterdir():
        for line in path.read_text(encoding="utf-8").splitlines():
            found = json.loads(line)
            place = Place(table, found["row"], found["id"])
            yield found["order"], Reject(place, found["field"], found["reason"])


class Examples(beam.PTransform):
    """From the beginning of a pipeline to a split's films: (number in the split, TFDS example).

    TFDS sorts by that number. Media that could not be used go into files of the folder `rejects`.
    """

    def __init__(self, config: DataConfig, split: str, rejects: Path):
        super().__init__()
        self._config, self._split, self._rejects = config, split, rejects

    def expand(self, begin: Any) -> Any:
        decoded = (
            begin
            | "Source" >> beam.Create([self._config])
            | "Read" >> beam.FlatMap(_films, self._split)
            | "Spread" >> beam.Reshuffle()  # from the one worker that reads to all
            | "Decode"
            >> beam.ParDo(_Decode(self._config, self._split)).with_outputs(
                REJECTED, main="examples"
            )
        )
        _ = decoded[REJECTED] | "Rejects" >> beam.io.WriteToText(str(self._rejects / self._split))
        return decoded["examples"]


def _films(config: DataConfig, split: str) -> Iterator[tuple[int, int, Record]]:
    """The films of a split: number in the split, number in the source, record."""
    source = open_source(config, warn=lambda message: None)  # the launcher has told it
    rows = enumerate(movie_feedback.routed(source, config.split))
    films = ((row, record) for row, (of, record) in rows if of == split)
    for number, (row, record) in enumerate(films):
        assert isinstance(record, Record)
        yield number, row, record


class _Decode(beam.DoFn):
    """A film to its TFDS example; media that cannot be used to REJECTED, as JSON lines."""

    def __init__(self, config: DataConfig, split: str):
        self._config = config
        self._folder = Path(config.media) if config.media else None
        # The builder alone meets what the source rejects and training media on its first pass.
        self._pass = SPLITS.index(split)

    def process(self, element: tuple[int, int, Record]) -> Iterator[Any]:
        number, row, record = element
        rejects: list[Reject] = []
        sizes = self._config.image_size, self._config.video_frames
        yield number, movie_feedback.example(record, self._folder, *sizes, rejects.append)
        for i, reject in enumerate(rejects):
            line = {"order": [self._pass, row, i], **reject.to_json()}
            yield beam.pvalue.TaggedOutput(REJECTED, json.dumps(line))
