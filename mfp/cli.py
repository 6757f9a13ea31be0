"""The command `mfp`: prepare films, train, evaluate, export. Click only; imports stay light.

Exit codes: 0 done; 1 it cannot be done, one line says why; 2 wrong usage; 130 and 143 stopped
by SIGINT or SIGTERM (training has saved its state: run again to resume).
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click

from mfp import __version__

_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
_CONFIG = click.option(
    "--config",
    "-c",
    "config_path",
    default="configs/base.toml",
    show_default=True,
    type=click.Path(dir_okay=False),
    help="A TOML config.",
)
_SET = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Override a key, for example --set train.epochs=3. Repeatable.",
)

_TABLE = click.option(
    "--table", type=click.Path(dir_okay=False), help="Your own films: CSV, JSON Lines or JSON."
)
_MEDIA = click.option(
    "--media", type=click.Path(file_okay=False), help="Folder of the table's posters and trailers."
)


def one_line_errors(command: Callable[..., Any]) -> Callable[..., Any]:
    """Documented errors end a command with one clear line and exit code 1."""

    @wraps(command)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        logging.getLogger("absl").setLevel(logging.ERROR)
        try:
            return command(*args, **kwargs)
        except _expected_errors() as error:
            raise click.ClickException(str(error)) from None

    return guarded


def _expected_errors() -> tuple[type[Exception], ...]:
    """The documented errors of the modules that were loaded."""
    found: list[type[Exception]] = [OSError]
    for module, name in (
        ("mfp.typed_toml", "ConfigError"),
        ("mfp.tables", "TableError"),
        ("mfp.manifest", "BundleError"),
        ("mfp.training.checkpoint", "CheckpointError"),
        ("mfp.training.loop", "TrainingError"),
        ("mfp.training.export", "ExportError"),
    ):
        if module in sys.modules:
            found.append(getattr(sys.modules[module], name))
    return tuple(found)


@click.group(context_settings=_CONTEXT)
@click.version_option(__version__, prog_name="mfp")
def main() -> None:
    """Movie feedback prediction: train a network on films, evaluate it, export a bundle.

    \b
    Examples:
      mfp train                                      the bundled films, configs/base.toml
      mfp train --set train.epochs=3 --run runs/try
      mfp data prepare --table films.csv --media posters/
      mfp evaluate runs/base
      mfp export runs/base --output my-bundle
      mfp-predict --model runs/base/bundle --title "Heat 2" --director "Michael Mann"
    """


@main.command()
@_CONFIG
@_SET
@_TABLE
@_MEDIA
@click.option("--run", "run_path", type=click.Path(file_okay=False), help="Default: runs/<name>.")
@click.option("--quiet", "-q", is_flag=True, help="No progress, only the result.")
@one_line_errors
def train(
    config_path: str,
    overrides: tuple[str, ...],
    table: str | None,
    media: str | None,
    run_path: str | None,
    quiet: bool,
) -> None:
    """Prepare the films, train, evaluate on later films, export a bundle.

    Run again in the same folder to resume; a finished run is not trained again.

    \b
    Examples:
      mfp train
      mfp train --config configs/debug.toml
      mfp train --table films.csv --set name=mine --set data.split.train_until=2018-12-31
    """
    config = _load(config_path, overrides, table, media)
    from mfp import allocator

    allocator.keep_freed_memory()  # before anything starts threads
    from mfp.report.progress import TrainingProgress
    from mfp.training import loop, session
    from mfp.training.run import RunFolder

    run = RunFolder(Path(run_path or Path("runs") / config.name))
    dataset = _prepare(config.data, quiet)
    progress = TrainingProgress(quiet=quiet)
    try:
        trained = loop.train(config, dataset, run, progress)
    except loop.Interrupted as stopped:
        click.echo(f"{run.path}: {stopped}. Run the same command to resume.", err=True)
        sys.exit(128 + stopped.number)
    progress.say(
        f"trained for {trained.seconds:.0f} s; the best epoch ended at step {trained.step}"
    )
    report = session.evaluate_run(run, config, dataset, trained, progress)
    _show_report(report)
    if not run.bundle.exists():
        progress.say("exporting the bundle")
        session.export_run(run, run.bundle, config, dataset, trained, report)
    click.echo(f"checkpoint  {run.checkpoints}\nmetrics     {run.metrics_file}")
    command = _next_command(run.bundle, trained.spec, config.data.table)
    click.echo(f"bundle      {run.bundle}\n\nTry next:\n  {command}")


def _next_command(bundle: Path, spec: Any, table: str) -> str:
    command = Path(sys.argv[0])
    beside = command.with_name("mfp-predict")
    # Called by a path (make calls .venv/bin/mfp): the reader has no mfp-predict on the PATH.
    program = str(beside) if len(command.parts) > 1 and not command.is_absolute() else "mfp-predict"
    if table:
        return f"{program} --model {bundle} {table}"
    if set(spec.fields) == {"reviews"}:
        return f'{program} --model {bundle} --review "A joy from its first minute to its last."'
    return (
        f'{program} --model {bundle} --title "Heat 2" --director "Michael Mann"'
        ' --cast "Al Pacino|Adam Driver"'
        ' --genre Crime --company "Warner Bros. Entertainment" --country "United States"'
        " --release-date 2014-06-20"
    )


@main.command()
@click.argument("run_path", metavar="RUN", type=click.Path(file_okay=False), default="runs/base")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@click.option("--where", metavar="CONDITION", help="Only films where, for example, vote_count>=50.")
@click.option(
    "--missing",
    is_flag=True,
    help="Test metrics for every subset of modalities; also missing.json and missing.png.",
)
@one_line_errors
def evaluate(run_path: str, as_json: bool, where: str | None, missing: bool) -> None:
    """Metrics of a run's best checkpoint on held-out films, beside the baselines.

    \b
    Examples:
      mfp evaluate runs/base
      mfp evaluate runs/base --where "runtime_minutes>=90"
      mfp evaluate runs/multimodal --missing
    """
    from mfp.report.progress import TrainingProgress
    from mfp.training import session
    from mfp.training.run import RunFolder

    run = RunFolder(Path(run_path))
    config, _ = run.read_config()
    dataset = _prepare(config.data, quiet=as_json)
    trained = session.restore_trained(run, config, dataset)
    if where is not None:
        trained = session.only_films_where(trained, dataset, where)
    if missing:
        rows = session.missing_run(run, config, trained)
        click.echo(json.dumps(rows, indent=1)) if as_json else _show_missing(rows, trained.spec)
        return
    progress = TrainingProgress(quiet=as_json)
    report = session.evaluate_run(run, config, dataset, trained, progress, save=where is None)
    if as_json:
        click.echo(json.dumps(report, indent=1))
    else:
        _show_report(report)


@main.command()
@click.argument("run_path", metavar="RUN", type=click.Path(file_okay=False), default="runs/base")
@click.option("--output", "-o", required=True, type=click.Path(), help="The folder to write.")
@one_line_errors
def export(run_path: str, output: str) -> None:
    """Write a run's best checkpoint as a bundle for mfp-predict.

    \b
    Example:
      mfp export runs/base --output my-bundle
    """
    from mfp.report.progress import TrainingProgress
    from mfp.training import session
    from mfp.training.run import RunFolder

    run = RunFolder(Path(run_path))
    config, _ = run.read_config()
    dataset = _prepare(config.data, quiet=False)
    trained = session.restore_trained(run, config, dataset)
    report = session.evaluate_run(run, config, dataset, trained, TrainingProgress())
    session.export_run(run, Path(output), config, dataset, trained, report)
    click.echo(f"bundle      {output}")


@main.group()
def data() -> None:
    """Films as the prepared dataset movie_feedback."""


@data.command()
@_CONFIG
@_SET
@_TABLE
@_MEDIA
@click.option(
    "--rejects", type=click.Path(dir_okay=False), help="Write rejected rows here (JSONL)."
)
@one_line_errors
def prepare(
    config_path: str,
    overrides: tuple[str, ...],
    table: str | None,
    media: str | None,
    rejects: str | None,
) -> None:
    """Prepare films once, as ArrayRecord files split by release date.

    Prepared data of the same content and split is found again and not prepared anew.

    \b
    Examples:
      mfp data prepare
      mfp data prepare --table films.csv --media media/ --rejects rejects.jsonl
    """
    config = _load(config_path, overrides, table, media)
    dataset = _prepare(config.data, quiet=False)
    if rejects is not None:
        lines = "".join(json.dumps(reject) + "\n" for reject in dataset.rejects)
        Path(rejects).write_text(lines, encoding="utf-8")
    for name, films in dataset.splits.items():
        click.echo(f"{name:12s}{len(films):>9,} films")
    click.echo(f"folder      {dataset.folder}\nfingerprint {dataset.fingerprint}")


def _load(
    config_path: str, overrides: tuple[str, ...], table: str | None, media: str | None
) -> Any:
    """The config, with the films of --table and --media in place of its own."""
    from mfp import config as configs

    films: list[str] = []
    if table is not None:
        films += ["data.source=table", f"data.table={json.dumps(table)}"]
    if media is not None:
        films.append(f"data.media={json.dumps(media)}")
    return configs.load(config_path, (*films, *overrides))


def _prepare(config: Any, quiet: bool) -> Any:
    """The dataset, prepared with a progress count, its rejected rows summed up."""
    from mfp.data import dataset
    from mfp.report.progress import CountingProgress

    with CountingProgress("preparing films", quiet=quiet) as progress:
        found = dataset.prepare(config, lambda m: click.echo(m, err=True), progress.advance)
    rejects = found.rejects
    if rejects and not quiet:
        for reject in rejects[:3]:
            click.echo(dataset.describe(reject), err=True)
        more = f"; {len(rejects) - 3} more" if len(rejects) > 3 else ""
        click.echo(f"{len(rejects)} problems{more}: see {found.folder / 'rejects.jsonl'}", err=True)
    return found


def _show_report(report: dict[str, Any]) -> None:
    from mfp.report import tables

    tables.show(tables.metrics_table(report))
    click.echo(tables.verdict_on_baselines(report))


def _show_missing(rows: list[dict[str, Any]], spec: Any) -> None:
    from mfp.report import tables
    from mfp.training import missing

    every = [(" + ".join(row["present"]) or "nothing", row["metrics"]) for row in rows]
    tables.show(tables.missing_table("every subset of modalities", every))
    chosen = [(r["shown"], r["metrics"]) for r in missing.ablation(rows, spec.modalities)]
    tables.show(tables.missing_table("alone, and all but one", chosen))
