"""One device against two, as `parallel.mode` spreads the same step: interleaved, medians.

    python tests/benchmarks/devices.py                    fake devices that share the CPU's cores
    python tests/benchmarks/devices.py --rounds 50

On a CPU XLA splits a large operation over the cores by itself, so that two fake devices of two
cores can only win where operations are too small to be split. Where JAX finds several real
devices (GPUs, TPUs) those are taken.
"""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=2"
)

import click
import jax
import workloads

from mfp.config import ParallelConfig
from mfp.training import assemble, optim
from mfp.training.parallel import Runner
from mfp.training.step import init_state, train_step


def stepper(workload: workloads.Workload, mode: Any, devices: int) -> Callable[[int], float]:
    """Do step k; the seconds it took, placing the batch included."""
    config = workload.config
    runner = Runner(ParallelConfig(mode), config.train.batch_size, devices=jax.devices()[:devices])
    tx = optim.optimizer(config.optimizer, total_steps=1)
    step = runner.compile(
        partial(
            train_step,
            apply=assemble.apply_function(workload.network),
            tx=tx,
            objective=workload.objective,
            ema=config.optimizer.ema,
        )
    )
    state = runner.place_state(jax.device_get(init_state(workload.params, tx)))
    key = runner.place_key(jax.random.key(0))

    def do(k: int) -> float:
        nonlocal state
        started = time.perf_counter()
        state, sums, _ = step(state, runner.place(workload.batches[k]), key)
        jax.block_until_ready(sums)
        return time.perf_counter() - started

    return do


@click.command()
@click.option("--rounds", default=30)
@click.option("--only", multiple=True, default=("tabular", "text"), help="Workloads.")
def main(rounds: int, only: tuple[str, ...]) -> None:
    """Time of a step on one device over that on two, the median and quartiles of the rounds."""
    click.echo(
        f"{jax.devices()[0].device_kind}, {jax.device_count()} devices, {os.cpu_count()} cores, "
        f"Python {platform.python_version()}, jax {jax.__version__}; load {os.getloadavg()[0]:.1f}"
    )
    for name in only:
        workload = workloads.build(name)
        ways = {"jit": 1, "pmap": 2, "sharded": 2}
        steppers = {mode: stepper(workload, mode, count) for mode, count in ways.items()}
        found: dict[str, list[float]] = {mode: [] for mode in ways}
        for k in range(rounds):
            batch = k % len(workload.batches)
            for mode, do in steppers.items():
                if k < len(workload.batches):
                    do(batch)  # compiles where the shape is new
                found[mode].append(do(batch))
        click.echo(f"{name}, train step of {workload.config.train.batch_size} films")
        for mode, seconds in found.items():
            ratios = [one / this for one, this in zip(found["jit"], seconds, strict=True)]
            low, median, high = statistics.quantiles(ratios, n=4)
            click.echo(
                f"  {mode:8s} on {ways[mode]} {statistics.median(seconds) * 1e3:9.2f} ms"
                f"{median:9.2f}x {low:7.2f} -{high:6.2f}"
            )


if __name__ == "__main__":
    main()
