"""mfp train, ended by real signals at random moments of its life, and started again each time."""

from __future__ import annotations

import json
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import compilation
import pytest
from conftest import ROOT

EVERY = 6  # train.checkpoint_every
CONFIG = """
name = "killed"
[data]
prepared = "{prepared}"
[data.split]
train_until = "1949-12-31"
validation_until = "1952-12-31"
test_until = "1955-12-31"
[features]
numbers = ["runtime_minutes", "release_year"]
sets.content = ["genres"]
[model]
fusion.hidden = [8]
[train]
batch_size = 32
epochs = 15
patience = 15
log_every = 1
checkpoint_every = 6
"""
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGUSR1, signal.SIGKILL, signal.SIGKILL)


class Trainer:
    """`mfp train` in a folder of its own."""

    def __init__(self, folder: Path, config: Path, environment: dict[str, str]):
        self.run = folder
        self._environment = environment
        self._command = [
            *(sys.executable, "-c", "from mfp.cli import main; main()"),
            *("train", "--config", str(config), "--run", str(folder)),
        ]

    def start(self) -> subprocess.Popen:
        return subprocess.Popen(
            self._command,
            cwd=ROOT,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def logged(self) -> int:
        """The last step that was logged."""
        log = self.run / "log.jsonl"
        lines = log.read_text().splitlines(keepends=True) if log.exists() else []
        whole = [json.loads(line)["step"] for line in lines if line.endswith("\n")]
        return max(whole, default=0)


def resumed(error: str) -> int:
    found = re.search(r"resuming after step (\d+) of", error)
    return int(found.group(1)) if found else 0


@pytest.mark.slow
@pytest.mark.soak
def test_ended_at_any_moment_it_arrives_at_the_same(dataset, prepared, tmp_path, tmp_path_factory):
    config = tmp_path / "killed.toml"
    config.write_text(CONFIG.format(prepared=prepared))
    environment = compilation.environment(tmp_path_factory)
    straight = Trainer(tmp_path / "straight", config, environment)
    killed = Trainer(tmp_path / "killed", config, environment)
    started = time.monotonic()
    process = straight.start()
    _, error = process.communicate(timeout=200)
    assert process.returncode == 0, error
    life = time.monotonic() - started

    rng, before = random.Random(0), 0
    for number in SIGNALS:
        process = killed.start()
        time.sleep(rng.uniform(0.4, 0.95) * life)  # what comes earlier is importing
        process.send_signal(number)
        _, error = process.communicate(timeout=100)
        assert "Traceback" not in error
        ends = {-number, 0} if number == signal.SIGKILL else {128 + number, -number, 0}
        assert process.returncode in ends, error
        if "resuming after" in error:  # it came so far
            assert before - resumed(error) <= EVERY
        if process.returncode == 128 + number:
            assert f"stopped by {number.name}" in error
            if "saved" in error:
                (step,) = re.findall(r"after step (\d+); saved", error)
                assert max(int(p.name) for p in (killed.run / "checkpoints").iterdir()) == int(step)
        before = killed.logged()
    process = killed.start()
    _, error = process.communicate(timeout=200)
    assert process.returncode == 0, error
    assert (killed.run / "log.jsonl").read_bytes() == (straight.run / "log.jsonl").read_bytes()
    left, right = (json.loads((t.run / "metrics.json").read_text()) for t in (straight, killed))
    assert left | {"seconds": 0} == right | {"seconds": 0}
    assert (killed.run / "bundle" / "manifest.json").exists()
