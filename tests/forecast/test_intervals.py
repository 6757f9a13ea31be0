"""Intervals of a real bundle: nested, in natural units, agreeing with the chance of a hit."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
import pytest

from mfp.calibration.conformal import Distribution, Scores
from mfp.calibration.points import PointRules
from mfp.film import Film
from mfp.forecast import Forecaster
from mfp.forecast.intervals import check_level, intervals, no_intervals
from mfp.manifest import BundleError


def column(forecasts, name):
    return np.array([getattr(forecast, name) for forecast in forecasts], float)


@pytest.fixture(scope="module")
def by_level(forecaster, test_films):
    levels = (0.5, 0.8, 0.9)
    return {level: forecaster.predict(test_films, level=level) for level in levels}


def test_intervals_hold_the_forecast_and_widen_with_the_level(by_level):
    for name in ("rating", "revenue_usd"):
        if by_level[0.9][0].to_json().get(f"{name}_low") is None:
            continue
        for level, forecasts in by_level.items():
            low, high = (column(forecasts, f"{name}_{end}") for end in ("low", "high"))
            assert (low <= column(forecasts, name)).all()
            assert (column(forecasts, name) <= high).all()
            assert {forecast.level for forecast in forecasts} == {level}
        for small, large in ((0.5, 0.8), (0.8, 0.9)):
            inner, outer = by_level[small], by_level[large]
            assert (column(outer, f"{name}_low") <= column(inner, f"{name}_low")).all()
            assert (column(outer, f"{name}_high") >= column(inner, f"{name}_high")).all()


def test_ratings_stay_on_their_scale(by_level):
    assert (column(by_level[0.9], "rating_low") >= 0).all()
    assert (column(by_level[0.9], "rating_high") <= 10).all()


def test_the_chance_of_a_hit_agrees_with_the_interval(forecaster, by_level):
    """The rule of the debug config: a rating of 7 or more."""
    assert forecaster.bundle.manifest.config["targets"]["hit"]["rating_at_least"] == 7.0
    for level, forecasts in by_level.items():
        low, high = column(forecasts, "rating_low"), column(forecasts, "rating_high")
        chance = column(forecasts, "hit_probability")
        assert (chance[low >= 7] >= (1 + level) / 2 - 1e-9).all()
        assert (chance[high < 7] <= (1 - level) / 2 + 1e-9).all()
    assert len({tuple(column(f, "hit_probability")) for f in by_level.values()}) == 1


def test_what_is_missing_widens(forecaster, test_films):
    """Over the films, not each: one film's own spread may say otherwise."""
    full = forecaster.predict(test_films)
    bare = forecaster.predict([Film(title=film.title) for film in test_films])
    width = [np.mean(column(f, "rating_high") - column(f, "rating_low")) for f in (full, bare)]
    assert width[1] > width[0]


def test_json_has_the_bounds_beside_the_forecast(by_level):
    found = by_level[0.8][0].to_json()
    names = list(found)
    assert names[names.index("rating") :][:3] == ["rating", "rating_low", "rating_high"]
    assert found["level"] == 0.8
    assert found["rating_low"] == round(found["rating_low"], 3)


@pytest.mark.parametrize("level", [0.0, 1.0, -1, float("nan")])
def test_a_level_is_a_share(forecaster, level):
    with pytest.raises(ValueError, match="write a number between 0 and 1"):
        forecaster.predict([Film(title="x")], level=level)


def test_a_level_beyond_the_calibration_films_names_the_highest(forecaster):
    with pytest.raises(ValueError, match=r"level 0.9999: needs more .* at most 0\.9") as error:
        forecaster.stream([], level=0.9999)  # told at once, not when the stream is read
    highest = float(str(error.value).split()[-1])
    (found,) = forecaster.predict([Film(title="x")], level=highest)
    assert found.rating_low is not None
    assert np.isfinite([found.rating_low, found.rating_high]).all()


def test_an_older_bundle_opens_without_intervals(rewrite, forecaster, test_films):
    def older(document):
        document["format_version"] = 1
        del document["calibration"]
        del document["data"]["ranges"]

    old = Forecaster.open(rewrite(older))
    assert old.bundle.calibration is None
    assert no_intervals(old.bundle) == ["has no intervals; export it with this version of mfp"]
    reviews = dataclasses.replace(old.bundle.manifest, targets=("sentiment",))
    assert no_intervals(dataclasses.replace(old.bundle, manifest=reviews)) == []
    (found,), (new,) = old.predict(test_films[:1]), forecaster.predict(test_films[:1])
    assert found.rating == pytest.approx(new.rating, abs=1e-6)
    assert (found.rating_low, found.level) == (None, None)
    assert "rating_low" not in found.to_json()


def test_a_damaged_calibration_is_refused(rewrite):
    folder = rewrite(lambda document: document["calibration"].update(parts=["poster"]))
    with pytest.raises(BundleError, match=r"manifest\.json: not a calibration: the parts"):
        Forecaster.open(folder)


@dataclass
class Certain:
    """A calibration that says the same score, one spread below and above, of every film."""

    spreads: dict[str, float]
    points: PointRules = field(default_factory=PointRules)
    parts: SimpleNamespace = field(
        default_factory=lambda: SimpleNamespace(missing=lambda inputs: np.zeros((2, 1), bool))
    )
    budgets: np.ndarray | None = None

    def distributions(self, outputs, embedding, missing):
        scores = [Scores.of(np.repeat([-1.0, 1.0], 50))]
        group = np.zeros(2, int)
        return {
            name: Distribution(outputs[name], np.full(2, spread), group, scores)
            for name, spread in self.spreads.items()
        }

    def hit(self, probability, distributions, budget_usd):
        self.budgets = budget_usd
        return probability


def said(calibration, **outputs):
    films = [Film("a", budget_usd=5e6), Film("b")]
    arrays = {name: np.array(values) for name, values in outputs.items()}
    return intervals(calibration, films, {}, arrays, np.zeros((2, 3)), 0.8)


def test_bounds_in_natural_units():
    found = said(Certain({"rating": 0.5, "revenue": 1.0}), rating=[6.0, 3.0], revenue=[7.0, 4.0])
    expected = [(5.5, 6.5, 1e6, 1e8), (2.5, 3.5, 1e3, 1e5)]
    names = ("rating_low", "rating_high", "revenue_usd_low", "revenue_usd_high")
    for row, bounds in zip(found, expected, strict=True):
        assert [row[name] for name in names] == pytest.approx(bounds)
        assert row["level"] == 0.8


def test_bounds_end_with_their_scale():
    found = said(Certain({"rating": 20.0, "revenue": 20.0}), rating=[6.0, 3.0], revenue=[7.0, 4.0])
    for row in found:
        assert (row["rating_low"], row["rating_high"]) == (0, 10)
        assert (row["revenue_usd_low"], row["revenue_usd_high"]) == pytest.approx((1, 1e12))


def test_an_interval_beyond_the_scale_is_its_end():
    found = said(
        Certain({"rating": 0.5, "revenue": 1.0}), rating=[14.0, -4.0], revenue=[14.0, -3.0]
    )
    for row, rating, dollars in zip(found, (10, 0), (1e12, 1), strict=True):
        assert row["rating_low"] == row["rating_high"] == rating
        assert row["revenue_usd_low"] == row["revenue_usd_high"] == pytest.approx(dollars)


def test_without_distributions_there_is_no_level():
    calibration = Certain({})
    found = said(calibration, hit=[0.25, 0.5])
    assert found == [{"hit_probability": 0.25}, {"hit_probability": 0.5}]
    np.testing.assert_array_equal(calibration.budgets, [5e6, np.nan])


def test_the_highest_level_is_told_to_a_thousandth_below():
    calibration = SimpleNamespace(targets={"rating": None}, max_level=0.98765)
    with pytest.raises(ValueError, match=r"at most 0\.987$"):
        check_level(0.99, calibration)
    check_level(0.98765, calibration)
    check_level(0.99, SimpleNamespace(targets={}, max_level=0.0))  # nothing to bound
    check_level(0.99, None)


def test_the_mean_of_box_office_lies_above_the_median_where_errors_do(run, test_films):
    forecaster = Forecaster.open(run.bundle)
    rules = PointRules((5.0, 7.0), (0.5, 0.2), (1.0, 0.0, 0.0, 0.0))
    calibration = dataclasses.replace(forecaster.bundle.calibration, points=rules)
    changed = Forecaster(dataclasses.replace(forecaster.bundle, calibration=calibration))
    found = changed.predict(test_films[:5])
    for forecast in found:
        factor = np.interp(np.log10(forecast.revenue_usd), [5, 7], [0.5, 0.2])
        assert forecast.revenue_mean_usd == pytest.approx(forecast.revenue_usd * 10**factor)
        assert "revenue_mean_usd" in forecast.to_json()
    none = dataclasses.replace(calibration, points=PointRules())
    older = Forecaster(dataclasses.replace(forecaster.bundle, calibration=none))
    assert "revenue_mean_usd" not in older.predict(test_films[:1])[0].to_json()


def test_the_verdict_is_the_one_of_the_calibration(run, test_films):
    calibration = Forecaster.open(run.bundle).bundle.calibration
    weighed = dataclasses.replace(
        calibration, points=PointRules(verdict_weights=(0.2, 0.1, 0.1, 1.0)), targets={}
    )
    outputs = {"verdict": np.array([[0.4, 0.3, 0.2, 0.1], [0.8, 0.1, 0.09, 0.01]])}
    inputs = {
        f"present/{part}": np.ones(2)
        for part in ("numbers", "people", "content", "origin", "title")
    }
    missing = np.zeros((2, len(calibration.parts.names)), bool)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(calibration.parts), "missing", lambda self, columns: missing)
        said = intervals(weighed, test_films[:2], inputs, outputs, np.zeros((2, 3)), 0.9)
    assert [row["verdict"] for row in said] == ["superhit", "flop"]
