"""Similar films: the nearest, and none that was not out before."""

from __future__ import annotations

import numpy as np
import pytest

from mfp.data.reference import PastFilm, Reference
from mfp.dates import PartialDate
from mfp.forecast.similar import most_similar

DATE = PartialDate.parse


def reference(places: dict[str, float]) -> Reference:
    """Films named by their dates, on a line."""
    films = [PastFilm(date, date, DATE(date), rating=5.0) for date in places]
    return Reference.build(films, np.array([[x, 0.0] for x in places.values()]))


def titles(found) -> list[str]:
    return [similar.film.title for similar in found]


def test_the_nearest_come_first_and_not_too_many():
    films = reference({"1990": 4.0, "1991": 1.0, "1992": -3.0, "1993": 0.5})
    found = most_similar(films, np.zeros(2), DATE("2000"), count=3)
    assert titles(found) == ["1993", "1991", "1992"]
    spread = np.sqrt(2 * np.var([4.0, 1.0, -3.0, 0.5]))
    assert [s.distance for s in found] == pytest.approx([d / spread for d in (0.5, 1, 3)])


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        ("2000-06-15", ["1999", "2000-05", "2000-06-14"]),
        ("2000-06", ["1999", "2000-05"]),  # it may be the first of June
        ("2000", ["1999"]),
        ("2000-06-16", ["1999", "2000-05", "2000-06-14", "2000-06-15"]),
        ("2001", ["1999", "2000-05", "2000-06-14", "2000-06-15", "2000-06", "2000"]),
        ("1999-12-31", []),
        ("1900", []),
    ],
)
def test_only_strictly_earlier_films_are_shown(before, expected):
    dates = ["2000", "1999", "2000-06", "2000-06-15", "2000-06-14", "2000-05", "2002"]
    films = reference(dict.fromkeys(dates, 1.0))
    found = most_similar(films, np.zeros(2), DATE(before), count=9)
    assert sorted(titles(found)) == sorted(expected)


def test_a_later_twin_is_never_shown():
    films = reference({"1990": 50.0, "2005-01-02": 0.0})
    assert titles(most_similar(films, np.zeros(2), DATE("2005-01-02"))) == ["1990"]
    found = most_similar(films, np.zeros(2), DATE("2005-01-03"))
    assert titles(found) == ["2005-01-02", "1990"]
    assert found[0].distance == 0


def test_distances_of_films_that_are_all_alike():
    films = reference({"1990": 2.0, "1991": 2.0})
    found = most_similar(films, np.array([2.0, 0.0]), DATE("2000"))
    assert [s.distance for s in found] == [0, 0]
