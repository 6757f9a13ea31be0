"""One program for each shape: counted in every mode, and a leak is an error."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from mfp.config import ParallelConfig
from mfp.training import programs
from mfp.training.meter import Meter
from mfp.training.parallel import Runner
from mfp.training.programs import RecompiledError, StepPrograms


def pure(state, batch, key, axis_name=None):
    total = (batch["x"] @ state).sum()
    return state + 1, jax.lax.psum(total, axis_name) if axis_name else total


@pytest.fixture(params=["jit", "pmap", "sharded"])
def made(request):
    """(step, runner, meter) of up to two shapes."""
    runner, meter = Runner(ParallelConfig(mode=request.param), batch_size=8), Meter()
    step = StepPrograms(pure, runner.compile, shapes=2, films=8, meter=meter)
    return step, runner, meter


def batch(runner, width, dtype=np.float32):
    return runner.place({"x": np.ones((8, width, 3), dtype)})


def test_a_program_for_each_shape_however_often_it_is_called(made):
    step, runner, meter = made
    state = runner.place_state(np.ones((3, 2), np.float32))
    key = runner.place_key(jax.random.key(0))
    for width in (5, 4, 5, 5, 4, 4):
        state, *_ = step(state, batch(runner, width), key)
    np.testing.assert_array_equal(jax.device_get(state), 7)
    meter.pause()
    speed = meter.take()
    assert (speed.steps, speed.films) == (6, 48)
    assert speed.flops == 3 * 2 * 8 * (5 + 4) * 3 * 2  # three calls of each width
    with pytest.raises(RecompiledError, match="compiled 3 times for 2 batch shapes"):
        step(state, batch(runner, 6), key)


def test_a_type_that_changes_is_caught(made):
    step, runner, _ = made
    state = runner.place_state(np.ones((3, 2), np.float32))
    key = runner.place_key(jax.random.key(0))
    state, *_ = step(state, batch(runner, 5), key)
    with pytest.raises(RecompiledError, match="train step was compiled 2 times for 1 batch shape"):
        step(state, batch(runner, 5, np.int32), key)


def test_a_state_that_moves_is_caught():
    """jax traces nothing anew for it, but compiles."""
    step = StepPrograms(pure, lambda f: jax.jit(f), shapes=1, films=8, meter=Meter())
    rows = {"x": np.ones((8, 5, 3), np.float32)}
    step(np.ones((3, 2), np.float32), jax.tree.map(jax.numpy.asarray, rows), jax.random.key(0))
    elsewhere = jax.device_put(np.ones((3, 2), np.float32), jax.devices()[1])
    with pytest.raises(RecompiledError):
        step(elsewhere, jax.tree.map(jax.numpy.asarray, rows), jax.random.key(0))


def test_expect():
    programs.expect(2, 2, "evaluation")
    programs.expect(1, 2, "evaluation")
    with pytest.raises(RecompiledError, match="evaluation step was compiled 3 times"):
        programs.expect(3, 2, "evaluation")
