"""The published sentence encoder: the numbers of its reference, padding that changes nothing."""

from __future__ import annotations

import importlib.util

import jax
import numpy as np
import pytest

from mfp.config import TextConfig, TextModelConfig
from mfp.data import pretrained as files
from mfp.data.text import TextCounter
from mfp.models import pretrained as models
from mfp.models.pretrained import WIDTH, MiniLM, SentenceReader, from_published

needs_published = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("safetensors", files.PACKAGE)),
    reason=f"the published sentence encoder is not installed ({files.INSTALL})",
)

# The vectors that the wheel's own load_model().encode() gives (sentence-transformers 6.2.0 on
# transformers 5.24.0 and PyTorch 2.13.0, CPU): every 64th of the 384 numbers of each text, and
# the product of its vector with that of the first.
TEXTS = {
    "A detective hunts a thief who robs banks in Los Angeles.": (
        [0.033274, 0.034658, 0.00383, -0.046374, 0.035333, -0.051901],
        1.0,
    ),
    "Two sisters open a bakery.": (
        [0.057582, -0.065618, -0.068531, 0.026517, 0.116158, 0.09818],
        -0.029794,
    ),
    "": ([-0.118838, -0.075838, 0.007335, -0.086478, -0.050633, -0.046725], 0.029071),
    "Ein Mädchen entdeckt im Wald eine Höhle: 一二三 & <b>café</b>!": (
        [-0.002515, -0.061536, 0.023971, -0.006819, 0.014783, -0.064979],
        0.002741,
    ),
    # Longer than the 256 tokens that are read.
    "An old boxer gets one last chance. " * 60: (
        [0.011764, 0.037983, 0.005624, -0.008399, 0.051367, 0.038787],
        0.032992,
    ),
}


@needs_published
def test_vectors_are_those_of_the_reference():
    from mfp.training.pretrained import Encoder

    text = TextCounter(TextConfig(tokens="pretrained")).fit(1, 1)
    vectors = Encoder()(np.stack([text.encode(content, 256) for content in TEXTS]))
    for vector, (numbers, product) in zip(vectors, TEXTS.values(), strict=True):
        np.testing.assert_allclose(vector[::64], numbers, rtol=0, atol=1e-5)
        np.testing.assert_allclose(vector @ vectors[0], product, rtol=0, atol=1e-5)


@pytest.fixture(scope="module")
def small():
    """Fewer layers and words, for what holds of any number of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(models, "LAYERS", 2)
        patch.setattr(models, "WORDS", 128)
        yield


@pytest.fixture(scope="module")
def params(small):
    """Fresh parameters, moved so that every one of them matters."""
    tree = jax.jit(MiniLM().init)(jax.random.key(0), np.ones((1, 2), np.int32))["params"]
    keys = iter(jax.random.split(jax.random.key(1), len(jax.tree.leaves(tree))))
    return jax.tree.map(lambda p: p + 0.1 * jax.random.normal(next(keys), p.shape), tree)


IDS = np.array([[101, 7, 8, 9, 102], [101, 5, 102, 0, 0], [0, 0, 0, 0, 0]], np.int32)


@pytest.fixture(scope="module")
def encode(params):
    compiled = jax.jit(lambda ids: MiniLM().apply({"params": params}, ids))
    return lambda ids: np.asarray(compiled(ids))


def test_a_sentence_has_length_1_and_a_missing_one_is_zeros(encode):
    lengths = np.linalg.norm(encode(IDS), axis=1)
    np.testing.assert_allclose(lengths, [1, 1, 0], rtol=0, atol=1e-6)


def test_padding_changes_nothing(encode):
    np.testing.assert_allclose(encode(IDS[1:2, :3]), encode(IDS[1:2]), rtol=0, atol=1e-5)


def test_order_and_every_token_matter(encode):
    base = encode(IDS[:1])
    for changed in ([101, 8, 7, 9, 102], [101, 7, 8, 10, 102]):
        assert np.abs(encode(np.array([changed], np.int32)) - base).max() > 1e-3


def test_reviews_are_read_one_by_one(encode):
    nested = encode(np.stack([IDS, IDS[::-1]]))
    assert nested.shape == (2, 3, WIDTH)
    np.testing.assert_allclose(nested[0], encode(IDS), rtol=0, atol=1e-5)
    np.testing.assert_allclose(nested[1], nested[0, ::-1], rtol=0, atol=1e-5)


def as_published(params) -> dict[str, np.ndarray]:
    """The inverse of `from_published`, written apart from it."""
    found = {
        "embeddings.word_embeddings.weight": params["words"]["embedding"],
        "embeddings.position_embeddings.weight": params["positions"],
        "embeddings.token_type_embeddings.weight": np.stack([params["kind"], params["kind"] + 1]),
        "embeddings.LayerNorm.weight": params["norm"]["scale"],
        "embeddings.LayerNorm.bias": params["norm"]["bias"],
        "pooler.dense.bias": np.zeros(WIDTH),  # not used
    }
    names = {
        "attention.self.query": "query",
        "attention.self.key": "key",
        "attention.self.value": "value",
        "attention.output.dense": "mix",
        "attention.output.LayerNorm": "norm_attention",
        "intermediate.dense": "widen",
        "output.dense": "narrow",
        "output.LayerNorm": "norm_perceptron",
    }
    for i in range(models.LAYERS):
        for theirs, ours in names.items():
            part = params[f"layer_{i}"][ours]
            weight = part["scale"] if "scale" in part else np.transpose(part["kernel"])
            found[f"encoder.layer.{i}.{theirs}.weight"] = weight
            found[f"encoder.layer.{i}.{theirs}.bias"] = part["bias"]
    return found


def test_published_tensors_become_parameters(params):
    found = from_published(as_published(params))
    assert jax.tree.structure(found) == jax.tree.structure(jax.device_get(params))
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(params), strict=True):
        np.testing.assert_array_equal(a, b)


def test_tensors_of_another_network_are_refused(params):
    tensors = as_published(params)
    name = "encoder.layer.1.output.dense.bias"
    with pytest.raises(ValueError, match="not those of all-MiniLM-L6-v2"):
        from_published(tensors | {name: np.zeros(5)})
    del tensors[name]
    with pytest.raises(KeyError, match=name):
        from_published(tensors)


@pytest.mark.parametrize("several", [False, True])
def test_the_reader_shares_attention_evenly_over_tokens(several):
    ids = np.stack([IDS, IDS[::-1]]) if several else IDS
    sentences = np.random.default_rng(0).normal(size=(*ids.shape[:-1], WIDTH)).astype(np.float32)
    reader = SentenceReader(TextModelConfig(hidden=4, dropout=0.0))
    variables = reader.init(jax.random.key(0), ids, sentences, train=False)
    vector, shares, tokens = reader.apply(variables, ids, sentences, train=False)
    assert vector.shape == (len(ids), 4)
    here = (ids > 0).any(-1)
    np.testing.assert_allclose(tokens.sum(-1), here, atol=1e-6)
    if several:
        np.testing.assert_allclose(shares.sum(-1), 1, atol=1e-6)
        assert np.all(np.asarray(shares)[~here] == 0)
