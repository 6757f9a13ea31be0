"""The command `mfp-predict`: films in, forecasts out. Click only; imports stay light."""

from __future__ import annotations

import contextlib
import csv
import itertools
import json
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

import click

from mfp import __version__, rows, tables
from mfp.film import FIELDS, Film, Outcome

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
# Known only after release; reviews have an option of their own.
_NO_OPTION = ("reviews", "vote_count", "popularity")
_HELP = {
    "title": "Title of the film.",
    "id": "Your own id, for example an IMDb id.",
    "release_date": "YYYY-MM-DD, YYYY-MM or YYYY.",
    "certificate": "Age rating, for example PG-13.",
    "plot": "What happens.",
    "tagline": "The line on the poster.",
    "poster": "A picture file: JPEG, PNG or WebP.",
    "trailer": "A clip, or a folder of its frames.",
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
    "--review",
    "reviews",
    multiple=True,
    help="A review, repeatable. Without --title, each is forecast by itself.",
)
@click.option(
    "--reviews-file",
    type=click.Path(dir_okay=False, allow_dash=True),
    help="One review a line, each forecast by itself.",
)
@click.option(
    "--media",
    type=click.Path(file_okay=False),
    help="Folder of the posters and trailers that a table names. Default: the table's own.",
)
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
    reviews: tuple[str, ...],
    reviews_file: str | None,
    media: str | None,
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
      mfp-predict -m runs/reviews/bundle --review "A joy from its first minute to its last."

    \b
    Exit codes: 0 all films were served; 1 nothing could be done, one line says why; 2 wrong
    usage; 3 served, but some rows were rejected (1 if all were); 130 stopped by Ctrl-C.
    """
    try:
        given = {name: value for name, value in fields.items() if value not in (None, ())}
        groups = _groups(files, given, reviews, reviews_file, media)
        _refuse_overwriting((output, rejects), (*files, reviews_file))
        code = _run(groups, model, output, shape, rejects, not no_verify)
    except BrokenPipeError:
        # Whoever read us has enough. Python would complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except tables.TableError as error:
        raise click.ClickException(str(error)) from None
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        raise click.ClickException(f"{where}{error.strerror or error}") from None
    sys.exit(code)


# Rows that share a media folder (None: they name no files).
_Group = tuple[Iterable[tables.Record | tables.Reject], Path | None]


def _groups(
    files: tuple[str, ...],
    given: dict[str, Any],
    reviews: tuple[str, ...],
    reviews_file: str | None,
    media: str | None,
) -> list[_Group]:
    """The films asked for: one by options, reviews, or those of files and standard input."""
    alone = bool(reviews or reviews_file) and not given
    if (given or alone) and files:
        raise click.UsageError("give files, or one film by options, not both")
    if reviews_file and given:
        raise click.UsageError("--reviews-file: its reviews stand alone; use --review with a film")
    if alone:
        return [(_films_of_reviews(reviews, reviews_file), None)]
    if given:
        return [_film_by_options(given | ({"reviews": reviews} if reviews else {}), media)]
    if not files:
        if sys.stdin.isatty():
            raise click.UsageError("no films: give a FILE, or --title and more; see --help")
        files = ("-",)
    return [_films_of_file(name, media) for name in files]


def _refuse_overwriting(written: Iterable[str | None], read: Iterable[str | None]) -> None:
    """Files that are read are never written; a folder to write into must be there."""
    for target in written:
        if target is None:
            continue
        parent = os.path.dirname(os.path.abspath(target))
        if not os.path.isdir(parent):
            raise click.ClickException(f"{target}: No such file or folder: {parent}")
        for source in read:
            there = source and os.path.exists(source) and os.path.exists(target)
            if there and os.path.samefile(source or "", target):
                raise click.UsageError(f"{target}: is read and cannot be written over")


def _run(
    groups: list[_Group],
    model: str,
    output: str | None,
    shape: str | None,
    rejects_path: str | None,
    verify: bool,
) -> int:
    if output is not None and shape == "table":
        raise click.UsageError("--format table: is for the terminal; drop --output")
    by_ending = _shape_of(output)
    if output is not None and shape not in (None, by_ending):
        raise click.UsageError(f"--format {shape}: --output {output} ends in another format")
    shape = shape or by_ending

    from mfp import manifest

    try:
        from mfp.forecast import Forecaster

        forecaster = Forecaster.open(model, verify)
    except manifest.BundleError as error:
        raise click.ClickException(str(error)) from None
    rejected = accepted = 0
    with contextlib.ExitStack() as stack:
        reject_file = (
            stack.enter_context(open(rejects_path, "w", encoding="utf-8")) if rejects_path else None
        )

        def served(found: Iterable[tables.Record | tables.Reject]) -> Iterator[Film]:
            nonlocal rejected, accepted
            for row in found:
                if isinstance(row, tables.Record):
                    accepted += 1
                    yield row.film
                    continue
                rejected += 1
                if reject_file is not None:
                    reject_file.write(json.dumps(row.to_json()) + "\n")
                elif rejected <= 20:
                    click.echo(f"rejected: {row}", err=True)

        streams = (forecaster.stream(served(found), media) for found, media in groups)
        _write(_told(itertools.chain.from_iterable(streams)), shape, output)
    if rejected:
        where = f"; see {rejects_path}" if rejects_path else ""
        rows_were = "1 row was" if rejected == 1 else f"{rejected} rows were"
        click.echo(f"{rows_were} rejected{where}", err=True)
    return 0 if not rejected else 3 if accepted else 1


def _told(forecasts: Iterable[Any]) -> Iterator[Any]:
    """The forecasts, their warnings said on the way."""
    for forecast in forecasts:
        for warning in forecast.warnings:
            click.echo(f"{forecast.title}: {warning}", err=True)
        yield forecast


def _film_by_options(given: dict[str, Any], media: str | None) -> _Group:
    # A single use may hold a whole list; several uses are its members as they stand.
    row = {n: v[0] if isinstance(v, tuple) and len(v) == 1 else v for n, v in given.items()}
    folder = Path(media) if media else None
    if media is None:
        for name in ("poster", "trailer"):
            if name in row and not os.path.exists(row[name]):
                raise click.UsageError(f"--{name}: {row[name]}: no such file")
    files = {name: os.path.abspath(row[name]) for name in ("poster", "trailer") if name in row}
    if folder is None and files:
        # Files on the command line may lie anywhere: their common folder is the media folder.
        folder = Path(os.path.commonpath([os.path.dirname(path) for path in files.values()]))
        row |= {name: os.path.relpath(path, folder) for name, path in files.items()}
    try:
        film, outcome = rows.parse(row)
    except rows.FieldError as error:
        option = _SINGULAR.get(error.name, error.name).replace("_", "-")
        raise click.UsageError(f"--{option}: {error.reason}") from None
    return [tables.Record(tables.Place("options", 1, film.id), film, outcome)], folder


def _films_of_file(name: str, media: str | None) -> _Group:
    def warn(message: str) -> None:
        click.echo(message, err=True)

    if name == "-":
        found = tables.read(tables.STANDARD_INPUT, sys.stdin.buffer, warn)
        return found, Path(media or ".")
    return tables.read(name, warn=warn), Path(media) if media else Path(name).parent


def _films_of_reviews(
    reviews: tuple[str, ...], path: str | None
) -> Iterator[tables.Record | tables.Reject]:
    """Each review as a film of its own."""
    from mfp.data.reviews import film_of_review

    def record(place: tables.Place, text: str) -> tables.Record | tables.Reject:
        cleaned = rows.clean(text)
        if not cleaned:
            return tables.Reject(place, "review", "is empty")
        return tables.Record(place, film_of_review(cleaned), Outcome())

    for number, text in enumerate(reviews, start=1):
        yield record(tables.Place("--review", number), text)
    if path is not None:
        with click.open_file(path, encoding="utf-8", errors="replace") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield record(tables.Place(path, number), line)


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
            file = stack.enter_context(_replaced_when_done(output))
        if shape == "csv":
            _write_csv(forecasts, file)
        elif shape == "json":
            _write_json(forecasts, file)
        else:
            for forecast in forecasts:
                file.write(json.dumps(forecast.to_json(), ensure_ascii=False) + "\n")
        file.flush()


@contextlib.contextmanager
def _replaced_when_done(path: str) -> Iterator[IO[str]]:
    """A file that takes its name when it is complete: a failed run keeps the earlier one."""
    partial = f"{path}.partial"
    try:
        with open(partial, "w", encoding="utf-8", newline="") as file:
            yield file
        os.replace(partial, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.remove(partial)
        raise


def _write_json(forecasts: Iterator[Any], file: IO[str]) -> None:
    """What json.dump makes of a list with indent=1, a forecast at a time."""
    before = "["
    for forecast in forecasts:
        text = json.dumps(forecast.to_json(), ensure_ascii=False, indent=1)
        file.write(f"{before}\n " + text.replace("\n", "\n "))
        before = ","
    file.write("[]\n" if before == "[" else "\n]\n")


def _write_csv(forecasts: Iterator[Any], file: IO[str]) -> None:
    columns = (
        "id",
        "title",
        "release_date",
        "rating",
        "revenue_usd",
        "hit_probability",
        "verdict",
        "sentiment",
        "warnings",
    )
    writer = csv.writer(file)
    writer.writerow(columns)
    for forecast in forecasts:
        values = forecast.to_json()
        values["warnings"] = "; ".join(forecast.warnings)
        writer.writerow([_inert(values.get(column, "")) for column in columns])


def _inert(value: Any) -> Any:
    """A spreadsheet would run a text that starts like a formula; an apostrophe stops it."""
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return f"'{value}"
    return value
