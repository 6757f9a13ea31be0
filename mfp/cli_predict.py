"""The command `mfp-predict`: films in, forecasts out. Click only; imports stay light."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

import click

from mfp import __version__, rows, tables
from mfp.film import FIELDS, Film

# Option of each field, where it is not the field's own name: one member per use is natural.
_SINGULAR = {
    "genres": "genre",
    "directors": "director",
    "writers": "writer",
    "keywords": "keyword",
    "companies": "company",
    "languages": "language",
    "countries": "country",
    "runtime_minutes": "runtime",
    "budget_usd": "budget",
}
# Not yet inputs of any network: taken from tables only.
_NO_OPTION = ("poster", "trailer", "reviews", "vote_count", "popularity")
_HELP = {
    "title": "Title of the film.",
    "id": "Your own id, for example an IMDb id.",
    "release_date": "YYYY-MM-DD, YYYY-MM or YYYY.",
    "certificate": "Age rating, for example PG-13.",
    "plot": "What happens.",
    "tagline": "The line on the poster.",
}


def _film_options(command: Any) -> Any:
    """An option for every field that describes a film."""
    for name, spec in reversed(FIELDS.items()):
        if name not in _NO_OPTION:
            several = "Repeatable, or one list separated by '|' or commas."
            text = _HELP.get(name) or (f"In {spec.unit}." if spec.unit else several)
            flags = {f"--{_SINGULAR.get(name, name)}", f"--{name}"}
            command = click.option(
                *(flag.replace("_", "-") for flag in sorted(flags, key=len)),
                name,
                multiple=spec.kind == "names",
                help=text,
            )(command)
    return command


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="mfp-predict")
@click.argument("files", metavar="[FILE]...", nargs=-1, type=click.Path(allow_dash=True))
@click.option(
    "--model",
    "-m",
    required=True,
    envvar="MFP_MODEL",
    show_envvar=True,
    type=click.Path(),
    help="The bundle folder that mfp train or mfp export wrote.",
)
@_film_options
@click.option(
    "--output", "-o", type=click.Path(dir_okay=False), help="Write .csv, .jsonl or .json."
)
@click.option(
    "--format",
    "shape",
    type=click.Choice(["table", "jsonl", "csv"]),
    help="Default: a table on a terminal, JSON Lines in a pipe, by its ending in a file.",
)
@click.option("--rejects", type=click.Path(dir_okay=False), help="Write rows that failed (JSONL).")
@click.option("--no-verify", is_flag=True, help="Do not compare the bundle with its hashes.")
def main(
    files: tuple[str, ...],
    model: str,
    output: str | None,
    shape: str | None,
    rejects: str | None,
    no_verify: bool,
    **fields: Any,
) -> None:
    """Forecast rating, box office and the chance of a hit of films that have not opened.

    Films come as FILEs (.csv, .jsonl, .json; - is standard input), or one film by options.
    A row that cannot be read is reported with its reason; the others are served.

    \b
    Examples:
      mfp-predict -m runs/base/bundle --title "Heat 2" --director "Michael Mann" --genre Crime
      mfp-predict -m runs/base/bundle upcoming.csv --output forecast.csv
      cat films.jsonl | mfp-predict -m runs/base/bundle > forecast.jsonl

    \b
    Exit codes: 0 all films were served; 1 nothing could be done, one line says why; 2 wrong
    usage; 3 served, but some rows were rejected; 130 stopped by Ctrl-C.
    """
    try:
        code = _run(files, model, output, shape, rejects, not no_verify, fields)
    except BrokenPipeError:
        # Whoever read us has enough. Python would complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except (tables.TableError, OSError) as error:
        raise click.ClickException(str(error)) from None
    sys.exit(code)


def _run(
    files: tuple[str, ...],
    model: str,
    output: str | None,
    shape: str | None,
    rejects_path: str | None,
    verify: bool,
    fields: dict[str, Any],
) -> int:
    given = {name: value for name, value in fields.items() if value not in (None, ())}
    if given and files:
        raise click.UsageError("give files, or one film by options, not both")
    if not given and not files:
        if sys.stdin.isatty():
            raise click.UsageError("no films: give a FILE, or --title and more; see --help")
        files = ("-",)
    films: Iterable[tables.Record | tables.Reject]
    films = [_film_by_options(given)] if given else _films_of_files(files)
    shape = shape or _shape_of(output)

    from mfp import manifest

    try:
        from mfp.forecast import Forecaster

        forecaster = Forecaster.open(model, verify)
    except manifest.BundleError as error:
        raise click.ClickException(str(error)) from None
    rejected = 0
    with contextlib.ExitStack() as stack:
        reject_file = (
            stack.enter_context(open(rejects_path, "w", encoding="utf-8")) if rejects_path else None
        )

        def served() -> Iterator[Film]:
            nonlocal rejected
            for row in films:
                if isinstance(row, tables.Record):
                    yield row.film
                    continue
                rejected += 1
                if reject_file is not None:
                    reject_file.write(json.dumps(row.to_json()) + "\n")
                elif rejected <= 20:
                    click.echo(f"rejected: {row}", err=True)

        forecasts = forecaster.stream(served())
        _write(forecasts, shape, output)
    if rejected:
        where = f"; see {rejects_path}" if rejects_path else ""
        click.echo(f"{rejected} rows were rejected{where}", err=True)
    return 3 if rejected else 0


def _film_by_options(given: dict[str, Any]) -> tables.Record:
    # A single use may hold a whole list; several uses are its members as they stand.
    row = {n: v[0] if isinstance(v, tuple) and len(v) == 1 else v for n, v in given.items()}
    try:
        film, outcome = rows.parse(row)
    except rows.FieldError as error:
        option = _SINGULAR.get(error.name, error.name).replace("_", "-")
        raise click.UsageError(f"--{option}: {error.reason}") from None
    return tables.Record(tables.Place("options", 1, film.id), film, outcome)


def _films_of_files(files: tuple[str, ...]) -> Iterator[tables.Record | tables.Reject]:
    for name in files:
        warn = lambda message: click.echo(message, err=True)  # noqa: E731
        if name == "-":
            yield from tables.read(tables.STANDARD_INPUT, sys.stdin.buffer, warn)
        else:
            yield from tables.read(name, warn=warn)


def _shape_of(output: str | None) -> str:
    if output is None:
        return "table" if sys.stdout.isatty() else "jsonl"
    shapes = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "json"}
    suffix = Path(output).suffix.lower()
    if suffix not in shapes:
        raise click.UsageError(f"--output {output}: end it in .csv, .jsonl or .json")
    return shapes[suffix]


def _write(forecasts: Iterator[Any], shape: str, output: str | None) -> None:
    if shape == "table":
        from mfp.report import tables as report_tables

        report_tables.show(report_tables.forecast_table(forecasts))
        return
    with contextlib.ExitStack() as stack:
        file: IO[str] = sys.stdout
        if output is not None:
            file = stack.enter_context(open(output, "w", encoding="utf-8", newline=""))
        if shape == "csv":
            _write_csv(forecasts, file)
        elif shape == "json":
            json.dump([f.to_json() for f in forecasts], file, ensure_ascii=False, indent=1)
            file.write("\n")
        else:
            for forecast in forecasts:
                file.write(json.dumps(forecast.to_json(), ensure_ascii=False) + "\n")
        file.flush()


def _write_csv(forecasts: Iterator[Any], file: IO[str]) -> None:
    columns = ("id", "title", "release_date", "rating", "revenue_usd", "hit_probability", "verdict")
    writer = csv.writer(file)
    writer.writerow(columns)
    for forecast in forecasts:
        values = forecast.to_json()
        writer.writerow([_inert(values.get(column, "")) for column in columns])


def _inert(value: Any) -> Any:
    """A spreadsheet would run a text that starts like a formula; an apostrophe stops it."""
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return f"'{value}"
    return value
