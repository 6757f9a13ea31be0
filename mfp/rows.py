"""A raw row (strings of a CSV, values of a JSON object) as a Film and an Outcome.

Pure: a value that cannot be read raises FieldError, which names the field and the remedy; who
knows the file and the row (`mfp/tables.py`) adds them.
"""

from __future__ import annotations

import functools
import math
import re
import unicodedata
from collections.abc import Callable, Mapping
from typing import Any

from mfp.dates import PartialDate, short
from mfp.film import (
    FIELDS,
    MAX_NAME,
    MAX_NAMES,
    MAX_TEXT,
    OWN_NUMBER,
    TARGET_FIELDS,
    VERDICTS,
    Field,
    Film,
    Outcome,
    is_own_number,
)


class FieldError(ValueError):
    """A value that cannot be read; `name` is the field, the message the reason and remedy."""

    def __init__(self, name: str, reason: str):
        super().__init__(f"{name}: {reason}")
        self.name, self.reason = name, reason


def parse(row: Mapping[str, Any]) -> tuple[Film, Outcome]:
    """A raw row (strings of a CSV, values of a JSON object) as a film and its outcome.

    Keys are field names or their aliases in any case, or numbers of the table's own ("number:...");
    other keys are ignored (see `canonical_name`). An empty value is a missing value.

    Raises:
      FieldError: naming the first field that cannot be read.
    """
    found: dict[str, Any] = {}
    ranks: dict[str, int] = {}
    for key, value in row.items():
        column = _column(key)
        if column is None or _is_missing(value):
            continue
        name, rank = column
        kind = _KINDS.get(name, OWN_NUMBER.kind)
        if isinstance(value, str) and kind != "text" and value.strip().lower() in _EMPTY:
            continue
        # The field's own name wins over its aliases, in their order ("released" over "year").
        if rank < ranks.get(name, len(_COLUMNS)):
            found[name], ranks[name] = value, rank
    values = {
        name: _PARSERS[spec.kind](name, spec, found[name])
        for name, spec in (FIELDS | TARGET_FIELDS).items()
        if name in found
    }
    if not values.get("title"):
        raise FieldError("title", "is missing; every film needs a title")
    verdict = values.get("verdict")
    if verdict is not None:
        values["verdict"] = verdict = verdict.lower()
        if verdict not in VERDICTS:
            raise FieldError("verdict", f"{short(verdict)} is not one of {', '.join(VERDICTS)}")
    targets = {name: values.pop(name) for name in TARGET_FIELDS if name in values}
    own = {n: _number(n, OWN_NUMBER, value) for n, value in found.items() if is_own_number(n)}
    numbers = tuple(sorted((name, value) for name, value in own.items() if value is not None))
    return Film(**values, numbers=numbers), Outcome(**targets)


def canonical_name(column: str) -> str | None:
    """The field (or number of its own) that a column name means; None for one we do not know."""
    found = _column(column)
    return found and found[0]


def _column(column: str) -> tuple[str, int] | None:
    return _known_column(column) if len(column) <= _LONGEST_COLUMN else None


_LONGEST_COLUMN = 100  # characters: what is longer is no field, and fills no cache


@functools.lru_cache(maxsize=1024)  # the same few for every row of a table
def _known_column(column: str) -> tuple[str, int] | None:
    name = column.strip().lower().replace(" ", "_").replace("-", "_")
    return (name, 0) if is_own_number(name) else _COLUMNS.get(name)


# Column name -> (field, how far it is from the field's own name).
_COLUMNS: dict[str, tuple[str, int]] = {
    column: (name, rank)
    for name, spec in (FIELDS | TARGET_FIELDS).items()
    for rank, column in enumerate((name, *spec.aliases))
}


_KINDS = {name: spec.kind for name, spec in (FIELDS | TARGET_FIELDS).items()}
_EMPTY = (
    "nan",
    "n/a",
    "na",
    "none",
    "null",
    "-",
    "unknown",
)  # not for texts: "Unknown" is a film


def _is_missing(value: Any) -> bool:
    if value is None or value == "" or value == [] or value == ():
        return True
    if isinstance(value, str):
        return not value.strip()
    return isinstance(value, float) and math.isnan(value)


def _text(name: str, spec: Field, value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise FieldError(name, f"{short(value)} is not a text")
    return clean(str(value)[:MAX_TEXT])[:MAX_TEXT]


def _path(name: str, spec: Field, value: Any) -> str:
    # A lone surrogate (JSON can hold one) cannot be written to any file.
    if not isinstance(value, str) or any(c == "\0" or "\ud800" <= c <= "\udfff" for c in value):
        raise FieldError(name, f"{short(value)} is not a file path")
    return value.strip()


def _texts(name: str, spec: Field, value: Any) -> tuple[str, ...]:
    items = value if isinstance(value, list | tuple) else [value]
    texts = [_text(name, spec, item) for item in items[:MAX_NAMES] if not _is_missing(item)]
    return tuple(text for text in texts if text)


def _names(name: str, spec: Field, value: Any) -> tuple[str, ...]:
    items = list(value) if isinstance(value, list | tuple) else _split_names(name, value)
    cleaned = [_text(name, spec, item) for item in items[:MAX_NAMES] if not _is_missing(item)]
    return tuple(dict.fromkeys(" ".join(item[:MAX_NAME].split()) for item in cleaned if item))


def _split_names(name: str, value: Any) -> list[str]:
    """A cell's list: separated by '|', else by ';', else by commas ("Robert Downey, Jr." stays)."""
    if not isinstance(value, str):
        raise FieldError(name, f"{short(value)} is not a list of names; separate them with '|'")
    for separator in ("|", ";"):
        if separator in value:
            return value.split(separator)
    parts: list[str] = []
    for part in value.split(","):
        if parts and part.strip().lower().rstrip(".") in _NAME_SUFFIXES:
            parts[-1] += f",{part}"
        else:
            parts.append(part)
    return parts


_NAME_SUFFIXES = {
    "jr",
    "sr",
    "ii",
    "iii",
    "iv",
    "inc",
    "ltd",
    "llc",
    "co",
    "corp",
    "s.a",
    "m.d",
}


def _number(name: str, spec: Field, value: Any) -> float | None:
    raw = value
    if isinstance(value, str):
        match = _NUMBER.fullmatch(value.strip().replace("\u00a0", " "))
        if match is None or (match[2] and spec.unit != "US dollars"):
            remedy = f" in {spec.unit}" if spec.unit else ""
            raise FieldError(name, f"{short(value)} is not a number; write digits{remedy}")
        if spec.unit == "US dollars" and not match[2] and _AMBIGUOUS.fullmatch(match[1]):
            raise FieldError(name, f"{short(value)} may mean dollars or thousands; write digits")
        value = float(match[1].replace(",", "")) * _SCALES[(match[2] or "").lower()[:1]]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise FieldError(name, f"{short(value)} is not a number")
    try:
        result = float(value)
    except OverflowError:
        result = math.inf
    if spec.zero_is_missing and result == 0:
        return None
    low = -math.inf if spec.low is None else spec.low
    high = math.inf if spec.high is None else spec.high
    if not (math.isfinite(result) and low <= result <= high):
        unit = f" {spec.unit}" if spec.unit else ""
        raise FieldError(
            name,
            f"{short(raw)} is impossible; write {low:g} to {high:g}{unit}, or leave empty",
        )
    return result


# Digits with optional thousands commas, a dollar sign, an exponent; "M", "min" or "USD" after.
# No digit can be matched in two ways, so that a long cell takes linear time.
_NUMBER = re.compile(
    r"\$?\s*([-+]?(?:(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d{1,3})?)"
    r"\s*+(thousand|million|billion|k|m|b)?\s*+(?:min|mins|minutes|usd)?",
    re.IGNORECASE,
)
_SCALES = {"": 1.0, "t": 1e3, "k": 1e3, "m": 1e6, "b": 1e9}
# A European 1.500 is fifteen hundred, an American one a dollar and a half.
_AMBIGUOUS = re.compile(r"[-+]?\d{1,3}\.\d{3}")


def _date(name: str, spec: Field, value: Any) -> PartialDate:
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # spreadsheets write a year as 1994.0
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise FieldError(name, f"{short(value)} is not a date; write YYYY-MM-DD")
    try:
        return PartialDate.parse(str(value))
    except ValueError as error:
        raise FieldError(name, str(error)) from None


_PARSERS: dict[str, Callable[[str, Field, Any], Any]] = {
    "text": _text,
    "names": _names,
    "texts": _texts,
    "number": _number,
    "date": _date,
    "path": _path,
}


def clean(text: str) -> str:
    """NFC, without control characters, lone surrogates or bidirectional overrides.

    Of the marks on one letter the first 30 are kept, as in Unicode's stream-safe text (UAX #15):
    to bring thousands of them in order takes minutes.
    """
    if text.isascii() and text.isprintable():
        return text.strip()
    kept = []
    marks = 0
    for char in text:
        if char in "\t\r\n":
            char = " "
        elif unicodedata.category(char) in ("Cc", "Cs") or char in _INVISIBLE:
            continue
        marks = marks + 1 if unicodedata.combining(char) else 0
        if marks <= _MAX_MARKS:
            kept.append(char)
    return unicodedata.normalize("NFC", "".join(kept)).strip()


_MAX_MARKS = 30
# Byte order mark and bidirectional marks, embeddings, overrides and isolates.
_INVISIBLE = frozenset("\ufeff\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
