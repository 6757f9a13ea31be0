"""Time lost to a checkpoint, time to restore one, time from process start to the first step.

    python tests/benchmarks/restart.py

Checkpoints: stretches of steps with one checkpoint in each, written in the background as the
training loop does, and stretches without, in turn. Start: `mfp train` until the log holds its first
step, with an empty cache of compiled programs and then with the one that the start before filled;
films are prepared beforehand.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import jax
import workloads
from contest import card

from mfp import allocator
from mfp import config as configs
from mfp.data import dataset as datasets
from mfp.training.checkpoint import Checkpoints
from mfp.training.parallel import on_host

TRAIN = "from mfp.cli import main; main()"


def checkpoints(name: str, rounds: int, steps: int, folder: Path) -> None:
    """Print what a checkpoint costs a workload's training, in milliseconds and in steps."""
    from contestants import Mfp

    workload = workloads.build(name)
    mfp = Mfp(workload)
    batches = [workload.batches[i % len(workload.batches)] for i in range(steps)]
    for batch in batches:
        mfp.step(batch)
    without, with_one, handing_over, restoring = [], [], [], []
    with Checkpoints(folder / name) as kept:
        for _ in range(rounds):
            without.append(seconds(lambda: run(mfp, batches)))
            handing_over.append(seconds(lambda: kept.save(on_host(mfp.state), {})))
            with_one.append(seconds(lambda: run(mfp, batches)) + handing_over[-1])
            _ = kept.best  # waits until all that was saved is whole
            last = kept.last
            assert last is not None
            restoring.append(
                seconds(
                    lambda step=last: jax.block_until_ready(
                        jax.device_put(kept.restore(step, mfp.state)[0])
                    )
                )
            )
    step = statistics.median(without) / steps
    lost = statistics.median(a - b for a, b in zip(with_one, without, strict=True))
    size = sum(leaf.nbytes for leaf in jax.tree.leaves(mfp.state)) / 1e6
    click.echo(
        f"{name:8s} step {1e3 * step:7.1f} ms; a checkpoint ({size:.0f} MB) costs "
        f"{1e3 * lost:7.1f} ms = {lost / step:5.2f} steps, of which the loop waits "
        f"{1e3 * statistics.median(handing_over):.1f} ms; restored in "
        f"{1e3 * statistics.median(restoring):.1f} ms"
    )


def run(mfp: Any, batches: list) -> None:
    for batch in batches:
        mfp.step(batch)


def seconds(call: Callable[[], Any]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def start(config: str, settings: list[str], compiled: Path, folder: Path) -> float:
    """Seconds from the start of `mfp train` to the first line of its log; it is stopped then."""
    overrides = [*settings, "train.log_every=1"]
    arguments = [word for setting in overrides for word in ("--set", setting)]
    environment = os.environ | {
        "JAX_COMPILATION_CACHE_DIR": str(compiled),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.2",
        "PYTHONPATH": str(workloads.ROOT),
    }
    started = time.perf_counter()
    command = [sys.executable, "-c", TRAIN, "train", "--quiet", "--config", config, *arguments]
    process = subprocess.Popen(
        [*command, "--run", str(folder)],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    log = folder / "log.jsonl"
    try:
        while not (log.exists() and log.stat().st_size):
            if process.poll() is not None:
                assert process.stderr is not None
                raise SystemExit(f"mfp train ended: {process.stderr.read()}")
            time.sleep(0.005)
        return time.perf_counter() - started
    finally:
        process.kill()
        process.wait()


@click.command()
@click.option("--prepared", default="runs/prepared", help="Where prepared films are kept.")
@click.option("--rounds", default=9, show_default=True)
@click.option("--steps", default=20, show_default=True, help="Steps of a stretch.")
@click.option("--starts", default=3, show_default=True)
def main(prepared: str, rounds: int, steps: int, starts: int) -> None:
    """Print what stopping and starting again costs."""
    allocator.keep_freed_memory()  # as `mfp train` does
    click.echo(card())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for workload in ("tabular", "fused"):
            checkpoints(workload, rounds, steps, folder)
        settings = [f'data.prepared="{prepared}"']
        config = str(workloads.ROOT / "configs" / "base.toml")
        datasets.prepare(configs.load(config, settings).data)
        cold, warm = [], []
        for i in range(starts):
            compiled = folder / f"compiled-{i}"
            cold.append(start(config, settings, compiled, folder / f"cold-{i}"))
            warm.append(start(config, settings, compiled, folder / f"warm-{i}"))
        click.echo(
            "configs/base.toml, process start to first step: "
            f"{statistics.median(cold):.1f} s cold, "
            f"{statistics.median(warm):.1f} s with the cache of compiled programs"
        )


if __name__ == "__main__":
    main()
