"""The members of a deep ensemble: each goes the way that it would go alone."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfp.config import OptimizerConfig, ParallelConfig
from mfp.data.batches import TrainingBatches
from mfp.training import assemble, optim
from mfp.training.parallel import Runner
from mfp.training.step import (
    Objective,
    ensemble_step,
    init_state,
    train_step,
)
from training.line import PARAMS, line, line_batch


@pytest.fixture(scope="module")
def members(still, tiny):
    """Two members with dropout, clipped and penalised: parameters, and what a step is given."""
    network = assemble.build_network(tiny, still.spec)
    config = OptimizerConfig(learning_rate=0.02, clip_norm=0.05)
    closures = {
        "apply": assemble.apply_function(network),
        "tx": optim.optimizer(config, 10),
        "objective": Objective({"rating": 1.0, "revenue": 0.4, "hit": 0.3}, l2=1e-3),
        "ema": 0.9,
    }
    return assemble.init_params(network, still.spec, 5, members=2), network, closures


def test_members_are_drawn_each_from_its_own_key(members, still):
    params, network, _ = members
    key = jax.random.fold_in(jax.random.key(5), 1)
    alone = jax.jit(network.init)(key, assemble.example_inputs(still.spec))["params"]
    for a, b in zip(jax.tree.leaves(params), jax.tree.leaves(alone), strict=True):
        np.testing.assert_allclose(a[1], b, rtol=1e-6, atol=1e-7)
    kernels = params["fusion"]["dense_0"]["kernel"]
    assert np.abs(kernels[0] - kernels[1]).max() > 0.01


def assert_each_goes_its_own_way(params, closures, batches, mode="jit", devices=1):
    """Same batches, its own key, its own clipping: what each member would do alone."""
    tx, key = closures["tx"], jax.random.key(5)
    count = len(jax.tree.leaves(params)[0])
    rows = len(batches[0]["weights/rating"])
    runner = Runner(ParallelConfig(mode), rows, 1, jax.devices()[:devices])

    def trained(compiled, state, key):
        state = runner.place_state(jax.device_get(state))
        for batch in batches:
            state, sums, _ = compiled(state, runner.place(batch), runner.place_key(key))
        return jax.device_get((state, sums))

    compiled = runner.compile(partial(ensemble_step, members=count, **closures))
    together, sums = trained(compiled, init_state(params, tx, count), key)
    assert together.step == len(batches)
    compiled, losses = runner.compile(partial(train_step, **closures)), []
    for k in range(count):
        own = jax.tree.map(lambda p, k=k: p[k], params)
        alone, found = trained(compiled, init_state(own, tx), jax.random.fold_in(key, k))
        losses.append(float(found["rating"][0]))
        for a, b in zip(
            jax.tree.leaves((together.params, together.ema)),
            jax.tree.leaves((alone.params, alone.ema)),
            strict=True,
        ):
            np.testing.assert_allclose(a[k], b, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(sums["rating"][0], np.mean(losses), rtol=1e-5)
    assert np.ptp(losses) > 1e-3


def test_a_member_takes_the_steps_that_it_would_take_alone(members, still):
    params, _, closures = members
    batches = TrainingBatches(still.splits["train"], 32, seed=0)
    assert_each_goes_its_own_way(params, closures, [batches[k] for k in range(3)])


@pytest.mark.parametrize(("mode", "devices"), [("pmap", 2), ("sharded", 2)])
def test_members_also_go_alone_where_the_batch_is_spread(mode, devices):
    def noisy(params, batch, key):
        y = line(params, batch, key)["outputs"]["rating"]
        y = y + 0.1 * jax.random.normal(key, y.shape)
        return {"outputs": {"rating": y, "hit": y}}

    params = jax.tree.map(lambda p: jnp.stack([p, 10 * p, -p]), PARAMS)
    closures = {
        "apply": noisy,
        "tx": optim.optimizer(OptimizerConfig("sgd", 0.1, clip_norm=0.05), 10),
        "objective": Objective({"rating": 1.0, "hit": 0.5}),
        "ema": 0.9,
    }
    assert_each_goes_its_own_way(params, closures, [line_batch(), line_batch()], mode, devices)
