"""`mfp evaluate`, `mfp export` and `mfp bundle`: what a run is worth, and its bundle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from mfp.cli_common import one_line_errors, prepare_films, show_report


@click.command()
@click.argument("run_path", metavar="RUN", type=click.Path(file_okay=False), default="runs/base")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@click.option("--where", metavar="CONDITION", help="Only films where, for example, vote_count>=50.")
@click.option(
    "--compare",
    is_flag=True,
    help="Tune ridge, logistic regression and LightGBM on the same films, with intervals.",
)
@click.option(
    "--refit-rivals",
    is_flag=True,
    help="With --compare: fit the tuned rivals on training and validation films.",
)
@click.option(
    "--rivals",
    "rivals_file",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="With --compare: keep the fitted rivals there, for runs of other seeds.",
)
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
    run_path: str,
    as_json: bool,
    where: str | None,
    compare: bool,
    refit_rivals: bool,
    rivals_file: Path | None,
    missing: bool,
    faithfulness: bool,
) -> None:
    """Metrics of a run's best checkpoint on held-out films, beside the baselines.

    \b
    Examples:
      mfp evaluate runs/base
      mfp evaluate runs/base --where "runtime_minutes>=90"
      mfp evaluate runs/base --compare               needs: pip install 'mfp[compare]'
      mfp evaluate runs/seed-1 --compare --rivals rivals.npz
      mfp evaluate runs/multimodal --missing
      mfp evaluate runs/base --faithfulness
    """
    from mfp.report.progress import TrainingProgress
    from mfp.training import session
    from mfp.training.run import RunFolder

    if refit_rivals and not compare:
        raise click.UsageError("--refit-rivals: write it with --compare")
    if rivals_file and not compare:
        raise click.UsageError("--rivals: write it with --compare")
    run = RunFolder(Path(run_path))
    config, _ = run.read_config()
    dataset = prepare_films(config.data, quiet=as_json)
    if faithfulness:
        _faithfulness(run, config, dataset, as_json)
        return
    progress = TrainingProgress(quiet=as_json)
    trained = session.restore_trained(run, config, dataset, progress)
    if where is not None:
        trained, dataset = session.only_films_where(trained, dataset, where)
    if missing:
        rows = session.missing_run(run, config, trained)
        click.echo(json.dumps(rows, indent=1)) if as_json else _show_missing(rows, trained.spec)
        return
    report = session.evaluate_run(
        run,
        config,
        dataset,
        trained,
        progress,
        save=where is None,
        compare_rivals=compare,
        refit_rivals=refit_rivals,
        rivals_file=rivals_file,
    )
    if as_json:
        click.echo(json.dumps(report, indent=1))
    else:
        show_report(report)
        _show_coverage(report)


@click.command()
@click.argument("run_path", metavar="RUN", type=click.Path(file_okay=False), default="runs/base")
@click.option("--output", "-o", required=True, type=click.Path(), help="The folder to write.")
@one_line_errors
def export(run_path: str, output: str) -> None:
    """Write a run's best checkpoint as a bundle for mfp-predict.

    \b
    Example:
      mfp export runs/base --output my-bundle
    """
    from mfp import manifest
    from mfp.report.progress import TrainingProgress
    from mfp.training import session
    from mfp.training.run import RunFolder

    run = RunFolder(Path(run_path))
    config, _ = run.read_config()
    dataset = prepare_films(config.data, quiet=False)
    progress = TrainingProgress()
    trained = session.restore_trained(run, config, dataset, progress)
    report = session.evaluate_run(run, config, dataset, trained, progress)
    session.export_run(run, Path(output), config, dataset, trained, report)
    click.echo(f"bundle      {output}\nbundle id   {manifest.read(Path(output)).id}")


@click.group()
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
