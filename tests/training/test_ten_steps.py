"""Ten steps on real films end the same under jit, pmap and sharded jit, in one part or several."""

from __future__ import annotations

from functools import partial

import jax
import numpy as np
import pytest

from mfp.config import OptimizerConfig, ParallelConfig
from mfp.data.batches import TrainingBatches
from mfp.training import assemble, optim
from mfp.training.parallel import Runner
from mfp.training.step import (
    Objective,
    TrainState,
    init_state,
    train_step,
)
from training.line import KEY

pytestmark = pytest.mark.usefixtures("optimised")


def uneven(batch, k):
    """Weights such that a mean over shards, or over parts, of their means would be wrong."""
    rng = np.random.default_rng(k)
    for name in batch:
        if name.startswith("weights/"):
            batch[name] = batch[name] * (rng.uniform(size=32) < np.repeat([0.1, 0.9, 0.5, 1], 8))
            batch[name] *= rng.uniform(0.2, 1, size=32)
            batch[name][28:] = 0  # padding
    batch["weights/rating"][4 * (k % 8) : 4 * (k % 8) + 4] = 0  # a shard without any
    batch["weights/rating"][k % 4 :: 4] = 0  # and a part
    batch["weights/hit"][k % 28] = 1  # never none at all
    return {name: a.astype(np.float32) if "weights/" in name else a for name, a in batch.items()}


def ten_steps(still, config, devices=1, accumulate=1, name="adamw", apply=None):
    optimizer = OptimizerConfig(name, learning_rate=0.02, l2=1e-3)
    tx = optim.optimizer(optimizer, 10)
    objective = Objective({"rating": 1.0, "revenue": 0.4, "hit": 0.3}, l2=1e-3)
    step = partial(
        train_step,
        apply=apply or still.apply,
        tx=tx,
        objective=objective,
        ema=0.9,
        accumulate=accumulate,
    )
    runner = Runner(config, 32, accumulate, jax.devices()[:devices])
    compiled = runner.compile(step)
    # Adam divides by the gradient's own size: where that is near 0 rounding shows, as in seed 1.
    batches = TrainingBatches(still.splits["train"], 32, seed=0)
    # The heads start at zero, where nothing below them has a gradient in the first step.
    params = jax.tree.map(lambda p: p + 0.05, still.params)
    state, key = runner.place_state(jax.device_get(init_state(params, tx))), runner.place_key(KEY)
    for k in range(10):
        state, sums, _ = compiled(state, runner.place(uneven(batches[k], k)), key)
    return state, sums


def assert_every_shard_equals(found, expected, devices):
    """Replicas can differ silently, shards lie in the wrong place. Counts the split arrays."""
    split = 0
    pairs = zip(jax.tree.leaves(expected), jax.tree.leaves(found), strict=True)
    for a, b in pairs:
        assert len({shard.device for shard in b.addressable_shards}) == devices
        whole = np.asarray(a)
        for shard in b.addressable_shards:
            np.testing.assert_allclose(shard.data, whole[shard.index], rtol=1e-5, atol=1e-6)
        split += b.addressable_shards[0].data.shape != whole.shape
    return split


@pytest.fixture(scope="module")
def one_device(still):
    return {name: ten_steps(still, ParallelConfig("jit"), name=name) for name in ("sgd", "adamw")}


SPLIT = ParallelConfig("sharded", model_devices=2, shard_at_least=1)


@pytest.mark.parametrize(
    ("config", "devices", "accumulate", "name"),
    [
        (ParallelConfig("pmap"), 8, 1, "adamw"),
        (ParallelConfig("sharded"), 8, 1, "adamw"),
        (SPLIT, 8, 1, "adamw"),
        pytest.param(ParallelConfig("pmap"), 2, 1, "adamw", marks=pytest.mark.soak),
        pytest.param(ParallelConfig("pmap"), 8, 1, "sgd", marks=pytest.mark.soak),
        pytest.param(ParallelConfig("sharded"), 2, 1, "adamw", marks=pytest.mark.soak),
        pytest.param(SPLIT, 2, 1, "adamw", marks=pytest.mark.soak),
        # Not Adam, which blows the rounding of a sum's order up where gradients nearly cancel.
        (ParallelConfig("jit"), 1, 4, "sgd"),
        (ParallelConfig("pmap"), 8, 4, "sgd"),
        (SPLIT, 8, 4, "sgd"),
    ],
)
def test_ten_steps_are_those_of_one_device(still, one_device, config, devices, accumulate, name):
    found = ten_steps(still, config, devices, accumulate, name)
    split = assert_every_shard_equals(found, one_device[name], devices)
    assert isinstance(found[0], TrainState)
    assert (split > 20) == (config.model_devices > 1)


def test_ten_steps_move_the_parameters(still, one_device):
    start = jax.tree.map(lambda p: p + 0.05, still.params)
    for state, _ in one_device.values():
        moved = jax.tree.map(lambda a, b: float(np.abs(a - b).max()), state.params, start)
        assert max(jax.tree.leaves(moved)) > 0.02


def test_sharded_dropout_is_that_of_one_device(still, tiny, few):
    """Whatever the mesh: the program is the same, and so are its draws."""
    apply = assemble.apply_function(assemble.build_network(tiny, still.spec))
    expected = ten_steps(still, ParallelConfig("jit"), name="sgd", apply=apply)
    without = ten_steps(still, ParallelConfig("jit"), name="sgd")
    kernels = [state.params["fusion"]["dense_0"]["kernel"] for state, _ in (expected, without)]
    assert np.abs(kernels[0] - kernels[1]).max() > 1e-3  # it does drop
    found = ten_steps(still, SPLIT, 8, name="sgd", apply=apply)
    assert_every_shard_equals(found, expected, 8)
