"""What the commands of `mfp` share: options, one-line errors, the config and its films."""

from __future__ import annotations

import errno
import json
import logging
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click

CONFIG = click.option(
    "--config",
    "-c",
    "config_path",
    default="configs/base.toml",
    show_default=True,
    type=click.Path(dir_okay=False),
    help="A TOML config.",
)
SET = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Override a key, for example --set train.epochs=3. Repeatable.",
)

TABLE = click.option(
    "--table", type=click.Path(dir_okay=False), help="Your own films: CSV, JSON Lines or JSON."
)
COMPILED = click.option(
    "--compiled",
    metavar="FOLDER",
    help="Where compiled programs are kept for the next start; none: nowhere. "
    "Default: mfp/compiled in your cache folder, or JAX_COMPILATION_CACHE_DIR.",
)
MEDIA = click.option(
    "--media", type=click.Path(file_okay=False), help="Folder of the table's posters and trailers."
)


def one_line_errors(command: Callable[..., Any]) -> Callable[..., Any]:
    """Documented errors end a command with one clear line and exit code 1."""

    @wraps(command)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        logging.getLogger("absl").setLevel(logging.ERROR)
        try:
            return command(*args, **kwargs)
        except BrokenPipeError:
            raise  # click ends quietly
        except OSError as error:
            raise click.ClickException(describe(error)) from None
        except _expected_errors() as error:
            raise click.ClickException(str(error)) from None

    return guarded


def describe(error: OSError) -> str:
    """An error of the operating system in one line: the file, the reason, the remedy."""
    if error.errno is None:
        return str(error)
    place = f"{error.filename}: " if error.filename is not None else ""
    remedy = _REMEDIES.get(error.errno, "")
    return f"{place}{error.strerror}{remedy and '; '}{remedy}"


_AGAIN = "run the same command again: what was done is kept"
_REMEDIES = (
    dict.fromkeys((errno.ENOSPC, errno.EDQUOT), f"make room and {_AGAIN}")
    | {errno.ENOENT: "it is not there; is its disk or network folder mounted?"}
    | {errno.EFBIG: f"raise the limit of file sizes (ulimit -f) and {_AGAIN}"}
    | dict.fromkeys(
        (errno.EROFS, errno.EACCES, errno.EPERM),
        "nothing can be written there: choose another folder (--run, --set data.prepared=..., "
        "--output), or make it writable",
    )
    | dict.fromkeys(
        (errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.EHOSTDOWN, errno.ETIMEDOUT, errno.ENODEV),
        f"the disk or network folder does not answer: see to it and {_AGAIN}",
    )
)


def _expected_errors() -> tuple[type[Exception], ...]:
    """The documented errors of the modules that were loaded."""
    found: list[type[Exception]] = []
    for module, name in (
        ("mfp.typed_toml", "ConfigError"),
        ("mfp.tables", "TableError"),
        ("mfp.manifest", "BundleError"),
        ("mfp.data.builder.beam", "PipelineError"),
        ("mfp.training.checkpoint", "CheckpointError"),
        ("mfp.training.finite", "TrainingError"),
        ("mfp.training.programs", "RecompiledError"),
        ("mfp.training.run", "BusyError"),
        ("mfp.training.tune", "StudyError"),
        ("mfp.training.verify", "VerifyError"),
        ("mfp.training.export", "ExportError"),
    ):
        if module in sys.modules:
            found.append(getattr(sys.modules[module], name))
    return tuple(found)


def keep_compiled(folder: str | None, say: Callable[[str], None]) -> None:
    """As the option --compiled says."""
    if folder == "none":
        return
    from mfp import compiled

    trouble = compiled.keep_in(Path(folder) if folder else compiled.default_folder())
    if trouble:
        say(trouble)


def load_config(
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


def prepare_films(
    config: Any,
    quiet: bool,
    silent: bool = False,
    runner: str | None = None,
    beam_options: tuple[str, ...] = (),
    splits: tuple[str, ...] | None = None,
) -> Any:
    """The dataset, prepared with a progress count, its rejected rows summed up."""
    from mfp.data import dataset
    from mfp.report.progress import CountingProgress

    with CountingProgress("preparing films", quiet=quiet) as progress:
        warn = (lambda _: None) if silent else (lambda m: click.echo(m, err=True))
        found = dataset.prepare(config, warn, progress.advance, runner, beam_options, splits)
    rejects = found.rejects
    if rejects and not quiet:
        for reject in rejects[:3]:
            click.echo(dataset.describe(reject), err=True)
        more = f"; {len(rejects) - 3} more" if len(rejects) > 3 else ""
        click.echo(f"{len(rejects)} problems{more}: see {found.folder / 'rejects.jsonl'}", err=True)
    return found


def show_report(report: dict[str, Any]) -> None:
    from mfp.report import rival_tables, tables

    if "comparison" in report:
        click.echo(report["comparison"]["verdict"])
    tables.show(tables.metrics_table(report))
    if "comparison" in report:
        tables.show(rival_tables.differences_table(report["comparison"]))
    click.echo(tables.verdict_on_baselines(report))
    for sentence in tables.history_sentences(report):
        click.echo(sentence)
    for sentence in rival_tables.served_sentences(report.get("served", {})):
        click.echo(sentence)
    for sentence in tables.coverage_sentences(report.get("intervals", {"level": 0.0})):
        click.echo(sentence)
