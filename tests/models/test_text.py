"""The text encoder: an LSTM that padding cannot touch, in either direction."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfp.config import TextModelConfig
from mfp.models.recurrent import Recurrent, scan
from mfp.models.text import ReviewsEncoder, TextEncoder


def lstm(projected, recurrent, mask, reverse=False):
    return scan("lstm", projected, recurrent, mask, reverse)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def plain_lstm(projected, recurrent, lengths, reverse):
    """The recurrence as in the textbook, one film and one step at a time, in float64."""
    batch, steps, gates = projected.shape
    states = np.zeros((batch, steps, gates // 4))
    for b in range(batch):
        cell, hidden = np.zeros(gates // 4), np.zeros(gates // 4)
        real = range(lengths[b])
        for t in reversed(real) if reverse else real:
            i, f, g, o = np.split(projected[b, t] + hidden @ recurrent, 4)
            cell = sigmoid(f) * cell + sigmoid(i) * np.tanh(g)
            hidden = sigmoid(o) * np.tanh(cell)
            states[b, t] = hidden
    return states


def random_case(batch=3, steps=7, hidden=4):
    rng = np.random.default_rng(0)
    projected = rng.normal(size=(batch, steps, 4 * hidden)).astype(np.float32)
    recurrent = (rng.normal(size=(hidden, 4 * hidden)) * 0.7).astype(np.float32)
    lengths = np.array([steps, 3, 0])
    return projected, recurrent, lengths, np.arange(steps) < lengths[:, None]


@pytest.mark.parametrize("reverse", [False, True])
def test_lstm_equals_a_plain_numpy_loop(reverse):
    projected, recurrent, lengths, mask = random_case()
    found = np.asarray(lstm(projected, recurrent, mask, reverse))
    expected = plain_lstm(projected.astype(np.float64), recurrent, lengths, reverse)
    np.testing.assert_allclose(found[mask], expected[mask], rtol=1e-5, atol=1e-6)


def test_padded_steps_pass_the_state_on():
    projected, recurrent, _, mask = random_case()
    forward = np.asarray(lstm(projected, recurrent, mask))
    np.testing.assert_array_equal(forward[1, 3:], np.tile(forward[1, 2], (4, 1)))
    # Backwards the padding comes first: the state is still zero there.
    backward = np.asarray(lstm(projected, recurrent, mask, reverse=True))
    np.testing.assert_array_equal(backward[1, 3:], 0)
    np.testing.assert_array_equal(backward[2], 0)


@pytest.mark.parametrize("reverse", [False, True])
def test_a_state_depends_on_the_steps_before_it_only(reverse):
    projected, recurrent, _, mask = random_case()
    mask = np.ones_like(mask)
    changed = projected.copy()
    changed[:, 3] += 1
    moved = lstm(projected, recurrent, mask, reverse) != lstm(changed, recurrent, mask, reverse)
    moved_steps = np.asarray(moved).any(axis=(0, 2))
    expected = np.arange(7) <= 3 if reverse else np.arange(7) >= 3
    np.testing.assert_array_equal(moved_steps, expected)


@pytest.mark.parametrize("reverse", [False, True])
def test_lstm_gradient_is_zero_on_padding_and_finite(reverse):
    projected, recurrent, _, mask = random_case()
    loss = lambda p, r: jnp.sum(jnp.where(mask[..., None], lstm(p, r, mask, reverse), 0) ** 2)  # noqa: E731
    by_input, by_recurrent = jax.grad(loss, argnums=(0, 1))(projected, recurrent)
    np.testing.assert_array_equal(np.asarray(by_input)[~mask], 0)
    assert np.isfinite(by_recurrent).all()
    assert np.abs(by_recurrent).max() > 0


def test_the_forget_gate_starts_open():
    x, mask = np.zeros((1, 2, 3), np.float32), np.ones((1, 2), bool)
    params = Recurrent("lstm", hidden=4).init(jax.random.key(0), x, mask)["params"]
    np.testing.assert_array_equal(params["input"]["bias"], [0] * 4 + [1] * 4 + [0] * 8)
    np.testing.assert_allclose(  # orthogonal rows
        params["recurrent"] @ params["recurrent"].T, np.eye(4), atol=1e-5
    )


def plain_rnn(projected, recurrent, lengths, reverse):
    states = np.zeros((*projected.shape[:2], len(recurrent)))
    for b, length in enumerate(lengths):
        hidden = np.zeros(len(recurrent))
        for t in reversed(range(length)) if reverse else range(length):
            hidden = states[b, t] = np.tanh(projected[b, t] + hidden @ recurrent)
    return states


def plain_gru(projected, recurrent, lengths, reverse):
    states = np.zeros((*projected.shape[:2], len(recurrent)))
    for b, length in enumerate(lengths):
        hidden = np.zeros(len(recurrent))
        for t in reversed(range(length)) if reverse else range(length):
            r, z, n = np.split(projected[b, t], 3)
            ur, uz, un = np.split(hidden @ recurrent, 3)
            update = sigmoid(z + uz)
            hidden = (1 - update) * np.tanh(n + sigmoid(r + ur) * un) + update * hidden
            states[b, t] = hidden
    return states


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(("kind", "gates", "plain"), [("rnn", 1, plain_rnn), ("gru", 3, plain_gru)])
def test_simpler_recurrences_equal_a_plain_numpy_loop(kind, gates, plain, reverse):
    projected, recurrent, lengths, mask = random_case()
    projected, recurrent = projected[..., : gates * 4], recurrent[:, : gates * 4]
    found = np.asarray(scan(kind, projected, recurrent, mask, reverse))
    expected = plain(projected.astype(np.float64), recurrent, lengths, reverse)
    np.testing.assert_allclose(found[mask], expected[mask], rtol=1e-5, atol=1e-6)


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
