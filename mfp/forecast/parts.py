"""The parts of a film that a forecast may rest on, and the same film without some of them.

A part is hidden by taking it out of the film itself, which then passes through the same features
as every film: what is measured is the forecast of a film that could have been asked about. A
director who is taken out is missing from the count of directors too; a release date takes year,
season and weekday with it.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from mfp import film as films
from mfp.data.features import FeatureSpec, vocabulary_name
from mfp.data.track_record import MemberRecord
from mfp.film import FIELDS, Film

Kind = Literal["fact", "member", "word", "review", "region", "frame"]
Pixels = Mapping[str, bytes]

# A poster is cut into at most so many rows and columns.
GRID = 8
# Words of a film that are hidden one by one; of more, runs of words are hidden together.
MAX_WORDS = 512


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a film that can be taken away."""

    kind: Kind
    field: str  # of the film
    text: str = ""  # the value, name or words as the film has them
    index: int = 0  # which member, review (also of a word) or frame, from 0
    span: tuple[int, int] | None = None  # of a word: its characters [start, end) of the text
    cell: tuple[int, int] | None = None  # of a region: row and column from the top left
    position: float | None = None  # of a frame: where in the clip, from 0 to 1
    record: MemberRecord | None = None  # of a member: what was known of it when the film opened


def parts_of(film: Film, pixels: Pixels, spec: FeatureSpec) -> list[Part]:
    """Every part that the network of `spec` reads, in the order of the fields.

    Args:
      pixels: the film's media as `media.prepare` packs them.
    """
    return [
        *_facts(film),
        *_members(film, spec),
        *_words(film, spec),
        *_regions(pixels, spec),
        *_frames(pixels, spec),
    ]


def _facts(film: Film) -> Iterable[Part]:
    for name, field in FIELDS.items():
        value = getattr(film, name)
        if field.kind in ("number", "date") and value is not None:
            text = f"{value:,.12g}" if field.kind == "number" else str(value)
            yield Part("fact", name, text)
    for name, value in film.numbers:
        yield Part("fact", name, f"{value:,.12g}")


def _members(film: Film, spec: FeatureSpec) -> Iterable[Part]:
    for field in (field for fields in spec.sets.values() for field in fields):
        names = films.names(film, field)
        vocabulary = spec.vocabularies[vocabulary_name(field)]
        kept = vocabulary.kept(names, spec.lengths[field], field in spec.ordered)
        for i in sorted(kept):
            yield Part("member", field, names[i], i, record=spec.record_of(film, field, names[i]))


def _words(film: Film, spec: FeatureSpec) -> Iterable[Part]:
    found = []  # (field, which text, text, its words)
    for field, transform in spec.texts.items():
        several = spec.reviews if field == "reviews" else 1
        for i, text in enumerate(films.texts(film, field)[:several]):
            found.append((field, i, text, transform.read(text, spec.lengths[field])))
    run = -(-sum(len(words) for *_, words in found) // MAX_WORDS)  # words hidden together
    for field, i, text, words in found:
        if field == "reviews":
            yield Part("review", field, text, i)
        # Characters that stand for several words, such as an ellipsis, go as one.
        spans = list(dict.fromkeys((word.start, word.end) for word in words))
        for k in range(0, len(spans), max(run, 1)):
            start, end = spans[k][0], spans[min(k + run, len(spans)) - 1][1]
            yield Part("word", field, text[start:end], i, span=(start, end))


def _regions(pixels: Pixels, spec: FeatureSpec) -> Iterable[Part]:
    for field in spec.images:
        if field in pixels:
            side = min(GRID, spec.image_size)
            cells = ((row, column) for row in range(side) for column in range(side))
            yield from (Part("region", field, cell=cell) for cell in cells)


def _frames(pixels: Pixels, spec: FeatureSpec) -> Iterable[Part]:
    for field in spec.videos:
        if field in pixels:
            read = np.frombuffer(pixels[field], np.uint8, spec.video_frames)
            for i in np.flatnonzero(read).tolist():
                # A frame is taken at the middle of its share of the clip, see data/video.py.
                yield Part("frame", field, index=i, position=(i + 0.5) / spec.video_frames)


def without(
    film: Film, pixels: Pixels, hidden: Sequence[Part], spec: FeatureSpec
) -> tuple[Film, dict[str, bytes]]:
    """The film and its media with some parts taken out.

    Words leave a space. A text is first cut behind the last word that is read of the whole film,
    so that no unread word moves up. A region takes the mean colour of its picture; a frame counts
    as one that could not be read.
    """
    left = dict(pixels)
    changes: dict[str, Any] = {}
    of_field: defaultdict[tuple[Kind, str], list[Part]] = defaultdict(list)
    for part in hidden:
        of_field[part.kind, part.field].append(part)
    # Reviews are counted as they were: words leave them before any of them leaves the film.
    for (kind, field), parts in sorted(of_field.items(), key=lambda item: item[0][0] == "review"):
        gone = {part.index for part in parts}
        match kind:
            case "fact" if films.is_own_number(field):
                left_over = changes.get("numbers", film.numbers)
                changes["numbers"] = tuple(pair for pair in left_over if pair[0] != field)
            case "fact":
                changes[field] = None
            case "member":
                names = films.names(film, field)
                rest = tuple(name for i, name in enumerate(names) if i not in gone)
                changes[field] = rest if isinstance(getattr(film, field), tuple) else "".join(rest)
            case "word":
                texts = list(films.texts(film, field))
                for i in gone:
                    spans = [part.span for part in parts if part.index == i and part.span]
                    read = spec.texts[field].read(texts[i], spec.lengths[field])
                    texts[i] = _blanked(texts[i][: read[-1].end], spans)
                changes[field] = tuple(texts) if field == "reviews" else texts[0]
            case "review":
                texts = list(changes.get(field, getattr(film, field)))
                changes[field] = tuple(text for i, text in enumerate(texts) if i not in gone)
            case "region":
                cells = [part.cell for part in parts if part.cell]
                left[field] = _covered(left[field], cells, spec.image_size)
            case "frame":
                packed = bytearray(left.pop(field))
                for i in gone:
                    packed[i] = 0
                if any(packed[: spec.video_frames]):
                    left[field] = bytes(packed)
    return dataclasses.replace(film, **changes), left


def _blanked(text: str, spans: Iterable[tuple[int, int]]) -> str:
    for start, end in sorted(spans, reverse=True):
        text = f"{text[:start]} {text[end:]}"
    return text


def _covered(packed: bytes, cells: Iterable[tuple[int, int]], size: int) -> bytes:
    picture = np.frombuffer(packed, np.uint8).reshape(size, size, 3).copy()
    mean = picture.mean(axis=(0, 1)).round().astype(np.uint8)
    edges = np.linspace(0, size, min(GRID, size) + 1).round().astype(int)
    for row, column in cells:
        picture[edges[row] : edges[row + 1], edges[column] : edges[column + 1]] = mean
    return picture.tobytes()
