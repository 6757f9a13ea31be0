"""Past films: which are taken, what is known of them, and the way to disk and back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mfp.config import HitConfig, TargetsConfig
from mfp.data import reference as references
from mfp.data.reference import PastFilm, Reference
from mfp.dates import PartialDate
from mfp.film import Film, Outcome

TARGETS = TargetsConfig(hit=HitConfig(rating_at_least=7.0))


def past(date: str, outcome: Outcome, names=("rating", "revenue", "hit")) -> PastFilm | None:
    known = PartialDate.parse(date) if date else None
    film = Film(title=date, id=f"id {date}", release_date=known)
    return PastFilm.of(film, outcome, names, TARGETS)


def reference(dates: list[str]) -> Reference:
    films = [past(date, Outcome(rating=6.0)) for date in dates]
    return Reference.build(films, np.arange(2.0 * len(films)).reshape(-1, 2))


def test_outcomes_are_those_of_the_targets():
    outcome = Outcome(rating=7.5, revenue_usd=2e6)
    assert past("1999-03", outcome).to_json() == {
        "id": "id 1999-03",
        "title": "1999-03",
        "release_date": "1999-03",
        "rating": 7.5,
        "revenue_usd": 2e6,
        "hit": True,
    }
    assert past("1999", Outcome(rating=2.0), ("hit",)).to_json().keys() == {
        "id",
        "title",
        "release_date",
        "hit",
    }
    # Too small to be trusted, see TargetsConfig.
    assert past("1999", Outcome(rating=5.0, revenue_usd=0.5)).revenue_usd is None


def test_a_film_without_a_date_or_an_outcome_is_not_taken():
    assert past("", Outcome(rating=5.0)) is None
    assert past("1999", Outcome()) is None
    assert past("1999", Outcome(rating=5.0), ("revenue",)) is None


def test_films_stand_by_their_last_possible_day():
    found = reference(["2001", "2001-03-04", "", "1990", "2001-03"])
    dates = [str(film.release_date) for film in found.films]
    assert dates == ["1990", "2001-03-04", "2001-03", "2001"]
    assert found.vectors.tolist() == [[6, 7], [2, 3], [8, 9], [0, 1]]
    assert found.vectors.dtype == np.float16


def test_of_too_many_the_latest_stay(monkeypatch):
    monkeypatch.setattr(references, "MAX_FILMS", 2)
    found = reference(["2003", "2001", "2002"])
    assert [film.title for film in found.films] == ["2002", "2003"]
    assert found.vectors.tolist() == [[4, 5], [0, 1]]


def test_to_disk_and_back(tmp_path: Path):
    whole = reference(["1990", "2001-03-04"])
    whole.write(tmp_path)
    found = Reference.read(tmp_path)
    assert found.films == whole.films
    np.testing.assert_array_equal(found.vectors, whole.vectors)


@pytest.mark.parametrize(
    "content", ["", "{}", '{"films": 3}', '{"films": [{"id": "a"}]}', '{"films": []}', "[]"]
)
def test_damage_is_told(tmp_path: Path, content: str):
    reference(["1990"]).write(tmp_path)
    (tmp_path / "reference.json").write_text(content)
    with pytest.raises(ValueError, match=r"reference\.json|Expecting"):
        Reference.read(tmp_path)


def test_an_array_of_objects_is_not_unpacked(tmp_path: Path):
    reference(["1990"]).write(tmp_path)
    np.save(tmp_path / "reference.npy", np.array([object()], dtype=object))
    with pytest.raises(ValueError, match="Python objects in dtype"):
        Reference.read(tmp_path)
