"""Cost per film as the number of films grows: training input and prediction, time and memory.

    python tests/benchmarks/scaling.py                               4 GB of disk, minutes
    python tests/benchmarks/scaling.py --largest 1000000             0.4 GB
    python tests/benchmarks/scaling.py --bundle runs/base/bundle     prediction as well

Films are the bundled training films, resampled. Ten thousand are transformed as training does;
of more, the columns are those films' rows, tiled: transforming costs the same for each film, what
may not is reading among many. Every size runs in a process of its own. Memory is RssAnon, that of
no file: pages of mapped files are the system's cache, which it drops when it needs the room.
"""

from __future__ import annotations

import csv
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.lib import format as npy

from mfp import config as configs
from mfp.config import Config
from mfp.data import batches, columns
from mfp.data import dataset as datasets
from mfp.data.batches import TrainingBatches
from mfp.data.columns import Column, Ids
from mfp.data.dataset import Dataset
from mfp.data.fit import fit
from mfp.film import FIELDS, Film

TRANSFORMED = 10_000
FILES = ("records", "truth", "fill", "facts")


def anonymous_megabytes(pid: int | str = "self") -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("RssAnon:")[1].split()[0]) / 1024


def transform(films: list, config: Config, folder: Path) -> None:
    """Write the columns of films as training does; print the time and memory a film takes."""
    spec = fit(films, config)
    dataset = Dataset(folder, "scaling", {"train": films}, [])
    before, started = anonymous_megabytes(), time.perf_counter()
    columns.open_splits(dataset, spec, config.targets)
    micros = (time.perf_counter() - started) / len(films) * 1e6
    growth = anonymous_megabytes() - before
    click.echo(f"{'transform and write':22s}{len(films):>12,}{micros:>14.1f}{growth:>16.1f}")


def tile(source: Path, folder: Path, count: int) -> None:
    """The columns of `count` films, the rows of `source` again and again."""
    folder.mkdir()
    for name in FILES:
        rows = np.asarray(npy.open_memmap(source / f"{name}.npy", mode="r"))
        with Column(folder / f"{name}.npy") as column:
            while column.rows < count:
                column.append(rows[: count - column.rows])


def read(folder: str, batch_size: int, buckets: int, limit: int) -> dict[str, float]:
    """Time and memory of up to `limit` training batches, spread over an epoch."""
    opened = [np.asarray(npy.open_memmap(Path(folder) / f"{n}.npy", mode="r")) for n in FILES]
    ids = Ids(np.zeros(0, np.uint8), np.broadcast_to(np.int8(0), len(opened[0])))
    films = batches.joined(ids, *opened, {})
    warm = TrainingBatches(films.select(np.arange(9_000)), batch_size, 0, buckets)
    for k in range(warm.per_epoch):
        warm[k]
    before = peak = anonymous_megabytes()
    training = TrainingBatches(films, batch_size, 0, buckets)
    runs = range(0, training.per_epoch, 32)  # whole windows of like lengths
    chosen = runs[:: max(1, len(runs) * 32 // limit)]
    found = bytes_read = 0
    started = time.perf_counter()
    for start in chosen:
        for k in range(start, min(start + 32, training.per_epoch)):
            bytes_read += sum(column.nbytes for column in training[k].values())
            found += batch_size
        peak = max(peak, anonymous_megabytes())
    micros = (time.perf_counter() - started) / found * 1e6
    return {"micros": micros, "megabytes": peak - before, "bytes": bytes_read / found}


def rows(films: list[Film], count: int) -> Iterator[list[str]]:
    """The films as rows of a table, again and again."""
    fields = [name for name in Film.__slots__ if name in FIELDS]
    yield fields
    for i in range(count):
        values = (getattr(films[i % len(films)], name) for name in fields)
        yield ["|".join(v) if isinstance(v, tuple) else "" if v is None else str(v) for v in values]


def predict(bundle: str, table: Path, output: Path) -> dict[str, float]:
    """Run mfp-predict on a table: its time, and its memory after the first batches and at most."""
    code = "from mfp.cli_predict import main; main()"
    command = [sys.executable, "-c", code, "--model", bundle, str(table), "--output", str(output)]
    started = time.perf_counter()
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    partial = Path(f"{output}.partial")
    first = peak = 0.0
    began = 0.0
    while process.poll() is None:
        try:
            now = anonymous_megabytes(process.pid)
            if not began and partial.exists() and partial.stat().st_size:
                began, first = time.perf_counter(), now
            peak = max(peak, now)
        except (OSError, IndexError):
            break
        time.sleep(0.02)
    assert process.wait() == 0, f"mfp-predict ended with {process.returncode}"
    ended = time.perf_counter()
    return {"seconds": ended - (began or started), "first": first, "peak": peak}


@click.command()
@click.option("--config", "path", default="configs/base.toml")
@click.option("--set", "given", multiple=True, help="Override a key of the config.")
@click.option("--largest", default=10_000_000, help="Films of the largest training set.")
@click.option("--limit", default=2_000, help="Batches read of each size.")
@click.option("--bundle", type=click.Path(exists=True), help="Measure mfp-predict with it too.")
@click.option("--folder", type=click.Path(), help="Where files are written and removed again.")
@click.option("--read", "reading", hidden=True, help="Of a process of its own: one size.")
def main(
    path: str,
    given: tuple[str, ...],
    largest: int,
    limit: int,
    bundle: str | None,
    folder: str | None,
    reading: str | None,
) -> None:
    """Print cost per film from 10^4 films to the largest."""
    config = configs.load(path, given)
    if reading is not None:
        size, buckets = config.train.batch_size, config.train.length_buckets
        click.echo(json.dumps(read(reading, size, buckets, limit)))
        return
    card()
    training = datasets.prepare(config.data).splits["train"]
    films = [training[i % len(training)] for i in range(TRANSFORMED)]
    work = Path(tempfile.mkdtemp(prefix="mfp-scaling-", dir=folder))
    try:
        click.echo(f"\n{'':22s}{'films':>12s}{'us a film':>14s}{'RssAnon + MB':>16s}{'ratio':>8s}")
        transform(films, config, work)
        (source,) = (work / "columns").glob("*/train")
        first: dict[str, Any] = {}
        count = TRANSFORMED
        while count <= largest:
            tiled = work / "tiled"
            tile(source, tiled, count)
            own = [sys.executable, __file__, "--config", path, "--limit", str(limit)]
            own += [word for value in given for word in ("--set", value)]
            done = subprocess.run(
                [*own, "--read", str(tiled)], capture_output=True, text=True, check=True
            )
            found = json.loads(done.stdout)
            first = first or found
            label = f"read batches ({found['bytes']:.0f} B)"
            ratio = found["micros"] / first["micros"]
            click.echo(
                f"{label:22s}{count:>12,}{found['micros']:>14.2f}"
                f"{found['megabytes']:>16.1f}{ratio:>8.2f}"
            )
            shutil.rmtree(tiled)
            count *= 10
        if bundle is not None:
            compare_predictions(bundle, [film for film, _ in films], work)
    finally:
        shutil.rmtree(work)


def compare_predictions(bundle: str, films: list[Film], work: Path) -> None:
    first: dict[str, Any] = {}
    titles = f"{'films':>12s}{'us a film':>14s}{'peak RssAnon MB':>16s}{'ratio':>8s}"
    click.echo(f"\n{'':34s}{titles}")
    for count in (10_000, 100_000):
        table = work / "films.csv"
        with table.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(rows(films, count))
        found = predict(bundle, table, work / "forecast.csv")
        first = first or found
        micros, ratio = found["seconds"] / count * 1e6, found["peak"] / first["peak"]
        label = f"mfp-predict ({found['first']:.0f} MB at first)"
        click.echo(f"{label:34s}{count:>12,}{micros:>14.1f}{found['peak']:>16.1f}{ratio:>8.2f}")


def card() -> None:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    click.echo(
        f"{platform.machine()}, {os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()} "
        f"{platform.release()}, Python {platform.python_version()}, NumPy {np.__version__}, "
        f"load {os.getloadavg()[0]:.1f}"
    )


if __name__ == "__main__":
    main()
