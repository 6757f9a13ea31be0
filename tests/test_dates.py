"""Dates with a missing day or month keep what is known, and say what else they may mean."""

from __future__ import annotations

import calendar
import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfp.dates import FIRST_YEAR, LAST_YEAR, PartialDate, short

DAYS = st.dates(datetime.date(FIRST_YEAR, 1, 1), datetime.date(LAST_YEAR, 12, 31))


@settings(max_examples=50)
@given(DAYS, st.sampled_from(["year", "month", "day"]))
def test_parse_reads_what_str_writes(day: datetime.date, precision: str):
    parts = {"year": (day.year,), "month": (day.year, day.month)}.get(
        precision, (day.year, day.month, day.day)
    )
    date = PartialDate(*parts)
    assert PartialDate.parse(str(date)) == date
    assert date.precision == precision


@settings(max_examples=50)
@given(DAYS)
def test_first_and_last_day_enclose_every_day_that_is_meant(day: datetime.date):
    exact = PartialDate(day.year, day.month, day.day)
    assert exact.first_day() == exact.last_day() == day
    month = PartialDate(day.year, day.month)
    assert month.first_day() == day.replace(day=1)
    assert month.last_day().day == calendar.monthrange(day.year, day.month)[1]
    year = PartialDate(day.year)
    assert year.first_day() == datetime.date(day.year, 1, 1)
    assert year.last_day() == datetime.date(day.year, 12, 31)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1994", PartialDate(1994)),
        (" 1994-10 ", PartialDate(1994, 10)),
        ("1994/10/14", PartialDate(1994, 10, 14)),
        ("1994-10-14T20:15:00Z", PartialDate(1994, 10, 14)),
        ("1994-10-14 00:00:00", PartialDate(1994, 10, 14)),
        ("2024-02-29", PartialDate(2024, 2, 29)),
        ("12/25/2010", PartialDate(2010, 12, 25)),
        ("25/12/2010", PartialDate(2010, 12, 25)),
        ("25.12.2010", PartialDate(2010, 12, 25)),
        ("5/5/2010", PartialDate(2010, 5, 5)),
        ("25 Dec 2010", PartialDate(2010, 12, 25)),
        ("December 5, 2010", PartialDate(2010, 12, 5)),
        ("Sept. 5 2010", PartialDate(2010, 9, 5)),
        ("05-Mar-2010", PartialDate(2010, 3, 5)),
    ],
)
def test_parse(text: str, expected: PartialDate):
    assert PartialDate.parse(text) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("13/45/95", "write YYYY-MM-DD"),
        ("", "write YYYY-MM-DD"),
        ("94", "write YYYY-MM-DD"),
        ("1994-10-14x", "write YYYY-MM-DD"),
        ("5/6/2010", "may be day or month first; write YYYY-MM-DD"),
        ("13/45/2010", "write YYYY-MM-DD"),
        ("12/25-2010", "write YYYY-MM-DD"),
        ("30/2/2010", "not a day of the calendar"),
        ("5 Smarch 2010", "write YYYY-MM-DD"),
        ("2023-02-29", "not a day of the calendar"),
        ("1994-13", "not a day of the calendar"),
        ("1994-00", "not a day of the calendar"),
        ("1869", "write the year of release"),
        ("2101-01-01", "write the year of release"),
        ("9" * 1_000_000, "write YYYY-MM-DD"),
    ],
)
def test_a_wrong_date_says_what_to_write(text: str, reason: str):
    with pytest.raises(ValueError, match=reason) as caught:
        PartialDate.parse(text)
    assert len(str(caught.value)) < 200


def test_short_bounds_the_message():
    assert short("Heat") == "'Heat'"
    assert len(short("x" * 1000)) <= 61
    assert "\x1b" not in short("\x1b[2J")  # nothing that a terminal would obey
