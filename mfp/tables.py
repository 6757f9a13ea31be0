"""Files of films: CSV, JSON Lines and JSON as a stream of records and rejected rows.

The one place that opens a table. Rows are read one at a time, so that a table of any length
fits in memory (a .json file is read whole: use JSON Lines for long ones).
"""

from __future__ import annotations

import csv
import io
import json
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from mfp import rows
from mfp.dates import short
from mfp.film import Film, Outcome

MAX_CELL = 4_000_000  # characters of one CSV cell or one JSON line
MAX_ROW = 2 * MAX_CELL  # characters of one CSV row
MAX_COLUMNS = 10_000
MAX_JSON = 100_000_000  # bytes of a .json file, which is read whole into twenty times the memory
MAX_WARNINGS = 20  # of columns that are no fields

STANDARD_INPUT = "<stdin>"
SPLITS = ("train", "validation", "test")


class TableError(ValueError):
    """A file that cannot be read at all; the message names the file and the remedy."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a row stands: the row number that a spreadsheet shows, or the line or item number."""

    file: str
    row: int
    id: str = ""

    def __str__(self) -> str:
        name = f" ({self.id})" if self.id else ""
        return f"{Path(self.file).name}, row {self.row}{name}"


@dataclass(frozen=True, slots=True)
class Record:
    """A row that could be read."""

    place: Place
    film: Film
    outcome: Outcome
    split: str = ""  # where the source itself says; else the release date decides


@dataclass(frozen=True, slots=True)
class Reject:
    """A row, or one field of it, that could not be used, with the reason and remedy."""

    place: Place
    field: str
    reason: str

    def __str__(self) -> str:
        return (
            f"{self.place}, {self.field}: {self.reason}"
            if self.field
            else (f"{self.place}: {self.reason}")
        )

    def to_json(self) -> dict[str, Any]:
        place = self.place
        values = {"file": place.file, "row": place.row, "id": place.id}
        return values | {"field": self.field, "reason": self.reason}


def read(
    path: str | Path,
    stream: BinaryIO | None = None,
    warn: Callable[[str], None] = print,
    wanted: Callable[[], bool] = lambda: True,
    split_column: str = "",
) -> Iterator[Record | Reject]:
    """Every row of a table as a Record or a Reject, in order.

    The format follows from the file's ending (.csv, .tsv, .jsonl, .ndjson, .json), else from
    its first character. `warn` is told once of each column that is not a field. `wanted` is asked
    once for every row; one that is not wanted is left out, unread.

    Args:
      path: the file, or the name to show for `stream`.
      stream: an open binary stream to read instead (standard input).
      split_column: the column that names each row's split; empty where release dates decide.

    Raises:
      TableError: the file is missing, empty, binary, or has no usable header.
    """
    unknown: set[str] = set()
    for place, values in _rows(path, stream, warn):
        if not wanted():
            continue
        if isinstance(values, _Bad):
            yield Reject(place, "", values.reason)
            continue
        for column in values:
            if len(unknown) > MAX_WARNINGS:
                break
            known = column == split_column or rows.canonical_name(column) is not None
            if column not in unknown and not known:
                unknown.add(column)
                more = len(unknown) > MAX_WARNINGS
                name = Path(place.file).name
                if more:
                    warn(f"{name}: more columns are not fields; ignored")
                else:
                    warn(f"{name}: column {short(column)} is not a field; ignored")
        try:
            film, outcome = rows.parse(values)
        except rows.FieldError as error:
            yield Reject(Place(place.file, place.row, _id(values)), error.name, error.reason)
            continue
        place = Place(place.file, place.row, film.id)
        split = str(values.get(split_column) or "").strip().lower() if split_column else ""
        if split_column and split not in SPLITS:
            which = ", ".join(SPLITS)
            missing = f"is missing; write one of {which}"
            reason = f"{short(split)} is not one of {which}" if split else missing
            yield Reject(place, split_column, reason)
        else:
            yield Record(place, film, outcome, split)


@dataclass(frozen=True, slots=True)
class _Bad:
    reason: str


_Row = tuple[Place, "Mapping[str, Any] | _Bad"]


def _id(values: Mapping[str, Any]) -> str:
    for column, value in values.items():
        if rows.canonical_name(column) == "id" and isinstance(value, str | int):
            return rows.clean(str(value)[:60])
    return ""


def _rows(path: str | Path, stream: BinaryIO | None, warn: Callable[[str], None]) -> Iterator[_Row]:
    name = str(path)
    repair = _Repair(name, warn)
    try:
        with stream or open(path, "rb") as binary:
            head = _peek(binary)
            if not head[0].strip():
                raise TableError(f"{name}: is empty; expected films as CSV, JSON Lines or JSON")
            binary = head[1]
            suffix = Path(name).suffix.lower() if stream is None else ""
            kind = _SUFFIXES.get(suffix) or _guess(head[0])
            if kind == "json":
                yield from _json_rows(binary, name, repair)
                return
            encoding = "utf-16" if head[0][:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
            if encoding == "utf-8-sig" and b"\0" in head[0]:
                raise TableError(f"{name}: is a binary file, not CSV, JSON Lines or JSON")
            # Undecodable bytes become lone surrogates, which `repair` reads in another way.
            text = io.TextIOWrapper(binary, encoding=encoding, errors="surrogateescape", newline="")
            yield from (_csv_rows if kind == "csv" else _json_line_rows)(text, name, repair)
    except FileNotFoundError:
        raise TableError(f"{name}: no such file") from None
    except IsADirectoryError:
        raise TableError(f"{name}: is a folder; name a .csv, .jsonl or .json file") from None
    except UnicodeDecodeError as error:  # only of UTF-16: bytes that are not UTF-8 are escaped
        raise TableError(
            f"{name}: is damaged UTF-16 ({error.reason}); save the file as UTF-8"
        ) from None
    except OSError as error:
        raise TableError(f"{name}: cannot be read: {error.strerror or error}") from None


_SUFFIXES = {
    ".csv": "csv",
    ".tsv": "csv",
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
}


def _peek(stream: BinaryIO) -> tuple[bytes, Any]:
    buffered = stream if isinstance(stream, io.BufferedReader) else io.BufferedReader(stream)  # type: ignore[type-var]
    return buffered.peek(4096)[:4096], buffered


def _guess(head: bytes) -> str:
    """The format of a stream: an array or a spread-out object is JSON, an object a line JSONL."""
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if start.startswith(b"["):
        return "json"
    if start.startswith(b"{"):
        try:
            json.loads(start.split(b"\n", 1)[0])
        except (ValueError, RecursionError):
            return "json"
        return "jsonl"
    return "csv"


def _csv_rows(text: TextIO, name: str, repair: _Repair) -> Iterator[_Row]:
    csv.field_size_limit(MAX_CELL)
    lines = _Lines(text)
    delimiter = max(",;\t", key=lines.first.count)
    # Strict: a quote that is never closed, or by that of a later row, is an error. The rows that it
    # has swallowed are read again, as the rows that they are.
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    try:
        header = [column.strip() for column in next(reader, [])]
    except csv.Error as error:
        raise TableError(f"{name}: the header cannot be read as CSV: {error}") from None
    if not any(rows.canonical_name(column) == "title" for column in header):
        found = ", ".join(short(c) for c in header[:8])
        raise TableError(
            f"{name}: no 'title' column; the first row must name the columns (found: {found})"
        )
    if len(header) > MAX_COLUMNS:
        raise TableError(f"{name}: has {len(header)} columns; at most {MAX_COLUMNS} are read")
    repeated = {column for column, count in Counter(header).items() if count > 1 and column}
    if repeated:
        raise TableError(f"{name}: column {short(min(repeated))} stands twice in the header")
    number = 1 + lines.skipped  # the header is row 1, as in a spreadsheet
    empty = True
    while True:
        number += 1
        place = Place(name, number)
        lines.begin()
        try:
            cells = next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            empty = False
            if "unexpected end" in str(error):
                error = csv.Error("a quote that opens here is never closed; close it")
            lines.again()
            yield place, _Bad(f"cannot be read as CSV: {error}")
            continue
        if not any(cell.strip() for cell in cells):
            continue
        empty = False
        while len(cells) > len(header) and not cells[-1].strip():
            cells.pop()  # spreadsheets write a formatted but empty column as one more comma
        if len(cells) != len(header):
            yield place, _Bad(f"has {len(cells)} cells, the header has {len(header)}")
            continue
        try:
            cells = [repair(cell, number) for cell in cells]
        except UnicodeDecodeError:
            yield place, _Bad(_NO_UTF8)
        else:
            pairs = zip(header, cells, strict=True)
            yield place, {column: cell for column, cell in pairs if column}
    if empty:
        raise TableError(f"{name}: holds no films, only a header")


class _Lines:
    """The lines of a CSV from its header on: blank ones before it and Excel's sep= are skipped."""

    def __init__(self, text: TextIO):
        self._text, self.skipped = text, 0
        self._taken: list[str] = []  # lines of the row that is being read
        self._back: deque[str] = deque()  # lines to read again
        self._most_back = 16 * MAX_CELL  # characters; else a hostile file is read for ever
        self._size = 0  # characters of the row that is being read
        self.first = text.readline(MAX_CELL)
        while self.first and (not self.first.strip() or self.first.startswith("sep=")):
            self.first = text.readline(MAX_CELL)
            self.skipped += 1
        self._begun = False

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        if not self._begun:
            self._begun = True
            if self.first:
                return self.first
        line = self._back.popleft() if self._back else self._text.readline(MAX_ROW)
        if not line:
            raise StopIteration
        if len(line) >= MAX_ROW and not line.endswith("\n"):
            while (rest := self._text.readline(MAX_ROW)) and not rest.endswith("\n"):
                pass
            self._taken.append("\n")  # in its place, so that later rows keep their numbers
            raise csv.Error(f"is longer than {MAX_ROW} characters")
        self._size += len(line)
        self._taken.append(line)
        if self._size > MAX_ROW:
            raise csv.Error(f"is longer than {MAX_ROW} characters")
        return line

    def begin(self) -> None:
        """The next line begins a row."""
        self._taken.clear()
        self._size = 0

    def again(self) -> None:
        """Of the row's lines only the first was of it: read the others once more."""
        rest = self._taken[1:]
        self._most_back -= sum(map(len, rest))
        if self._most_back >= 0:
            self._back.extendleft(reversed(rest))


_NO_UTF8 = "is not UTF-8; save the file as UTF-8"


class _Repair:
    """Text that is not UTF-8 as what it most likely is: Windows-1252, as Excel saves a CSV."""

    def __init__(self, name: str, warn: Callable[[str], None]):
        self._name, self._warn, self._warned = name, warn, False

    def __call__(self, text: str, row: int) -> str:
        """The text, read anew where bytes of it could not be decoded; told of once.

        Raises:
          UnicodeDecodeError: it is not Windows-1252 either.
        """
        if text.isascii() or not any("\udc80" <= char <= "\udcff" for char in text):
            return text
        found = text.encode("utf-8", "surrogateescape").decode("cp1252")
        if not self._warned:
            self._warned = True
            self._warn(
                f"{Path(self._name).name}: row {row} is not UTF-8; read as Windows-1252, as are "
                "others like it"
            )
        return found


def _json_line_rows(text: TextIO, name: str, repair: _Repair) -> Iterator[_Row]:
    number = 0
    while line := text.readline(MAX_CELL):
        number += 1
        place = Place(name, number)
        if len(line) >= MAX_CELL and not line.endswith("\n"):
            while (rest := text.readline(MAX_CELL)) and not rest.endswith("\n"):
                pass
            yield place, _Bad(f"is longer than {MAX_CELL} characters")
        elif line.strip():
            yield place, _json_object(line, number, repair)


def _json_object(line: str, number: int, repair: _Repair) -> Mapping[str, Any] | _Bad:
    try:
        value = json.loads(repair(line, number))
    except UnicodeDecodeError:
        return _Bad(_NO_UTF8)
    except (ValueError, RecursionError) as error:
        return _Bad(f"is not JSON: {error}")
    return value if isinstance(value, dict) else _Bad(f"{short(value)} is not a JSON object")


def _json_rows(binary: BinaryIO, name: str, repair: _Repair) -> Iterator[_Row]:
    content = binary.read(MAX_JSON + 1)
    if len(content) > MAX_JSON:
        raise TableError(f"{name}: is larger than {MAX_JSON} bytes; write JSON Lines instead")
    try:
        document = json.loads(content.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        if isinstance(error, json.JSONDecodeError) and error.msg == "Extra data":
            # One object after another: JSON Lines whose first line did not fit the glance at it.
            text = content.decode("utf-8-sig", "surrogateescape")
            yield from _json_line_rows(io.StringIO(text), name, repair)
            return
        raise TableError(f"{name}: is not JSON: {error}") from None
    if isinstance(document, dict) and len(document) == 1:
        (inner,) = document.values()
        document = inner if isinstance(inner, list) else document  # {"films": [...]}
    items = document if isinstance(document, list) else [document]
    if not items:
        raise TableError(f"{name}: holds no films")
    for number, item in enumerate(items, start=1):
        good = item if isinstance(item, dict) else _Bad(f"{short(item)} is not a JSON object")
        yield Place(name, number), good
