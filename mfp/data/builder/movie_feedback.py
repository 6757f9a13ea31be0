"""TFDS builder of `movie_feedback`: any source, split by release date, as ArrayRecord.

Runs without TensorFlow. One builder config per content: its name ends in the fingerprint.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Callable, Iterator
from typing import Any, cast

import tensorflow_datasets as tfds

from mfp.config import SplitConfig
from mfp.data import media
from mfp.data.builder import records
from mfp.data.sources import Source
from mfp.dates import PartialDate
from mfp.film import Film
from mfp.tables import Record, Reject

SPLITS = ("train", "validation", "test")


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


@dataclasses.dataclass
class FilmsConfig(tfds.core.BuilderConfig):
    """A source and its split, and who hears of its films.

    `on_reject` is told what could not be used, `on_film` that a film was written, `on_later`
    that one was released after the test years.
    """

    source: Source | None = None
    split: SplitConfig = dataclasses.field(default_factory=SplitConfig)
    image_size: int = 64
    video_frames: int = 8
    on_reject: Callable[[Reject], None] = print
    on_film: Callable[[], None] = lambda: None
    on_later: Callable[[], None] = lambda: None


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

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[tuple[str, dict]]]:
        return {name: self._generate_examples(name) for name in SPLITS}

    def _generate_examples(self, split: str) -> Iterator[tuple[str, dict[str, Any]]]:
        # One pass over the source per split: memory stays flat for a source of any length.
        config = self.builder_config
        first_pass = split == SPLITS[0]
        empty = True
        for record in config.source.records():
            if isinstance(record, Reject):
                if first_pass:
                    config.on_reject(record)
                continue
            date = record.film.release_date
            of = record.split or split_of(date, config.split)
            if of is None and first_pass:
                if date is None:
                    reason = "is missing; a film without a date belongs to no split"
                    config.on_reject(Reject(record.place, "release_date", reason))
                else:
                    config.on_later()
            if of == split:
                empty = False
                config.on_film()
                film, files = _with_media(record, config)
                key = film.id or f"{record.place.row:012d}"
                yield key, records.encode(film, record.outcome, files)
        if empty:  # TFDS would fail too, but not say why
            raise EmptySplitError(split)


def _with_media(record: Record, config: FilmsConfig) -> tuple[Film, dict[str, bytes]]:
    """The film with its media bytes; a file that cannot be used is reported and left out."""
    film, files = record.film, {}
    assert config.source is not None
    for name in media.MEDIA_FIELDS:
        relative = getattr(film, name)
        if not relative or config.source.media_folder is None:
            continue
        try:
            files[name] = media.prepare(
                name,
                media.locate(name, relative, config.source.media_folder),
                config.image_size,
                config.video_frames,
            )
        except media.MediaError as error:
            config.on_reject(Reject(record.place, name, str(error)))
            film = dataclasses.replace(film, **cast(dict[str, Any], {name: ""}))
    return film, files
