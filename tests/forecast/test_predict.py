"""Forecasts: of each film alone, in order, in natural units."""

from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor

import jax
import numpy as np
import pytest

from mfp.dates import PartialDate
from mfp.film import VERDICTS, Film
from mfp.forecast import Forecast, Forecaster
from mfp.forecast.predict import BATCH_SIZES


def numbers(forecasts):
    return np.array([[f.rating, f.revenue_usd, f.hit_probability] for f in forecasts])


def assert_same(found, expected):
    """To the last digit of float32; of the hit, to what a last digit of the rating may move it.

    Where the hit is bounded by the rating's distribution, which rises in steps of 1/n between
    scores that may lie close together, 5e-7 of a rating moved it by 2e-6.
    """
    np.testing.assert_allclose(found[:, :2], expected[:, :2], rtol=1e-6)
    np.testing.assert_allclose(found[:, 2], expected[:, 2], rtol=0, atol=1e-5)


@pytest.fixture(scope="module")
def together(forecaster, test_films):
    return forecaster.predict(test_films)


def test_there_is_a_forecast_of_each_film_in_order(together, test_films):
    assert [f.title for f in together] == [film.title for film in test_films]
    assert [f.id for f in together] == [film.id for film in test_films]
    found = numbers(together)
    assert ((found[:, 0] >= 0) & (found[:, 0] <= 10)).all()
    assert (found[:, 1] > 0).all()
    assert ((found[:, 2] > 0) & (found[:, 2] < 1)).all()
    assert together[0].verdict is None  # not a target of this bundle


def test_no_films_no_forecasts(forecaster):
    assert forecaster.predict([]) == []


@pytest.mark.parametrize("count", [1, 2, 16, 17])
def test_a_forecast_does_not_depend_on_the_other_films(forecaster, test_films, together, count):
    found = numbers(forecaster.predict(test_films[:count]))
    assert_same(found, numbers(together)[:count])


def test_a_forecast_does_not_depend_on_the_order_of_rows(forecaster, test_films, together):
    order = np.random.default_rng(0).permutation(len(test_films))
    found = forecaster.predict([test_films[i] for i in order])
    assert_same(numbers(found), numbers(together)[order])
    assert [f.id for f in found] == [together[i].id for i in order]


def test_more_films_than_the_largest_batch(forecaster, test_films, together):
    many = (test_films * 3)[: BATCH_SIZES[-1] + 20]
    assert len(many) > BATCH_SIZES[-1]
    found = numbers(forecaster.predict(many))
    expected = np.tile(numbers(together), (3, 1))[: len(many)]
    assert_same(found, expected)


def test_a_stream_is_read_no_further_than_needed(forecaster, test_films):
    read = []

    def films():
        for film in test_films * 4:
            read.append(film)
            yield film

    stream = forecaster.stream(films())
    assert next(stream).title == test_films[0].title
    assert len(read) == BATCH_SIZES[-1]


def test_threads_share_a_forecaster(run, test_films):
    """From its first forecast on, which compiles, and with batches of several sizes at once."""
    sizes = [1, 16, 3, 1, 20, 1, 7, 2]
    batches = [test_films[i : i + sizes[i % len(sizes)]] for i in range(40)]
    shared = Forecaster.open(run.bundle, films=1)
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(shared.predict, batches))
    alone = Forecaster.open(run.bundle)
    assert found == [alone.predict(batch) for batch in batches]  # to the bit


def test_a_program_compiled_ahead_is_the_one_that_is_called(run, test_films):
    compiled = []

    def listener(event: str, duration: float, **_: object) -> None:
        compiled.append(event)

    jax.monitoring.register_event_duration_secs_listener(listener)
    try:
        forecaster = Forecaster.open(run.bundle, films=1)
        forecaster.predict(test_films[:1])
        forecaster.predict(test_films[1:2])
    finally:
        jax.monitoring.unregister_event_duration_listener(listener)
    assert sum(event.endswith("backend_compile_duration") for event in compiled) == 1


def test_a_film_of_a_title_alone_is_served(forecaster):
    (found,) = forecaster.predict([Film(title="???")])
    assert np.isfinite(numbers([found])).all()


def test_what_is_known_of_a_film_matters(forecaster, test_films):
    known = test_films[0]
    assert numbers(forecaster.predict([known])) != pytest.approx(
        numbers(forecaster.predict([Film(title=known.title)])), rel=1e-6
    )


def test_natural_units_of_a_forecast(forecaster):
    film = Film(title="Heat", id="tt1", release_date=PartialDate.parse("1955-12"))
    outputs = {
        "rating": np.array([11.5], np.float32),
        "revenue": np.array([6.0], np.float32),
        "hit": np.array([0.25], np.float32),
        "verdict": np.array([[0.1, 0.2, 0.6, 0.1]], np.float32),
    }
    found = {"outputs": outputs, "embedding": np.zeros((1, 2), np.float32)}
    bundle = dataclasses.replace(forecaster.bundle, run=lambda batch: found, calibration=None)
    (found,) = Forecaster(bundle).predict([film])
    assert found.rating == 10.0  # the scale ends there
    assert found.revenue_usd == pytest.approx(1e6)
    assert found.hit_probability == 0.25
    assert found.verdict == VERDICTS[2]
    assert found.to_json() == {
        "id": "tt1",
        "title": "Heat",
        "release_date": "1955-12",
        "rating": 10.0,
        "revenue_usd": pytest.approx(1_000_000, abs=1),
        "hit_probability": 0.25,
        "verdict": VERDICTS[2],
        "verdict_probabilities": dict(zip(VERDICTS, [0.1, 0.2, 0.6, 0.1], strict=True)),
    }


def test_json_leaves_out_what_is_not_predicted():
    assert Forecast("", "Heat", rating=6.12345).to_json() == {
        "id": "",
        "title": "Heat",
        "rating": 6.123,
    }
