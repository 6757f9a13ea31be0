"""Checkpoints: the best and the last two are kept, bits come back, damage is one clear error."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from mfp.config import TrainConfig
from mfp.training.checkpoint import CheckpointError, Checkpoints, Interval
from mfp.training.step import TrainState


def state(step, width=3):
    rng = np.random.default_rng(step)
    params = {"dense": {"kernel": rng.normal(size=(2, width)).astype(np.float32)}}
    opt_state = ({"count": np.int32(step)}, params)
    return TrainState(np.int32(step), params, opt_state, {"dense": {"kernel": np.ones((2, width))}})


LOSSES = {1: None, 2: 0.5, 3: None, 4: 0.3, 5: None, 6: 0.9, 7: None}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("run") / "checkpoints"
    with Checkpoints(path) as checkpoints:
        for step, loss in LOSSES.items():
            checkpoints.save(state(step), {"step": step, "best_loss": 0.25}, loss)
    return path


def steps(folder):
    return sorted(int(path.name) for path in folder.iterdir() if path.name.isdigit())


def test_the_best_and_the_last_two_are_kept(folder):
    assert steps(folder) == [4, 6, 7]


def test_reopening_finds_them(folder):
    with Checkpoints(folder) as checkpoints:
        assert checkpoints.last == 7
        assert sorted(checkpoints.steps) == [4, 6, 7]


def test_the_bits_come_back(folder):
    with Checkpoints(folder) as checkpoints:
        for step in (4, 7):
            found, meta = checkpoints.restore(step, state(0))
            expected = state(step)
            assert meta == {"step": step, "best_loss": 0.25}
            assert found.step.dtype == np.int32
            np.testing.assert_array_equal(found.step, expected.step)
            kernel = found.params["dense"]["kernel"]
            np.testing.assert_array_equal(kernel, expected.params["dense"]["kernel"])
            np.testing.assert_array_equal(found.opt_state[0]["count"], step)
            np.testing.assert_array_equal(found.opt_state[1]["dense"]["kernel"], kernel)
            assert found.ema["dense"]["kernel"].dtype == np.float64  # not cast


def test_device_arrays_may_describe_the_shape(folder):
    like = state(0)._replace(step=jnp.zeros((), jnp.int32))
    with Checkpoints(folder) as checkpoints:
        assert int(checkpoints.restore(7, like)[0].step) == 7


def test_saving_a_step_again_is_no_error(tmp_path):
    with Checkpoints(tmp_path / "checkpoints") as checkpoints:
        assert checkpoints.last is None
        checkpoints.save(state(1), {}, None)
        assert checkpoints.last == 1
        checkpoints.save(state(1), {}, None)  # the same step again is no error


@pytest.mark.parametrize(
    "different",
    [
        state(0, width=5),
        state(0, width=2),
        state(0)._replace(params={"other": np.ones(2, np.float32)}),
        state(0)._replace(opt_state=()),
    ],
    ids=["wider", "narrower", "other names", "another optimizer"],
)
def test_another_network_is_refused(folder, different):
    with (
        Checkpoints(folder) as checkpoints,
        pytest.raises(CheckpointError, match=f"{folder / '7'}: "),
    ):
        checkpoints.restore(7, different)


def test_a_step_that_is_not_there_is_an_error(folder):
    with (
        Checkpoints(folder) as checkpoints,
        pytest.raises(CheckpointError, match=r"/99/hashes\.json: is missing"),
    ):
        checkpoints.restore(99, state(0))


def lost_at_most(every: int, writing: int, steps: int = 60) -> int:
    """The most steps that a kill can lose, where a checkpoint is whole `writing` steps later."""
    interval, worst = Interval(TrainConfig(checkpoint_every=every)), 0
    whole, begun = 0, []  # steps: of the newest whole checkpoint; of one that is being written
    for step in range(1, steps + 1):
        if begun and step - begun[0] > writing:
            whole = begun.pop()
        worst = max(worst, step - whole)  # killed here
        if interval.by_step(step) or interval.by_clock():
            if begun:  # the next waits for it
                whole = begun.pop()
            begun.append(step)
            if interval.wait:
                whole = begun.pop()
    return worst


@pytest.mark.parametrize("writing", [0, 1, 3, 1000])
def test_a_kill_loses_no_more_steps_than_allowed(writing):
    for every in range(1, 20):
        assert lost_at_most(every, writing) <= every, every


def test_checkpoints_by_the_clock():
    now = [0.0]
    config = TrainConfig(checkpoint_every=0, checkpoint_minutes=10)
    interval = Interval(config, clock=lambda: now[0])
    due = []
    for step in range(1, 21):  # one a minute
        now[0] += 60
        if interval.by_step(step) or interval.by_clock():
            due.append(step)
            interval.saved()
    assert due == [5, 10, 15, 20]
    never = Interval(TrainConfig(checkpoint_every=0), clock=lambda: now[0])
    now[0] += 1e9
    assert not any(never.by_step(step) or never.by_clock() for step in range(100))
