"""Placing arrays on devices: explicit, split along rows, compiled once."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from mfp.config import ConfigError, ParallelConfig
from mfp.training import assemble, parallel
from mfp.training.checkpoint import Checkpoints
from mfp.training.evaluate import Evaluator
from mfp.training.optim import optimizer
from mfp.training.parallel import NO_WISH, Runner, Wish, partition
from mfp.training.step import init_state

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


def test_devices_that_do_not_fit_the_config_are_refused():
    with pytest.raises(ConfigError, match=r"32 .* among 8 devices in 8 parts each"):
        Runner(ParallelConfig("pmap"), 32, accumulate=8)
    with pytest.raises(ConfigError, match=r"parallel.model_devices: 3 do not divide the 8 devices"):
        Runner(ParallelConfig("sharded", model_devices=3), 24)
    # The model axis takes no rows.
    Runner(ParallelConfig("sharded", model_devices=4), 2)


@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        ((1000, 64), ("model",)),  # an embedding table: its rows
        ((64, 1000), (None, "model")),  # a kernel: what it puts out
        ((256, 256), (None, "model")),  # of equal axes the last
        ((1001, 64), (None, "model")),  # the longest that can be divided
        ((3, 3, 64, 128), (None, None, None, "model")),
        ((1001, 65), ()),  # none can
        ((100, 99), ()),  # too small to be worth it
        ((100_000,), ()),  # a bias, a scale
        ((), ()),
    ],
)
def test_large_tables_and_kernels_are_split_over_the_model_axis(shape, axes):
    assert partition(shape, 4, at_least=10_000) == PartitionSpec(*axes)
    assert partition(shape, 1, at_least=10_000) == PartitionSpec()


SPLIT = ParallelConfig("sharded", model_devices=2, shard_at_least=64)


def test_moments_and_averages_lie_where_their_parameter_does(still):
    runner = Runner(SPLIT, 32)
    tx = optimizer(still.config.optimizer, 10)
    state = runner.place_state(jax.device_get(init_state(still.params, tx)))
    split = 0
    moments = state.opt_state[1][0]
    for p, *others in zip(
        *map(jax.tree.leaves, (state.params, state.ema, moments.mu, moments.nu)), strict=True
    ):
        assert {leaf.sharding for leaf in others} == {p.sharding}
        shard = p.addressable_shards[0].data
        assert len(p.addressable_shards) == 8
        assert shard.size in (p.size, p.size // 2)
        split += shard.size < p.size
    assert split >= 3


MODES = {
    "jit": ParallelConfig("jit"),
    "pmap": ParallelConfig("pmap"),
    "sharded": ParallelConfig("sharded"),
    "split": SPLIT,
}


@pytest.mark.parametrize(
    ("saved", "restored"),
    [("pmap", "jit"), ("jit", "pmap"), ("split", "jit"), ("jit", "split"), ("split", "sharded")],
)
def test_a_checkpoint_of_eight_devices_is_one_of_one_device(still, tmp_path, saved, restored):
    tx = optimizer(still.config.optimizer, 10)
    rng = np.random.default_rng(0)
    like = jax.device_get(init_state(still.params, tx))
    state = jax.tree.map(lambda a: (100 * rng.normal(size=a.shape)).astype(a.dtype), like)
    before, after = Runner(MODES[saved], 32), Runner(MODES[restored], 32)
    with Checkpoints(tmp_path / "checkpoints") as checkpoints:
        checkpoints.save(before.savable(before.place_state(state)), {"of": saved})
    with Checkpoints(tmp_path / "checkpoints") as checkpoints:
        found, meta = checkpoints.restore(int(state.step), like)
    assert meta == {"of": saved}
    devices = 1 if restored == "jit" else 8
    placed = after.place_state(found)
    for a, b in zip(jax.tree.leaves(state), jax.tree.leaves(placed), strict=True):
        assert len(b.addressable_shards) == devices
        for shard in b.addressable_shards:
            assert np.asarray(shard.data).tobytes() == a[shard.index].tobytes()


def test_what_several_processes_save_is_one_array_of_all(monkeypatch):
    """Copies that pmap leaves on the devices of each process, which Orbax would refuse."""
    runner = Runner(ParallelConfig("pmap"), 8)
    state = {"a": np.arange(6, dtype=np.float32).reshape(2, 3)}
    placed = runner.place_state(state)
    monkeypatch.setattr(runner, "share", (0, 2))
    joined = runner.savable(placed)["a"]
    assert joined.shape == (2, 3)
    assert joined.is_fully_replicated
    np.testing.assert_array_equal(joined, state["a"])


def test_evaluation_is_the_same_on_any_devices(still):
    config = dataclasses.replace(
        still.config, train=dataclasses.replace(still.config.train, batch_size=32)
    )
    params = jax.tree.map(lambda p: p + 0.05, still.params)
    network = assemble.build_network(config, still.spec)
    films = still.splits["validation"]
    found = {}
    for name, mode in MODES.items():
        evaluator = Evaluator.build(network, still.spec, dataclasses.replace(config, parallel=mode))
        with jax.transfer_guard("disallow"):
            found[name] = evaluator(jax.device_get(params), films)
    predictions, held_out = found.pop("jit")
    assert len(films) % 32  # the last batch is padded
    for others, loss in found.values():
        assert loss == pytest.approx(held_out, rel=1e-5)
        for target, y in predictions.items():
            np.testing.assert_allclose(others[target], y, rtol=1e-5, atol=1e-5)


def test_a_batch_that_devices_cannot_divide_is_evaluated_by_one():
    runner = parallel.evaluation_runner(ParallelConfig("pmap"), 30)
    placed = runner.place_rows({"x": np.ones((30, 2), np.float32)})["x"]
    assert placed.devices() == {jax.local_devices()[0]}


@pytest.mark.parametrize("mode", ["jit", "pmap", "sharded"])
def test_what_one_process_wishes_all_do_a_step_later(mode, monkeypatch):
    runner = Runner(ParallelConfig(mode), 8)
    step = runner.compile(total)
    state, key = runner.place_state(jnp.zeros(())), runner.place_key(jax.random.key(0))
    assert runner.agreed(Wish(15, 0), None) == Wish(15, 0)  # alone, there is nobody to wait for
    share = jax.device_count() if mode != "jit" else 1
    told = runner.place(BATCH, Wish(15, 1))
    if share > 1:  # of one device alone, as another process would say it
        quiet = np.zeros((share, 1, 2) if mode == "pmap" else (share, 2), np.int32)
        quiet[3] = (15, 1)
        told["wish"] = jax.device_put(quiet, told["wish"].sharding)
    _, _, wishes = step(state, told, key)
    monkeypatch.setattr(runner, "share", (1, 2))
    assert runner.agreed(NO_WISH, wishes) == Wish(15, 1)
    assert runner.agreed(Wish(15, 0), None) == NO_WISH


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
    first = state
    with jax.transfer_guard("disallow"):
        for _ in range(3):
            state, found, _ = step(state, runner.place(BATCH), key)
    assert first.is_deleted()  # its memory was given to the next state
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
