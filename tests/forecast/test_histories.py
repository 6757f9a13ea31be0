"""Histories in a bundle: what training saw, looked up anew for every date."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest

from mfp import film as films
from mfp.data import columns, history
from mfp.data.tabular import fold
from mfp.dates import PartialDate
from mfp.film import Film
from mfp.forecast import Forecaster, axes, plan
from mfp.forecast.bundle import open_bundle
from mfp.manifest import BundleError
from mfp.training import loop
from mfp.training.run import RunFolder


@pytest.fixture(scope="module")
def forecaster(run) -> Forecaster:
    return Forecaster.open(run.bundle)


def arrays_of(inputs) -> dict[str, np.ndarray]:
    return {name: array for name, array in inputs.items() if "history" in name}


def test_a_forecast_reads_what_training_read(run, dataset, forecaster):
    """Of every film of every split, test films included: as-of, and bit for bit."""
    spec = loop.with_past_films(RunFolder(run.path).read_features(), run.config, dataset)
    splits = columns.open_splits(dataset, spec, run.config.targets)
    for name, pairs in run.films.items():
        inputs = forecaster.bundle.spec.stack([film for film, _ in pairs])
        found = arrays_of(inputs)
        assert set(found) == {"history/values", "history/known", "present/history"}
        assert found["history/known"].any()
        for array, values in found.items():
            np.testing.assert_array_equal(values, splits[name].columns[array])


def film_with_a_past(run) -> Film:
    """A test film whose director had directed before."""
    known = {name for film, _ in run.films["train"] for name in film.directors}
    return next(f for f, _ in run.films["test"] if f.release_date and known & set(f.directors))


def test_an_outcome_given_by_the_film_itself_is_not_needed(run, forecaster):
    """The test films' own outcomes are in the table, and change nothing of their records."""
    spec, film = forecaster.bundle.spec, film_with_a_past(run)
    everything = [pair for split in run.films.values() for pair in split]
    others = [(f, o) for f, o in everything if f.id != film.id]
    assert len(others) == len(everything) - 1
    table = history.build(others, spec.history.config, run.config.targets)
    for name, array in spec.histories([film]).items():
        np.testing.assert_array_equal(spec.with_table(table).histories([film])[name], array)


def test_a_plan_of_dates_looks_histories_up_for_each(run, forecaster):
    film = film_with_a_past(run)
    varied = [axes.parse("release_date=1920-01-01,1954-01-01,1990-01-01")]
    dates = list(axes.films(film, varied))
    spec = forecaster.bundle.spec
    before, then, long_after = spec.histories(dates)["history/values"]
    assert spec.histories(dates)["present/history"].tolist() == [1, 1, 1]
    column = list(spec.history.numbers).index("directors: films")
    assert before[column] < then[column] == long_after[column]
    assert not np.array_equal(then, long_after)  # what was long ago weighs less
    # The plan's forecasts are those of the films asked for one by one.
    plans = plan.make(forecaster, film, varied).plans
    alone = [forecaster.predict([one])[0].rating for one in dates]
    assert [p.forecast.rating for p in plans] == pytest.approx(alone, abs=1e-4)


def test_without_a_date_there_is_no_history(run, forecaster):
    undated = dataclasses.replace(film_with_a_past(run), release_date=None)
    assert not forecaster.bundle.spec.stack([undated])["present/history"].any()
    assert forecaster.predict([undated])[0].rating is not None


def test_a_history_is_explained_as_a_part_of_its_own(run, forecaster):
    explanation = forecaster.predict([film_with_a_past(run)], explain=True)[0].explanation
    effects = {m.name: m.effects for m in explanation.modalities if m.given}
    assert effects["history"]["rating"] != 0
    total = sum(effect["rating"] for effect in effects.values())
    moved = explanation.forecast["rating"] - explanation.average["rating"]
    assert total == pytest.approx(moved, abs=1e-4)


def test_a_member_is_told_with_its_record(run, forecaster):
    film = film_with_a_past(run)
    explanation = forecaster.predict([film], explain=True)[0].explanation
    told = [row for row in explanation.to_json()["members"] if "record" in row]
    assert {row["field"] for row in told} > {"directors"}
    for row in told:
        everything = [pair for split in run.films.values() for pair in split]
        earlier = {
            id(f)
            for f, _ in everything
            if f.release_date
            and f.release_date.last_day() < film.release_date.first_day()
            and fold(row["text"]) in map(fold, films.names(f, row["field"]))
        }
        assert row["record"]["films"] == len(earlier), row
    assert any(abs(row["record"].get("rating", 0)) > 0.1 for row in told)


def test_the_bundle_lists_its_history(run, forecaster):
    files = forecaster.bundle.manifest.files
    assert "history/history.json" in files
    assert "history/rating-states.npy" in files


@pytest.mark.parametrize("damage", ["missing", "cut"])
def test_a_damaged_history_is_told(run, tmp_path: Path, damage: str):
    folder = tmp_path / "bundle"
    shutil.copytree(run.bundle, folder)
    path = folder / "history" / "rating-states.npy"
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(BundleError, match=r"rating-states\.npy"):
        open_bundle(folder)
    with pytest.raises(BundleError, match="history"):
        open_bundle(folder, verify=False)


def test_the_last_known_outcome_is_heard_after_it_and_not_before(run, forecaster):
    """A film of 1956 knows of the test films of 1955; one of 1953 does not."""
    spec = forecaster.bundle.spec
    late = next(
        (f, o)
        for f, o in reversed(run.films["test"])
        if o.rating is not None and f.directors and f.release_date.year == 1955
    )[0]
    ask = [dataclasses.replace(late, release_date=PartialDate(year)) for year in (1953, 1957)]
    everything = [pair for split in run.films.values() for pair in split]
    without = [(f, o) for f, o in everything if f.id != late.id]
    table = history.build(without, spec.history.config, run.config.targets)
    with_it, without_it = (
        s.histories(ask)["history/values"] for s in (spec, spec.with_table(table))
    )
    np.testing.assert_array_equal(with_it[0], without_it[0])
    assert not np.array_equal(with_it[1], without_it[1])
