"""The command `mfp`: prepare films, train, evaluate, export. Click only; imports stay light.

Exit codes: 0 done; 1 it cannot be done, one line says why; 2 wrong usage; 3 another process of
the run died (134 if it was process 0); 130, 138 and 143 stopped by SIGINT, SIGUSR1 or SIGTERM
(training has saved its state: run again to resume; of several processes it is enough that one was
asked).
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, NoReturn

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
        ("mfp.data.builder.beam", "PipelineError"),
        ("mfp.training.checkpoint", "CheckpointError"),
        ("mfp.training.finite", "TrainingError"),
        ("mfp.training.programs", "RecompiledError"),
        ("mfp.training.run", "BusyError"),
        ("mfp.training.verify", "VerifyError"),
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
      mfp verify-resume                              a killed run ends in the same bits
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
    "--profile",
    metavar="FIRST:LAST",
    callback=_steps,
    help="Trace these steps with JAX's profiler, into the run's folder profile.",
)
@click.option(
    "--compiled",
    metavar="FOLDER",
    help="Where compiled programs are kept for the next start; none: nowhere. "
    "Default: mfp/compiled in your cache folder, or JAX_COMPILATION_CACHE_DIR.",
)
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
      mfp train --table films.csv --set name=mine --set data.split.train_until=2018-12-31
      mfp train --set train.checkpoint_minutes=10 --set train.checkpoint_every=0
      mfp train --run runs/try --profile 10:15       then: tensorboard --logdir runs/try
      mfp train --config configs/gpu.toml --distributed     under srun, or in every pod
    """
    config = _load(config_path, overrides, table, media)
    path = Path(run_path or f"runs/{config.name}")
    from mfp.training import processes, signals

    try:
        with signals.stop_at_once():
            if not distributed:
                _train(config, path, quiet, profile, compiled, processes.ALONE)
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
) -> None:
    """Train, evaluate and export as one process of a run; process 0 writes and speaks."""
    from mfp.report.progress import TrainingProgress
    from mfp.training import loop, session
    from mfp.training.run import RunFolder

    progress = TrainingProgress(quiet=quiet)
    _keep_compiled(compiled, progress.say)
    run = RunFolder(path, writer=processes.index == 0)
    with processes.first():
        dataset = _prepare(config.data, quiet, silent=not run.writer)
    with run.claimed():
        trained = loop.train(config, dataset, run, progress, profile, processes)
        progress.say(
            f"trained for {trained.seconds:.0f} s; the best epoch ended at step {trained.step}"
        )
        report = session.evaluate_run(run, config, dataset, trained, progress)
        if not run.writer:
            return
        _show_report(report)
        if not run.bundle.exists():
            progress.say("exporting the bundle")
            session.export_run(run, run.bundle, config, dataset, trained, report)
    click.echo(f"checkpoint  {run.checkpoints}\nmetrics     {run.metrics_file}")
    command = _next_command(run.bundle, trained.spec, config.data.table)
    click.echo(f"bundle      {run.bundle}\n\nTry next:\n  {command}")


def _keep_compiled(folder: str | None, say: Callable[[str], None]) -> None:
    if folder == "none":
        return
    from mfp.training import compiled

    trouble = compiled.keep_in(Path(folder) if folder else compiled.default_folder())
    if trouble:
        say(trouble)


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


@main.command("verify-resume")
@click.option(
    "--config",
    "-c",
    "config_path",
    default="configs/debug.toml",
    show_default=True,
    type=click.Path(dir_okay=False),
    help="A TOML config; the default takes about a minute.",
)
@_SET
@_TABLE
@_MEDIA
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

    config = _load(config_path, overrides, table, media)
    from mfp.report import tables
    from mfp.training import verify

    _prepare(config.data, quiet=False)
    with tempfile.TemporaryDirectory(prefix="mfp-verify-") as temporary:
        folder = Path(keep or temporary)
        verdict = verify.verify(config, folder, kills, seed, lambda m: click.echo(m, err=True))
    tables.show(tables.resume_table(verdict.interruptions))
    tables.show(tables.comparison_table(verdict.comparisons))
    click.echo("The same, bit for bit." if verdict.good else "NOT the same: see above.")
    sys.exit(0 if verdict.good else 1)


@main.command()
@click.argument("run_path", metavar="RUN", type=click.Path(file_okay=False), default="runs/base")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@click.option("--where", metavar="CONDITION", help="Only films where, for example, vote_count>=50.")
@click.option(
    "--missing",
    is_flag=True,
    help="Test metrics for every subset of modalities; also missing.json and missing.png.",
)
@click.option(
    "--faithfulness",
    is_flag=True,
    help="Is what explanations call important important? Also faithfulness.json.",
)
@one_line_errors
def evaluate(
    run_path: str, as_json: bool, where: str | None, missing: bool, faithfulness: bool
) -> None:
    """Metrics of a run's best checkpoint on held-out films, beside the baselines.

    \b
    Examples:
      mfp evaluate runs/base
      mfp evaluate runs/base --where "runtime_minutes>=90"
      mfp evaluate runs/multimodal --missing
      mfp evaluate runs/base --faithfulness
    """
    from mfp.report.progress import TrainingProgress
    from mfp.training import session
    from mfp.training.run import RunFolder

    run = RunFolder(Path(run_path))
    config, _ = run.read_config()
    dataset = _prepare(config.data, quiet=as_json)
    if faithfulness:
        _faithfulness(run, config, dataset, as_json)
        return
    progress = TrainingProgress(quiet=as_json)
    trained = session.restore_trained(run, config, dataset, progress)
    if where is not None:
        trained = session.only_films_where(trained, dataset, where)
    if missing:
        rows = session.missing_run(run, config, trained)
        click.echo(json.dumps(rows, indent=1)) if as_json else _show_missing(rows, trained.spec)
        return
    report = session.evaluate_run(run, config, dataset, trained, progress, save=where is None)
    if as_json:
        click.echo(json.dumps(report, indent=1))
    else:
        _show_report(report)
        _show_coverage(report)


@main.command()
@click.argument("run_path", metavar="RUN", type=click.Path(file_okay=False), default="runs/base")
@click.option("--output", "-o", type=click.Path(dir_okay=False), help="Default: RUN/report.html.")
@one_line_errors
def report(run_path: str, output: str | None) -> None:
    """Write a page (HTML) about a run: learning curves, test films, calibration, worst misses.

    \b
    Examples:
      mfp report runs/base
      mfp evaluate runs/multimodal --missing && mfp report runs/multimodal -o page.html
    """
    from mfp.report import run_page
    from mfp.report.progress import TrainingProgress
    from mfp.training import held_out, session
    from mfp.training.run import RunFolder, write_text

    run = RunFolder(Path(run_path))
    config, _ = run.read_config()
    path = Path(output) if output else run.path / "report.html"
    metrics = run.read_json("metrics.json", f"run: mfp evaluate {run.path}")
    there = (run.path / "missing.json").exists()
    hidden = there and run.read_json("missing.json", f"run: mfp evaluate {run.path} --missing")
    dataset = _prepare(config.data, quiet=False)
    trained = session.restore_trained(run, config, dataset, TrainingProgress())
    found = run_page.RunReport(
        config.name,
        _run_facts(config, dataset, trained, metrics),
        run.read_log(),
        metrics,
        held_out.forecasts(run, config, trained),
        dataset.splits["test"],
        hidden or None,
    )
    write_text(path, run_page.render(found))
    click.echo(f"page        {path}")


def _run_facts(config: Any, dataset: Any, trained: Any, metrics: Any) -> list[tuple[str, str]]:
    films = ", ".join(f"{len(split):,} {name}" for name, split in dataset.splits.items())
    return [
        ("source", config.data.table or config.data.source),
        ("films", films),
        ("inputs", ", ".join(trained.spec.modalities)),
        ("targets", ", ".join(trained.spec.targets.names)),
        ("best step", f"{trained.step:,}"),
        ("seconds", f"{trained.seconds:,.0f}"),
        ("seed", str(config.seed)),
        ("versions", ", ".join(f"{k} {v}" for k, v in metrics["versions"].items())),
    ]


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
    progress = TrainingProgress()
    trained = session.restore_trained(run, config, dataset, progress)
    report = session.evaluate_run(run, config, dataset, trained, progress)
    session.export_run(run, Path(output), config, dataset, trained, report)
    click.echo(f"bundle      {output}")


@main.group()
def bundle() -> None:
    """Bundles for mfp-predict."""


@bundle.command()
@click.argument("path", metavar="BUNDLE", type=click.Path())
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
@click.option("--no-verify", is_flag=True, help="Do not compare the bundle with its hashes.")
@one_line_errors
def show(path: str, as_json: bool, no_verify: bool) -> None:
    """The model card: films and dates, inputs, test metrics beside baselines, known limits.

    \b
    Example:
      mfp bundle show runs/base/bundle
    """
    from mfp import manifest
    from mfp.report import card

    found = manifest.read(Path(path), verify=not no_verify)
    if not no_verify:
        manifest.verify(Path(path), found)
    if as_json:
        click.echo(json.dumps(card.of(found), indent=1, ensure_ascii=False))
    else:
        card.show(found, verified=not no_verify)


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
@click.option(
    "--runner",
    metavar="NAME",
    help="Prepare on Apache Beam: DirectRunner, DataflowRunner, FlinkRunner, SparkRunner, ...",
)
@click.option(
    "--beam-option",
    "beam_options",
    multiple=True,
    metavar="KEY=VALUE",
    help="One of Beam's pipeline options, for example direct_num_workers=2. Repeatable.",
)
@one_line_errors
def prepare(
    config_path: str,
    overrides: tuple[str, ...],
    table: str | None,
    media: str | None,
    rejects: str | None,
    runner: str | None,
    beam_options: tuple[str, ...],
) -> None:
    """Prepare films once, as ArrayRecord files split by release date.

    Prepared data of the same content and split is found again and not prepared anew.
    With --runner, the workers of a Beam runner decode the media; table, media and data.prepared
    must lie on a file system that they share with this machine. The outcome is the same.

    \b
    Examples:
      mfp data prepare
      mfp data prepare --table films.csv --media media/ --rejects rejects.jsonl
      mfp data prepare --table /nfs/films.csv --media /nfs/media \\
        --set data.prepared=/nfs/prepared \\
        --runner FlinkRunner --beam-option flink_master=flink:8081 --beam-option parallelism=64
    """
    if beam_options and runner is None:
        raise click.UsageError("--beam-option: is for Beam; name its --runner too")
    if runner is not None:  # importing Beam logs that a part of it that we do not use is missing
        logging.getLogger().addFilter(lambda record: "apitools" not in str(record.msg))
    config = _load(config_path, overrides, table, media)
    dataset = _prepare(config.data, quiet=False, runner=runner, beam_options=beam_options)
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


def _prepare(
    config: Any,
    quiet: bool,
    silent: bool = False,
    runner: str | None = None,
    beam_options: tuple[str, ...] = (),
) -> Any:
    """The dataset, prepared with a progress count, its rejected rows summed up."""
    from mfp.data import dataset
    from mfp.report.progress import CountingProgress

    with CountingProgress("preparing films", quiet=quiet) as progress:
        warn = (lambda _: None) if silent else (lambda m: click.echo(m, err=True))
        found = dataset.prepare(config, warn, progress.advance, runner, beam_options)
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
    for sentence in tables.coverage_sentences(report.get("intervals", {"level": 0.0})):
        click.echo(sentence)


def _show_coverage(report: dict[str, Any]) -> None:
    from mfp.report import tables

    for table in tables.coverage_tables(report.get("intervals", {"level": 0.0})):
        tables.show(table)


def _faithfulness(run: Any, config: Any, dataset: Any, as_json: bool) -> None:
    """Measure the explanations of the run's bundle on validation films; the test films rest."""
    from mfp.forecast import faithfulness
    from mfp.forecast.bundle import open_bundle
    from mfp.report import reasons, tables
    from mfp.report.progress import CountingProgress
    from mfp.training.run import write_json

    bundle = open_bundle(run.bundle)
    films = dataset.splits["validation"]
    chosen = faithfulness.sample(len(films), config.seed)
    with CountingProgress("explaining films", len(chosen), quiet=as_json) as progress:
        pairs = ((films[i][0], films.pixels(i)) for i in chosen)
        rows = faithfulness.measure(bundle, pairs, config.seed, progress.advance)
    values = [row.to_json() for row in rows]
    write_json(run.path / "faithfulness.json", values)
    if as_json:
        click.echo(json.dumps(values, indent=1))
    else:
        tables.show(reasons.faithfulness_table(rows))


def _show_missing(rows: list[dict[str, Any]], spec: Any) -> None:
    from mfp.report import tables
    from mfp.training import missing

    every = [(" + ".join(row["present"]) or "nothing", row["metrics"]) for row in rows]
    tables.show(tables.missing_table("every subset of modalities", every))
    chosen = [(r["shown"], r["metrics"]) for r in missing.ablation(rows, spec.modalities)]
    tables.show(tables.missing_table("alone, and all but one", chosen))
