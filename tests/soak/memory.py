"""Memory, file handles and threads over many forecasts, and over many evaluations of one run.

    python tests/soak/memory.py --forecasts 100000 --evaluations 1000

A forecast is of one film alone, as a service would ask; an evaluation restores a run's best
checkpoint, transforms nothing anew and measures the validation films. Prints what there is after
every tenth; exit code 1 where the second half of it has grown by more than a few megabytes, or
where a handle or thread is left behind.
"""

from __future__ import annotations

import gc
import itertools
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

PAGE = os.sysconf("SC_PAGE_SIZE")
GROWTH = 0.05  # of the resident memory at half time: what allocators need to settle


@dataclass(frozen=True)
class Held:
    """What this process holds now."""

    megabytes: float
    handles: int
    threads: int

    @classmethod
    def now(cls) -> Held:
        gc.collect()
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        counts = (len(os.listdir(f"/proc/self/{name}")) for name in ("fd", "task"))
        return cls(pages * PAGE / 1e6, *counts)


def repeat(work: Callable[[], Any], times: int, say: Callable[[str], None] = click.echo) -> bool:
    """Do it so many times; whether what is held stays flat over the second half."""
    parts: list[Held] = []
    for tenth in range(10):
        for _ in range(max(1, times // 10)):
            work()
        parts.append(Held.now())
        say(f"  {(tenth + 1) * max(1, times // 10):>9,}  {parts[-1]}")
    return is_flat(parts)


def is_flat(parts: Sequence[Held]) -> bool:
    """Whether no more is held at the end than half way.

    Handles and threads: than at any time until then, for pools of threads come and go.
    """
    first, end = parts[: len(parts) // 2], parts[-1]
    return (
        end.megabytes <= first[-1].megabytes * (1 + GROWTH)
        and end.handles <= max(part.handles for part in first)
        and end.threads <= max(part.threads for part in first)
    )


def forecasting(bundle: Path, films: Sequence[Any], batch: int) -> Callable[[], Any]:
    """Forecasts of `batch` films more at each call."""
    from mfp.forecast import Forecaster

    forecaster, endless = Forecaster.open(bundle), itertools.cycle(films)
    return lambda: forecaster.predict(list(itertools.islice(endless, batch)))


def evaluating(run_path: Path) -> Callable[[], Any]:
    """The validation losses of a run, from its checkpoint on."""
    from mfp.data import dataset as datasets
    from mfp.training import assemble, evaluate, session
    from mfp.training.run import RunFolder

    run = RunFolder(run_path)
    config, _ = run.read_config()

    def evaluation() -> Any:
        dataset = datasets.prepare(config.data)
        trained = session.restore_trained(run, config, dataset)
        network = assemble.build_network(config, trained.spec)
        evaluator = evaluate.Evaluator.build(network, trained.spec, config)
        placed = evaluator.runner.place_for_evaluation(trained.params)
        return evaluator(placed, trained.splits["validation"])

    return evaluation


@click.command()
@click.option("--forecasts", default=100_000, show_default=True)
@click.option("--evaluations", default=1_000, show_default=True)
@click.option("--prepared", help="Keep prepared films here.")
def main(forecasts: int, evaluations: int, prepared: str | None) -> None:
    """Train configs/debug.toml and measure."""
    from click.testing import CliRunner

    from mfp import cli, compiled
    from mfp.data import dataset as datasets
    from mfp.training.run import RunFolder

    with tempfile.TemporaryDirectory(prefix="mfp-memory-") as folder:
        run = Path(folder) / "run"
        value = f'data.prepared="{prepared or Path(folder) / "prepared"}"'
        arguments = ["train", "--config", "configs/debug.toml", "--run", str(run)]
        done = CliRunner().invoke(cli.main, [*arguments, "--set", value])
        if done.exit_code:
            sys.exit(done.output)
        compiled.keep_in(Path(folder) / "compiled")
        dataset = datasets.prepare(RunFolder(run).read_config()[0].data)
        films = [film for film, _ in dataset.splits["test"]]
        flat = []
        if forecasts:
            click.echo(f"{forecasts // 2:,} forecasts one by one")
            flat.append(repeat(forecasting(run / "bundle", films, 1), forecasts // 2))
            click.echo(f"{forecasts // 2:,} forecasts, 250 at a time")
            flat.append(repeat(forecasting(run / "bundle", films, 250), forecasts // 500))
        if evaluations:
            click.echo(f"{evaluations:,} evaluations")
            flat.append(repeat(evaluating(run), evaluations))
    click.echo(f"flat: {flat}")
    sys.exit(0 if all(flat) else 1)


if __name__ == "__main__":
    main()
