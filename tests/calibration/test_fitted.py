"""Calibration as a whole: fitted in folds, to JSON and back, unfit values refused."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from mfp.calibration import fitted, hit, spread
from mfp.calibration.fitted import Calibration, CalibrationFilms
from mfp.calibration.hit import HitRules
from mfp.calibration.patterns import Parts, combinations

SPEC = SimpleNamespace(
    numbers={"budget_usd": None, "release_year": None},
    history=None,
    sets={"people": ("directors",)},
    modalities=("numbers", "people", "poster"),
)
PARTS = Parts.of(SPEC)
RULES = HitRules(7.0, 0.0, 0.0)


def calibration_films(count=400, revenues=100):
    """The network is off by 1; with the poster hidden by 2; its chance of a hit is no good."""
    rng = np.random.default_rng(0)
    natural = np.zeros((count, len(PARTS.names)), bool)
    natural[: count // 4, PARTS.names.index("budget_usd")] = True
    keys = tuple(range(len(PARTS.names)))
    patterns = combinations(len(keys), keys)
    deviation = 1.0 + patterns[:, PARTS.names.index("poster")]
    truth = rng.normal(6, 1.5, count)
    rating = truth + rng.normal(size=count) * deviation[:, None]
    money = rng.normal(7, 1, count)
    revenue = np.broadcast_to(money + rng.normal(0, 0.5, count), rating.shape)
    money[revenues:] = np.nan
    return CalibrationFilms(
        keys,
        patterns,
        natural,
        {"rating": rating, "revenue": revenue, "hit": np.full(rating.shape, 0.5)},
        rng.normal(size=(*rating.shape, 3)),
        {"rating": truth, "revenue": money, "hit": (truth >= 7).astype(float)},
        np.full(count, np.nan),
        np.full(count, 2010.0),
        {"rating": 1000, "revenue": 300, "hit": 1000},
    )


@pytest.fixture(scope="module")
def films():
    return calibration_films()


@pytest.fixture(scope="module")
def fit(films):
    return fitted.fit(films, PARTS, RULES)


def test_every_film_is_judged_once_by_a_calibration_that_has_not_seen_it(films, fit):
    _, folds = fit
    rows = np.concatenate([rows for rows, _ in folds])
    assert sorted(rows) == list(range(400))
    covered = []
    for rows, calibration in folds:
        low, high = fitted.distributions_of(calibration, films, rows)["rating"].interval(0.8)
        covered += ((low <= films.truth["rating"][rows]) & (films.truth["rating"][rows] <= high),)
    assert np.concatenate(covered).mean() == pytest.approx(0.8, abs=0.06)


def test_hiding_the_poster_widens(films, fit):
    calibration, _ = fit
    nothing = np.zeros((1, 4), bool)
    poster = np.array([[name == "poster" for name in PARTS.names]])
    outputs, fused = {"rating": np.array([6.0]), "revenue": np.array([7.0])}, np.zeros((1, 3))
    found = []
    for missing in (nothing, poster):
        low, high = calibration.distributions(outputs, fused, missing)["rating"].interval(0.9)
        found.append(high[0] - low[0])
    assert found[1] > 1.5 * found[0]


def test_the_chance_of_a_hit_follows_from_the_rating(films, fit):
    calibration, _ = fit
    rows = np.arange(400)
    found = fitted.distributions_of(calibration, films, rows)
    served = calibration.hit(films.outputs["hit"][0], found, films.budget_usd)
    np.testing.assert_allclose(served, 1 - found["rating"].below(np.full(400, 7.0)))
    truth = films.truth["hit"]
    assert hit.log_loss(served, truth) < hit.log_loss(films.outputs["hit"][0], truth)
    assert calibration.hit_log_loss["none"] < calibration.hit_log_loss["network"]


def test_json_and_back(films, fit):
    calibration, _ = fit
    again = Calibration.from_json(json.loads(json.dumps(calibration.to_json())), SPEC)
    rows = np.arange(50)
    for name, expected in fitted.distributions_of(calibration, films, rows).items():
        found = fitted.distributions_of(again, films, rows)[name]
        np.testing.assert_allclose(found.interval(0.9), expected.interval(0.9), rtol=1e-4)
    assert again.films == {"rating": 400, "revenue": 100}
    assert again.max_level == pytest.approx(1 - 2 / 101)


def test_a_target_of_too_few_films_has_no_intervals_and_says_why():
    calibration, _ = fitted.fit(calibration_films(revenues=5), PARTS, RULES)
    assert set(calibration.targets) == {"rating"}
    assert calibration.without == {
        "revenue": "only 5 calibration films know it, 25 are needed",
    }


@pytest.mark.parametrize(
    "change",
    [
        {"parts": ["poster"]},
        {"targets": {"rating": {}}},
        {"targets": 3},
        {"rules": {"rating": 7}},
        {"calibrator": {"kind": "magic", "values": []}},
        {"differences": {"scale": {}}},
    ],
)
def test_what_is_no_calibration_is_refused(fit, change):
    values = fit[0].to_json() | change
    with pytest.raises(ValueError, match="not a calibration"):
        Calibration.from_json(values, SPEC)


def test_the_deviation_of_members_is_one_more_feature():
    outputs = {"rating": np.array([6.0, 7.0]), "hit": np.array([0.1, 0.2])}
    embedding, missing = np.ones((2, 3)), np.zeros((2, 4))
    plain = spread.features(outputs, embedding, missing)
    told = spread.with_members(outputs, {"rating": np.array([np.e, 0.0])})
    found = spread.features(told, embedding, missing)
    np.testing.assert_array_equal(found[:, :-1], plain)
    np.testing.assert_allclose(found[:, -1], [1.0, np.log(1e-6)])


def test_members_that_disagree_widen_the_interval():
    """The members' deviation is that of the errors: found, and served to the film."""
    rng = np.random.default_rng(1)
    films = calibration_films(800)
    deviation = np.exp(rng.normal(0, 0.5, 800))
    shape = films.outputs["rating"].shape
    rating = films.truth["rating"] + rng.normal(size=shape) * deviation
    outputs = spread.with_members({"rating": rating}, {"rating": np.tile(deviation, (shape[0], 1))})
    films = replace(films, outputs=outputs, truth={"rating": films.truth["rating"]})
    calibration, _ = fitted.fit(films, PARTS, None)
    calibration = Calibration.from_json(json.loads(json.dumps(calibration.to_json())), SPEC)
    two = spread.with_members({"rating": np.array([6.0, 6.0])}, {"rating": np.array([0.5, 1.5])})
    found = calibration.distributions(two, np.zeros((2, 3)), np.zeros((2, len(PARTS.names)), bool))
    low, high = found["rating"].interval(0.9)
    assert 2 < (high - low)[1] / (high - low)[0] < 4
