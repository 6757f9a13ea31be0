"""Where films come from: bundled real films, a user's own table with its media, review texts.

A source yields records in a fixed order and knows the fingerprint of its content, so that a
changed source is prepared anew and an unchanged one is not.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from mfp import extensions, rows, tables
from mfp.config import ConfigError, DataConfig
from mfp.data import media
from mfp.data.reviews import BundledReviews, TfdsReviews
from mfp.tables import Place, Record, Reject


class Source(Protocol):
    """A collection of films."""

    name: str
    media_folder: Path | None

    def records(self) -> Iterator[Record | Reject]:
        """Every film once, in a fixed order, and every row that could not be used."""
        ...

    def fingerprint(self) -> str:
        """SHA-256 of all content that `records` depends on."""
        ...


def open_source(config: DataConfig, warn: Callable[[str], None]) -> Source:
    """The source that a config names.

    Raises:
      ConfigError: the bundled films, or the package that adds the source, are not installed; or
        the table is missing.
    """
    if config.source == "bundled":
        return BundledFilms()
    if config.source == "reviews":
        return BundledReviews(config.review_origins)
    if config.source.startswith("tfds:"):
        return TfdsReviews(config.source.removeprefix("tfds:"))
    if config.source != "table":
        return extensions.load("source", config.source)(config, warn)
    table = Path(config.table).expanduser()
    if not table.is_file():
        raise ConfigError(f"data.table: {table}: no such file")
    folder = Path(config.media).expanduser() if config.media else None
    if folder is not None and not folder.is_dir():
        raise ConfigError(f"data.media: {folder}: no such folder")
    return FilmTable(table, folder, warn, config.split.column)


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# Columns of the bundled tables as fields. Everything else there is known only after release, and so
# is the number of reviews that a rating is the mean of, which counts in the loss alone.
_BUNDLED_QUERY = """
SELECT omdb.ID AS number, imdbID AS id, Title AS title, Released AS release_date,
       Runtime AS runtime_minutes, Genre AS genres, Director AS directors, Writer AS writers,
       "Cast" AS cast, Language AS languages, Country AS countries, omdb.Rating AS certificate,
       Production AS companies, tomatoes.Rating AS rating, BoxOffice AS revenue_usd,
       Reviews AS vote_count
FROM omdb JOIN tomatoes ON omdb.ID = tomatoes.ID
ORDER BY omdb.ID
"""


class BundledFilms:
    """17,472 real films of 1940-2014: the SQLite file of the package bokeh_sampledata (CC0)."""

    name = "bundled"
    media_folder: Path | None = None

    def __init__(self) -> None:
        spec = importlib.util.find_spec("bokeh_sampledata")
        if spec is None or spec.origin is None:
            raise ConfigError(
                "data.source: the bundled films are not installed; "
                "run: pip install 'mfp[sample]', or use your own table (data.source = \"table\")"
            )
        self._path = Path(spec.origin).parent / "_data" / "movies.db"

    def fingerprint(self) -> str:
        return hashlib.sha256((_file_digest(self._path) + _BUNDLED_QUERY).encode()).hexdigest()

    def records(self) -> Iterator[Record | Reject]:
        seen: set[str] = set()
        uri = f"{self._path.as_uri()}?mode=ro"
        with contextlib.closing(sqlite3.connect(uri, uri=True)) as connection:
            cursor = connection.execute(_BUNDLED_QUERY)
            columns = [column[0] for column in cursor.description]
            for number, values in enumerate(cursor, start=1):
                row = dict(zip(columns, values, strict=True))
                film_number = row.pop("number")
                # Two IMDb ids stand at two films each (a re-cut, a re-release).
                if row["id"] in seen:
                    row["id"] += f"-{film_number}"
                seen.add(row["id"])
                row["release_date"] = _bundled_date(row["release_date"])
                place = Place("movies.db", number, row["id"])
                try:
                    film, outcome = rows.parse(row)
                except rows.FieldError as error:
                    yield Reject(place, error.name, error.reason)
                else:
                    yield Record(place, film, outcome)


def _bundled_date(text: str) -> str:
    """Two thirds of the bundled dates are 1 January: a placeholder for "in that year"."""
    return text[:4] if text.endswith("-01-01") else text


class FilmTable:
    """A user's own table, with posters and trailers at paths relative to a media folder."""

    name = "table"

    def __init__(
        self,
        table: Path,
        media_folder: Path | None,
        warn: Callable[[str], None],
        split_column: str = "",
    ) -> None:
        self._table, self.media_folder, self._warn = table, media_folder, warn
        self._split_column = split_column
        self._warned: set[str] = set()

    def fingerprint(self) -> str:
        digest = hashlib.sha256(_file_digest(self._table).encode())
        if self.media_folder is not None:
            digest.update(b"media")  # missing files are reported, which no folder would not
            for record in tables.read(self._table, warn=lambda _: None):
                if isinstance(record, Record):
                    for path in media.paths(record.film, self.media_folder):
                        line = f"{record.place.row}:{path.name}:{_file_digest(path)}"
                        digest.update(line.encode("utf-8", "surrogateescape"))
        return digest.hexdigest()

    def records(self) -> Iterator[Record | Reject]:
        """As in the table; a second film of the same id is rejected, the first one stays."""
        first_row: dict[str, int] = {}
        found = tables.read(self._table, warn=self._warn_once, split_column=self._split_column)
        for record in found:
            if isinstance(record, Record) and record.film.id:
                first = first_row.setdefault(record.film.id, record.place.row)
                if first != record.place.row:
                    reason = f"is already the id of row {first}; ids must differ"
                    yield Reject(record.place, "id", reason)
                    continue
            yield record

    def _warn_once(self, message: str) -> None:
        """The table is read once per split; its unknown columns are told of once."""
        if message not in self._warned:
            self._warned.add(message)
            self._warn(message)
