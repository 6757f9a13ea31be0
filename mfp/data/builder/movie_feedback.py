"""TFDS builder of `movie_feedback`: any source, split by release date, as ArrayRecord.

Runs without TensorFlow. One builder config per content: its name ends in the fingerprint.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import tensorflow_datasets as tfds

from mfp.config import SplitConfig
from mfp.data import guard, media
from mfp.data.builder import records
from mfp.data.sources import Source
from mfp.dates import PartialDate
from mfp.tables import SPLITS, Record, Reject

# What is not a split: a row that cannot be used, a film released after the test years.
REJECTED, LATER = "rejected", "later"


def split_of(date: PartialDate | None, config: SplitConfig) -> str | None:
    """The split of a release date; None for no date, or one after the test years.

    A date known only to the year counts as that year's last day, so that no film enters a
    split before it surely was out.
    """
    if date is None:
        return None
    day: datetime.date = date.last_day()
    for name in SPLITS:
        if day <= PartialDate.parse(getattr(config, f"{name}_until")).last_day():
            return name
    return None


class EmptySplitError(ValueError):
    """No film falls into a split; the message is its name."""


def routed(source: Source, config: SplitConfig) -> Iterator[tuple[str, Record | Reject]]:
    """Every record of a source in its order, with its split, or with REJECTED or LATER."""
    for record in source.records():
        if isinstance(record, Reject):
            yield REJECTED, record
            continue
        date = record.film.release_date
        split = record.split or split_of(date, config)
        if split is None and date is None:
            reason = "is missing; a film without a date belongs to no split"
            yield REJECTED, Reject(record.place, "release_date", reason)
        else:
            yield split or LATER, record


@dataclasses.dataclass
class FilmsConfig(tfds.core.BuilderConfig):
    """A source and its split, and who hears of its films.

    `on_reject` is told what could not be used, `on_film` that a film was written, `on_later`
    that one was released after the test years. `on_beam` gives the Beam transform that yields
    a split's examples, where Beam prepares them; then the other three are told nothing.
    """

    source: Source | None = None
    split: SplitConfig = dataclasses.field(default_factory=SplitConfig)
    image_size: int = 64
    video_frames: int = 8
    on_reject: Callable[[Reject], None] = print
    on_film: Callable[[], None] = lambda: None
    on_later: Callable[[], None] = lambda: None
    on_beam: Callable[[str], Any] | None = None


class MovieFeedback(tfds.core.GeneratorBasedBuilder):
    """Films and how they were received."""

    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS: list[FilmsConfig] = []  # noqa: RUF012 - TFDS reads the class attribute

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description="Films with their outcomes, split by release date.",
            features=records.features(),
            disable_shuffling=True,  # keep the order of the source
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        generate = self.builder_config.on_beam or self._generate_examples
        return {name: generate(name) for name in SPLITS}

    def _generate_examples(self, split: str) -> Iterator[tuple[str, dict[str, Any]]]:
        # One pass over the source per split: memory stays flat for a source of any length.
        config = self.builder_config
        first_pass = split == SPLITS[0]
        empty = True
        for of, record in routed(config.source, config.split):
            if isinstance(record, Reject):
                if first_pass:
                    config.on_reject(record)
            elif of == split:
                empty = False
                config.on_film()
                key = record.film.id or f"{record.place.row:012d}"
                yield (
                    key,
                    example(
                        record,
                        config.source.media_folder,
                        config.image_size,
                        config.video_frames,
                        config.on_reject,
                    ),
                )
            elif of == LATER and first_pass:
                config.on_later()
        if empty:  # TFDS would fail too, but not say why
            raise EmptySplitError(split)


def example(
    record: Record,
    folder: Path | None,
    image_size: int,
    video_frames: int,
    on_reject: Callable[[Reject], None],
) -> dict[str, Any]:
    """The TFDS example of a film. A media file that cannot be used is reported and left out."""
    film, files = record.film, {}
    for name in media.MEDIA_FIELDS:
        relative = getattr(film, name)
        if not relative or folder is None:
            continue
        try:
            path = media.locate(name, relative, folder)
            files[name] = guard.prepare(name, path, image_size, video_frames)
        except media.MediaError as error:
            on_reject(Reject(record.place, name, str(error)))
            film = dataclasses.replace(film, **cast(dict[str, Any], {name: ""}))
    return records.encode(film, record.outcome, files)
