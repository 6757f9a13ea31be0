"""Shows on a machine that being stopped makes no difference: train, kill, resume, compare.

Every run is a process of its own, for a killed one takes all its memory with it. It ends itself at
a chosen step by a real signal, and leaves SHA-256 hashes of what it arrived at.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import mfp
from mfp import config as configs
from mfp.config import Config
from mfp.report.progress import TrainingProgress
from mfp.training.run import RunFolder, write_json


class VerifyError(RuntimeError):
    """A run ended otherwise than it should."""


@dataclass(frozen=True)
class Kill:
    """A process sends itself a signal some time after the losses of a step were read."""

    step: int
    signal: int
    delay: float  # seconds


@dataclass(frozen=True)
class Interruption:
    """What became of a run that was killed."""

    signal: str
    killed: int  # the last step it had logged
    resumed: int  # the step that the next process went on from
    allowed: int | None  # steps that may be lost; None for any number

    @property
    def lost(self) -> int:
        return max(0, self.killed - self.resumed)

    @property
    def good(self) -> bool:
        return self.allowed is None or self.lost <= self.allowed


@dataclass(frozen=True)
class Comparison:
    """Parts of two runs that are there, and that differ."""

    what: str
    count: int
    different: int


@dataclass(frozen=True)
class Verdict:
    interruptions: list[Interruption]
    comparisons: list[Comparison]

    @property
    def good(self) -> bool:
        same = all(c.different == 0 and c.count > 0 for c in self.comparisons)
        return same and all(interruption.good for interruption in self.interruptions)


def verify(
    config: Config, folder: Path, kills: int, seed: int, say: Callable[[str], None]
) -> Verdict:
    """Train once undisturbed and once killed `kills` times, by kill -9 and SIGTERM in turn.

    Args:
      folder: where the runs are written.
      seed: of the steps and moments to kill at.

    Raises:
      VerifyError: a process failed, there are too few steps, or the folder holds runs already.
    """
    # Every step is logged, so that the log tells how far a killed process had come.
    config = replace(config, train=replace(config.train, log_every=1))
    straight, disturbed = RunFolder(folder / "undisturbed"), RunFolder(folder / "killed")
    for run in (straight, disturbed):
        if run.path.exists():
            raise VerifyError(f"{run.path}: exists; remove it or choose another folder")
    say("training undisturbed")
    _run(config, straight, None)
    total = _steps(straight)
    if total <= kills:
        raise VerifyError(f"--kills: {kills} do not fit into the {total} steps of the run")
    rng = random.Random(seed)
    steps = sorted(rng.sample(range(1, total), kills))
    say(f"it took {total} steps; training again, to be killed after steps {steps}")
    killed: list[tuple[int, int]] = []
    for i, step in enumerate(steps):
        number = (signal.SIGKILL, signal.SIGTERM)[i % 2]
        name = signal.Signals(number).name
        code = _run(config, disturbed, Kill(step, number, rng.uniform(0, 0.05)))
        say(f"{name} after step {step}: ended with {code} after step {_steps(disturbed)}")
        if code == 0:  # the last steps were done before the signal came
            break
        killed.append((number, _steps(disturbed)))
    _run(config, disturbed, None)
    resumed = [line["from"] for line in _lines(disturbed.path / _SESSIONS)][1:]
    interruptions = [
        Interruption(signal.Signals(number).name, step, start, _allowed(config, number))
        for (number, step), start in zip(killed, resumed, strict=True)
    ]
    return Verdict(interruptions, _compare(straight, disturbed))


def _allowed(config: Config, number: int) -> int | None:
    return 0 if number == signal.SIGTERM else config.train.checkpoint_every or None


def _compare(a: RunFolder, b: RunFolder) -> list[Comparison]:
    left, right = (json.loads((run.path / _HASHES).read_text("utf-8")) for run in (a, b))
    found = [
        Comparison(what, len(left[what]), _differences(left[what], right[what])) for what in left
    ]
    logs = [
        dict(enumerate(run.log_file.read_text("utf-8").splitlines(keepends=True))) for run in (a, b)
    ]
    return [*found, Comparison("log lines", len(logs[0]), _differences(*logs))]


def _differences(a: Mapping[Any, str], b: Mapping[Any, str]) -> int:
    return sum(a.get(key) != b.get(key) for key in a.keys() | b.keys())


def _steps(run: RunFolder) -> int:
    """The last step in a log."""
    return max((line["step"] for line in _lines(run.log_file)), default=0)


def _lines(path: Path) -> list[dict[str, Any]]:
    """JSON lines; one that was cut short by a kill is left out."""
    found = []
    for line in path.read_text("utf-8").splitlines() if path.exists() else []:
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


# What a process leaves in the run folder.
_HASHES, _SESSIONS = "hashes.json", "sessions.jsonl"


def _run(config: Config, run: RunFolder, kill: Kill | None) -> int:
    """Train in a process of its own; its exit code, 128 + signal where that ended it.

    Raises:
      VerifyError: it ended otherwise than by itself or by `kill`.
    """
    plan = {
        "config": configs.to_json(config),
        "run": str(run.path),
        "kill": kill and asdict(kill),
    }
    paths = [str(Path(mfp.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    done = subprocess.run(
        [sys.executable, "-c", "from mfp.training import verify; verify.work()"],
        input=json.dumps(plan),
        env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in paths if path)},
        capture_output=True,
        text=True,
    )
    code = 128 - done.returncode if done.returncode < 0 else done.returncode
    expected = {0} if kill is None else {0, 128 + kill.signal}
    if code not in expected:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise VerifyError(f"{run.path}: a training process ended with code {code}: {last}")
    return code


class _Watched(TrainingProgress):
    """Notes where it begins, and sends the signal."""

    def __init__(self, run: RunFolder, kill: Kill | None):
        super().__init__(quiet=True)
        self._run, self._kill = run, kill

    def begin(self, step: int, total: int, per_epoch: int, batch_size: int) -> None:
        with (self._run.path / _SESSIONS).open("a", encoding="utf-8") as file:
            file.write(json.dumps({"from": step}) + "\n")

    def step(self, step: int, losses: Mapping[str, float]) -> None:
        kill = self._kill
        if kill is not None and step >= kill.step:
            self._kill = None
            timer = threading.Timer(kill.delay, os.kill, (os.getpid(), kill.signal))
            timer.daemon = True
            timer.start()


def work() -> None:
    """One training process of `verify`, with its plan on standard input."""
    from mfp import compiled
    from mfp.data import dataset as datasets
    from mfp.training import loop, signals

    plan = json.load(sys.stdin)
    config = configs.from_json(plan["config"], "plan")
    run = RunFolder(Path(plan["run"]))
    compiled.keep_in(compiled.default_folder())
    progress = _Watched(run, Kill(**plan["kill"]) if plan["kill"] else None)
    try:
        with signals.stop_at_once():
            trained = loop.train(config, datasets.prepare(config.data), run, progress)
    except signals.Interrupted as stopped:
        sys.exit(stopped.exit_code)
    state, memory = loop.restore_last(run, config)
    hashes = {
        "parameters": _hashes(state.params),
        "averaged parameters": _hashes(state.ema),
        "optimizer state": _hashes((state.step, state.opt_state)),
        "best epoch's parameters": _hashes(trained.params),
        "memory of the loop": {k: repr(v) for k, v in asdict(memory).items() if k != "seconds"},
    }
    write_json(run.path / _HASHES, hashes)


def _hashes(tree: Any) -> dict[str, str]:
    """SHA-256 of each array's type, shape and bits."""
    import jax
    import numpy as np

    found = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        array = np.asarray(leaf)
        content = f"{array.dtype} {array.shape} ".encode() + array.tobytes()
        found[jax.tree_util.keystr(path)] = hashlib.sha256(content).hexdigest()
    return found
