"""The loop: a stop is no difference, a finished run stays finished, trouble is named."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfp.config import ConfigError
from mfp.report.progress import TrainingProgress
from mfp.training import assemble, evaluate, loop, optim, parallel, programs
from mfp.training.checkpoint import Checkpoints
from mfp.training.evaluate import Evaluator
from mfp.training.run import BusyError, RunFolder
from mfp.training.step import init_state

PER_EPOCH, TOTAL = 7, 21


class Watched(TrainingProgress):
    """Notes what it is told; sends this process a signal when a step's losses arrive."""

    def __init__(self, at: int | None = None, number: int = signal.SIGTERM):
        super().__init__(quiet=True)
        self.at, self.number = at, number
        self.steps: list[int] = []
        self.epochs: list[int] = []
        self.said: list[str] = []

    def say(self, message):
        self.said.append(message)

    def step(self, step, losses):
        self.steps.append(step)
        if step == self.at:
            os.kill(os.getpid(), self.number)

    def epoch(self, epoch, losses, scores, best):
        self.epochs.append(epoch)


def replace(config, section, **values):
    return dataclasses.replace(
        config, **{section: dataclasses.replace(getattr(config, section), **values)}
    )


def last_state(run: RunFolder, config):
    """The arrays of a run's last checkpoint."""
    spec = run.read_features()
    params = assemble.init_params(assemble.build_network(config, spec), spec, config.seed)
    like = init_state(params, optim.optimizer(config.optimizer, TOTAL))
    with Checkpoints(run.checkpoints) as checkpoints:
        return checkpoints.restore(checkpoints.last, like)


def assert_same_bits(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert np.asarray(x).tobytes() == np.asarray(y).tobytes()


@pytest.fixture(scope="module")
def straight(tiny, few, tmp_path_factory):
    """A run that nothing interrupted."""
    run, progress = RunFolder(tmp_path_factory.mktemp("straight")), Watched()
    trained = loop.train(tiny, few, run, progress)
    return run, trained, progress


def test_every_step_and_epoch_is_seen_once(straight):
    _, trained, progress = straight
    assert progress.steps == list(range(1, TOTAL + 1))
    assert progress.epochs == [1, 2, 3]
    assert trained.step in (7, 14, 21)
    assert set(trained.splits) == {"train", "validation", "test"}
    assert trained.seconds > 0


def test_the_log_has_every_second_step_and_every_epoch(straight, tiny):
    run, trained, _ = straight
    lines = [json.loads(line) for line in run.log_file.read_text().splitlines()]
    steps = [line for line in lines if "validation" not in line]
    assert [line["step"] for line in steps] == list(range(2, TOTAL + 1, 2))
    assert [line["epoch"] for line in steps] == [(s - 1) // 7 + 1 for s in range(2, TOTAL + 1, 2)]
    schedule = optim.schedule(tiny.optimizer, TOTAL)
    for line in steps:
        assert line["learning_rate"] == pytest.approx(float(schedule(line["step"] - 1)), rel=1e-6)
        assert np.isfinite(line["loss"])
    epochs = [line for line in lines if "validation" in line]
    assert [line["step"] for line in epochs] == [7, 14, 21]
    best = min(epochs, key=lambda line: line["validation"]["loss"])
    assert trained.step == best["step"]
    assert lines == sorted(lines, key=lambda line: line["step"])


def test_training_helps(straight):
    run, _, _ = straight
    lines = [json.loads(line) for line in run.log_file.read_text().splitlines()]
    losses = [line["validation"]["loss"] for line in lines if "validation" in line]
    assert min(losses[1:]) < losses[0]


def test_the_parameters_returned_are_the_average_of_the_best_epoch(straight, tiny):
    run, trained, _ = straight
    spec, params, step, _ = loop.restore_best(run, tiny)
    assert spec == trained.spec
    assert step == trained.step
    assert_same_bits(params, trained.params)


# Each signal is seen a step later: 2 is logged, 7 and 21 end an epoch, 9 is none of these.
@pytest.mark.parametrize(
    ("at", "number"),
    [
        (1, signal.SIGTERM),
        (6, signal.SIGTERM),
        (8, signal.SIGTERM),
        (8, signal.SIGINT),
        (8, signal.SIGUSR1),
        (20, signal.SIGTERM),
    ],
)
def test_a_run_that_was_interrupted_ends_in_the_same_bits(
    straight, tiny, few, tmp_path, at, number
):
    whole, trained, _ = straight
    run, stopped, resumed = RunFolder(tmp_path), Watched(at, number), Watched()
    with pytest.raises(loop.Interrupted, match=f"stopped by {number.name} after step") as caught:
        loop.train(tiny, few, run, stopped)
    assert caught.value.number == number
    after = stopped.steps[-1]
    assert after == at + 1 or after == at
    again = loop.train(tiny, few, run, resumed)
    assert resumed.steps == list(range(after + 1, TOTAL + 1))
    assert f"resuming after step {after} of {TOTAL}" in resumed.said

    state, meta = last_state(run, tiny)
    expected_state, expected_meta = last_state(whole, tiny)
    assert int(state.step) == TOTAL
    assert_same_bits(state, expected_state)
    assert_same_bits(again.params, trained.params)
    assert meta | {"seconds": 0} == expected_meta | {"seconds": 0}
    assert run.log_file.read_text() == whole.log_file.read_text()


def during(monkeypatch, owner, name, number=signal.SIGUSR1):
    """The first call of a function is interrupted by a signal before it returns."""
    original, calls = getattr(owner, name), []

    def interrupted(*args, **kwargs):
        found = original(*args, **kwargs)
        if not calls:
            os.kill(os.getpid(), number)
        calls.append(1)
        return found

    monkeypatch.setattr(owner, name, interrupted)


# The step after which each is obeyed: the first call compiles, 7 and 21 end an epoch, and a
# checkpoint is begun every second step.
@pytest.mark.parametrize(
    ("owner", "name", "after"),
    [
        (programs.flops, "count", 1),  # while compiling
        (Evaluator, "__call__", 7),
        (Checkpoints, "save", 3),
        (Checkpoints, "wait", 21),  # all is done, and the best epoch is being restored
    ],
)
def test_a_signal_at_any_moment_is_obeyed_after_saving(
    straight, tiny, few, tmp_path, monkeypatch, owner, name, after
):
    whole, _, _ = straight
    run = RunFolder(tmp_path)
    with monkeypatch.context() as patch:
        during(patch, owner, name)
        with pytest.raises(loop.Interrupted, match="SIGUSR1"):
            loop.train(tiny, few, run, Watched())
    assert int(last_state(run, tiny)[0].step) == after
    loop.train(tiny, few, run, Watched())
    assert_same_bits(last_state(run, tiny)[0], last_state(whole, tiny)[0])
    assert run.log_file.read_text() == whole.log_file.read_text()


def test_signals_are_given_back(straight):
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    # Ignored where the tests run in the background of a shell.
    assert signal.getsignal(signal.SIGINT) in (signal.default_int_handler, signal.SIG_IGN)


def test_two_runs_of_a_seed_have_the_same_bits_another_seed_has_not(straight, tiny, few, tmp_path):
    _, trained, _ = straight
    same = loop.train(tiny, few, RunFolder(tmp_path / "same"), Watched())
    assert_same_bits(same.params, trained.params)
    other_config = dataclasses.replace(tiny, seed=1)
    other = loop.train(other_config, few, RunFolder(tmp_path / "other"), Watched())
    kernels = (t.params["fusion"]["dense_0"]["kernel"] for t in (trained, other))
    assert np.any(next(kernels) != next(kernels))


def test_a_finished_run_is_not_trained_again(straight, tiny, few, tmp_path):
    whole, trained, _ = straight
    shutil.copytree(whole.path, tmp_path / "copy")
    progress = Watched()
    again = loop.train(tiny, few, RunFolder(tmp_path / "copy"), progress)
    assert progress.steps == []
    assert_same_bits(again.params, trained.params)
    assert again.step == trained.step
    log = (tmp_path / "copy" / "log.jsonl").read_text()
    assert log == whole.log_file.read_text()


def test_the_step_and_the_evaluation_are_compiled_once(tiny, few, tmp_path, monkeypatch):
    compiled = []

    class Recorded(parallel.Runner):
        def compile(self, step):
            compiled.append(super().compile(step))
            return compiled[-1]

        def compile_evaluation(self, apply):
            compiled.append(super().compile_evaluation(apply))
            return compiled[-1]

    evaluate._compiled.cache_clear()
    monkeypatch.setattr(loop, "Runner", Recorded)
    monkeypatch.setattr(parallel, "Runner", Recorded)
    loop.train(tiny, few, RunFolder(tmp_path), Watched())
    assert len(compiled) == 2
    assert [parallel.compilations(function) for function in compiled] == [1, 1]


def test_early_stopping(tiny, few, tmp_path):
    # Nothing moves, so no epoch after the first is better: it stops after patience more.
    still = replace(tiny, "optimizer", learning_rate=0.0)
    still = replace(still, "train", patience=2, epochs=9)
    run, progress = RunFolder(tmp_path), Watched()
    trained = loop.train(still, few, run, progress)
    assert progress.epochs == [1, 2, 3]
    again = Watched()
    assert loop.train(still, few, run, again).step == trained.step
    assert again.steps == []  # stopped early is finished


def test_a_folder_of_another_config_is_refused_by_the_key(straight, tiny, few):
    run, _, _ = straight
    other = replace(tiny, "optimizer", learning_rate=0.5)
    with pytest.raises(ConfigError, match=r"optimizer\.learning_rate: 0\.02 -> 0\.5"):
        loop.train(other, few, run, Watched())


def test_a_loss_that_is_not_finite_stops_the_run(tiny, few, tmp_path):
    wild = replace(tiny, "optimizer", name="sgd", learning_rate=1e12, clip_norm=0.0)
    run, progress = RunFolder(tmp_path), Watched()
    with pytest.raises(loop.TrainingError, match="no good step was saved before") as caught:
        loop.train(wild, few, run, progress)
    assert "optimizer.learning_rate" in str(caught.value)
    with pytest.raises(loop.TrainingError, match="no finished epoch"):
        loop.restore_best(run, wild)


@pytest.mark.parametrize("what", ["loss", "parameters"])
def test_the_last_good_step_is_named_and_kept(tiny, few, tmp_path, monkeypatch, what):
    """Step 10 goes wrong: its loss shows that, or only its update, before it is saved."""
    step_of = assemble.train_step

    def wrong(state, batch, key, **kwargs):
        new, sums = step_of(state, batch, key, **kwargs)
        bad = jnp.where(state.step == 9, jnp.nan, 0.0)
        if what == "loss":
            return new, {name: (s + bad, w) for name, (s, w) in sums.items()}
        return new._replace(params=jax.tree.map(lambda leaf: leaf + bad, new.params)), sums

    monkeypatch.setattr(assemble, "train_step", wrong)
    run = RunFolder(tmp_path)
    with pytest.raises(loop.TrainingError, match=r"last good step that was saved is 8") as caught:
        loop.train(tiny, few, run, Watched())
    assert ("the loss of step 10 is nan" in str(caught.value)) == (what == "loss")
    assert ("the parameters after step 10" in str(caught.value)) == (what == "parameters")
    assert str(run.checkpoints / "8") in str(caught.value)
    state, _ = last_state(run, tiny)
    assert int(state.step) == 8
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state.params))


def test_nothing_slips_between_host_and_device(tiny, few, tmp_path, monkeypatch):
    wish = np.zeros((1, len(parallel.Wish._fields)), np.int32)
    monkeypatch.setattr(loop.Runner, "place", lambda _, batch, *__: {**batch, "wish": wish})
    with pytest.raises(Exception, match="Disallowed host-to-device transfer"):
        loop.train(tiny, few, RunFolder(tmp_path), Watched())


def test_a_shape_that_leaks_is_caught(tiny, few, tmp_path, monkeypatch):
    """A last batch that is not padded, for example."""
    place = loop.Runner.place

    def unpadded(runner, batch, *wish):
        full = all(batch["weights/rating"][-8:] == 0)
        return place(runner, {k: v[:-8] for k, v in batch.items()} if full else batch, *wish)

    monkeypatch.setattr(loop.Runner, "place", unpadded)
    with pytest.raises(programs.RecompiledError, match="compiled 2 times for 1 batch shape"):
        loop.train(tiny, few, RunFolder(tmp_path), Watched())


def test_two_at_once_in_a_folder(tiny, few, tmp_path):
    class Second(Watched):
        def step(self, step, losses):
            if step == 1:
                loop.train(tiny, few, RunFolder(tmp_path), Watched())

    with pytest.raises(BusyError, match=f"process {os.getpid()} on .*--run"):
        loop.train(tiny, few, RunFolder(tmp_path), Second())


def test_chosen_steps_are_traced_and_speed_is_told(straight, tiny, few, tmp_path):
    _, trained, _ = straight
    run, progress = RunFolder(tmp_path), Watched()
    again = loop.train(tiny, few, run, progress, profile=(3, 5))
    assert_same_bits(again.params, trained.params)
    assert any("the steps up to 5 are traced" in line for line in progress.said)
    (trace,) = run.path.glob("profile/plugins/profile/*/*.xplane.pb")
    assert trace.stat().st_size > 1000
    lines = [json.loads(line) for line in run.speed_file.read_text().splitlines()]
    assert [line["step"] for line in lines] == [7, 14, 21]
    assert [line["compile_seconds"] > 0 for line in lines] == [True, False, False]
    for line in lines:
        assert line["films_per_second"] == pytest.approx(200 / 7 / line["step_seconds"], rel=0.01)
        assert 0 <= line["input_wait_share"] <= 1
        assert line["flops_per_second"] > 0
    assert "films/s" in progress.said[-1]


@pytest.mark.slow
def test_a_checkpoint_of_many_devices_goes_on_with_one_and_the_reverse(
    straight, still, few, tmp_path
):
    """Without dropout, which each device draws anew."""
    modes = ("pmap", "jit", "pmap")
    run = RunFolder(tmp_path)
    for mode, at in zip(modes, (4, 11, None), strict=True):
        before = last_state(run, still.config)[0] if at != 4 else None
        config = replace(still.config, "parallel", mode=mode)
        if before is not None:
            with Checkpoints(run.checkpoints) as checkpoints:
                found, _ = checkpoints.restore(checkpoints.last, before)
            assert_same_bits(found, before)
        if at is None:
            many = loop.train(config, few, run, Watched())
        else:
            with pytest.raises(loop.Interrupted):
                loop.train(config, few, run, Watched(at))
        assert run.read_config()[0] == config
    one = loop.train(still.config, few, RunFolder(tmp_path / "one"), Watched())
    for a, b in zip(jax.tree.leaves(one.params), jax.tree.leaves(many.params), strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-4, atol=1e-5)


def test_training_works_outside_the_main_thread(straight, tiny, few, tmp_path):
    _, trained, _ = straight
    found = []
    thread = threading.Thread(
        target=lambda: found.append(loop.train(tiny, few, RunFolder(tmp_path), Watched()))
    )
    thread.start()
    thread.join()
    assert_same_bits(found[0].params, trained.params)


@pytest.mark.slow
def test_pmap_trains_like_jit(still, few, tmp_path):
    """Without dropout, which each device draws anew."""
    config = replace(still.config, "train", epochs=1)
    one = loop.train(config, few, RunFolder(tmp_path / "jit"), Watched())
    config = replace(config, "parallel", mode="pmap")
    run = RunFolder(tmp_path / "pmap")
    with pytest.raises(loop.Interrupted):
        loop.train(config, few, run, Watched(at=3))
    many = loop.train(config, few, run, Watched())
    for a, b in zip(jax.tree.leaves(one.params), jax.tree.leaves(many.params), strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-5, atol=1e-6)
