"""The train step: by hand on a line, and the same under jit and pmap on real films."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mfp.config import OptimizerConfig, ParallelConfig
from mfp.data.batches import TrainingBatches
from mfp.training import assemble, optim
from mfp.training.parallel import Runner
from mfp.training.step import (
    UNCERTAINTY,
    Objective,
    TrainState,
    ensemble_step,
    init_state,
    mean_losses,
    train_step,
)

RNG = np.random.default_rng(0)


def line(params, batch, key):
    """rating = hit logit = x . kernel + bias."""
    y = (batch["x"] @ params["kernel"])[:, 0] + params["bias"][0]
    return {"outputs": {"rating": y, "hit": y}}


def line_batch(rows=8):
    batch = {"x": RNG.normal(size=(rows, 3))}
    batch["targets/rating"] = batch["x"] @ [1.0, -2.0, 0.5] + 0.3
    batch["targets/hit"] = RNG.integers(0, 2, rows)
    batch["weights/rating"] = RNG.integers(0, 2, rows)
    batch["weights/hit"] = RNG.integers(0, 2, rows)
    batch["weights/rating"][0] = batch["weights/hit"][0] = 1
    return {name: np.asarray(a, np.float32) for name, a in batch.items()}


PARAMS = {"kernel": jnp.array([[0.2], [-0.4], [0.0]]), "bias": jnp.array([0.7])}
KEY = jax.random.key(7)


def one_step(batch, state=None, apply=line, ema=0.9, learning_rate=0.1, **objective):
    """A step of plain gradient descent."""
    objective = {"loss_weights": {"rating": 1.0, "hit": 0.5}} | objective
    tx = optax.sgd(learning_rate)
    state = state or init_state(PARAMS, tx)
    return train_step(
        state, batch, KEY, apply=apply, tx=tx, objective=Objective(**objective), ema=ema
    )


def line_gradients(batch):
    """d/dkernel, d/dbias of mean squared error + 0.5 * mean cross-entropy, by hand."""
    y = batch["x"] @ np.asarray(PARAMS["kernel"])[:, 0] + 0.7
    rating, hit = batch["weights/rating"], batch["weights/hit"]
    by_y = 2 * rating * (y - batch["targets/rating"]) / rating.sum()
    by_y += 0.5 * hit * (1 / (1 + np.exp(-y)) - batch["targets/hit"]) / hit.sum()
    return (batch["x"].T @ by_y)[:, None], by_y.sum(keepdims=True)


def test_a_step_by_hand():
    batch = line_batch()
    state, sums = one_step(batch)
    kernel, bias = line_gradients(batch)
    np.testing.assert_allclose(state.params["kernel"], PARAMS["kernel"] - 0.1 * kernel, rtol=1e-5)
    np.testing.assert_allclose(state.params["bias"], PARAMS["bias"] - 0.1 * bias, rtol=1e-5)
    assert int(state.step) == 1
    assert float(sums["rating"][1]) == batch["weights/rating"].sum()
    y = batch["x"] @ np.asarray(PARAMS["kernel"])[:, 0] + 0.7
    squares = batch["weights/rating"] * (y - batch["targets/rating"]) ** 2
    np.testing.assert_allclose(sums["rating"][0], squares.sum(), rtol=1e-5)


def test_penalties_add_to_the_gradient_of_weights_alone():
    batch = line_batch()
    plain, _ = one_step(batch)
    found, _ = one_step(batch, l1=0.2, l2=0.3)
    kernel = np.asarray(PARAMS["kernel"])
    expected = plain.params["kernel"] - 0.1 * (0.2 * np.sign(kernel) + 0.3 * kernel)
    np.testing.assert_allclose(found.params["kernel"], expected, rtol=1e-6, atol=1e-7)
    np.testing.assert_array_equal(found.params["bias"], plain.params["bias"])


def test_the_average_follows_the_parameters():
    batch = line_batch()
    state, averages = None, PARAMS
    for _ in range(3):
        state, _ = one_step(batch, state, ema=0.75)
        averages = jax.tree.map(lambda a, p: 0.75 * a + 0.25 * p, averages, state.params)
    for a, b in zip(jax.tree.leaves(state.ema), jax.tree.leaves(averages), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


def test_without_averaging_the_average_is_the_parameters():
    state, _ = one_step(line_batch(), ema=0.0)
    np.testing.assert_array_equal(state.ema["kernel"], state.params["kernel"])


def test_rows_of_weight_zero_change_nothing():
    batch = line_batch(6)
    padding = {
        name: np.zeros((2, *a.shape[1:]), np.float32)
        if name.startswith("weights/")
        else np.full((2, *a.shape[1:]), 1e3, np.float32)
        for name, a in batch.items()
    }
    padded = {name: np.concatenate([a, padding[name]]) for name, a in batch.items()}
    plain, plain_sums = one_step(batch)
    found, found_sums = one_step(padded)
    for a, b in zip(
        jax.tree.leaves((plain.params, plain_sums)),
        jax.tree.leaves((found.params, found_sums)),
        strict=True,
    ):
        np.testing.assert_allclose(b, a, rtol=1e-6, atol=1e-7)


def test_a_batch_that_knows_nothing_of_a_target_changes_nothing_by_it():
    batch = line_batch()
    batch["weights/hit"][:] = 0
    found, sums = one_step(batch)
    alone, _ = one_step(batch, loss_weights={"rating": 1.0, "hit": 0.0})
    np.testing.assert_array_equal(found.params["kernel"], alone.params["kernel"])
    means = mean_losses(jax.device_get(sums), Objective({"rating": 1.0, "hit": 0.5}))
    assert "loss_hit" not in means
    assert np.isfinite(means["loss"])


def noise(params, batch, key):
    return {"outputs": {"rating": params["kernel"][0, 0] * jax.random.uniform(key, (4,))}}


def noise_batch():
    return {"targets/rating": np.zeros(4, np.float32), "weights/rating": np.ones(4, np.float32)}


def test_dropout_is_a_function_of_key_and_step():
    tx = optax.sgd(0.0)
    only_rating = {"loss_weights": {"rating": 1.0}}
    sums = []
    for step in (0, 5, 5):
        state = init_state(PARAMS, tx)._replace(step=jnp.asarray(step, jnp.int32))
        _, found = one_step(noise_batch(), state, apply=noise, **only_rating)
        drawn = 0.2 * jax.random.uniform(jax.random.fold_in(KEY, step), (4,))
        np.testing.assert_allclose(found["rating"][0], jnp.sum(drawn**2), rtol=1e-6)
        sums.append(float(found["rating"][0]))
    assert sums[1] == sums[2] != sums[0]


def test_every_shard_draws_its_own_dropout():
    tx = optax.sgd(0.0)
    step = partial(train_step, apply=noise, tx=tx, objective=Objective({"rating": 1.0}), ema=0.0)
    runner = Runner(ParallelConfig("pmap"), 16, devices=jax.devices()[:4])
    batch = {name: np.tile(a, 4) for name, a in noise_batch().items()}
    state = runner.place_state(jax.device_get(init_state(PARAMS, tx)))
    _, found, _ = runner.compile(step)(state, runner.place(batch), runner.place_key(KEY))
    keys = [jax.random.fold_in(jax.random.fold_in(KEY, 0), shard) for shard in range(4)]
    drawn = np.concatenate([0.2 * jax.random.uniform(key, (4,)) for key in keys])
    np.testing.assert_allclose(found["rating"][0], np.sum(drawn**2), rtol=1e-6)


def test_penalties_are_added_once_whatever_the_number_of_shards():
    tx, batch = optax.sgd(0.1), line_batch(8)
    objective = Objective({"rating": 1.0, "hit": 0.5}, l1=0.2, l2=0.3)
    step = partial(train_step, apply=line, tx=tx, objective=objective, ema=0.0)
    runner = Runner(ParallelConfig("pmap"), 8)
    state = runner.place_state(jax.device_get(init_state(PARAMS, tx)))
    many, _, _ = runner.compile(step)(state, runner.place(batch), runner.place_key(KEY))
    one, _ = one_step(batch, l1=0.2, l2=0.3)
    np.testing.assert_allclose(many.params["kernel"], one.params["kernel"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_each_optimizer_reduces_the_loss(name):
    batch = line_batch(32)
    config = OptimizerConfig(name, learning_rate=0.1, weight_decay=0.01)
    tx, objective = optim.optimizer(config, 40), Objective({"rating": 1.0})
    batch = {k: a for k, a in batch.items() if not k.endswith("hit")}
    only_rating = lambda p, b, k: {"outputs": {"rating": line(p, b, k)["outputs"]["rating"]}}  # noqa: E731
    step = jax.jit(partial(train_step, apply=only_rating, tx=tx, objective=objective, ema=0.5))
    state, found = init_state(PARAMS, tx), []
    for _ in range(40):
        state, sums = step(state, batch, KEY)
        found.append(mean_losses(jax.device_get(sums), objective)["loss"])
    assert found[-1] < 0.3 * found[0]


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
        (ParallelConfig("pmap"), 2, 1, "adamw"),
        (ParallelConfig("pmap"), 8, 1, "adamw"),
        (ParallelConfig("pmap"), 8, 1, "sgd"),
        (ParallelConfig("sharded"), 2, 1, "adamw"),
        (ParallelConfig("sharded"), 8, 1, "adamw"),
        (SPLIT, 2, 1, "adamw"),
        (SPLIT, 8, 1, "adamw"),
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
    for config in (ParallelConfig("sharded"), SPLIT):
        found = ten_steps(still, config, 8, name="sgd", apply=apply)
        assert_every_shard_equals(found, expected, 8)


def test_each_part_of_a_batch_draws_its_own_dropout():
    tx = optax.sgd(0.0)
    state = init_state(PARAMS, tx)
    batch = {name: np.tile(a, 2) for name, a in noise_batch().items()}
    _, found = train_step(
        state,
        batch,
        KEY,
        apply=noise,
        tx=tx,
        objective=Objective({"rating": 1.0}),
        ema=0.0,
        accumulate=2,
    )
    keys = [jax.random.fold_in(jax.random.fold_in(KEY, 0), part) for part in range(2)]
    drawn = np.concatenate([0.2 * jax.random.uniform(key, (4,)) for key in keys])
    np.testing.assert_allclose(found["rating"][0], np.sum(drawn**2), rtol=1e-6)


def test_a_batch_padded_with_weightless_rows_gives_the_same_update(still):
    films = still.splits["train"]
    indices = np.arange(24)
    tx = optax.sgd(0.1)
    objective = Objective({"rating": 1.0, "revenue": 0.4, "hit": 0.3})
    step = jax.jit(partial(train_step, apply=still.apply, tx=tx, objective=objective, ema=0.0))
    state = init_state(jax.tree.map(lambda p: p + 0.05, still.params), tx)
    plain, _ = step(state, films.rows(indices, 24), KEY)
    padded, _ = step(state, films.rows(indices, 32), KEY)
    for a, b in zip(jax.tree.leaves(plain), jax.tree.leaves(padded), strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-5, atol=1e-6)


def test_every_film_twice_at_half_its_weight_gives_the_same_update(still):
    films = still.splits["train"]
    objective = Objective({"rating": 1.0, "revenue": 0.4, "hit": 0.3})
    tx = optax.sgd(0.1)
    step = jax.jit(partial(train_step, apply=still.apply, tx=tx, objective=objective, ema=0.0))
    state = init_state(jax.tree.map(lambda p: p + 0.05, still.params), tx)
    once = films.rows(np.arange(24), 24)
    twice = {name: np.concatenate([a, a]) for name, a in once.items()}
    twice |= {name: a / 2 for name, a in twice.items() if name.startswith("weights/")}
    plain, sums = step(state, once, KEY)
    halves, same_sums = step(state, twice, KEY)
    for a, b in zip(
        jax.tree.leaves((plain, sums)), jax.tree.leaves((halves, same_sums)), strict=True
    ):
        np.testing.assert_allclose(b, a, rtol=1e-5, atol=1e-6)


def test_init_state_shares_no_buffer():
    state = init_state(PARAMS, optax.sgd(0.1, momentum=0.9))
    pointers = [leaf.unsafe_buffer_pointer() for leaf in jax.tree.leaves((state.params, state.ema))]
    assert len(set(pointers)) == len(pointers)  # donated buffers may not alias
    assert state.step.dtype == jnp.int32


def test_mean_losses():
    sums = {"rating": (6.0, 3.0), "hit": (1.0, 4.0), "revenue": (0.0, 0.0)}
    found = mean_losses(sums, Objective({"rating": 1.0, "hit": 0.5, "revenue": 9.0}))
    assert found == {"loss": 2 + 0.5 * 0.25, "loss_rating": 2.0, "loss_hit": 0.25}


def test_the_step_keeps_every_shape_and_type(still):
    tx = optim.optimizer(OptimizerConfig(), 10)
    state = jax.eval_shape(lambda p: init_state(p, tx), still.params)
    batch = still.splits["train"].rows(np.arange(8), 8)
    objective = Objective({"rating": 1.0, "revenue": 0.4, "hit": 0.3})
    after, sums = jax.eval_shape(
        partial(train_step, apply=still.apply, tx=tx, objective=objective, ema=0.9),
        state,
        batch,
        KEY,
    )
    assert jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), after) == jax.tree.map(
        lambda leaf: (leaf.shape, leaf.dtype), state
    )
    assert set(sums) == {"rating", "revenue", "hit"}
    assert all(s.shape == w.shape == () for s, w in sums.values())


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


def uncertain(s):
    """A step with learned weights of rating and hit; the gradients of log s^2."""
    params = PARAMS | {UNCERTAINTY: {name: jnp.asarray(v) for name, v in s.items()}}
    objective = Objective({"rating": 1.0, "hit": 0.5}, uncertainty=True)
    tx, batch = optax.sgd(1.0), line_batch()
    state, sums = train_step(
        init_state(params, tx), batch, KEY, apply=line, tx=tx, objective=objective, ema=0.0
    )
    moved = {name: s[name] - float(state.params[UNCERTAINTY][name]) for name in s}
    return moved, {name: float(total / weight) for name, (total, weight) in sums.items()}


def test_uncertain_targets_by_hand():
    """d/ds of exp(-s) L + s / 2, of a regression of exp(-s) L / 2 + s / 2; times the weight."""
    gradient, mean = uncertain({"rating": 0.3, "hit": -0.2})
    expected = {
        "rating": -0.5 * np.exp(-0.3) * mean["rating"] + 0.5,
        "hit": 0.5 * (-np.exp(0.2) * mean["hit"] + 0.5),
    }
    assert gradient == pytest.approx(expected, rel=1e-4)


def test_the_uncertainty_of_a_target_comes_to_rest_at_its_loss():
    params = PARAMS | {UNCERTAINTY: {"rating": jnp.zeros(()), "hit": jnp.zeros(())}}
    still_line = lambda p, batch, key: line(PARAMS, batch, key)  # noqa: E731
    objective = Objective({"rating": 1.0, "hit": 0.5}, uncertainty=True)
    tx, batch = optax.sgd(0.5), line_batch()
    batch["weights/hit"][:] = 0  # nothing is known of it: its uncertainty stays
    state = init_state(params, tx)
    step = jax.jit(partial(train_step, apply=still_line, tx=tx, objective=objective, ema=0.0))
    for _ in range(100):
        state, sums = step(state, batch, KEY)
    loss = float(sums["rating"][0] / sums["rating"][1])
    assert float(jnp.exp(state.params[UNCERTAINTY]["rating"])) == pytest.approx(loss, rel=1e-3)
    assert float(state.params[UNCERTAINTY]["hit"]) == 0


def test_uncertainty_is_added_once_whatever_the_number_of_shards():
    params = PARAMS | {UNCERTAINTY: {"rating": jnp.zeros(()), "hit": jnp.zeros(())}}
    objective = Objective({"rating": 1.0, "hit": 0.5}, uncertainty=True)
    tx, batch = optax.sgd(0.1), line_batch(8)
    step = partial(train_step, apply=line, tx=tx, objective=objective, ema=0.0)
    found = []
    for mode, count in (("jit", 1), ("pmap", 4)):
        runner = Runner(ParallelConfig(mode), 8, 1, jax.devices()[:count])
        state = runner.place_state(jax.device_get(init_state(params, tx)))
        compiled = runner.compile(step)
        state, *_ = compiled(state, runner.place(batch), runner.place_key(KEY))
        found.append(jax.device_get(state.params))
    for a, b in zip(*map(jax.tree.leaves, found), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_smoothing_moves_the_gradient_and_not_what_is_logged():
    batch = line_batch()
    plain, plain_sums = one_step(batch)
    found, sums = one_step(batch, label_smoothing={"hit": 0.2})
    np.testing.assert_allclose(sums["hit"], plain_sums["hit"])
    hit = batch["weights/hit"]
    smoothed = 0.8 * batch["targets/hit"] + 0.1
    by_y = 0.5 * hit * (batch["targets/hit"] - smoothed) / hit.sum()
    expected = plain.params["kernel"] - 0.1 * (batch["x"].T @ by_y)[:, None]
    np.testing.assert_allclose(found.params["kernel"], expected, rtol=1e-5, atol=1e-6)
