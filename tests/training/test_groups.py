"""Groups of parameters: what is a weight, and whose factor counts."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfp.config import ConfigError, OptimizerConfig
from mfp.training import groups, losses, optim

PARAMS = {
    "table_people": {"embedding": jnp.full((2, 2), 2.0)},
    "table_genres": {"embedding": jnp.full((1, 2), 3.0)},
    "fusion": {
        "dense_0": {
            "kernel": jnp.full((2, 1), -1.0),
            "bias": jnp.full((3, 1), 9.0),  # of three members
            "r": jnp.full((3, 2), 9.0),
            "s": jnp.full((3, 1), 9.0),
        }
    },
}


def test_adapters_and_biases_of_members_are_no_weights():
    found = groups.factors(PARAMS, {})
    assert found["fusion"]["dense_0"] == {"kernel": 1.0, "bias": 0.0, "r": 0.0, "s": 0.0}


def test_penalties_by_hand():
    # 4 of 2, 2 of 3, 2 of -1.
    assert float(losses.l1(PARAMS)) == 8 + 6 + 2
    assert float(losses.l2(PARAMS)) == 0.5 * (16 + 18 + 2)
    factors = {"table_": 0.5, "table_genres": 2.0, "fusion": 0.0}
    assert float(losses.l1(PARAMS, factors)) == 0.5 * 8 + 2 * 6
    assert float(losses.l2(PARAMS, factors)) == 0.5 * (0.5 * 16 + 2 * 18)


@pytest.mark.parametrize("penalty", [losses.l1, losses.l2])
def test_gradients_equal_finite_differences(penalty):
    factors = {"table_": 0.5, "fusion": 3.0}
    with jax.enable_x64(True):
        params = jax.tree.map(lambda p: jnp.asarray(p, jnp.float64) + 0.1, PARAMS)
        flat, unflatten = jax.flatten_util.ravel_pytree(params)
        scalar = jax.jit(lambda x: penalty(unflatten(x), factors))
        step = 1e-6 * np.eye(len(flat))
        differences = [(scalar(flat + s) - scalar(flat - s)) / 2e-6 for s in step]
        np.testing.assert_allclose(jax.grad(scalar)(flat), differences, rtol=1e-6, atol=1e-8)


def test_decay_by_group_is_adamw_where_all_are_alike():
    grads = jax.tree.map(lambda p: 0.1 * p, PARAMS)

    def update(**config):
        config = OptimizerConfig(
            "adamw", 0.1, weight_decay=0.5, warmup_fraction=0, clip_norm=0, **config
        )
        tx = optim.optimizer(config, 10)
        return tx.update(grads, tx.init(PARAMS), PARAMS)[0]

    plain, alike = update(), update(weight_decay_groups={"table_": 1.0})
    for a, b in zip(jax.tree.leaves(plain), jax.tree.leaves(alike), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)
    found = update(weight_decay_groups={"table_": 2.0, "fusion": 0.0})
    by_decay = jax.tree.map(lambda a, b: b - a, plain, found)
    np.testing.assert_allclose(by_decay["table_people"]["embedding"], -0.1 * 0.5 * 2, rtol=1e-5)
    np.testing.assert_allclose(by_decay["fusion"]["dense_0"]["kernel"], 0.1 * 0.5 * -1, rtol=1e-5)
    np.testing.assert_array_equal(by_decay["fusion"]["dense_0"]["r"], 0)


def test_a_group_that_is_not_there_is_named():
    groups.check(OptimizerConfig(l1_groups={"table_": 2.0}), PARAMS)
    with pytest.raises(ConfigError, match=r"l2_groups\.tables: .* fusion, table_genres, table_peo"):
        groups.check(OptimizerConfig(l2_groups={"tables": 2.0}), PARAMS)
