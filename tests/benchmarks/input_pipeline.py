"""What the input pipeline costs: training steps on batches read in turn, or placed beforehand.

    python tests/benchmarks/input_pipeline.py --config configs/multimodal.toml \
        --table films.csv --media media/

Both are timed side by side, a block of each in turn, and the ratios within a block compared: the
noise of the machine then falls on both alike.
"""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Iterable
from functools import partial
from typing import Any

import click
import jax

from mfp import config as configs
from mfp.data import columns
from mfp.data import dataset as datasets
from mfp.data.batches import TrainingBatches
from mfp.data.fit import fit
from mfp.training import assemble, optim
from mfp.training.parallel import Runner, on_host
from mfp.training.step import init_state, train_step


@click.command()
@click.option("--config", "path", default="configs/base.toml")
@click.option("--set", "given", multiple=True, help="Override a key of the config.")
@click.option("--table")
@click.option("--media")
@click.option("--blocks", default=10, help="Blocks of each kind.")
@click.option("--steps", default=10, help="Steps of a block.")
def main(
    path: str, given: tuple[str, ...], table: str | None, media: str | None, blocks: int, steps: int
) -> None:
    """Print what a training step takes with and without its input."""
    overrides = ["data.source=table", f'data.table="{table}"'] if table else []
    overrides += [f'data.media="{media}"'] if media else []
    config = configs.load(path, [*overrides, *given])
    dataset = datasets.prepare(config.data)
    spec = fit(dataset.splits["train"], config)
    arrays = columns.open_splits(dataset, spec, config.targets)["train"]
    batches = TrainingBatches(
        arrays, config.train.batch_size, config.seed, config.train.length_buckets
    )
    network = assemble.build_network(config, spec)
    tx = optim.optimizer(config.optimizer, 1000)
    runner = Runner(config.parallel, config.train.batch_size)
    step = runner.compile(
        partial(
            train_step,
            apply=assemble.apply_function(network),
            tx=tx,
            objective=assemble.objective(config, spec),
            ema=config.optimizer.ema,
        )
    )
    key = jax.random.key(config.seed)
    state = init_state(assemble.init_params(network, spec, config.seed), tx)

    def run(placed: Iterable[Any]) -> float:
        """Seconds a step; losses are read a step late, as the loop does."""
        nonlocal state
        started, pending = time.perf_counter(), None
        for batch in placed:
            state, sums = step(state, batch, key)
            if pending is not None:
                on_host(pending)
            pending = sums
        on_host(pending)
        return (time.perf_counter() - started) / steps

    # The same films in both: a block's own batches, placed beforehand for the first kind.
    found: dict[str, list[float]] = {"without input": [], "with input": []}
    for block in range(blocks + 1):
        ks = range(block * steps, (block + 1) * steps)
        ready = [runner.place(batches[k]) for k in ks]
        jax.block_until_ready(ready)
        seconds = {"without input": run(ready)}
        seconds["with input"] = run(runner.place(batches[k]) for k in ks)
        if block:  # the first one compiles
            for kind, value in seconds.items():
                found[kind].append(value)
    click.echo(
        f"{platform.machine()}, {os.cpu_count()} cores, {jax.devices()[0].device_kind}, "
        f"jax {jax.__version__}, load {os.getloadavg()[0]:.1f}"
    )
    without = found["without input"]
    for kind, values in found.items():
        ratio = statistics.median(v / w for v, w in zip(values, without, strict=True))
        median, least = 1e3 * statistics.median(values), 1e3 * min(values)
        click.echo(f"{kind:14s}{median:9.2f} ms a step, least {least:9.2f}, ratio {ratio:5.2f}")


if __name__ == "__main__":
    main()
