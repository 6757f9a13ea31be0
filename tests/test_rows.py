"""A raw row becomes a film, or an error that names the field and the remedy."""

from __future__ import annotations

import json
import math
import time
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mfp import rows
from mfp.dates import PartialDate
from mfp.film import FIELDS, MAX_NAMES, MAX_TEXT, TARGET_FIELDS, Film, Outcome
from mfp.rows import FieldError


def parsed(**values: Any) -> Film:
    return rows.parse({"title": "x", **values})[0]


def outcome(**values: Any) -> Outcome:
    return rows.parse({"title": "x", **values})[1]


def test_a_whole_row():
    film, found = rows.parse(
        {
            "Title": " Heat ",
            "IMDb-ID": "tt0113277",
            "Released": "1995-12-15",
            "Runtime": "170 min",
            "Genre": "Crime, Drama",
            "Budget": "$60,000,000",
            "box office": "187436818",
            "rating": "8.3",
            "verdict": "Hit",
            "something else": "ignored",
        }
    )
    assert film == Film(
        "Heat",
        id="tt0113277",
        release_date=PartialDate(1995, 12, 15),
        runtime_minutes=170.0,
        genres=("Crime", "Drama"),
        budget_usd=6e7,
    )
    assert found == Outcome(rating=8.3, revenue_usd=187436818.0, verdict="hit")


@pytest.mark.parametrize("empty", ["", "  ", None, [], "nan", "N/A", "None", "-", math.nan])
def test_an_empty_value_is_a_missing_value(empty: Any):
    row = {name: empty for name, spec in (FIELDS | TARGET_FIELDS).items() if spec.kind != "text"}
    assert rows.parse({"title": "x", **row}) == (Film("x"), Outcome())


def test_numbers_of_the_table_s_own():
    row = {"number:BMI": "21.6", "number: Blood Pressure": 87, "number:s1": "nan", "number:": 3}
    # Sorted, so that the order of the columns changes nothing.
    assert parsed(**row).numbers == (("number:_blood_pressure", 87.0), ("number:bmi", 21.6))
    with pytest.raises(FieldError, match=r"^number:bmi: 'high' is not a number; write digits"):
        parsed(**{"number:bmi": "high"})
    with pytest.raises(FieldError, match=r"^number:bmi: "):
        parsed(**{"number:bmi": math.inf})


def test_a_film_may_be_called_unknown_or_nan():
    assert rows.parse({"title": "Unknown"})[0].title == "Unknown"
    assert rows.parse({"title": "NaN"})[0].title == "NaN"


@pytest.mark.parametrize("title", ["", "   ", None, "\u200e\ufeff"])
def test_a_film_needs_a_title(title: Any):
    with pytest.raises(FieldError, match="title: is missing; every film needs a title"):
        rows.parse({"title": title, "id": "1"})


@pytest.mark.parametrize("reverse", [False, True])
def test_a_fields_own_name_wins_over_its_aliases_in_any_order(reverse: bool):
    values = [("release_date", "1995-12-15"), ("released", "1996"), ("year", "1997")]
    for kept in (values, values[1:]):
        row = dict(reversed(kept) if reverse else kept)
        assert parsed(**row).release_date == PartialDate.parse(kept[0][1])
    # An empty cell does not win.
    assert parsed(release_date="", year="1997").release_date == PartialDate(1997)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("12", 12.0),
        ("$1,234,567.50", 1234567.5),
        (" 1e6 ", 1e6),
        ("90 minutes", 90.0),
        ("5 USD", 5.0),
        (".5", 0.5),
        ("5.", 5.0),
        (7, 7.0),
        ("1\u00a0", 1.0),
    ],
)
def test_numbers(value: Any, expected: float):
    assert parsed(popularity=value).popularity == expected


@settings(max_examples=50)
@given(st.floats(0, 1e10, exclude_min=True))
def test_numbers_are_read_exactly(value: float):
    assert parsed(popularity=repr(value)).popularity == value
    assert parsed(budget_usd=value).budget_usd == value


@pytest.mark.parametrize(
    ("text", "dollars"), [("$30M", 30e6), ("1.5 million", 1.5e6), ("2b", 2e9), ("750K", 750e3)]
)
def test_dollars_as_people_write_them(text: str, dollars: float):
    assert parsed(budget_usd=text).budget_usd == dollars


def test_an_amount_that_may_mean_thousands_is_refused():
    with pytest.raises(rows.FieldError, match="dollars or thousands"):
        parsed(budget_usd="1.500")
    with pytest.raises(rows.FieldError, match="not a number"):
        parsed(runtime_minutes="142 m")


def test_zero_means_unknown_only_where_catalogues_write_it():
    assert parsed(budget="0", runtime=0) == Film("x")
    assert parsed(vote_count=0).vote_count == 0
    assert outcome(revenue="0", rating="0") == Outcome(rating=0.0)


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("rating", "11", "write 0 to 10, or leave empty"),
        ("rating", -0.1, "write 0 to 10"),
        ("rating", math.inf, "write 0 to 10"),
        ("rating", 10**400, "write 0 to 10"),
        ("rating", True, "is not a number"),
        ("rating", "8,3", "is not a number; write digits"),
        ("rating", "1,2345", "is not a number"),
        ("rating", "8.3.1", "is not a number"),
        ("rating", ".", "is not a number"),
        ("rating", {"a": 1}, "is not a number"),
        ("runtime_minutes", "two hours", "write digits in minutes"),
        ("budget_usd", "1e11", "US dollars"),
        ("release_date", "13/45/95", "write YYYY-MM-DD"),
        ("release_date", 1994.5, "write YYYY-MM-DD"),
        ("release_date", False, "write YYYY-MM-DD"),
        ("genres", {"a": 1}, r"separate them with '\|'"),
        ("genres", [["a"]], "is not a text"),
        ("plot", ["a"], "is not a text"),
        ("title", True, "is not a text"),
        ("poster", 3, "is not a file path"),
        ("poster", "a\0b", "is not a file path"),
        # JSON can hold half a surrogate pair, which no file can be written with.
        ("poster", json.loads(r'"\ud800.jpg"'), "is not a file path"),
        ("verdict", "meh", "is not one of flop, average, hit, superhit"),
    ],
)
def test_a_wrong_value_names_field_and_remedy(field: str, value: Any, reason: str):
    with pytest.raises(FieldError, match=reason) as caught:
        rows.parse({"title": "x", field: value})
    assert caught.value.name == field
    assert str(caught.value).startswith(f"{field}: ")


def test_spreadsheet_years():
    assert parsed(year=1994).release_date == PartialDate(1994)
    assert parsed(year=1994.0).release_date == PartialDate(1994)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("A|B", ("A", "B")),
        ("A; B", ("A", "B")),
        ("A, B", ("A", "B")),
        ("A, B|C", ("A, B", "C")),
        ("Robert Downey, Jr., Val Kilmer", ("Robert Downey, Jr.", "Val Kilmer")),
        ("Pixar, Inc.", ("Pixar, Inc.",)),
        ([" A ", "", None, "B", "A"], ("A", "B")),
        (["A, B"], ("A, B",)),
        ("Al   Pacino", ("Al Pacino",)),
        (" | ", ()),
    ],
)
def test_names_keep_their_order_and_stand_once(value: Any, expected: tuple[str, ...]):
    assert parsed(cast=value).cast == expected


def test_text_is_cleaned():
    assert parsed(plot="a\0b\x07c\td\r\ne").plot == "abc d  e"
    assert parsed(plot="e\u0301").plot == "\u00e9"  # NFC: two spellings become one
    # Bidirectional overrides would let a text show as another.
    assert parsed(plot="\u202egpj.exe").plot == "gpj.exe"
    assert parsed(plot=json.loads(r'"a\ud800b"')).plot == "ab"
    assert parsed(plot="映画 🎬").plot == "映画 🎬"
    assert parsed(id=603).id == "603"


def test_sizes_are_bounded():
    assert len(parsed(plot="x" * (MAX_TEXT + 1)).plot) == MAX_TEXT
    assert len(parsed(cast=[str(i) for i in range(MAX_NAMES + 5)]).cast) == MAX_NAMES


@pytest.mark.parametrize("field", ["rating", "release_date"])
@pytest.mark.parametrize("unit", ["1", "1,111", " ", "1e"])
def test_a_hostile_cell_does_not_hang_the_reader(field: str, unit: str):
    began = time.perf_counter()
    with pytest.raises(FieldError):
        rows.parse({"title": "x", field: "1" + unit * 200_000 + "x"})
    assert time.perf_counter() - began < 2


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=5,
)


# How fast rows are drawn says how busy the machine is, and nothing of the code.
@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.dictionaries(
        st.sampled_from([*FIELDS, *TARGET_FIELDS, "year", "nonsense"]), JSON_VALUES, max_size=8
    )
)
def test_any_row_is_a_film_or_a_field_error(row: dict[str, Any]):
    try:
        film, _ = rows.parse(row)
        assert film.title
    except FieldError as error:
        name, reason = error.name, error.reason
        assert (name in FIELDS or name in TARGET_FIELDS) and reason  # noqa: PT018
