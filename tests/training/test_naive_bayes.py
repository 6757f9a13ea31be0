"""Log-count ratios of n-grams, and a run that starts from them."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tensorflow_datasets as tfds

from mfp import config as configs
from mfp.config import ConfigError
from mfp.data import dataset
from mfp.data.reviews import TfdsReviews
from mfp.report.progress import TrainingProgress
from mfp.training import loop
from mfp.training.naive_bayes import log_count_ratios, start_from_naive_bayes
from mfp.training.run import RunFolder

ROOT = Path(__file__).parents[2]


def test_ratios_of_hand_computed_counts():
    # Id 2 stands in both texts of class 1 and one of class 0; id 3 in one of class 0 only.
    ids = np.array([[2, 0], [2, 0], [2, 3], [3, 4]])
    target, weight = np.array([1, 1, 0, 1]), np.array([1, 1, 1, 0])
    found = log_count_ratios(ids, target, weight, 5)
    p, q = np.array([3, 1, 1]) / 5, np.array([2, 2, 1]) / 5
    np.testing.assert_allclose(found, [0, 0, *np.log(p / q)], rtol=1e-6)


SMALL = [
    "features.text.ngrams=2",
    "features.text.max_ngrams=500",
    "features.text.min_ngram_films=1",
    "features.text.text_ngrams=16",
    "features.min_word_films=1",
    "features.max_tokens=8",
    "model.text.embedding=4",
    "model.text.hidden=4",
    "model.fusion.hidden=[4]",
    "train.batch_size=32",
    "train.epochs=2",
]


@pytest.fixture
def mocked(monkeypatch, tmp_path) -> dataset.Dataset:
    """imdb_reviews as TFDS mocks it, prepared."""
    with tfds.testing.mock_data(num_examples=120):  # mocks our own builder too: read, then prepare
        source = TfdsReviews("imdb_reviews")
        records = list(source.records())
    monkeypatch.setattr(source, "records", lambda: iter(records))
    monkeypatch.setattr(dataset, "open_source", lambda *_: source)
    config = configs.load(
        ROOT / "configs" / "reviews.toml",
        ["data.source=tfds:imdb_reviews", f"data.prepared={json.dumps(str(tmp_path))}"],
    )
    return dataset.prepare(config.data)


def test_a_mocked_imdb_reviews_trains_on_the_ratios_of_its_training_texts(mocked, tmp_path):
    config = configs.load(ROOT / "configs" / "reviews.toml", SMALL)
    trained = loop.train(config, mocked, RunFolder(tmp_path / "run"), TrainingProgress(quiet=True))
    films, text = trained.splits["train"], trained.spec.texts["reviews"]
    ids = films.columns["ngrams/reviews"].reshape(len(films), -1)
    target, weight = (films.columns[f"{kind}/sentiment"] for kind in ("targets", "weights"))
    ratios = log_count_ratios(ids, target, weight, text.ngram_size)
    bag = trained.params["text_reviews"]["ngrams"]
    scale = bag["scale"]
    chosen = np.abs(ratios) > 0.1
    assert chosen.any()
    # The scales are in proportion to the ratios to the end: they are not trained.
    factor = scale[chosen] / ratios[chosen]
    np.testing.assert_allclose(factor, factor[0], rtol=1e-4)
    assert np.abs(bag["table"][2:]).max() > 0.01


def test_without_a_target_of_two_classes_the_remedy_is_named():
    config = configs.load(ROOT / "configs" / "reviews.toml")
    spec: Any = SimpleNamespace(targets=SimpleNamespace(names=("rating",)))
    films: Any = None
    with pytest.raises(ConfigError, match="'naive_bayes' needs a target of two classes"):
        start_from_naive_bayes({}, spec, films, config)
    even = dataclasses.replace(config.model.text, ngram_scale="even")
    config = dataclasses.replace(config, model=dataclasses.replace(config.model, text=even))
    params = {"any": 1}
    assert start_from_naive_bayes(params, spec, films, config) is params
