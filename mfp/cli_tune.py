"""`mfp tune`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from mfp.cli_common import (
    MEDIA,
    SET,
    TABLE,
    load_config,
    one_line_errors,
    prepare_films,
)


@click.command()
@click.option(
    "--config",
    "-c",
    "config_path",
    default="configs/tune.toml",
    show_default=True,
    type=click.Path(dir_okay=False),
    help="A TOML config with a section [tune].",
)
@SET
@TABLE
@MEDIA
@click.option(
    "--trials",
    default=50,
    show_default=True,
    type=click.IntRange(1),
    help="Of the whole study: those of earlier calls and of other processes count.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(0, min_open=True),
    metavar="SECONDS",
    help="No trial begins later; the one that runs is finished.",
)
@click.option("--run", "run_path", type=click.Path(file_okay=False), help="Default: runs/<name>.")
@click.option(
    "--storage",
    metavar="URL",
    help="A database for the study, as postgresql://user@host/name; its driver must be installed. "
    "Default: SQLite, study.db in the run folder.",
)
@click.option("--keep", is_flag=True, help="Keep the run folder of every trial.")
@click.option("--dry-run", is_flag=True, help="Show what would be searched, and stop.")
@click.option("--quiet", "-q", is_flag=True, help="No progress, only the result.")
@one_line_errors
def tune(
    config_path: str,
    overrides: tuple[str, ...],
    table: str | None,
    media: str | None,
    trials: int,
    timeout: float | None,
    run_path: str | None,
    storage: str | None,
    keep: bool,
    dry_run: bool,
    quiet: bool,
) -> None:
    """Search for a better config on validation films; test films are not opened.

    The section [tune] of the config says which keys are searched and where, and which number is
    optimised. Values are proposed by a tree-structured Parzen estimator; trials that fall behind
    are ended early (successive halving). The best config so far is best.toml in the run folder.

    Run again to go on: Ctrl-C, SIGTERM and SIGUSR1 exit with 130, 143 and 138, and a trial that was
    stopped or killed goes on from its checkpoint. The same command in several processes, on one
    machine or as tasks of a SLURM array, works at one study; the machines must share the run
    folder, on a file system with locks.

    \b
    Examples:
      mfp tune --dry-run
      mfp tune --trials 100 --timeout 3600
      mfp tune --table films.csv --media posters/ --set name=mine-tune --set tune.metric=rating/r2
      mfp train --config runs/tune/best.toml         the best one; looks at test films once
      COMMAND=tune CONFIGS=configs/tune.toml SEEDS=8 sbatch --nodes=1 --array=0-7 \\
        configs/jobs/slurm.sbatch
    """
    config = load_config(config_path, overrides, table, media)
    folder = Path(run_path or f"runs/{config.name}")
    if dry_run:
        _show_plan(config, folder, trials, storage)
        return
    from mfp import allocator

    allocator.keep_freed_memory()  # before anything starts threads
    studies = _studies()
    from mfp.training import signals

    try:
        with signals.stop_at_once():
            from mfp.report.progress import StudyProgress

            dataset = prepare_films(config.data, quiet, splits=studies.SPLITS)
            study = studies.Study(config, Path(config_path), folder, dataset.fingerprint, storage)
            study.search(dataset, trials, StudyProgress(quiet=quiet), timeout, keep)
            _show_result(study)
    except signals.Interrupted as stopped:
        click.echo(f"{folder}: {stopped}. Run the same command to resume.", err=True)
        sys.exit(stopped.exit_code)


def _studies() -> Any:
    try:
        from mfp.training import tune as studies
    except ModuleNotFoundError as error:
        if error.name not in ("optuna", "sqlalchemy"):
            raise
        raise click.ClickException(
            "Optuna is not installed; run: pip install 'mfp[tune]'"
        ) from None
    return studies


def _show_plan(config: Any, folder: Path, trials: int, storage: str | None) -> None:
    from mfp import config as configs
    from mfp.report import tables
    from mfp.training import space

    goal, parameters = space.Goal.of(config), space.parameters(config)
    rows = [(p.key, configs.value_of(config, p.key), p) for p in parameters]
    tables.show(tables.space_table(rows))
    tuning, epochs = config.tune, config.train.epochs
    rungs, rung = [], tuning.first_rung
    while rung < epochs:
        rungs.append(str(rung))
        rung *= tuning.reduction
    click.echo(f"{'largest' if goal.more else 'smallest'} validation {goal.name} is best")
    if rungs:
        halved = f"the best 1/{tuning.reduction} go on after epoch {', '.join(rungs)}"
        click.echo(f"{trials} trials of at most {epochs} epochs; {halved}")
    else:
        click.echo(f"{trials} trials of {epochs} epochs")
    click.echo(f"study  {storage or folder / 'study.db'}")


def _show_result(study: Any) -> None:
    from mfp.report import plots, tables

    trials, goal = study.trials(), study.goal
    running = sum(trial.state == "running" for trial in trials)
    if running:
        said = "trial runs" if running == 1 else "trials run"
        click.echo(f"{running} {said} in other processes", err=True)
    if study.best_config() is None:
        raise click.ClickException(
            f"{study.folder}: no trial came to its end; give more --trials or --timeout"
        )
    tables.show(tables.trials_table(trials, goal.name, goal.more))
    plots.study_history(trials, goal.name, goal.more, study.folder / "history.png")
    click.echo(f"history     {study.folder / 'history.png'}")
    shares = study.importances()
    if shares:
        plots.importances(shares, study.folder / "importance.png")
        click.echo(f"importance  {study.folder / 'importance.png'}")
    best = study.folder / "best.toml"
    click.echo(f"best        {best}\n\nTry next:\n  mfp train --config {best}")
