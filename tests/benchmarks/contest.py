"""Train step, or prediction, of the same network by mfp, PyTorch and Keras, side by side.

    python tests/benchmarks/contest.py step                       all four workloads
    python tests/benchmarks/contest.py predict --only tabular

The same parameters and batches for all; the loss of the first batch is compared before anything
is timed. All run in turn, a few steps each, again and again: what else the machine does falls on
all alike. A ratio is a rival's time over ours in the same round, the median over the rounds, with
its quartiles; above 1 we are ahead.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import pickle
import platform
import statistics
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import click
import workloads
from contestants import KINDS, Contestant

AGREEMENT = 1e-5  # relative, of losses
OURS = "mfp"


def card() -> str:
    """The machine and the versions."""
    names = [
        line for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line
    ]
    versions = {
        n: importlib.metadata.version(n) for n in ("jax", "jaxlib", "flax", "torch", "keras")
    }
    return (
        f"{names[0].split(':')[1].strip()}, {os.cpu_count()} cores, {platform.system()}, "
        f"Python {platform.python_version()}, {', '.join(' '.join(v) for v in versions.items())}; "
        f"load {os.getloadavg()[0]:.1f}"
    )


def kinds_of(workload: str, task: str) -> list[str]:
    """Who takes part: of texts without padding, PyTorch's two ways are one."""
    kinds = [kind for kind in KINDS if kind != "torch-padded" or workload == "fused"]
    return [kind for kind in kinds if kind != "torch-kept" or task == "step"]


def report(seconds: dict[str, list[float]]) -> list[str]:
    """A line for each: its median time, and the ratio to ours."""
    lines = []
    for kind, found in seconds.items():
        ratios = [theirs / ours for theirs, ours in zip(found, seconds[OURS], strict=True)]
        low, median, high = statistics.quantiles(ratios, n=4)
        best = min(found) / min(seconds[OURS])
        lines.append(
            f"  {KINDS[kind]:46s}{1e3 * statistics.median(found):10.2f} ms"
            f"{median:8.2f}x  {low:5.2f} - {high:5.2f}{best:9.2f}x"
        )
    return lines


def run(name: str, task: str, rounds: int, sizes: Sequence[int]) -> None:
    """Measure one workload and print."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        path = Path(folder) / "workload.pickle"
        path.write_bytes(pickle.dumps(workloads.build(name)))
        rivals = {k: stack.enter_context(Contestant(k, path)) for k in kinds_of(name, task)}
        expected = rivals[OURS].ask("loss")
        for kind, rival in list(rivals.items()):
            difference = abs(rival.ask("loss") / expected - 1)
            verdict = "differs" if kind != "torch-padded" else "another function: reads padding"
            click.echo(
                f"  loss of {KINDS[kind]:46s} "
                + ("agrees" if difference <= AGREEMENT else f"{verdict} ({difference:.1e})")
            )
            if difference > AGREEMENT and kind != "torch-padded":
                raise SystemExit(f"{kind}: not the same network")
        for size in sizes if task == "predict" else [0]:
            for rival in rivals.values():  # compile, every shape
                ask(rival, task, size)
            seconds: dict[str, list[float]] = {kind: [] for kind in rivals}
            for _ in range(rounds):
                for kind, rival in rivals.items():
                    seconds[kind].append(statistics.mean(ask(rival, task, size)))
            what = "train step" if task == "step" else f"prediction of {size:,}"
            click.echo(f"{name}, {what}:  median time, ratio (quartiles), ratio of the best times")
            click.echo("\n".join(report(seconds)))


def ask(rival: Contestant, task: str, size: int) -> Iterable[float]:
    if task == "step":
        return rival.ask("step")
    return rival.ask("predict", size=size, n=20 if size == 1 else 1)


@click.command()
@click.argument("task", type=click.Choice(["step", "predict"]))
@click.option("--only", multiple=True, type=click.Choice(workloads.NAMES))
@click.option("--rounds", default=9, show_default=True)
@click.option("--size", "sizes", multiple=True, type=int, default=(1, 1024), show_default=True)
def main(task: str, only: tuple[str, ...], rounds: int, sizes: tuple[int, ...]) -> None:
    """Print how much longer the rivals take."""
    click.echo(card())
    for name in only or workloads.NAMES:
        run(name, task, rounds, sizes)


if __name__ == "__main__":
    main()
