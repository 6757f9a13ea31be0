"""Schedule and optimizers: values by hand, each reduces a loss."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mfp.config import OptimizerConfig
from mfp.training import optim


def rates(total=20, **config):
    schedule = optim.schedule(OptimizerConfig(learning_rate=0.4, **config), total)
    return [float(schedule(step)) for step in range(total + 1)]


def test_warmup_rises_in_equal_steps_and_moves_at_once():
    found = rates(warmup_fraction=0.2)  # 4 of 20 steps
    np.testing.assert_allclose(found[:5], [0.1, 0.175, 0.25, 0.325, 0.4], rtol=1e-6)


def test_cosine_falls_from_the_peak_to_zero():
    found = rates(warmup_fraction=0.2)
    expected = [0.4 * 0.5 * (1 + math.cos(math.pi * k / 16)) for k in range(17)]
    np.testing.assert_allclose(found[4:], expected, rtol=1e-5, atol=1e-7)


def test_without_warmup_the_first_step_has_the_full_rate():
    assert rates(warmup_fraction=0.0)[0] == pytest.approx(0.4)
    np.testing.assert_allclose(rates(warmup_fraction=0.0, schedule="constant"), 0.4, rtol=1e-6)
    np.testing.assert_allclose(rates(warmup_fraction=0.2, schedule="constant")[4:], 0.4, rtol=1e-6)


CONSTANT = {"learning_rate": 0.1, "schedule": "constant", "warmup_fraction": 0.0}


def first_update(params, grads, **config):
    tx = optim.optimizer(OptimizerConfig(**(CONSTANT | config)), 10)
    return tx.update(grads, tx.init(params), params)[0]


def test_clipping_is_by_the_norm_of_all_gradients_together():
    params = {"a": jnp.zeros((1, 2)), "b": jnp.zeros(1)}
    grads = {"a": jnp.array([[3.0, 0.0]]), "b": jnp.array([4.0])}  # norm 5
    sgd = {"name": "sgd", "momentum": 0.0}
    clipped = first_update(params, grads, clip_norm=1.0, **sgd)
    np.testing.assert_allclose(clipped["a"], [[-0.06, 0]], rtol=1e-6)
    np.testing.assert_allclose(clipped["b"], [-0.08], rtol=1e-6)
    for clip_norm in (0.0, 10.0):  # none, or none needed
        plain = first_update(params, grads, clip_norm=clip_norm, **sgd)
        np.testing.assert_allclose(plain["b"], [-0.4], rtol=1e-6)


def test_momentum_of_sgd():
    params = jnp.zeros(1)
    tx = optim.optimizer(OptimizerConfig("sgd", momentum=0.5, clip_norm=0, **CONSTANT), 10)
    state, moves = tx.init(params), []
    for _ in range(3):
        update, state = tx.update(jnp.ones(1), state, params)
        moves.append(float(update[0]))
    np.testing.assert_allclose(moves, [-0.1, -0.15, -0.175], rtol=1e-6)


def test_the_first_step_of_adam_is_the_learning_rate():
    update = first_update(jnp.zeros(2), jnp.array([5.0, -0.01]), name="adam", clip_norm=0.0)
    np.testing.assert_allclose(update, [-0.1, 0.1], rtol=1e-5)


def test_weight_decay_spares_biases_and_scales():
    params = {"kernel": jnp.full((2, 2), 3.0), "bias": jnp.full(2, 3.0)}
    zeros = jax.tree.map(jnp.zeros_like, params)
    update = first_update(params, zeros, name="adamw", weight_decay=0.5)
    np.testing.assert_allclose(update["kernel"], -0.1 * 0.5 * 3, rtol=1e-6)
    np.testing.assert_array_equal(update["bias"], 0)
    assert not np.any(first_update(params, zeros, name="adam", weight_decay=0.5)["kernel"])


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_each_optimizer_reduces_a_quadratic(name):
    tx = optim.optimizer(OptimizerConfig(name, learning_rate=0.1), 50)
    target = jnp.array([[1.0, -2.0], [0.5, 3.0]])
    loss = lambda p: jnp.sum((p - target) ** 2)  # noqa: E731
    params = jnp.zeros((2, 2))
    state = tx.init(params)

    @jax.jit
    def step(params, state):
        updates, state = tx.update(jax.grad(loss)(params), state, params)
        return optax.apply_updates(params, updates), state

    for _ in range(50):
        params, state = step(params, state)
    assert float(loss(params)) < 0.2 * float(loss(jnp.zeros((2, 2))))
