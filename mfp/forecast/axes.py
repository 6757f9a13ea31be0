"""What a release planner varies: `release_date=2015-01-01..2015-12-31/week` as values of a field.

    FIELD=LOW..HIGH/STEP   dates: day, week, month or year; numbers: how many, LOW and HIGH
                           included, dollars at equal ratios
    FIELD=A,B,C            numbers, dates, paths
    FIELD=A|B|C            texts and lists (members of one list separated by ';')

An empty item means that the field is not given.
"""

from __future__ import annotations

import calendar
import datetime
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np

from mfp import rows
from mfp.dates import PartialDate
from mfp.film import FIELDS, Film, is_post_release

MAX_VALUES = 1000  # of one field
MAX_PLANS = 2000  # of the product
NOT_GIVEN = "(none)"
_STEPS = ("day", "week", "month", "year")
_RANGE = re.compile(r"(?P<low>.+?)\.\.(?P<high>.+?)(?:/(?P<step>[^/]+))?")


class PlanError(ValueError):
    """A plan that cannot be made; the message names what was asked, the reason and the remedy."""


@dataclass(frozen=True)
class Axis:
    """A field and the values it takes, in the order asked for."""

    field: str
    values: tuple[Any, ...]  # as a Film holds them; None or empty where not given

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(_label(value) for value in self.values)

    @property
    def ordered(self) -> bool:
        """Whether the values lie on a line, so that a curve through them means something."""
        known = all(value is not None for value in self.values)
        return FIELDS[self.field].kind in ("number", "date") and known


def parse(text: str) -> Axis:
    """An axis from `FIELD=VALUES`.

    Raises:
      PlanError: naming the text, the reason and the remedy.
    """
    column, equals, values = text.partition("=")
    name = rows.canonical_name(column)
    if not equals or name is None or name not in FIELDS or name == "id":
        known = ", ".join(field for field in FIELDS if not is_post_release(field) and field != "id")
        raise PlanError(f"--vary {text}: write FIELD=VALUES; FIELD is one of {known}")
    if is_post_release(name):
        raise PlanError(f"--vary {text}: {name} is known only after release")
    found = _RANGE.fullmatch(values.strip())
    chosen: tuple[Any, ...]
    try:
        if found and FIELDS[name].kind == "date":
            chosen = _dates(found["low"], found["high"], found["step"] or "week")
        elif found and FIELDS[name].kind == "number":
            chosen = _numbers(name, found["low"], found["high"], found["step"] or "10")
        else:
            chosen = tuple(_value(name, item.strip()) for item in _items(name, values))
    except ValueError as error:
        raise PlanError(f"--vary {text}: {error}") from None
    distinct = tuple(dict.fromkeys(chosen))
    if len(distinct) > MAX_VALUES:
        raise PlanError(f"--vary {text}: {len(distinct):,} values; at most {MAX_VALUES:,}")
    return Axis(name, distinct)


def films(film: Film, axes: Sequence[Axis]) -> Iterator[Film]:
    """The film in every combination of the axes' values, the last axis fastest.

    Raises:
      PlanError: there are too many, or a field is varied twice.
    """
    fields = [axis.field for axis in axes]
    for field in fields:
        if fields.count(field) > 1:
            raise PlanError(f"--vary {field}: is given twice; list all its values in one")
    sizes = [len(axis.values) for axis in axes]
    if np.prod(sizes, dtype=float) > MAX_PLANS:
        asked = " x ".join(f"{size:,}" for size in sizes)
        raise PlanError(
            f"--vary: {asked} makes {int(np.prod(sizes, dtype=float)):,} plans, at most "
            f"{MAX_PLANS:,}; use larger steps or fewer values"
        )
    combinations = product(*(axis.values for axis in axes))
    return (replace(film, **dict(zip(fields, values, strict=True))) for values in combinations)


def _items(name: str, text: str) -> list[str]:
    several = FIELDS[name].kind in ("number", "date", "path")
    return text.split("," if several and "|" not in text else "|")


def _value(name: str, text: str) -> Any:
    """One value as a Film holds it. Raises ValueError as the record's own parser does."""
    if not text and name == "title":
        raise ValueError("a film needs a title")
    film, _ = rows.parse({"title": "x", name: text})
    return getattr(film, name)


def _dates(low: str, high: str, step: str) -> tuple[PartialDate, ...]:
    first, last = PartialDate.parse(low), PartialDate.parse(high)
    if step not in _STEPS:
        raise ValueError(f"{step!r} is no step; write one of {', '.join(_STEPS)}")
    start, end = first.first_day(), last.last_day()
    if start > end:
        raise ValueError(f"{low} is later than {high}")
    if step in ("day", "week"):
        days = {"day": 1, "week": 7}[step]
        if (end - start).days // days >= MAX_VALUES:
            raise ValueError(f"more than {MAX_VALUES:,} steps; take larger ones")
        count = (end - start).days // days + 1
        found = [start + datetime.timedelta(days=days * i) for i in range(count)]
        return tuple(PartialDate(d.year, d.month, d.day) for d in found)
    months = {"month": 1, "year": 12}[step]
    turns = ((end.year - start.year) * 12 + end.month - start.month) // months + 1
    dates = []
    for turn in range(turns):
        years, month = divmod(start.month - 1 + turn * months, 12)
        year, month = start.year + years, month + 1
        # A date known to the month stays one; the 31st is the last day of a shorter month.
        day = min(start.day, calendar.monthrange(year, month)[1]) if first.day else None
        known = PartialDate(year, month if first.month else None, day)
        if known.first_day() <= end:
            dates.append(known)
    return tuple(dates)


def _numbers(name: str, low: str, high: str, step: str) -> tuple[float, ...]:
    first, last = (_value(name, end.strip()) for end in (low, high))
    if first is None or last is None or not first < last:
        raise ValueError(f"{low} is not below {high}")
    if not step.isdecimal() or not 2 <= int(step) <= MAX_VALUES:
        raise ValueError(f"{step!r} is no number of points; write 2 to {MAX_VALUES:,}")
    dollars = FIELDS[name].unit == "US dollars"
    points = (np.geomspace if dollars else np.linspace)(first, last, int(step))
    inner = [float(f"{point:.3g}") for point in points[1:-1]]
    return (first, *inner, last)


def _label(value: Any) -> str:
    if value is None or value == "" or value == ():
        return NOT_GIVEN
    if isinstance(value, tuple):
        return ", ".join(value)
    return f"{value:,.10g}" if isinstance(value, float) else str(value)
