"""The train step: by hand on a line, and what must not change it."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mfp.config import OptimizerConfig, ParallelConfig
from mfp.training import optim
from mfp.training.parallel import Runner
from mfp.training.step import (
    Objective,
    init_state,
    mean_losses,
    penalty,
    train_step,
)
from training.line import KEY, PARAMS, line, line_batch


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


@pytest.mark.parametrize(("l1", "l2"), [(0.2, 0.3), (0.2, 0.0), (0.0, 0.3)])
def test_penalties_add_to_the_gradient_of_weights_alone(l1, l2):
    batch = line_batch()
    plain, _ = one_step(batch)
    found, _ = one_step(batch, l1=l1, l2=l2)
    kernel = np.asarray(PARAMS["kernel"])
    expected = plain.params["kernel"] - 0.1 * (l1 * np.sign(kernel) + l2 * kernel)
    np.testing.assert_allclose(found.params["kernel"], expected, rtol=1e-6, atol=1e-7)
    np.testing.assert_array_equal(found.params["bias"], plain.params["bias"])


def test_a_penalty_is_nothing_but_what_the_objective_names():
    """Absolute values of the weights sum to 0.6, half their squares to 0.1."""
    weights = {"rating": jnp.ones(()), "hit": jnp.ones(())}
    for keys, expected in (({}, 0.0), ({"l1": 2.0}, 1.2), ({"l1": 2.0, "l2": 3.0}, 1.5)):
        objective = Objective({"rating": 1.0, "hit": 0.5}, **keys)
        found = penalty(PARAMS, objective=objective, weights=weights)
        assert float(found) == pytest.approx(expected)


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
    sums = {"rating": (6.0, 3.0), "hit": (0.125, 0.5), "revenue": (0.0, 0.0)}
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
