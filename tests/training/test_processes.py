"""Several real processes on this machine: equal to one, stopped together, outliving none."""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass

import compilation
import jax
import numpy as np
import pytest
from conftest import ROOT

from mfp.config import ConfigError, ParallelConfig
from mfp.training import loop, processes, witness
from mfp.training.parallel import Runner
from mfp.training.run import RunFolder

DEAD_AFTER = 10  # seconds

# The command `mfp`, which sends itself a signal when the losses of a step arrive. But for process 0
# it runs on a machine whose NumPy computes something else.
COMMAND = """
import os, sys
import jax
from mfp.training import groups, loop
fit = loop.fit_beside
def elsewhere(*args):
    found = fit(*args)
    return found | jax.tree.map(lambda y: y + 1, groups.held(found))
if sys.argv[-2] == "--process" and sys.argv[-1] != "0":
    loop.fit_beside = elsewhere
from mfp.report import progress
at, number, shown = int(sys.argv.pop(1)), int(sys.argv.pop(1)), progress.TrainingProgress.step
def step(self, k, losses):
    shown(self, k, losses)
    if k == at:
        os.kill(os.getpid(), number)
progress.TrainingProgress.step = step
from mfp.cli import main
main()
"""


@dataclass(frozen=True)
class Ended:
    code: int
    output: str
    at: float  # seconds, monotonic


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@pytest.fixture(scope="module")
def train(prepared, dataset, tmp_path_factory):
    """train(folder, mode, processes, devices each, signal=(process, step, number)) -> [Ended]."""
    assert dataset.fingerprint  # prepared by now

    def started(folder, mode, count, devices, sent=(0, -1, 0), settings=()):
        environment = compilation.environment(tmp_path_factory)
        environment |= {"JAX_NUM_CPU_DEVICES": str(devices), "PYTHONPATH": str(ROOT)}
        arguments = ["train", "--config", "configs/debug.toml", "--run", str(folder)]
        values = [f"parallel.mode={mode}", f"parallel.dead_after={DEAD_AFTER}", *settings]
        for value in [f'data.prepared="{prepared}"', *values]:
            arguments += ["--set", value]
        coordinator = f"127.0.0.1:{free_port()}"
        running = []
        for i in range(count):
            joined = ["--distributed", "--coordinator", coordinator]
            joined += ["--processes", str(count), "--process", str(i)]
            process, step, number = sent
            told = [str(step if process == i else -1), str(number)]
            command = [sys.executable, "-c", COMMAND, *told, *arguments]
            running.append(
                subprocess.Popen(
                    [*command, *(joined if count > 1 else [])],
                    cwd=ROOT,
                    env=environment,
                    stdout=subprocess.DEVNULL,
                    stderr=(folder.parent / f"{folder.name}-{i}.log").open("w"),
                )
            )
        return running

    def train(folder, *args, **kwargs):
        running = started(folder, *args, **kwargs)
        ended = dict.fromkeys(range(len(running)))
        try:
            deadline = time.monotonic() + 600
            while None in ended.values():
                if time.monotonic() > deadline:
                    logs = sorted(folder.parent.glob(f"{folder.name}-*.log"))
                    pytest.fail("\n".join(["a process hangs", *(log.read_text() for log in logs)]))
                for i, process in enumerate(running):
                    if ended[i] is None and process.poll() is not None:
                        output = (folder.parent / f"{folder.name}-{i}.log").read_text()
                        ended[i] = Ended(process.returncode, output, time.monotonic())
                time.sleep(0.05)
        finally:
            for process in running:
                process.kill()
        return list(ended.values())

    return train


def finished(ended):
    for end in ended:
        assert end.code == 0, end.output


def outcome(folder):
    """Last state, log and metrics of a run."""
    run = RunFolder(folder)
    config, _ = run.read_config()
    state, _ = loop.restore_last(run, config)
    log = [json.loads(line) for line in run.log_file.read_text().splitlines()]
    return state, log, json.loads(run.metrics_file.read_text())


def assert_equal_runs(found, expected, lines):
    """To the rounding of float32 after all steps; the log has so many lines or more."""
    (state, log, metrics), (other_state, other_log, other_metrics) = found, expected
    assert int(state.step) == int(other_state.step)
    for a, b in zip(jax.tree.leaves(state), jax.tree.leaves(other_state), strict=True):
        # A two-hundredth of one step of Adam, whose division by the root of the second moment
        # blows rounding up where a gradient is next to nothing. What comes of it follows.
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=0.005 * 0.02)
    assert len(log) == len(other_log) >= lines
    for line, other in zip(log, other_log, strict=True):
        assert flat(line) == pytest.approx(flat(other), rel=1e-5, abs=1e-6)
    for split in ("test", "validation", "baselines"):
        expected = flat(other_metrics[split])
        assert flat(metrics[split]) == pytest.approx(expected, rel=1e-5, abs=1e-6)


def flat(values, prefix=""):
    found = {}
    for key, value in values.items():
        inner = flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
        found |= inner
    return found


# Without texts, whose network would take most of the time to compile.
SMALL = (
    "features.texts=[]",
    *("model.kernel.share=0.2", "model.kernel.anchors=50", "model.kernel.steps=2"),
    *("model.trees.share=0.2", "model.trees.count=10"),
)
SPLIT = ("parallel.model_devices=2", "parallel.shard_at_least=64", *SMALL)


@pytest.fixture(scope="module")
def undisturbed(train, tmp_path_factory):
    """Two processes of two devices each, which share the large parameters."""
    folder = tmp_path_factory.mktemp("two") / "run"
    finished(train(folder, "sharded", 2, 2, settings=SPLIT))
    return folder


@pytest.mark.multiprocess
@pytest.mark.slow
def test_two_sharded_processes_are_one_device(undisturbed, train, tmp_path):
    """Dropout included: sharded jit draws what one device draws."""
    finished(train(tmp_path / "one", "jit", 1, 1, settings=SMALL))
    assert_equal_runs(outcome(undisturbed), outcome(tmp_path / "one"), lines=12)
    assert (undisturbed / "bundle" / "manifest.json").exists()


@pytest.mark.multiprocess
@pytest.mark.soak
def test_two_processes_under_pmap_are_one_process(train, tmp_path):
    """Of as many devices, since under pmap each draws its own dropout."""
    one, two = tmp_path / "one", tmp_path / "two"
    finished(train(one, "pmap", 1, 2, settings=["train.epochs=1", *SMALL]))
    finished(train(two, "pmap", 2, 1, settings=["train.epochs=1", *SMALL]))
    assert_equal_runs(outcome(two), outcome(one), lines=5)


@pytest.mark.multiprocess
@pytest.mark.soak
def test_a_run_survives_the_death_of_each_of_its_processes(train, undisturbed, tmp_path):
    folder = tmp_path / "run"
    # Process 1 is killed: process 0 waits in a collective, until its watch names the dead one.
    zero, one = train(folder, "sharded", 2, 2, (1, 9, signal.SIGKILL), SPLIT)
    assert one.code == -signal.SIGKILL
    assert zero.code == processes.DIED, zero.output
    assert "process 1 of 2 is gone: no sign of life for 10 s" in zero.output
    assert zero.at - one.at < DEAD_AFTER + 6
    # Process 1 alone is asked to stop: both save at the same step, and end the same way.
    ended = train(folder, "sharded", 2, 2, (1, 13, signal.SIGTERM), SPLIT)
    assert [end.code for end in ended] == [128 + signal.SIGTERM] * 2, ended
    assert "resuming after step" in ended[0].output
    assert "stopped by SIGTERM after step 16; saved" in ended[0].output
    assert ended[1].output.count("stopped by") == 0  # one process speaks
    # Process 0, which coordinates, is killed.
    zero, one = train(folder, "sharded", 2, 2, (0, 20, signal.SIGKILL), SPLIT)
    assert zero.code == -signal.SIGKILL
    assert "resuming after step 16 of 24" in zero.output
    assert one.code == -signal.SIGABRT, one.output
    assert one.at - zero.at < DEAD_AFTER
    log = folder.parent / "run-1.log"
    for _ in range(50):  # the witness outlives its process by a moment
        if "process 0, which coordinates" in log.read_text():
            break
        time.sleep(0.1)
    else:
        pytest.fail(log.read_text())
    # And the run ends as if nothing had happened.
    finished(train(folder, "sharded", 2, 2, settings=SPLIT))
    for name in ("log.jsonl", "features.json", "config.json"):
        assert (folder / name).read_text() == (undisturbed / name).read_text(), name
    found, expected = outcome(folder), outcome(undisturbed)
    for a, b in zip(jax.tree.leaves(found[0]), jax.tree.leaves(expected[0]), strict=True):
        np.testing.assert_array_equal(a, b)
    assert found[2]["test"] == expected[2]["test"]


@pytest.mark.multiprocess
def test_processes_that_cannot_find_each_other(tmp_path):
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("JAX_COO", "SLURM"))}
    done = subprocess.run(
        [sys.executable, "-c", "from mfp.cli import main; main()", "train", "--distributed"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 1
    assert "--distributed: " in done.stderr
    assert "--coordinator HOST:PORT" in done.stderr
    assert "Traceback" not in done.stderr


def test_one_device_is_refused_to_several_processes(monkeypatch):
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    with pytest.raises(ConfigError, match=r"parallel.mode: 'jit' .* 'pmap' or 'sharded'"):
        Runner(ParallelConfig("jit"), 8)


@pytest.mark.parametrize("proper", [True, False])
@pytest.mark.parametrize("there", [True, False])
def test_the_witness_speaks_when_the_coordinator_is_gone(proper, there, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", io.StringIO("a proper end" if proper else ""))
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        if not there:
            server.close()
        witness.main("127.0.0.1", str(port), "1")
    said = capsys.readouterr().err
    assert ("process 0, which coordinates" in said) == (not proper and not there)


def test_a_process_alone_goes_first():
    with processes.ALONE.first():
        pass
    assert (processes.ALONE.index, processes.ALONE.count) == (0, 1)
