"""`mfp report`: a page about a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from mfp.cli_common import one_line_errors, prepare_films


@click.command()
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
    dataset = prepare_films(config.data, quiet=False)
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
