"""Additive attention: weights over what is there, nothing over padding."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfp.models.attention import AdditiveAttention, masked_softmax


def test_masked_softmax_of_hand_computed_values():
    scores = jnp.array([[0.0, np.log(3.0), 9.0], [5.0, 5.0, 5.0]])
    mask = jnp.array([[True, True, False], [True, True, True]])
    expected = [[0.25, 0.75, 0.0], [1 / 3, 1 / 3, 1 / 3]]
    np.testing.assert_allclose(masked_softmax(scores, mask), expected, rtol=1e-6)


def test_masked_softmax_without_mask_is_softmax():
    scores = jnp.asarray(np.random.default_rng(0).normal(size=(5, 7)), jnp.float32)
    found = masked_softmax(scores, jnp.ones((5, 7), bool))
    np.testing.assert_allclose(found, jax.nn.softmax(scores), rtol=1e-6)


def test_masked_softmax_is_zero_where_nothing_is_there():
    mask = jnp.array([[False, False], [True, False]])
    found = masked_softmax(jnp.array([[1.0, 2.0], [1.0, 2.0]]), mask)
    np.testing.assert_array_equal(found, [[0, 0], [1, 0]])


@pytest.mark.parametrize("size", [1e4, -1e4, 3e38])
def test_masked_softmax_is_finite_at_huge_scores(size):
    scores, mask = jnp.array([[size, 0.0, size]]), jnp.array([[True, True, False]])
    value, grad = jax.value_and_grad(lambda s: masked_softmax(s, mask)[0, 0])(scores)
    np.testing.assert_array_equal(value, 1.0 if size > 0 else 0.0)
    assert np.isfinite(grad).all()


def test_masked_softmax_gradient_equals_that_of_softmax_over_the_true_positions():
    scores = np.random.default_rng(1).normal(size=(1, 6)).astype(np.float32)
    mask = np.array([[True, False, True, True, False, True]])
    cotangent = np.random.default_rng(2).normal(size=4).astype(np.float32)
    ours = jax.grad(lambda s: masked_softmax(s, mask)[0, mask[0]] @ cotangent)(scores)
    plain = jax.grad(lambda s: jax.nn.softmax(s) @ cotangent)(scores[mask])
    np.testing.assert_allclose(ours[mask], plain, rtol=1e-4, atol=1e-7)
    np.testing.assert_array_equal(ours[~mask], 0)


@pytest.fixture(scope="module")
def pooled():
    rng = np.random.default_rng(3)
    x = rng.normal(size=(3, 5, 4)).astype(np.float32)
    mask = np.array([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [0, 0, 0, 0, 0]], bool)
    module = AdditiveAttention(hidden=6)
    params = module.init(jax.random.key(0), x, mask)["params"]
    apply = jax.jit(lambda params, x, mask: module.apply({"params": params}, x, mask))
    return apply, params, x, mask


def test_attention_equals_plain_numpy(pooled):
    apply, params, x, mask = pooled
    vectors, weights = apply(params, x, mask)
    project, score = params["project"], params["score"]
    scores = np.tanh(x @ project["kernel"] + project["bias"]) @ score["kernel"][:, 0]
    exponentials = np.exp(scores) * mask
    expected = exponentials / np.maximum(exponentials.sum(-1, keepdims=True), 1e-30)
    np.testing.assert_allclose(weights, expected, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(vectors, (expected[..., None] * x).sum(1), rtol=1e-5, atol=1e-6)


def test_attention_weights_sum_to_one_or_zero(pooled):
    apply, params, x, mask = pooled
    vectors, weights = apply(params, x, mask)
    np.testing.assert_allclose(np.sum(weights, -1), [1, 1, 0], rtol=1e-6)
    np.testing.assert_array_equal(np.asarray(weights)[~mask], 0)
    np.testing.assert_array_equal(vectors[2], 0)


def test_what_stands_in_padding_changes_nothing(pooled):
    apply, params, x, mask = pooled
    changed = np.where(mask[..., None], x, 1e6).astype(np.float32)
    for a, b in zip(apply(params, x, mask), apply(params, changed, mask), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_row_of_padding_gives_a_finite_gradient(pooled):
    apply, params, x, mask = pooled
    grads = jax.grad(lambda p, x: jnp.sum(apply(p, x, mask)[0] ** 2), argnums=(0, 1))(params, x)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(grads))
    np.testing.assert_array_equal(grads[1][2], 0)  # nothing of the empty row
    np.testing.assert_array_equal(np.asarray(grads[1])[~mask], 0)


def test_float64_stays_float64_so_that_gradients_can_be_checked():
    with jax.enable_x64(True):
        scores = np.random.default_rng(4).normal(size=5)
        mask = np.array([True, True, False, True, True])
        pick = np.array([1.0, -2.0, 0.0, 0.5, 3.0])

        def chosen(scores):
            return masked_softmax(scores, mask) @ pick

        step = 1e-6 * np.eye(5)
        numeric = [(chosen(scores + s) - chosen(scores - s)) / 2e-6 for s in step]
        np.testing.assert_allclose(jax.grad(chosen)(scores), numeric, rtol=0, atol=1e-8)
    assert masked_softmax(scores.astype(jnp.bfloat16), mask).dtype == jnp.float32
