from __future__ import annotations

import sys

import pytest
import tensorflow_datasets as tfds

from mfp.config import ConfigError, DataConfig
from mfp.data import dataset, reviews
from mfp.data.reviews import BundledReviews, TfdsReviews
from mfp.tables import Record, Reject


@pytest.fixture(scope="module")
def bundled() -> list[Record | Reject]:
    return list(BundledReviews(("imdb", "rotten_tomatoes")).records())


def test_the_bundled_reviews_are_all_there(bundled: list[Record | Reject]):
    assert len(bundled) == 33_530
    assert sum(isinstance(record, Reject) for record in bundled) < 200
    found = [record for record in bundled if isinstance(record, Record)]
    praise = sum(record.outcome.sentiment or 0 for record in found)
    assert 0.49 < praise / len(found) < 0.51


def test_no_text_stands_in_two_splits_or_twice(bundled: list[Record | Reject]):
    split_of: dict[str, str] = {}
    of_imdb: list[str] = []
    for record in bundled:
        if isinstance(record, Record):
            key = " ".join(record.film.reviews[0].casefold().split())
            assert key not in split_of
            split_of[key] = record.split
            if record.place.row <= 25_001:  # IMDb stands first; the rest trains only
                of_imdb.append(record.split)
            else:
                assert record.split == "train"
    shares = [of_imdb.count(s) / len(of_imdb) for s in ("train", "test")]
    assert shares == pytest.approx([0.8, 0.1], abs=0.01)


def test_case_and_spacing_do_not_move_a_text():
    texts = [f"Review number {i}, quite good" for i in range(50)]
    for text in texts:
        assert reviews.split_of_text(text) == reviews.split_of_text(f"  {text.upper()}\n")
    assert {reviews.split_of_text(text) for text in texts} == {"train", "validation", "test"}


def test_an_unknown_origin_is_named():
    with pytest.raises(ConfigError, match="review_origins"):
        BundledReviews(("imbd",))


def test_a_title_is_the_beginning_of_the_review():
    assert reviews.film_of_review("short").title == "short"
    assert len(reviews.film_of_review("word " * 100).title) == 60


class TwoClasses(tfds.testing.DummyDataset):
    """A labelled text set such as imdb_reviews, with TFDS's own mock in place of a download."""

    def _info(self) -> tfds.core.DatasetInfo:
        features = tfds.features.FeaturesDict(
            {"text": tfds.features.Text(), "label": tfds.features.ClassLabel(names=["neg", "pos"])}
        )
        return tfds.core.DatasetInfo(builder=self, description="", features=features)

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples("t"), "test": self._generate_examples("e")}

    def _generate_examples(self, prefix: str = "t"):
        yield "same", {"text": "This very text stands in both splits.", "label": 1}
        for i in range(60):
            yield str(i), {"text": f"<b>{prefix} {i}</b> a good film", "label": i % 2}


@pytest.fixture
def labelled_set(tmp_path, monkeypatch) -> TfdsReviews:
    builder = TwoClasses(data_dir=tmp_path, file_format="array_record")
    monkeypatch.setattr(tfds, "builder", lambda *_, **__: builder)
    return TfdsReviews("two_classes")


def test_a_tfds_set_by_name_keeps_its_test_split(labelled_set: TfdsReviews):
    records = list(labelled_set.records())
    found = [record for record in records if isinstance(record, Record)]
    assert len(found) == 121
    for record in found:
        own_test = record.place.file.endswith("/test")
        assert (record.split == "test") == own_test
    assert {record.split for record in found} == {"train", "validation", "test"}
    # The text that stands in both is kept for testing, and reported where it comes again.
    (again,) = [record for record in records if isinstance(record, Reject)]
    assert again.place.file.endswith("/train")


def test_a_tfds_set_becomes_the_dataset(labelled_set: TfdsReviews, tmp_path):
    found = dataset.prepare(DataConfig(source="tfds:two_classes", prepared=str(tmp_path / "p")))
    assert len(found.splits["test"]) == 61
    film, outcome = found.splits["train"][0]
    assert film.reviews[0].startswith("<b>")
    assert outcome.sentiment in (0.0, 1.0)
    assert "tensorflow" not in sys.modules


def test_a_set_that_is_not_labelled_text_is_refused(monkeypatch, tmp_path):
    builder = tfds.testing.DummyDataset(data_dir=tmp_path)
    monkeypatch.setattr(tfds, "builder", lambda *_, **__: builder)
    with pytest.raises(ConfigError, match="texts with two classes"):
        TfdsReviews("dummy")


def test_an_unknown_set_is_named():
    with pytest.raises(ConfigError, match="no_such_set_at_all"):
        TfdsReviews("no_such_set_at_all")


def test_imdb_reviews_by_name_with_the_mock_data_of_tfds():
    with tfds.testing.mock_data(num_examples=120):
        records = [r for r in TfdsReviews("imdb_reviews").records() if isinstance(r, Record)]
    # Train and test are the same texts there: each is kept once, in the split of its hash.
    texts = [record.film.reviews[0] for record in records]
    assert len(texts) == len(set(texts)) > 100
    assert {record.split for record in records} == {"train", "validation", "test"}
    for record in records:
        assert record.split == reviews.split_of_text(record.film.reviews[0])
        assert record.outcome.sentiment in (0.0, 1.0)
    assert "tensorflow" not in sys.modules
