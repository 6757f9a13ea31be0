"""Targets that count by learned uncertainty."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mfp.config import ParallelConfig
from mfp.training.parallel import Runner
from mfp.training.step import (
    UNCERTAINTY,
    Objective,
    init_state,
    penalty,
    train_step,
)
from training.line import KEY, PARAMS, line, line_batch


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


def test_what_uncertainty_adds_to_the_loss():
    """log s of each target that some film knows, however little it weighs."""
    params = PARAMS | {UNCERTAINTY: {"rating": jnp.asarray(0.3), "hit": jnp.asarray(-0.2)}}
    objective = Objective({"rating": 1.0, "hit": 0.5}, uncertainty=True)
    for rating, hit, expected in ((2.0, 0.25, 0.5 * 0.3 - 0.25 * 0.2), (2.0, 0.0, 0.5 * 0.3)):
        weights = {"rating": jnp.asarray(rating), "hit": jnp.asarray(hit)}
        found = penalty(params, objective=objective, weights=weights)
        assert float(found) == pytest.approx(expected)


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
