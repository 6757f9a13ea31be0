"""Placing arrays on devices: explicit, split along rows, compiled once."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfp.config import ConfigError, ParallelConfig
from mfp.training import parallel
from mfp.training.parallel import Runner

BATCH = {"x": np.arange(24, dtype=np.float32).reshape(8, 3), "w": np.ones(8, np.float32)}


traces = []


def total(state, batch, key, *, axis_name):
    traces.append(axis_name)  # runs when the function is traced, not when it is called
    found = jnp.sum(batch["x"] * batch["w"][:, None])
    if axis_name:
        found = jax.lax.psum(found, axis_name)
    return state + found, found


def test_a_batch_that_cannot_be_divided_is_refused():
    with pytest.raises(ConfigError, match=r"train.batch_size: 30 cannot be divided among 8"):
        Runner(ParallelConfig("pmap"), 30)
    Runner(ParallelConfig("jit"), 30)


def test_rows_are_split_in_order_under_pmap():
    placed = Runner(ParallelConfig("pmap"), 8, devices=jax.devices()[:4]).place(BATCH)
    assert placed["x"].shape == (4, 2, 3)
    shards = sorted(placed["x"].addressable_shards, key=lambda shard: shard.device.id)
    assert len({shard.device for shard in shards}) == 4
    for i, shard in enumerate(shards):
        np.testing.assert_array_equal(shard.data[0], BATCH["x"][2 * i : 2 * i + 2])


def test_state_stands_on_every_device_under_pmap_and_on_one_under_jit():
    tree = {"a": np.arange(3)}
    many = Runner(ParallelConfig("pmap"), 8).place_state(tree)["a"]
    assert [shard.data.shape for shard in many.addressable_shards] == [(3,)] * 8
    one = Runner(ParallelConfig("jit"), 8).place_state(tree)["a"]
    assert one.devices() == {jax.local_devices()[0]}


@pytest.mark.parametrize("mode", ["jit", "pmap", "sharded"])
def test_a_compiled_step_transfers_nothing_by_itself_and_compiles_once(mode):
    runner = Runner(ParallelConfig(mode), 8)
    step = runner.compile(total)
    traces.clear()
    state, key = runner.place_state(jnp.zeros(())), runner.place_key(jax.random.key(0))
    with jax.transfer_guard("disallow"):
        for _ in range(3):
            state, found, _ = step(state, runner.place(BATCH), key)
    assert float(found) == BATCH["x"].sum()
    assert float(state) == 3 * BATCH["x"].sum()
    assert len(traces) == 1


def test_another_shape_is_another_compilation():
    compiled = parallel.compile_evaluation(lambda params, batch: params + batch)
    for size in (2, 2, 3):
        compiled(jnp.ones(()), jnp.ones(size))
    assert parallel.compilations(compiled) == 2


def test_to_the_host_and_back():
    tree = {"a": np.arange(3.0, dtype=np.float32), "b": np.int32(7)}
    there = parallel.to_device(tree)
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(there))
    back = parallel.on_host(there)
    assert all(isinstance(leaf, np.ndarray | np.generic) for leaf in jax.tree.leaves(back))
    np.testing.assert_array_equal(back["a"], tree["a"])
