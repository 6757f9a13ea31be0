"""`mfp data`: films as the prepared dataset movie_feedback."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import click

from mfp.cli_common import CONFIG, MEDIA, SET, TABLE, load_config, one_line_errors, prepare_films


@click.group()
def data() -> None:
    """Films as the prepared dataset movie_feedback."""


@data.command()
@CONFIG
@SET
@TABLE
@MEDIA
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
    config = load_config(config_path, overrides, table, media)
    dataset = prepare_films(config.data, quiet=False, runner=runner, beam_options=beam_options)
    if rejects is not None:
        lines = "".join(json.dumps(reject) + "\n" for reject in dataset.rejects)
        Path(rejects).write_text(lines, encoding="utf-8")
    for name, films in dataset.splits.items():
        click.echo(f"{name:12s}{len(films):>9,} films")
    click.echo(f"folder      {dataset.folder}\nfingerprint {dataset.fingerprint}")


@data.command()
@CONFIG
@SET
@TABLE
@MEDIA
@one_line_errors
def check(
    config_path: str, overrides: tuple[str, ...], table: str | None, media: str | None
) -> None:
    """Look for leaks, twins in two splits, impossible values and shift.

    A leak is an input that tells an outcome better than anything known before release can: a copy
    of it, a column known only afterwards, a later film in a track record. Exit code 1 where
    something grave was found, that is where figures on these films could not be trusted.

    \b
    Examples:
      mfp data check
      mfp data check --table films.csv --set data.split.train_until=2009-12-31
    """
    config = load_config(config_path, overrides, table, media)
    dataset = prepare_films(config.data, quiet=False)
    from mfp.data import check as checks
    from mfp.data.history_files import open_table

    past = config.features.history
    known = open_table(dataset, past, config.targets) if past.fields else None
    splits = {name: list(films) for name, films in dataset.splits.items()}
    found = checks.check(splits, past, known, config.targets)
    for finding in found:
        click.echo(str(finding))
    grave = sum(finding.grave for finding in found)
    click.echo(f"{dataset.count:,} films: {grave} errors, {len(found) - grave} notes")
    if grave:
        raise SystemExit(1)
