"""Films that a command line asks for: by options, from files, from standard input."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import click

from mfp import rows, tables
from mfp.cli_language import tell
from mfp.film import FIELDS, Outcome

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
    "languages": "Repeatable, or one list separated by '|' or commas. --language zh is --speak zh.",
    "certificate": "Age rating, for example PG-13.",
    "plot": "What happens.",
    "tagline": "The line on the poster.",
    "poster": "A picture file: JPEG, PNG or WebP.",
    "trailer": "A clip, or a folder of its frames.",
}


def film_options(command: Any) -> Any:
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


# Rows that share a media folder (None: they name no files).
Group = tuple[Iterable[tables.Record | tables.Reject], Path | None]


def films_asked_for(
    files: tuple[str, ...],
    given: dict[str, Any],
    reviews: tuple[str, ...],
    reviews_file: str | None,
    media: str | None,
    wanted: Callable[[], bool] = lambda: True,
) -> list[Group]:
    """The films asked for: one by options, reviews, or those of files and standard input.

    `wanted` is asked for every row of files and standard input, in order.
    """
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
    return [_films_of_file(name, media, wanted) for name in files]


def _film_by_options(given: dict[str, Any], media: str | None) -> Group:
    # A single use may hold a whole list; several uses are its members as they stand.
    row = {n: v[0] if isinstance(v, tuple) and len(v) == 1 else v for n, v in given.items()}
    folder = Path(media) if media else None
    if media is None:
        for name in ("poster", "trailer"):
            if name in row and not os.path.exists(row[name]):
                raise click.UsageError(f"--{name}: {row[name]}: no such file")
    files = {name: os.path.abspath(row[name]) for name in ("poster", "trailer") if name in row}
    if folder is None and files:
        folder = common_folder(files.values())
        row |= {name: os.path.relpath(path, folder) for name, path in files.items()}
    try:
        film, outcome = rows.parse(row)
    except rows.FieldError as error:
        option = _SINGULAR.get(error.name, error.name).replace("_", "-")
        raise click.UsageError(f"--{option}: {error.reason}") from None
    return [tables.Record(tables.Place("options", 1, film.id), film, outcome)], folder


def common_folder(files: Iterable[str]) -> Path:
    """The media folder of files that lie anywhere: all are inside it."""
    return Path(os.path.commonpath([os.path.dirname(os.path.abspath(path)) for path in files]))


def _films_of_file(name: str, media: str | None, wanted: Callable[[], bool]) -> Group:
    if name == "-":
        found = tables.read(tables.STANDARD_INPUT, sys.stdin.buffer, tell, wanted)
        return found, Path(media or ".")
    return tables.read(name, warn=tell, wanted=wanted), Path(media) if media else Path(name).parent


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
