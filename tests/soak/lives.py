"""Lives of one run: started, ended by a signal at a chosen place, started again, compared."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
VICTIM = Path(__file__).with_name("victim.py")

START = "start-up"  # a place that nothing announces: it begins with the process
# Of each place, how long after it was announced a signal may come, in seconds: about as long as
# the work there takes. In the order of a life.
PLACES = {
    START: 6.0,
    "compile": 2.0,
    "step": 0.05,
    "evaluation": 0.2,
    "checkpoint": 0.1,
    "rename": 0.01,
    "metrics": 3.0,
    "export": 2.0,
    "end of export": 0.01,
}
TRAINING = ("compile", "step", "evaluation", "checkpoint", "rename")
AFTER = ("metrics", "export", "end of export")


@dataclass(frozen=True)
class Moment:
    """When a life ends: `delay` seconds after it came to a place for the `count`th time."""

    place: str
    count: int
    delay: float
    signal: signal.Signals


@dataclass(frozen=True)
class End:
    """How a life ended."""

    code: int
    error: str
    hit: bool  # the signal found it alive
    seconds: float  # from the signal to the end

    @property
    def resumed(self) -> int:
        """The step that it went on from."""
        found = re.search(r"resuming after step (\d+) of", self.error)
        return int(found[1]) if found else 0

    @property
    def saved(self) -> int | None:
        """The step that it says it saved when it was asked to stop."""
        found = re.search(r"after step (\d+); saved", self.error)
        return int(found[1]) if found else None


@dataclass(frozen=True)
class Run:
    """`mfp train` in a folder of its own."""

    folder: Path
    options: Sequence[str]
    environment: Mapping[str, str]
    compiled: Path

    def live(self, moment: Moment | None = None, timeout: float = 600) -> End:
        """Start it and, where a moment is given, send the signal then."""
        place, count = (moment.place, moment.count) if moment else ("", 0)
        compiled = "none" if place == "compile" else str(self.compiled)
        told, tell = os.pipe()
        command = [sys.executable, str(VICTIM), place, str(count), str(tell), "train"]
        command += ["--run", str(self.folder), "--compiled", compiled, *self.options]
        environment = os.environ | {"PYTHONPATH": str(ROOT)} | dict(self.environment)
        log = self.folder.with_name(f"{self.folder.name}.err")
        with log.open("w") as error:
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=environment,
                stdout=subprocess.DEVNULL,
                stderr=error,
                pass_fds=[tell],
            )
        os.close(tell)
        deadline, sent, hit = time.monotonic() + timeout, time.monotonic(), False
        try:
            if moment is not None:
                if place != START:  # the pipe also becomes readable when the process ends
                    select.select([told], [], [], timeout)
                time.sleep(moment.delay)
                hit = process.poll() is None
                sent = time.monotonic()
                process.send_signal(moment.signal)
            process.wait(deadline - time.monotonic())
        finally:
            process.kill()
            process.wait()
            os.close(told)
        return End(process.returncode, log.read_text(), hit, time.monotonic() - sent)

    def logged(self) -> int:
        """The last step that was logged."""
        log = self.folder / "log.jsonl"
        lines = log.read_text().splitlines(keepends=True) if log.exists() else []
        return max((json.loads(x)["step"] for x in lines if x.endswith("\n")), default=0)

    def checkpoints(self) -> list[int]:
        names = [path.name for path in (self.folder / "checkpoints").glob("*")]
        return sorted(int(name) for name in names if name.isdecimal())


def check(moment: Moment, end: End, run: Run, before: int, every: int) -> list[str]:
    """What of a life that a signal ended is not as promised.

    Args:
      before: the last step that the lives before had logged.
      every: `train.checkpoint_every`, the steps that may be lost.
    """
    found = []
    if "Traceback" in end.error:
        found.append("a traceback")
    if "is damaged" in end.error or "is missing" in end.error:
        found.append("a kill left a damaged checkpoint")
    if "resuming after" in end.error and before - end.resumed > every:
        found.append(f"lost {before - end.resumed} steps")
    number = int(moment.signal)
    allowed = {-number, 0} if moment.signal == signal.SIGKILL else {-number, 128 + number, 0}
    if end.code not in allowed:
        found.append(f"exit code {end.code}")
    if end.code == 128 + number and end.saved is not None and run.checkpoints()[-1] != end.saved:
        found.append(f"step {end.saved} is not saved")
    return [f"{what} ({moment}): {end.error[-2000:]}" for what in found]


def differences(left: Path, right: Path) -> list[str]:
    """What of two finished runs is not the same, bit for bit."""
    import numpy as np

    from mfp import manifest
    from mfp.training import loop, verify
    from mfp.training.run import RunFolder

    found = []
    a, b = ((folder / "log.jsonl").read_bytes().splitlines() for folder in (left, right))
    if a != b:
        twice = len(b) - len(set(b))
        found.append(f"log: {len(a)} and {len(b)} lines, {twice} of them twice")
    a, b = (json.loads((folder / "metrics.json").read_text()) for folder in (left, right))
    if a | {"seconds": 0} != b | {"seconds": 0}:
        found.append("metrics")
    for name in ("features.json", "calibration.json"):
        if (left / name).read_bytes() != (right / name).read_bytes():
            found.append(name)
    for folder in (left, right):  # every file of it by its hash
        manifest.verify(folder / "bundle", manifest.read(folder / "bundle"))
    hashes = []
    for folder in (left, right):
        run = RunFolder(folder)
        config, _ = run.read_config()
        state, memory = loop.restore_last(run, config)
        _, *best = loop.restore_best(run, config)
        stored = _bundle_parameters(folder / "bundle")
        remembered = {k: np.float64(v) for k, v in vars(memory).items() if k != "seconds"}
        hashes.append(verify._hashes((tuple(state), tuple(best[:-1]), stored, remembered)))
    found += [key for key in hashes[0] if hashes[0][key] != hashes[1].get(key)]
    return found


def _bundle_parameters(bundle: Path) -> Any:
    from mfp import manifest, parameters
    from mfp.program import Program

    like = Program((bundle / manifest.PROGRAM).read_bytes()).parameters
    return parameters.read(bundle / manifest.PARAMS, like)
