"""Dates that may be known only to the month or the year."""

from __future__ import annotations

import calendar
import datetime
import re
from dataclasses import dataclass
from typing import Literal

FIRST_YEAR, LAST_YEAR = 1870, 2100


@dataclass(frozen=True, slots=True)
class PartialDate:
    """A date known to the day, the month or only the year. A missing part is None.

    Many catalogues write 1 January for "some day of that year": the precision is kept, so
    that a placeholder is never taken for a real day.
    """

    year: int
    month: int | None = None
    day: int | None = None

    @classmethod
    def parse(cls, text: str) -> PartialDate:
        """From 'YYYY', 'YYYY-MM', 'YYYY-MM-DD', an ISO date with a time, or another way to write
        a day that can mean one day only: '12/25/2010', '25.12.2010', '25 Dec 2010'.

        Raises:
          ValueError: saying what to write instead.
        """
        found = _iso(text.strip()) or _by_numbers(text.strip()) or _by_words(text.strip())
        if found is None:
            raise ValueError(f"{short(text)} is not a date; write YYYY-MM-DD, YYYY-MM or YYYY")
        year, month, day = found
        if not FIRST_YEAR <= year <= LAST_YEAR:
            raise ValueError(
                f"{short(text)} is outside {FIRST_YEAR}-{LAST_YEAR}; write the year of release"
            )
        try:
            datetime.date(year, 1 if month is None else month, 1 if day is None else day)
        except ValueError:
            raise ValueError(f"{short(text)} is not a day of the calendar") from None
        return cls(year, month, day)

    @property
    def precision(self) -> Literal["year", "month", "day"]:
        return "year" if self.month is None else "month" if self.day is None else "day"

    def first_day(self) -> datetime.date:
        return datetime.date(self.year, self.month or 1, self.day or 1)

    def last_day(self) -> datetime.date:
        """The latest day that the date may mean."""
        month = self.month or 12
        return datetime.date(self.year, month, self.day or calendar.monthrange(self.year, month)[1])

    def __str__(self) -> str:
        parts = [f"{self.year:04d}"]
        parts += [f"{part:02d}" for part in (self.month, self.day) if part is not None]
        return "-".join(parts)


_ISO_DATE = re.compile(
    r"(\d{4})(?:[-/](\d{1,2})(?:[-/](\d{1,2})(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?Z?)?)?)?"
)


_NUMBERS = re.compile(r"(\d{1,2})([./-])(\d{1,2})\2(\d{4})")
_DAY_FIRST = re.compile(r"(\d{1,2})[ -]([A-Za-z]{3,9})[.,]?[ -](\d{4})")
_MONTH_FIRST = re.compile(r"([A-Za-z]{3,9})[.]? (\d{1,2}),? (\d{4})")
_MONTHS = [name.lower() for name in calendar.month_name[1:]]

_Parts = tuple[int, int | None, int | None]


def _iso(text: str) -> _Parts | None:
    match = _ISO_DATE.fullmatch(text)
    if match is None:
        return None
    year, month, day = (None if part is None else int(part) for part in match.groups())
    assert year is not None
    return year, month, day


def _by_numbers(text: str) -> _Parts | None:
    """Month/day/year as Americans write it, or day/month/year: what the calendar leaves."""
    match = _NUMBERS.fullmatch(text)
    if match is None:
        return None
    first, second, year = int(match[1]), int(match[3]), int(match[4])
    if first == second or first <= 12 < second:
        return year, first, second
    if second <= 12 < first:
        return year, second, first
    if first > 12:
        return None
    raise ValueError(f"{short(text)} may be day or month first; write YYYY-MM-DD")


def _by_words(text: str) -> _Parts | None:
    if match := _DAY_FIRST.fullmatch(text):
        day, name, year = match.groups()
    elif match := _MONTH_FIRST.fullmatch(text):
        name, day, year = match.groups()
    else:
        return None
    months = [i for i, month in enumerate(_MONTHS, start=1) if month.startswith(name.lower())]
    return (int(year), months[0], int(day)) if months else None


def short(value: object) -> str:
    """A value as an error message shows it: quoted, at most 60 characters."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "...'"
