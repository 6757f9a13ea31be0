"""FeatureSpec: every fitted transform together. Film -> arrays, the same in training and use.

Arrays stand in a flat dict; N (or B, in a batch) is the leading axis. Reviews, of which a film
has many, carry one more axis R after it.

    numbers/values  float32 [N, D]      about N(0, 1), 0 where missing
    numbers/known   float32 [N, D]      1 where the number is known
    history/values, history/known       alike, of the film's people and companies
    sets/<field>    int32   [N, P]      ids, 0 = padding, 1 = unknown name
    texts/<field>   int32   [N, T]      ids, 0 = padding, 1 = unknown word
    ngrams/<field>  int32   [N, G]      distinct n-gram ids, 0 = padding
    images/<field>  uint8   [N, H, W, 3]
    videos/<field>  uint8   [N, F, H, W, 3]
    frames/<field>  float32 [N, F]      1 where the frame could be read
    added/<modality>/values  float32 [N, ...]   of another package, see `added.py`
    present/<modality>  float32 [N]     1 where the film has anything of that modality
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mfp import film as films
from mfp.data.added import FittedModality
from mfp.data.history import HistoryTable
from mfp.data.tabular import (
    NumberTransform,
    Vocabulary,
    transform_from_json,
    transform_to_json,
    vocabulary_name,
)
from mfp.data.targets import TargetSpec
from mfp.data.text import TextTransform
from mfp.data.track_record import HISTORY, MemberRecord, TrackRecord
from mfp.film import Film

Arrays = dict[str, np.ndarray]
NUMBERS = "numbers"


@dataclass(frozen=True)
class FeatureSpec:
    """Fitted transforms of every input field, and of the targets."""

    numbers: Mapping[str, NumberTransform]
    sets: Mapping[str, tuple[str, ...]]  # modality -> its set fields
    vocabularies: Mapping[str, Vocabulary]
    texts: Mapping[str, TextTransform]
    images: tuple[str, ...]
    videos: tuple[str, ...]
    ordered: frozenset[str]
    lengths: Mapping[str, int]  # P of each set field, T of each text
    reviews: int  # R
    image_size: int  # H and W
    video_frames: int  # F
    targets: TargetSpec
    absent: tuple[str, ...]  # configured fields that no training film has
    history: TrackRecord | None = None
    added: Mapping[str, FittedModality] = dataclasses.field(default_factory=dict)
    # What `history` looks up; kept in files of its own, not in the JSON.
    table: HistoryTable | None = dataclasses.field(default=None, compare=False, repr=False)

    @property
    def modalities(self) -> tuple[str, ...]:
        """Parts of a film that may be missing as a whole, in the network's order."""
        numbers = (NUMBERS,) if self.numbers else ()
        history = (HISTORY,) if self.history else ()
        own = (*numbers, *history, *self.sets, *self.texts, *self.images, *self.videos)
        return (*own, *self.added)

    @property
    def fields(self) -> tuple[str, ...]:
        """Every input of the network: numbers, set fields, texts, media."""
        sets = (field for fields in self.sets.values() for field in fields)
        added = (field for modality in self.added.values() for field in modality.fields)
        return (*self.numbers, *sets, *self.texts, *self.images, *self.videos, *added)

    def shapes(self) -> dict[str, tuple[tuple[int, ...], Any]]:
        """Shape without the leading axis, and dtype, of each array of `transform`."""
        shapes: dict[str, tuple[tuple[int, ...], Any]] = {}
        if self.numbers:
            for part in ("values", "known"):
                shapes[f"numbers/{part}"] = ((len(self.numbers),), np.float32)
        if self.history:
            for part in ("values", "known"):
                shapes[f"{HISTORY}/{part}"] = ((len(self.history.numbers),), np.float32)
        for fields in self.sets.values():
            for field in fields:
                shapes[f"sets/{field}"] = ((self.lengths[field],), np.int32)
        for field, text in self.texts.items():
            several = (self.reviews,) if field == "reviews" else ()
            shapes[f"texts/{field}"] = ((*several, self.lengths[field]), np.int32)
            if text.config.ngrams:
                shapes[f"ngrams/{field}"] = ((*several, text.config.text_ngrams), np.int32)
        picture = (self.image_size, self.image_size, 3)
        for field in self.images:
            shapes[f"images/{field}"] = (picture, np.uint8)
        for field in self.videos:
            shapes[f"videos/{field}"] = ((self.video_frames, *picture), np.uint8)
            shapes[f"frames/{field}"] = ((self.video_frames,), np.float32)
        for name, added in self.added.items():
            shapes[f"added/{name}/values"] = (added.shape, np.float32)
        for modality in self.modalities:
            shapes[f"present/{modality}"] = ((), np.float32)
        return shapes

    def transform(self, film: Film, pixels: Mapping[str, bytes] | None = None) -> Arrays:
        """The arrays of one film, without a leading axis.

        Args:
          pixels: the film's media as `media.prepare` packs them; missing ones left out.

        Raises:
          ValueError: the film's histories are to be looked up, and there is no table.
        """
        past = {name: array[0] for name, array in self.histories([film]).items()}
        return self.of_film(film, pixels) | past

    def histories(self, collection: Sequence[Film]) -> Arrays:
        """The arrays of many films that need the table, with leading axis N."""
        if self.history is None:
            return {}
        if self.table is None:
            raise ValueError("a spec with histories needs the table of past films: with_table")
        return self.history.arrays(collection, self.table)

    def record_of(self, film: Film, field: str, name: str) -> MemberRecord | None:
        """What was known of a member of a film's field; None where no record of such is read."""
        past, date = self.history, film.release_date
        if past is None or self.table is None or date is None or field not in past.config.fields:
            return None
        return past.of_member(field, name, date, self.table)

    def with_table(self, table: HistoryTable | None) -> FeatureSpec:
        """The same spec, which looks histories up in this table."""
        return dataclasses.replace(self, table=table)

    def of_film(self, film: Film, pixels: Mapping[str, bytes] | None = None) -> Arrays:
        """Of `transform`, what is told from the film alone."""
        arrays: Arrays = {}
        if self.numbers:
            arrays |= self._numbers(film)
        for modality, fields in self.sets.items():
            for field in fields:
                arrays[f"sets/{field}"] = self.vocabularies[vocabulary_name(field)].encode(
                    films.names(film, field), self.lengths[field], field in self.ordered
                )
            present = any(arrays[f"sets/{field}"].any() for field in fields)
            arrays[f"present/{modality}"] = np.asarray(present, np.float32)
        for field in self.texts:
            arrays |= self._text(film, field)
        for field in (*self.images, *self.videos):
            arrays |= self._media(field, (pixels or {}).get(field))
        for added in self.added.values():
            arrays |= added.arrays(film)
        return arrays

    def _numbers(self, film: Film) -> Arrays:
        values = np.zeros(len(self.numbers), np.float32)
        known = np.zeros(len(self.numbers), np.float32)
        for i, (name, transform) in enumerate(self.numbers.items()):
            number = films.number(film, name)
            if number is not None:
                values[i] = transform(number)
                known[i] = 1
        present = np.asarray(known.max())
        return {"numbers/values": values, "numbers/known": known, f"present/{NUMBERS}": present}

    def _text(self, film: Film, field: str) -> Arrays:
        text, length = self.texts[field], self.lengths[field]
        several = self.reviews if field == "reviews" else 1
        ids = np.zeros((several, length), np.int32)
        bags = np.zeros((several, text.config.text_ngrams), np.int32)
        for i, content in enumerate(films.texts(film, field)[:several]):
            if text.config.ngrams:
                ids[i], bags[i] = text.encode_both(content, length, bags.shape[1])
            else:
                ids[i] = text.encode(content, length)
        arrays = {f"texts/{field}": ids, f"ngrams/{field}": bags}
        if field != "reviews":
            arrays = {name: array[0] for name, array in arrays.items()}
        if not text.config.ngrams:
            del arrays[f"ngrams/{field}"]
        return arrays | {f"present/{field}": np.asarray(ids.any(), np.float32)}

    def _media(self, field: str, packed: bytes | None) -> Arrays:
        shape = (self.image_size, self.image_size, 3)
        present = {f"present/{field}": np.asarray(packed is not None, np.float32)}
        if field in self.images:
            blank = np.zeros(shape, np.uint8)
            picture = blank if packed is None else np.frombuffer(packed, np.uint8).reshape(shape)
            return {f"images/{field}": picture, **present}
        frames = self.video_frames
        content = np.zeros(frames * (1 + int(np.prod(shape))), np.uint8)
        if packed is not None:
            content = np.frombuffer(packed, np.uint8)
        return {
            f"videos/{field}": content[frames:].reshape(frames, *shape),
            f"frames/{field}": content[:frames].astype(np.float32),
            **present,
        }

    def stack(
        self,
        collection: Sequence[Film],
        pixels: Sequence[Mapping[str, bytes]] | None = None,
    ) -> Arrays:
        """The arrays of many films, with leading axis N."""
        stacked = {
            name: np.zeros((len(collection), *shape), dtype)
            for name, (shape, dtype) in self.shapes().items()
        }
        for i, film in enumerate(collection):
            for name, array in self.of_film(film, pixels[i] if pixels else None).items():
                stacked[name][i] = array
        return stacked | self.histories(collection)

    def to_json(self) -> dict[str, Any]:
        """JSON values; the table is not among them."""
        more = {HISTORY: self.history.to_json()} if self.history else {}
        if self.added:
            more["added"] = {name: added.to_json() for name, added in self.added.items()}
        return {
            "numbers": {name: transform_to_json(t) for name, t in self.numbers.items()},
            "sets": {modality: list(fields) for modality, fields in self.sets.items()},
            "vocabularies": {name: list(v.names) for name, v in self.vocabularies.items()},
            "texts": {name: text.to_json() for name, text in self.texts.items()},
            "images": list(self.images),
            "videos": list(self.videos),
            "ordered": sorted(self.ordered),
            "lengths": dict(self.lengths),
            "reviews": self.reviews,
            "image_size": self.image_size,
            "video_frames": self.video_frames,
            "targets": self.targets.to_json(),
            "absent": list(self.absent),
            **more,
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> FeatureSpec:
        """The inverse of `to_json`, without a table.

        Raises:
          ValueError: the values are no feature spec; ExtensionError, which is one: a package that
            added a modality is not installed.
        """
        try:
            found = cls(
                numbers={n: transform_from_json(v) for n, v in values["numbers"].items()},
                sets={modality: tuple(fields) for modality, fields in values["sets"].items()},
                vocabularies={n: Vocabulary(tuple(v)) for n, v in values["vocabularies"].items()},
                texts={n: TextTransform.from_json(v) for n, v in values["texts"].items()},
                images=tuple(values["images"]),
                videos=tuple(values["videos"]),
                ordered=frozenset(values["ordered"]),
                lengths={n: int(v) for n, v in values["lengths"].items()},
                reviews=int(values["reviews"]),
                image_size=int(values["image_size"]),
                video_frames=int(values["video_frames"]),
                targets=TargetSpec.from_json(values["targets"]),
                absent=tuple(values["absent"]),
                history=TrackRecord.from_json(values[HISTORY]) if HISTORY in values else None,
                added={
                    n: FittedModality.from_json(n, v) for n, v in values.get("added", {}).items()
                },
            )
            found._check()
        except (LookupError, TypeError, AttributeError, OverflowError) as error:
            raise ValueError(f"not a feature spec: {error!r}") from None
        return found

    def _check(self) -> None:
        """Raises LookupError or TypeError where parts are missing or are not those of a film."""
        kinds = {
            films.NUMBER_INPUTS: self.numbers,
            films.SET_FIELDS: [field for fields in self.sets.values() for field in fields],
            films.TEXT_FIELDS: self.texts,
            films.IMAGE_FIELDS: self.images,
            films.VIDEO_FIELDS: self.videos,
        }
        for valid, names in kinds.items():
            for name in names:
                own = valid is films.NUMBER_INPUTS and films.is_own_number(name)
                if name not in valid and not own:
                    raise LookupError(name)
        for field in kinds[films.SET_FIELDS]:
            _ = self.vocabularies[vocabulary_name(field)]
        for vocabulary in self.vocabularies.values():
            if not all(isinstance(name, str) for name in vocabulary.names):
                raise TypeError("a name is not a text")
        self.shapes()
