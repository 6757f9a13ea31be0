"""Explanations: of the real program, and of a program whose reasons are known."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from mfp.data.reference import PastFilm, Reference
from mfp.dates import PartialDate
from mfp.film import Film
from mfp.forecast import Forecaster, shapley
from mfp.forecast.explain import explain
from mfp.forecast.parts import without

HEAT = Film(
    title="Heat and Dust",
    release_date=PartialDate.parse("1953-05-06"),
    runtime_minutes=100.0,
    genres=("Drama", "Crime"),
    directors=("John Ford",),
    cast=("John Wayne", "Nobody Known"),
    countries=("USA",),
)


@pytest.fixture(scope="module")
def explained(forecaster):
    return forecaster.predict([HEAT], explain=True)[0]


def test_the_modalities_sum_to_forecast_minus_average(forecaster, test_films):
    for film in test_films[:20]:
        found = explain(forecaster.bundle, film, {})
        assert set(found.forecast) == {"rating", "revenue", "hit"}
        for target, forecast in found.forecast.items():
            total = sum(m.effects[target] for m in found.modalities)
            assert total == pytest.approx(forecast - found.average[target], abs=1e-6)


def test_the_forecast_explained_is_the_forecast(explained):
    found = explained.explanation.forecast
    assert found["rating"] == pytest.approx(explained.rating, abs=1e-5)
    assert 10 ** found["revenue"] == pytest.approx(explained.revenue_usd, rel=1e-4)
    # The chance of a hit is served calibrated, and explained as the network says it.
    (note,) = explained.explanation.notes
    assert note == (
        f"hit: {found['hit']:.1%} is what the network says, and explained here; "
        f"{explained.hit_probability:.1%} is that calibrated"
    )


def test_the_average_film_is_one_without_modalities(forecaster, explained):
    """Not even a title; what every film of this bundle is measured from."""
    (nothing,) = forecaster.predict([Film(title="")], explain=True)
    assert nothing.explanation.average == pytest.approx(explained.explanation.average, abs=1e-6)
    assert nothing.rating == pytest.approx(explained.explanation.average["rating"], abs=1e-5)
    assert all(not m.given for m in nothing.explanation.modalities)
    assert nothing.explanation.parts == ()


def test_a_missing_modality_has_no_effect(forecaster):
    film = dataclasses.replace(HEAT, genres=(), countries=())
    found = explain(forecaster.bundle, film, {})
    given = {m.name: m.given for m in found.modalities}
    assert given == {
        "numbers": True,
        "history": True,
        "people": True,
        "content": False,
        "origin": False,
        "title": True,
    }
    for m in found.modalities:
        assert m.given == any(effect != 0 for effect in m.effects.values())


def test_a_part_owes_the_forecast_minus_that_without_it(forecaster, explained):
    assert explained.explanation.parts
    for effect in explained.explanation.parts:
        film, _ = without(HEAT, {}, [effect.part], forecaster.bundle.spec)
        (other,) = forecaster.predict([film])
        assert effect.effects["rating"] == pytest.approx(explained.rating - other.rating, abs=1e-4)


def test_the_most_important_part_comes_first(explained):
    sizes = [effect.importance for effect in explained.explanation.parts]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] > 0


def test_similar_films_are_real_and_earlier(run, explained):
    found = explained.explanation.similar
    assert len(found) == 5
    real = {film.id: o for split in ("train", "validation") for film, o in run.films[split]}
    for similar in found:
        outcome = real[similar.film.id]
        assert similar.film.release_date.last_day() < HEAT.release_date.first_day()
        assert similar.film.rating == outcome.rating
    distances = [similar.distance for similar in found]
    assert distances == sorted(distances)


def test_a_later_twin_is_never_shown(forecaster, explained):
    """The film itself, planted into the past films as released on the same day and later."""
    bundle = forecaster.bundle
    whole = bundle.spec.stack([HEAT])
    embedding = bundle.run(whole)["embedding"]
    dates = ("1953", "1953-05-06", "1960", "1953-05-05")
    twins = [PastFilm(d, f"twin of {d}", PartialDate.parse(d), rating=9.0) for d in dates]
    vectors = np.concatenate([bundle.reference.vectors, np.repeat(embedding, 4, axis=0)])
    planted = dataclasses.replace(bundle)
    planted.__dict__["reference"] = Reference.build([*bundle.reference.films, *twins], vectors)
    found = explain(planted, HEAT, {}).similar
    assert [s.film.title for s in found if "twin" in s.film.title] == ["twin of 1953-05-05"]
    assert found[0].distance == pytest.approx(0, abs=0.01)


def test_without_a_date_no_film_is_called_past(forecaster):
    found = explain(forecaster.bundle, dataclasses.replace(HEAT, release_date=None), {})
    assert found.similar == ()
    assert "release date" in found.notes[0]


# --- a program whose reasons are known ---


@pytest.fixture(scope="module")
def planted(forecaster):
    """rating = 5 + 1 if John Wayne plays + 0.5 if it is a Drama, both if their modality is
    shown; revenue = 6 + 2 where both hold; hit = 0.5."""
    spec = forecaster.bundle.spec
    wayne = spec.vocabularies["people"].ids["john wayne"]
    drama = spec.vocabularies["genres"].ids["drama"]

    def run(inputs):
        plays = (inputs["sets/cast"] == wayne).any(axis=1) * inputs["present/people"]
        is_drama = (inputs["sets/genres"] == drama).any(axis=1) * inputs["present/content"]
        outputs = {
            "rating": 5 + plays + 0.5 * is_drama,
            "revenue": 6 + 2 * plays * is_drama,
            "hit": np.full(len(plays), 0.5),
        }
        embedding = np.zeros((len(plays), forecaster.bundle.reference.vectors.shape[1]))
        return {"outputs": outputs, "embedding": embedding}

    return dataclasses.replace(forecaster.bundle, run=run)


def test_planted_modalities(planted):
    found = {m.name: m.effects for m in explain(planted, HEAT, {}).modalities}
    assert found["people"] == pytest.approx({"rating": 1.0, "revenue": 1.0, "hit": 0.0})
    assert found["content"] == pytest.approx({"rating": 0.5, "revenue": 1.0, "hit": 0.0})
    for name in ("numbers", "origin", "title"):  # dummies
        assert found[name] == pytest.approx(dict.fromkeys(("rating", "revenue", "hit"), 0.0))


def test_planted_parts(planted):
    found = explain(planted, HEAT, {}).parts
    assert [(e.part.field, e.part.text) for e in found] == [
        ("cast", "John Wayne"),
        ("genres", "Drama"),
    ]
    assert found[0].effects == pytest.approx({"rating": 1.0, "revenue": 2.0, "hit": 0.0})
    assert found[1].effects == pytest.approx({"rating": 0.5, "revenue": 2.0, "hit": 0.0})


def test_a_verdict_is_explained_by_the_probability_of_the_one_forecast(planted):
    spec = dataclasses.replace(
        planted.spec, targets=dataclasses.replace(planted.spec.targets, names=("verdict",))
    )

    def run(inputs):
        shown = inputs["present/content"][:, None]
        outputs = {"verdict": shown * [[0.1, 0.2, 0.6, 0.1]] + (1 - shown) * 0.25}
        return {"outputs": outputs, "embedding": np.zeros((len(shown), 2))}

    bundle = dataclasses.replace(planted, run=run, spec=spec)
    found = explain(bundle, dataclasses.replace(HEAT, release_date=None), {})
    assert found.forecast == {"verdict": pytest.approx(0.6)}
    assert found.average == {"verdict": pytest.approx(0.25)}
    content = next(m for m in found.modalities if m.name == "content")
    assert content.effects == {"verdict": pytest.approx(0.35)}


def test_many_modalities_are_told_to_be_sampled(planted, monkeypatch):
    monkeypatch.setattr(shapley, "MAX_EXACT", 2)
    found = explain(planted, HEAT, {})
    assert found.notes == ("modality effects are means over 64 random orders",)
    effects = {m.name: m.effects for m in found.modalities}
    assert effects["people"]["rating"] == pytest.approx(1.0)
    assert sum(e["revenue"] for e in effects.values()) == pytest.approx(2.0)


def test_json_of_a_planted_explanation(planted):
    (forecast,) = Forecaster(planted).predict([HEAT], explain=True)
    values = json.loads(json.dumps(forecast.to_json()))["explanation"]
    assert values["forecast"] == {
        "rating": 6.5,
        "revenue_usd": 100_000_000,
        "hit_probability": 0.5,
    }
    assert values["average_film"]["revenue_usd"] == 1_000_000
    assert values["modalities"]["content"] == {
        "rating": 0.5,
        "revenue_factor": 10.0,
        "hit_probability": 0.0,
    }
    record = values["members"][0].pop("record")
    assert record.keys() == {"films", "relative", "rating", "revenue_factor"}
    assert values["members"][0] == {
        "field": "cast",
        "text": "John Wayne",
        "rating": 1.0,
        "revenue_factor": 100.0,
        "hit_probability": 0.0,
    }
    assert "words" not in values
    assert {"id", "title", "release_date", "distance"} <= values["similar"][0].keys()


def test_explanations_are_only_made_where_they_are_asked_for(forecaster):
    (found,) = forecaster.predict([HEAT])
    assert found.explanation is None
    assert "explanation" not in found.to_json()
