"""The film record: availability, derived numbers, JSON."""

from __future__ import annotations

import dataclasses
import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfp import film, rows
from mfp.dates import PartialDate
from mfp.film import FIELDS, TARGET_FIELDS, Film, Outcome

TEXT = st.text(max_size=20)
NAMES = st.lists(TEXT, max_size=4)
ROWS = st.fixed_dictionaries(
    {"title": st.text(min_size=1, max_size=20)},
    optional={
        "id": TEXT,
        "release_date": st.dates().map(str) | st.integers(1900, 2030),
        "runtime_minutes": st.floats(0, 6000),
        "genres": NAMES,
        "cast": NAMES,
        "plot": TEXT,
        "poster": TEXT,
        "budget_usd": st.floats(0, 1e10),
        "reviews": NAMES,
        "vote_count": st.integers(0, 10**9),
        "number:s1": st.floats(allow_nan=False, allow_infinity=False),
    },
)


@settings(max_examples=100)
@given(ROWS)
def test_a_film_survives_json(row: dict):
    try:
        found, _ = rows.parse(row)
    except rows.FieldError:
        return
    text = json.dumps(film.to_json(found))
    assert rows.parse(json.loads(text)) == (found, Outcome())


def test_json_holds_known_fields_only():
    found = Film("Heat", release_date=PartialDate(1995, 12), genres=("Crime",))
    assert film.to_json(found) == {
        "title": "Heat",
        "release_date": "1995-12",
        "genres": ["Crime"],
    }


def test_a_number_of_the_table_s_own_is_read_like_any():
    found = Film("Patient 1", numbers=(("number:bmi", 21.6),))
    assert film.number(found, "number:bmi") == 21.6
    assert film.number(found, "number:age") is None
    assert film.sources("number:bmi") == ("number:bmi",)
    assert film.to_json(found) == {"title": "Patient 1", "number:bmi": 21.6}
    names = ("number:bmi", "number:", "number:BMI", "bmi")
    assert [film.is_own_number(name) for name in names] == [True, False, False, False]


def test_targets_and_what_follows_from_them_are_post_release():
    assert all(spec.availability == "post_release" for spec in TARGET_FIELDS.values())
    late = {name for name in FIELDS if film.is_post_release(name)}
    assert late == {"reviews", "vote_count", "popularity"}
    assert not set(FIELDS) & set(TARGET_FIELDS)


def test_no_column_name_means_two_fields():
    names = [n for name, spec in (FIELDS | TARGET_FIELDS).items() for n in (name, *spec.aliases)]
    assert len(names) == len(set(names))


def test_derived_numbers_know_only_what_the_date_says():
    day = Film("x", release_date=PartialDate(1995, 12, 15), cast=("A", "B"))
    year = Film("x", release_date=PartialDate(1995))
    assert film.number(day, "release_year") == film.number(year, "release_year") == 1995
    for name in ("season_sin", "weekday_cos"):
        assert film.number(day, name) is not None
        # A year alone is a placeholder, never 1 January.
        assert film.number(year, name) is None
    month = Film("x", release_date=PartialDate(1995, 12))
    assert film.number(month, "season_cos") is not None
    assert film.number(month, "weekday_cos") is None
    assert film.number(day, "cast_count") == 2
    assert film.number(year, "cast_count") is None  # an empty list is "not given"
    assert all(film.number(Film("x"), name) is None for name in film.NUMBER_INPUTS)


@settings(max_examples=30)
@given(st.dates().filter(lambda d: d.year >= 1870))
def test_the_calendar_is_a_circle(day):
    one = Film("x", release_date=PartialDate(day.year, day.month, day.day))
    for cycle in ("season", "weekday"):
        sin, cos = (film.number(one, f"{cycle}_{part}") for part in ("sin", "cos"))
        assert math.hypot(sin, cos) == pytest.approx(1)


def test_new_year_is_near_new_years_eve():
    eve = Film("x", release_date=PartialDate(1999, 12, 31))
    morning = Film("x", release_date=PartialDate(2000, 1, 1))
    summer = Film("x", release_date=PartialDate(2000, 7, 1))
    where = lambda f: [film.number(f, f"season_{part}") for part in ("sin", "cos")]  # noqa: E731
    assert math.dist(where(eve), where(morning)) < 0.05
    assert math.dist(where(summer), where(morning)) > 1.9


def test_the_certificate_is_a_set_of_one():
    assert film.names(Film("x", certificate="PG-13"), "certificate") == ("PG-13",)
    assert film.names(Film("x"), "certificate") == ()


def test_records_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Film("x").title = "y"  # type: ignore[misc]
