"""Film and Outcome: the public record, its fields, their kinds and availability.

Pure: a raw row becomes a Film in `mfp/rows.py`, a file becomes rows in `mfp/tables.py`.

Every field has an *availability*. A `pre_release` field is known before the film opens; a
`post_release` field (reviews, votes) is not, and a pre-release model may not use it.
"""

from __future__ import annotations

import dataclasses
import datetime
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from mfp.dates import PartialDate
from mfp.prices import constant_dollars

Availability = Literal["pre_release", "post_release"]
Kind = Literal["text", "names", "texts", "number", "date", "path"]

VERDICTS = ("flop", "average", "hit", "superhit")

# Longest text kept of one cell; a plot is a few thousand characters, a script is not a plot.
MAX_TEXT = 100_000
MAX_NAMES = 1_000
MAX_NAME = 500  # characters; names are kept in memory, texts are not


@dataclass(frozen=True, slots=True)
class Film:
    """What is known of a film. Every field but `title` may be missing (None or empty)."""

    title: str
    id: str = ""
    release_date: PartialDate | None = None
    runtime_minutes: float | None = None
    genres: tuple[str, ...] = ()
    directors: tuple[str, ...] = ()
    writers: tuple[str, ...] = ()
    cast: tuple[str, ...] = ()
    keywords: tuple[str, ...] = ()
    companies: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    countries: tuple[str, ...] = ()
    certificate: str = ""
    budget_usd: float | None = None
    plot: str = ""
    tagline: str = ""
    poster: str = ""
    trailer: str = ""
    reviews: tuple[str, ...] = ()
    vote_count: float | None = None
    popularity: float | None = None
    numbers: tuple[tuple[str, float], ...] = ()  # a table's own, by name ("number:..."), sorted


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a film was received. Every target may be missing (None)."""

    rating: float | None = None  # 0-10
    revenue_usd: float | None = None
    verdict: str | None = None  # one of VERDICTS, where a table states it
    sentiment: float | None = None  # 1: the review praises, 0: it pans


@dataclass(frozen=True)
class Field:
    """One column of the record."""

    kind: Kind
    availability: Availability = "pre_release"
    aliases: tuple[str, ...] = ()
    low: float | None = None  # inclusive bounds of a number
    high: float | None = None
    zero_is_missing: bool = False  # catalogues write 0 for "unknown"
    unit: str = ""


FIELDS: dict[str, Field] = {
    "title": Field("text", aliases=("name", "movie", "film", "original_title")),
    "id": Field("text", aliases=("imdb_id", "imdbid", "film_id", "tmdb_id")),
    "release_date": Field("date", aliases=("released", "date", "year", "release_year")),
    "runtime_minutes": Field(
        "number",
        aliases=("runtime",),
        low=0,
        high=6000,
        zero_is_missing=True,
        unit="minutes",
    ),
    "genres": Field("names", aliases=("genre",)),
    "directors": Field("names", aliases=("director",)),
    "writers": Field("names", aliases=("writer",)),
    "cast": Field("names", aliases=("actors", "stars")),
    "keywords": Field("names", aliases=("keyword",)),
    "companies": Field("names", aliases=("company", "production", "studio")),
    "languages": Field("names", aliases=("language",)),
    "countries": Field("names", aliases=("country",)),
    "certificate": Field("text", aliases=("rated", "mpaa", "mpaa_rating")),
    "budget_usd": Field(
        "number",
        aliases=("budget",),
        low=0,
        high=1e10,
        zero_is_missing=True,
        unit="US dollars",
    ),
    "plot": Field("text", aliases=("overview", "synopsis", "description")),
    "tagline": Field("text"),
    "poster": Field("path"),
    "trailer": Field("path"),
    "reviews": Field("texts", "post_release"),
    "vote_count": Field("number", "post_release", low=0, high=1e12),
    "popularity": Field("number", "post_release", low=0, high=1e12),
}
assert {*FIELDS, "numbers"} == {f.name for f in dataclasses.fields(Film)}
# A column of this name is a number of the table's own, whatever it means. That it is known before
# release is for the table to answer for.
_OWN_NUMBER = "number:"
OWN_NUMBER = Field("number")

TARGET_FIELDS: dict[str, Field] = {
    "rating": Field("number", "post_release", low=0, high=10),
    "revenue_usd": Field(
        "number",
        "post_release",
        aliases=("revenue", "box_office", "boxoffice", "gross"),
        low=0,
        high=1e11,
        zero_is_missing=True,
        unit="US dollars",
    ),
    "verdict": Field("text", "post_release"),
    "sentiment": Field("number", "post_release", low=0, high=1),
}

SET_FIELDS = (*(n for n, f in FIELDS.items() if f.kind == "names"), "certificate")
TEXT_FIELDS = ("title", "plot", "tagline", "reviews")
IMAGE_FIELDS, VIDEO_FIELDS = ("poster",), ("trailer",)


def _cycle(
    part: Callable[[PartialDate], float | None], trigonometric: Callable[[float], float]
) -> Callable[[Film], float | None]:
    """A calendar position in turns (0 to 1) as one coordinate of the unit circle."""

    def number(film: Film) -> float | None:
        turn = None if film.release_date is None else part(film.release_date)
        return None if turn is None else trigonometric(2 * math.pi * turn)

    return number


def _season(date: PartialDate) -> float | None:
    if date.month is None:
        return None
    middle = date.first_day() if date.day else datetime.date(date.year, date.month, 15)
    return middle.timetuple().tm_yday / 365.25


def _weekday(date: PartialDate) -> float | None:
    return date.first_day().weekday() / 7 if date.precision == "day" else None


def _holiday_season(date: PartialDate) -> float | None:
    """1 from the week of Thanksgiving to New Year's Day, else 0."""
    if date.precision != "day":
        return None
    day = date.first_day()
    thanksgiving = 22 + (3 - datetime.date(date.year, 11, 22).weekday()) % 7  # fourth Thursday
    begins = datetime.date(date.year, 11, thanksgiving - 1)
    return float(day >= begins or day == datetime.date(date.year, 1, 1))


def _budget_constant_usd(film: Film) -> float | None:
    if film.budget_usd is None or film.release_date is None:
        return None
    return constant_dollars(film.budget_usd, film.release_date.year)


def _count(name: str) -> Callable[[Film], float | None]:
    return lambda film: float(len(getattr(film, name))) or None  # an empty list is "not given"


# Numbers computed from one film alone.
DERIVED_NUMBERS: dict[str, Callable[[Film], float | None]] = {
    "release_year": lambda film: None if film.release_date is None else film.release_date.year,
    "holiday_season": lambda film: (
        None if film.release_date is None else _holiday_season(film.release_date)
    ),
    "budget_constant_usd": _budget_constant_usd,
    "season_sin": _cycle(_season, math.sin),
    "season_cos": _cycle(_season, math.cos),
    "weekday_sin": _cycle(_weekday, math.sin),
    "weekday_cos": _cycle(_weekday, math.cos),
    **{f"{name}_count": _count(name) for name in SET_FIELDS if name != "certificate"},
}
# Fields that a derived number needs, all of them.
_OF_DATE = ("release_year", "holiday_season", "season_sin", "season_cos")
_DERIVED_FROM: dict[str, tuple[str, ...]] = {
    **dict.fromkeys((*_OF_DATE, "weekday_sin", "weekday_cos"), ("release_date",)),
    "budget_constant_usd": ("budget_usd", "release_date"),
    **{f"{name}_count": (name,) for name in SET_FIELDS if name != "certificate"},
}
assert set(_DERIVED_FROM) == set(DERIVED_NUMBERS)
NUMBER_INPUTS = (
    *(n for n, f in FIELDS.items() if f.kind == "number"),
    *DERIVED_NUMBERS,
)


def is_post_release(name: str) -> bool:
    """Whether an input field is known only after the film opened."""
    return name in FIELDS and FIELDS[name].availability == "post_release"


def is_own_number(name: str) -> bool:
    """Whether a name is "number:" and more, as column names are read: lower case, no spaces."""
    plain = name == name.lower() and " " not in name
    return name.startswith(_OWN_NUMBER) and len(name) > len(_OWN_NUMBER) and plain


def kind_of(name: str) -> Kind:
    """The kind of a field, or of a number of the table's own."""
    return OWN_NUMBER.kind if is_own_number(name) else FIELDS[name].kind


def number(film: Film, name: str) -> float | None:
    """A number of any kind: a field, derived, or the table's own; None where it is missing."""
    if is_own_number(name):
        return dict(film.numbers).get(name)
    derived = DERIVED_NUMBERS.get(name)
    return derived(film) if derived else getattr(film, name)


def sources(name: str) -> tuple[str, ...]:
    """The fields of the record that an input is read from."""
    return _DERIVED_FROM.get(name, (name,))


def texts(film: Film, name: str) -> tuple[str, ...]:
    """The texts of a text field: at most one, but for reviews."""
    value = getattr(film, name)
    return value if isinstance(value, tuple) else ((value,) if value else ())


def names(film: Film, name: str) -> tuple[str, ...]:
    """The members of a set field; the certificate is a set of at most one."""
    value = getattr(film, name)
    return value if isinstance(value, tuple) else ((value,) if value else ())


def to_json(film: Film) -> dict[str, Any]:
    """The film's known fields as JSON values; `rows.parse` reads them back."""
    values = {f.name: getattr(film, f.name) for f in dataclasses.fields(film)}
    values["release_date"] = film.release_date and str(film.release_date)
    values |= dict(values.pop("numbers"))
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in values.items()
        if value is not None and value != "" and value != ()
    }
