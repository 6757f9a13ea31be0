"""Flags: in words, where a film is unlike what the bundle was trained on; else none."""

from __future__ import annotations

import dataclasses
import datetime
from types import SimpleNamespace

import pytest

from mfp.data.tabular import Vocabulary
from mfp.dates import PartialDate
from mfp.film import Film
from mfp.forecast.flags import Experience

KNOWN = Film(
    title="Known",
    id="tt1",
    release_date=PartialDate(2012, 6, 1),
    runtime_minutes=100.0,
    directors=("Michael Mann",),
    cast=("Nobody Yet",),
    genres=("Crime",),
    languages=("English",),
    countries=("France",),
    certificate="R",
    budget_usd=2e7,
)


class Spec:
    """The parts of a FeatureSpec that flags read."""

    fields = ("runtime_minutes", "budget_constant_usd", "release_year", "directors", "cast",
              "genres", "languages", "countries", "certificate", "title")  # fmt: skip
    history = None
    vocabularies = {  # noqa: RUF012
        "people": Vocabulary(("Michael Mann", "Al Pacino")),
        "genres": Vocabulary(("Crime", "Drama")),
        "languages": Vocabulary(("English",)),
        "countries": Vocabulary(("France",)),
        "certificate": Vocabulary(("R",)),
    }


EXPERIENCE = Experience(
    Spec(),  # type: ignore[arg-type]
    {"release_year": (1950, 2008), "budget_usd": (1e5, 2e8), "runtime_minutes": (60, 200)},
    datetime.date(2014, 12, 31),
    min_films=2,
)


def flags(**changes):
    return EXPERIENCE.flags(dataclasses.replace(KNOWN, **changes))


@pytest.mark.parametrize(("until", "last"), [("2014", (2014, 12, 31)), ("2014-02", (2014, 2, 28))])
def test_a_split_may_end_with_a_year_or_a_month(until, last):
    manifest = SimpleNamespace(data={"split": {"test_until": until}}, config={})
    found = Experience.of(manifest, Spec())  # type: ignore[arg-type]
    assert found.tested_until == datetime.date(*last)


def test_a_familiar_film_has_none():
    assert flags() == ()
    assert EXPERIENCE.flags(Film(title="Only a title")) == ()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"directors": ("Ann New", "Bob New")}, "a first-time director, as far as this bundle "
         "knows: Ann New, Bob New (in fewer than 2 training films)"),
        ({"languages": ("English", "Klingon")}, "unseen language: Klingon (in fewer than 2"),
        ({"countries": ("Atlantis",)}, "unseen country: Atlantis"),
        ({"genres": ("A", "B", "C", "D", "E")}, "unseen genre: A, B, C and 2 more (in"),
        ({"certificate": "XXX"}, "unseen certificate: XXX"),
        ({"release_date": PartialDate(2015, 1, 1)}, "released 2015-01-01: far from the training "
         "years, later than any film of the test (2014-12-31; trained on films of 1950 to 2008)"),
        ({"release_date": PartialDate(1949)}, "released 1949: far from the training years"),
        ({"budget_usd": 4e8}, "budget_usd 400,000,000 is outside the trained range, 100,000 to "
         "200,000,000 US dollars"),
        ({"runtime_minutes": 20.0}, "runtime_minutes 20 is outside the trained range, 60 to 200"),
        ({"poster": "a.jpg", "plot": "x"}, "this bundle does not read plot, poster"),
        ({"reviews": ("good",)}, "this bundle does not read reviews"),
    ],
)  # fmt: skip
def test_each_flag_in_words(changes, said):
    (found,) = flags(**changes)
    assert found.startswith(said)
    assert "\n" not in found


def test_a_director_known_from_acting_or_beside_a_new_one_is_no_debut():
    assert flags(directors=("al  PACINO",)) == ()
    assert flags(directors=("Michael Mann", "Ann New")) == ()


@pytest.mark.parametrize("day", [PartialDate(2014, 12, 31), PartialDate(2014), PartialDate(1950)])
def test_the_years_of_training_and_test_are_not_far(day):
    assert flags(release_date=day) == ()


def test_what_is_not_known_of_the_training_films_flags_nothing():
    older = dataclasses.replace(EXPERIENCE, ranges={}, tested_until=None)
    film = dataclasses.replace(KNOWN, release_date=PartialDate(2099), budget_usd=9e9)
    assert older.flags(film) == ()


def test_of_a_bundle(forecaster, test_films):
    experience = forecaster.experience
    assert experience.tested_until == datetime.date(1955, 12, 31)
    first, last = experience.ranges["release_year"]
    assert 1900 < first < last <= 1949
    assert "budget_usd" not in experience.ranges  # no film has one
    (found,) = forecaster.predict([Film(title="x", budget_usd=1e6, directors=("Nobody Atall",))])
    assert [flag.split(":")[0] for flag in found.flags] == [
        "this bundle does not read budget_usd",
        "a first-time director, as far as this bundle knows",
    ]
    assert found.to_json()["flags"] == list(found.flags)
    assert not any("far from" in flag for f in forecaster.predict(test_films) for flag in f.flags)
