"""mfp-predict beside `python -c "import jax"`: cold and warm, and films/s of a long table.

    python tests/benchmarks/prediction.py [--model runs/base/bundle]

Cold: whole processes, in turn, whose compiled programs are in the cache; help and version too.
Warm: one film after another through a `Forecaster`. Long: tables of bundled films drawn again and
again, of a length and of five times that, with the peak of the process's memory, which stays.
"""

from __future__ import annotations

import csv
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import click
import jax
import numpy as np

from mfp import config as configs
from mfp import film as films
from mfp.data import dataset as datasets
from mfp.film import Film
from mfp.forecast import Forecaster

ROOT = Path(__file__).resolve().parents[2]
PREDICT = "from mfp.cli_predict import main; main()"
# Runs main and prints the peak of its memory, in kB, as the last line of standard error.
WATCHED = """
import resource, sys
from mfp.cli_predict import main
try:
    main()
finally:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)
"""
ONE_FILM = ("--title", "Heat 2", "--director", "Michael Mann", "--genre", "Crime")


def seconds(command: Sequence[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=ROOT)
    return time.perf_counter() - started


def cold(model: str, rounds: int) -> None:
    """Print what processes take, in turn: medians, and ratios to jax of the same round."""
    python = [sys.executable, "-c"]
    commands = {
        'python -c "import jax"': [*python, "import jax"],
        "mfp-predict, one film": [*python, PREDICT, "--model", model, *ONE_FILM],
        "mfp-predict --help": [*python, PREDICT, "--help"],
        "mfp-predict --version": [*python, PREDICT, "--version"],
    }
    seconds(commands["mfp-predict, one film"])  # fills the cache of compiled programs
    found: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            found[name].append(seconds(command))
    base = found['python -c "import jax"']
    for name, times in found.items():
        ratio = statistics.median(t / b for t, b in zip(times, base, strict=True))
        click.echo(f"{name:24s} {statistics.median(times):6.3f} s  {ratio:5.2f} x import jax")


def warm(model: str, collection: Sequence[Film]) -> None:
    """Print the median and the 99th percentile of forecasts one by one, in milliseconds."""
    forecaster = Forecaster.open(model, films=1)
    for film in collection[:20]:
        forecaster.predict([film])
    times = []
    for film in collection:
        started = time.perf_counter()
        forecaster.predict([film])
        times.append(1e3 * (time.perf_counter() - started))
    middle, late = np.quantile(times, (0.5, 0.99))
    click.echo(f"warm, one film of {len(times):,}: p50 {middle:.2f} ms, p99 {late:.2f} ms")


def long(model: str, collection: Sequence[Film], rows: int, folder: Path) -> None:
    """Print films/s and the peak of memory of a table of so many rows."""
    table = folder / f"{rows}.csv"
    columns = [name for name in films.FIELDS if not films.is_post_release(name)]
    draw = random.Random(0)
    texts = [
        {k: "|".join(v) if isinstance(v, list) else v for k, v in films.to_json(film).items()}
        for film in collection
    ]
    with table.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(draw.choice(texts) for _ in range(rows))
    command = [
        sys.executable,
        "-c",
        WATCHED,
        "-m",
        model,
        str(table),
        "-o",
        str(folder / "out.csv"),
    ]
    started = time.perf_counter()
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
    took = time.perf_counter() - started
    peak = int(done.stderr.splitlines()[-1]) / 1024
    click.echo(
        f"{rows:9,} rows: {rows / took:7,.0f} films/s, start included; at most {peak:.0f} MB"
    )


@click.command()
@click.option("--model", default="runs/base/bundle", show_default=True)
@click.option("--prepared", default="runs/prepared", help="Where prepared films are kept.")
@click.option("--rounds", default=9, show_default=True, help="Processes of each kind.")
@click.option("--rows", default=20_000, show_default=True, help="Of the shorter table.")
def main(model: str, prepared: str, rounds: int, rows: int) -> None:
    """Print how long forecasts take."""
    os.environ["PYTHONPATH"] = str(ROOT)
    click.echo(
        f"jax {jax.__version__} on {jax.default_backend()}, {os.cpu_count()} cores, "
        f"load {os.getloadavg()[0]:.1f}"
    )
    model = str(Path(model).absolute())
    settings = [f"data.prepared={json.dumps(prepared)}"]
    dataset = datasets.prepare(configs.load(ROOT / "configs" / "base.toml", settings).data)
    collection = [film for film, _ in dataset.splits["test"]]
    cold(model, rounds)
    warm(model, collection[:1000])
    with tempfile.TemporaryDirectory() as name:
        for count in (rows, 5 * rows):
            long(model, collection, count, Path(name))


if __name__ == "__main__":
    main()
