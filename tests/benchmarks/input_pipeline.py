"""What the input pipeline costs: training steps on real batches against one batch repeated.

    python tests/benchmarks/input_pipeline.py --config configs/multimodal.toml \
        --table films.csv --media media/

Both are timed side by side, a block of each in turn, and their medians compared: this machine's
noise then falls on both alike.
"""

from __future__ import annotations

import platform
import statistics
import time
from functools import partial

import click
import jax

from mfp import config as configs
from mfp.data import columns
from mfp.data import dataset as datasets
from mfp.data.batches import TrainingBatches
from mfp.data.fit import fit
from mfp.training import assemble, optim
from mfp.training.parallel import Runner
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
    """Print the share of a training step that input takes."""
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
    # The same films in both: a block's own batches, placed beforehand for the repeated kind.
    real: list[float] = []
    repeated: list[float] = []
    for block in range(blocks + 1):
        ks = [(block * steps + i) % batches.per_epoch for i in range(steps)]
        ready = [runner.place(batches[k]) for k in ks]
        jax.block_until_ready(ready)
        started = time.perf_counter()
        for batch in ready:
            state, sums = step(state, batch, key)
        jax.block_until_ready(sums)
        middle = time.perf_counter()
        for k in ks:
            state, sums = step(state, runner.place(batches[k]), key)
        jax.block_until_ready(sums)
        if block:  # the first one compiles
            repeated.append((middle - started) / steps)
            real.append((time.perf_counter() - middle) / steps)
    with_input, without = statistics.median(real), statistics.median(repeated)
    click.echo(f"{platform.machine()}, {jax.devices()[0].device_kind}, jax {jax.__version__}")
    click.echo(f"step with input     {1e3 * with_input:8.2f} ms")
    click.echo(f"step without input  {1e3 * without:8.2f} ms")
    click.echo(f"input's share       {1 - without / with_input:8.1%}")


if __name__ == "__main__":
    main()
