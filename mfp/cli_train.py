"""`mfp train` and `mfp verify-resume`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, NoReturn

import click

from mfp.cli_common import (
    COMPILED,
    CONFIG,
    MEDIA,
    SET,
    TABLE,
    keep_compiled,
    load_config,
    one_line_errors,
    prepare_films,
    show_report,
)


def _steps(
    _context: click.Context, _option: click.Parameter, value: str | None
) -> tuple[int, int] | None:
    """The first and last step of FIRST:LAST."""
    if value is None:
        return None
    first, _, last = value.partition(":")
    if not (first.isdecimal() and last.isdecimal() and 1 <= int(first) <= int(last)):
        raise click.BadParameter("write FIRST:LAST, for example 10:15; steps count from 1")
    return int(first), int(last)


@click.command()
@CONFIG
@SET
@TABLE
@MEDIA
@click.option("--run", "run_path", type=click.Path(file_okay=False), help="Default: runs/<name>.")
@click.option("--quiet", "-q", is_flag=True, help="No progress, only the result.")
@click.option(
    "--distributed",
    is_flag=True,
    help="One of several processes of a run, started by the same command on every machine; "
    "SLURM and Kubernetes are detected.",
)
@click.option(
    "--coordinator",
    envvar="JAX_COORDINATOR_ADDRESS",
    metavar="HOST:PORT",
    help="With --distributed: where process 0 is reached. [env: JAX_COORDINATOR_ADDRESS]",
)
@click.option(
    "--processes",
    "count",
    envvar="JAX_NUM_PROCESSES",
    type=click.IntRange(1),
    metavar="N",
    help="With --distributed: how many there are. [env: JAX_NUM_PROCESSES]",
)
@click.option(
    "--process",
    "index",
    envvar="JAX_PROCESS_ID",
    type=click.IntRange(0),
    metavar="I",
    help="With --distributed: which one this is, from 0. [env: JAX_PROCESS_ID]",
)
@click.option(
    "--refit",
    is_flag=True,
    help="Then train anew on train and validation films, as long as validation chose; in the "
    "folder refit of the run, whose bundle is of that network.",
)
@click.option(
    "--profile",
    metavar="FIRST:LAST",
    callback=_steps,
    help="Trace these steps with JAX's profiler, into the run's folder profile.",
)
@COMPILED
@one_line_errors
def train(
    config_path: str,
    overrides: tuple[str, ...],
    table: str | None,
    media: str | None,
    run_path: str | None,
    quiet: bool,
    distributed: bool,
    coordinator: str | None,
    count: int | None,
    index: int | None,
    refit: bool,
    profile: tuple[int, int] | None,
    compiled: str | None,
) -> None:
    """Prepare the films, train, evaluate on later films, export a bundle.

    Run again in the same folder to resume; a finished run is not trained again. Ctrl-C, SIGTERM
    and SIGUSR1 save the step first and exit with 130, 143 and 138: a job that sees one of these
    may be queued again. Even kill -9 loses no more than train.checkpoint_every steps, or
    train.checkpoint_minutes (0 = no limit). mfp verify-resume shows that on your machine.

    The run folder records losses and scores in log.jsonl, speed in speed.jsonl (films/s, seconds
    a step, share of waiting for input, seconds compiling, FLOP/s), both as TensorBoard events in
    tensorboard/.

    \b
    Examples:
      mfp train
      mfp train --config configs/debug.toml
      mfp train --refit
      mfp train --table films.csv --set name=mine --set data.split.train_until=2018-12-31
      mfp train --set train.checkpoint_minutes=10 --set train.checkpoint_every=0
      mfp train --run runs/try --profile 10:15       then: tensorboard --logdir runs/try
      mfp train --config configs/gpu.toml --distributed     under srun, or in every pod
    """
    if refit and distributed:
        raise click.UsageError(
            "--refit: is for one process; leave out --distributed, or train the final fit as a "
            "run of its own with --set train.final_epochs=N"
        )
    config = load_config(config_path, overrides, table, media)
    if refit and config.train.final_epochs:
        raise click.UsageError("--refit: finds train.final_epochs by itself; leave that at 0")
    path = Path(run_path or f"runs/{config.name}")
    from mfp import allocator

    allocator.keep_freed_memory()  # before anything starts threads
    from mfp.training import processes, signals

    try:
        with signals.stop_at_once():
            if not distributed:
                _train(config, path, quiet, profile, compiled, processes.ALONE, refit)
                return
            dead_after = config.parallel.dead_after
            with processes.joined(coordinator, count, index, dead_after) as joined:
                try:
                    quiet = quiet or joined.index > 0
                    _train(config, path, quiet, profile, compiled, joined)
                except signals.Interrupted as stopped:
                    if stopped.step is None:  # this process alone: the others are to be told
                        raise
                    _end(path, stopped, speak=joined.index == 0)
    except signals.Interrupted as stopped:
        _end(path, stopped)


def _end(path: Path, stopped: Any, speak: bool = True) -> NoReturn:
    if speak:
        click.echo(f"{path}: {stopped}. Run the same command to resume.", err=True)
    sys.exit(stopped.exit_code)


def _train(
    config: Any,
    path: Path,
    quiet: bool,
    profile: tuple[int, int] | None,
    compiled: str | None,
    processes: Any,
    refit: bool = False,
) -> None:
    """Train, evaluate and export as one process of a run; process 0 writes and speaks."""
    from mfp import manifest
    from mfp.report.progress import TrainingProgress
    from mfp.training import loop, session
    from mfp.training import refit as refits
    from mfp.training.run import RunFolder

    progress = TrainingProgress(quiet=quiet)
    keep_compiled(compiled, progress.say)
    run = RunFolder(path, writer=processes.index == 0)
    with processes.first():
        dataset = prepare_films(config.data, quiet, silent=not run.writer)
    with run.claimed():
        trained = loop.train(config, dataset, run, progress, profile, processes)
        progress.say(
            f"trained for {trained.seconds:.0f} s; the best epoch ended at step {trained.step}"
        )
        report = session.evaluate_run(run, config, dataset, trained, progress)
        if not run.writer:
            return
        show_report(report)
        if refit:
            run, config, trained = refits.refit(run, config, dataset, trained, report, progress)
            report = session.evaluate_run(run, config, dataset, trained, progress)
            show_report(report)
        if not run.bundle.exists():
            progress.say("exporting the bundle")
            session.export_run(run, run.bundle, config, dataset, trained, report)
    click.echo(f"checkpoint  {run.checkpoints}\nmetrics     {run.metrics_file}")
    command = _next_command(run.bundle, trained.spec, config.data.table)
    bundle_id = manifest.read(run.bundle).id
    click.echo(f"bundle      {run.bundle}\nbundle id   {bundle_id}\n\nTry next:\n  {command}")


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


@click.command("verify-resume")
@click.option(
    "--config",
    "-c",
    "config_path",
    default="configs/debug.toml",
    show_default=True,
    type=click.Path(dir_okay=False),
    help="A TOML config; the default takes about a minute.",
)
@SET
@TABLE
@MEDIA
@click.option("--kills", default=3, show_default=True, type=click.IntRange(1, 100))
@click.option("--seed", default=0, show_default=True, help="Of the steps and moments to kill at.")
@click.option("--keep", type=click.Path(file_okay=False), help="Keep both runs in this folder.")
@one_line_errors
def verify_resume(
    config_path: str,
    overrides: tuple[str, ...],
    table: str | None,
    media: str | None,
    kills: int,
    seed: int,
    keep: str | None,
) -> None:
    """Show on this machine that a killed and resumed run ends in the same bits.

    Trains once undisturbed, and once killed at random steps by kill -9 and SIGTERM in turn and
    resumed each time; then compares parameters, optimizer state and log bit for bit. Exit code 1
    on any difference.

    \b
    Examples:
      mfp verify-resume
      mfp verify-resume --config configs/base.toml --set train.epochs=2 --kills 5
    """
    import tempfile

    config = load_config(config_path, overrides, table, media)
    from mfp.report import tables
    from mfp.training import verify

    prepare_films(config.data, quiet=False)
    with tempfile.TemporaryDirectory(prefix="mfp-verify-") as temporary:
        folder = Path(keep or temporary)
        verdict = verify.verify(config, folder, kills, seed, lambda m: click.echo(m, err=True))
    tables.show(tables.resume_table(verdict.interruptions))
    tables.show(tables.comparison_table(verdict.comparisons))
    click.echo("The same, bit for bit." if verdict.good else "NOT the same: see above.")
    sys.exit(0 if verdict.good else 1)
