"""The text encoders: padding changes nothing, whatever reads the words."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfp.config import TextModelConfig
from mfp.models.text import ReviewsEncoder, TextEncoder

# (encoder, both directions, pooling) -> width of the vector
ENCODERS = {
    ("lstm", True, "attention"): 8,
    ("lstm", False, "last"): 4,
    ("gru", True, "last"): 8,
    ("rnn", False, "mean"): 4,
    ("cnn", False, "max"): 8,
    ("transformer", False, "mean"): 4,
    ("bag", False, "attention"): 3,
}


@pytest.fixture(scope="module", params=ENCODERS, ids=lambda p: f"{p[0]}-{p[1]}-{p[2]}")
def encoder(request):
    kind, bidirectional, pooling = request.param
    config = TextModelConfig(
        embedding=3,
        encoder=kind,
        bidirectional=bidirectional,
        pooling=pooling,
        hidden=4,
        windows=(2, 3),
        heads=2,
        dropout=0.5,
    )
    module = TextEncoder(20, 0, config)
    ids = np.array([[5, 7, 2, 9, 0], [3, 0, 0, 0, 0], [0, 0, 0, 0, 0]], np.int32)
    params = jax.jit(lambda key: module.init(key, ids, None, train=False))(jax.random.key(1))
    params = params["params"]
    apply = jax.jit(lambda params, ids: module.apply({"params": params}, ids, None, train=False))
    return module, apply, params, ids


def test_encoder_shapes(encoder):
    module, apply, params, ids = encoder
    vectors, weights = apply(params, ids)
    config = module.config
    assert vectors.shape == (3, ENCODERS[config.encoder, config.bidirectional, config.pooling])
    assert weights.shape == (3, 5)


def test_longer_padding_changes_nothing(encoder):
    _, apply, params, ids = encoder
    longer = np.pad(ids, ((0, 0), (0, 6)))
    vectors, weights = apply(params, ids)
    more_vectors, more_weights = apply(params, longer)
    np.testing.assert_allclose(more_vectors, vectors, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(more_weights[:, :5], weights, rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(more_weights[:, 5:], 0)


def test_the_vector_of_the_padding_id_changes_nothing(encoder):
    _, apply, params, ids = encoder
    table = params["embedding"]["embedding"].at[0].set(1e3)
    changed = params | {"embedding": {"embedding": table}}
    for a, b in zip(apply(params, ids), apply(changed, ids), strict=True):
        np.testing.assert_array_equal(a, b)


def test_no_text_gives_zeros_and_a_finite_gradient(encoder):
    _, apply, params, ids = encoder
    nothing = np.zeros_like(ids)
    vectors, weights = apply(params, ids)
    np.testing.assert_array_equal(vectors[2], 0)
    np.testing.assert_array_equal(weights[2], 0)
    np.testing.assert_allclose(np.sum(weights[:2], -1), 1, rtol=1e-6)
    grads = jax.grad(lambda p: jnp.sum(apply(p, nothing)[0] ** 2))(params)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(grads))


def test_the_order_of_words_matters_but_in_a_bag(encoder):
    module, apply, params, _ = encoder
    forth, back = np.zeros((2, 3, 5), np.int32)
    forth[0, :3], back[0, :3] = [5, 7, 2], [2, 7, 5]
    moved = np.abs(apply(params, forth)[0] - apply(params, back)[0]).max()
    assert moved < 1e-6 if module.config.encoder == "bag" else moved > 1e-5


@pytest.mark.parametrize("encoder", list(ENCODERS)[::5], indirect=True)
def test_dropout_draws_from_its_key_in_training_only(encoder):
    module, apply, params, ids = encoder
    train = jax.jit(
        lambda key: module.apply({"params": params}, ids, None, train=True, rngs={"dropout": key})[
            0
        ]
    )
    first, again, other = (
        train(jax.random.key(0)),
        train(jax.random.key(0)),
        train(jax.random.key(1)),
    )
    np.testing.assert_array_equal(first, again)
    assert np.any(first != other)
    assert np.any(first != apply(params, ids)[0])


@pytest.fixture(scope="module")
def with_ngrams():
    config = TextModelConfig(embedding=3, encoder="bag", hidden=4, ngram_embedding=2, dropout=0.0)
    module = TextEncoder(20, 15, config)
    ids = np.array([[5, 7, 2], [3, 0, 0]], np.int32)
    ngrams = np.array([[4, 9, 0], [0, 0, 0]], np.int32)
    params = module.init(jax.random.key(1), ids, ngrams, train=False)["params"]
    return module, params, ids, ngrams


def test_a_bag_of_ngrams_is_a_sum_over_the_root_of_their_number(with_ngrams):
    module, params, ids, ngrams = with_ngrams
    vectors, _ = module.apply({"params": params}, ids, ngrams, train=False)
    table = np.asarray(params["ngrams"]["table"])
    expected = (table[4] + table[9]) / np.sqrt(2)
    np.testing.assert_allclose(vectors[0, -2:], expected, rtol=1e-5)
    np.testing.assert_array_equal(vectors[1, -2:], 0)
    padding = {**params["ngrams"], "table": params["ngrams"]["table"].at[0].set(1e3)}
    again, _ = module.apply({"params": params | {"ngrams": padding}}, ids, ngrams, train=False)
    np.testing.assert_array_equal(again, vectors)
    # An n-gram counts by its scale, which no gradient reaches.
    scale = {**params["ngrams"], "scale": params["ngrams"]["scale"].at[4].set(3.0)}
    scaled, _ = module.apply({"params": params | {"ngrams": scale}}, ids, ngrams, train=False)
    expected = (3 * table[4] + table[9]) / np.sqrt(2)
    np.testing.assert_allclose(scaled[0, -2:], expected, rtol=1e-5)

    def total(params):
        return jax.numpy.sum(module.apply({"params": params}, ids, ngrams, train=False)[0])

    gradient = jax.grad(total)(params)["ngrams"]
    np.testing.assert_array_equal(gradient["scale"], 0)
    np.testing.assert_allclose(gradient["table"][4], 1 / np.sqrt(2), rtol=1e-5)


def test_reviews_are_attended_over_and_empty_ones_change_nothing():
    config = TextModelConfig(embedding=3, encoder="bag", hidden=4, dropout=0.0)
    module = ReviewsEncoder(TextEncoder(20, 0, config))
    ids = np.array([[[5, 7], [2, 0]], [[3, 0], [0, 0]], [[0, 0], [0, 0]]], np.int32)
    params = module.init(jax.random.key(1), ids, None, train=False)
    apply = jax.jit(lambda ids: module.apply(params, ids, None, train=False))
    vectors, weights, words = apply(ids)
    np.testing.assert_allclose(np.sum(weights, -1), [1, 1, 0], rtol=1e-6)
    np.testing.assert_allclose(weights[1], [1, 0], rtol=1e-6)
    assert words.shape == ids.shape
    np.testing.assert_array_equal(np.asarray(words)[ids == 0], 0)
    more = np.concatenate([ids, np.zeros_like(ids)], axis=1)
    again, _, _ = apply(more)
    np.testing.assert_allclose(again, vectors, rtol=1e-5, atol=1e-7)
    swapped, _, _ = apply(ids[:, ::-1])
    np.testing.assert_allclose(swapped, vectors, rtol=1e-5, atol=1e-7)
