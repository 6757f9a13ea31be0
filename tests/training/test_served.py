"""Metrics of what people are served, by hand, and slices of enough films."""

from __future__ import annotations

import numpy as np
import pytest

from mfp.calibration.points import PointRules
from mfp.dates import PartialDate
from mfp.film import Film, Outcome
from mfp.training import served


def test_box_office_totals_by_hand():
    truth, forecast = np.log10([1e6, 3e6]), np.log10([1e6, 1e6])
    found = served.box_office(truth, forecast, PointRules((6.0,), (np.log10(1.5),)))
    assert found["total_by_medians"] == pytest.approx(0.5)
    assert found["total_by_means"] == pytest.approx(0.75)
    assert found["smearing_factors"] == pytest.approx([1.5])
    assert "total_by_means" not in served.box_office(truth, forecast, PointRules())


def test_hits_are_said_at_half_and_at_the_base_rate():
    truth, chance = np.array([1, 1, 0, 0.0]), np.array([0.8, 0.3, 0.4, 0.1])
    found = served.hits(truth, chance, 0.25)
    assert (found["at_half"]["precision"], found["at_half"]["recall"]) == (1, 0.5)
    assert found["at_base_rate"]["precision"] == pytest.approx(2 / 3)
    assert (found["at_base_rate"]["threshold"], found["at_base_rate"]["recall"]) == (0.25, 1)
    assert "precision" not in served.hits(truth, chance * 0, 0.25)["at_half"]


def test_verdicts_by_hand():
    probability = np.array([[0.6, 0.2, 0.1, 0.1], [0.5, 0.3, 0.1, 0.1], [0.4, 0.3, 0.1, 0.2]])
    truth = np.array([0.0, 0, 3])
    found = served.verdicts(truth, probability, PointRules(verdict_weights=(0.2, 0.4, 0.3, 1)))
    # Weighed, the second film's 0.3 of an average film outdoes its 0.5 of a flop.
    assert found["confusion"]["flop"] == {"flop": 1, "average": 1, "hit": 0, "superhit": 0}
    assert found["confusion"]["superhit"] == {"flop": 0, "average": 0, "hit": 0, "superhit": 1}
    assert found["f1"] == {"flop": pytest.approx(2 / 3), "superhit": 1}
    assert found["macro_f1"] == pytest.approx(5 / 6)
    assert found["accuracy"] == pytest.approx(2 / 3)
    assert found["likeliest_class"]["f1"] == {"flop": pytest.approx(0.8), "superhit": 0}
    assert found["n"] == 3


def film(i: int) -> Film:
    director = ("Known Director",) if i % 2 else ("New Director", "Nobody")
    genres = ("Drama", "Crime") if i < 35 else ("Comedy",)
    date = PartialDate(2011 + (i >= 40))
    return Film(f"film {i}", directors=director, genres=genres, release_date=date,
                budget_usd=2e6 if i < 50 else None)  # fmt: skip


FILMS = [(film(i), Outcome()) for i in range(75)]


def test_a_film_is_in_the_slices_of_all_its_genres():
    slices = served.slices_of(
        FILMS, served.directors_of([(Film("x", directors=("known director",)), Outcome())])
    )
    assert {k: v.sum() for k, v in slices["genre"].items()} == {
        "Drama": 35,
        "Crime": 35,
        "Comedy": 40,
    }
    assert {k: v.sum() for k, v in slices["year"].items()} == {"2011": 40, "2012": 35}
    assert slices["budget"]["$1M to $10M"].sum() == 50
    assert slices["budget"]["budget unknown"].sum() == 25
    assert slices["director"]["director of a training film"].sum() == 37
    assert slices["director"]["debut: no training film"].sum() == 38


def test_slices_of_few_films_are_left_out_and_the_rest_have_their_bias():
    rng = np.random.default_rng(0)
    truth = rng.normal(6, 1, 75)
    truth[40:46] = np.nan  # leaves 29 of 2012
    forecast = truth + np.where(np.arange(75) < 40, 0.5, 0.0)
    slices = served.slices_of(FILMS, set())
    found = served.sliced({"rating": truth}, {"rating": forecast}, slices)["rating"]
    assert set(found["year"]) == {"2011"}
    assert found["year"]["2011"]["n"] == 40
    assert found["year"]["2011"]["bias"] == pytest.approx(0.5)
    assert found["year"]["2011"]["mean"] == pytest.approx(truth[:40].mean())
    assert found["year"]["2011"]["rmse"] == pytest.approx(0.5)


def test_a_report_has_what_is_predicted():
    truth = {"rating": np.full(75, 6.0), "hit": np.full(75, np.nan)}
    found = served.report(truth, dict(truth), PointRules(), 0.2, served.slices_of(FILMS, set()))
    assert set(found) == {"slices"}
    assert set(found["slices"]) == {"rating"}
