"""The rivals: tuned on validation, blind to test outcomes, on the network's rows."""

from __future__ import annotations

import builtins
import dataclasses

import numpy as np
import pytest

pytest.importorskip("lightgbm", reason="pip install 'mfp[compare]'")

from mfp.config import ConfigError, HistoryConfig, TargetsConfig
from mfp.data import history
from mfp.data.batches import film_arrays
from mfp.data.fit import fit
from mfp.data.track_record import TrackRecord, is_joint
from mfp.training import boosting, rivals

RULES = TargetsConfig()


@pytest.fixture(scope="module", autouse=True)
def few_trials():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(boosting, "TRIALS", 3)
        yield


def with_truth(films, change):
    return dataclasses.replace(films, truth={n: change(t) for n, t in films.truth.items()})


@pytest.fixture(scope="module")
def fitted(still):
    return rivals.fit(still.spec, still.splits)


def test_every_target_has_every_rival_on_every_test_film(still, fitted):
    assert set(fitted) == {"mean", "ridge", "logistic", "lightgbm"}
    assert set(fitted["lightgbm"].predictions) == set(still.spec.targets.names)
    assert set(fitted["logistic"].predictions) == {"hit"}
    for rival in fitted.values():
        for predictions in rival.predictions.values():
            assert predictions.shape == (len(still.splits["test"]),)
            assert np.isfinite(predictions).all()


def test_one_lightgbm_is_not_told_what_members_add_together(still, few):
    asked = HistoryConfig(fields=("directors", "genres"), joint=1.0)
    films = {split: list(few.splits[split]) for split in still.splits}
    table = history.build([pair for part in films.values() for pair in part], asked, RULES)
    only = {split: [film for film, _ in pairs] for split, pairs in films.items()}
    record = TrackRecord.fit(only["train"], table, asked, frozenset(), linear=False)
    spec = dataclasses.replace(still.spec, history=record)
    rng = np.random.default_rng(0)
    true, scrambled = {}, {}
    for split, arrays in still.splits.items():
        told = record.arrays(only[split], table)
        true[split] = dataclasses.replace(arrays, columns=arrays.columns | told)
        together = [i for i, name in enumerate(record.numbers) if is_joint(name)]
        assert len(together) == 4
        values = told["history/values"].copy()
        values[:, together] = rng.normal(size=(len(values), 4))
        told = told | {"history/values": values}
        scrambled[split] = dataclasses.replace(arrays, columns=arrays.columns | told)
    one, other = (rivals.fit(spec, splits) for splits in (true, scrambled))

    def rating(found, rival: str) -> np.ndarray:
        return found[rival].predictions["rating"]

    plain, whole = rivals.WITHOUT_JOINT, "lightgbm"
    np.testing.assert_array_equal(rating(one, plain), rating(other, plain))
    assert not np.array_equal(rating(one, whole), rating(other, whole))


def test_test_outcomes_change_nothing(still, fitted):
    rng = np.random.default_rng(0)
    test = with_truth(still.splits["test"], lambda t: rng.permutation(t) * 7 + 1)
    scrambled = rivals.fit(still.spec, {**still.splits, "test": test})
    for name, rival in fitted.items():
        for target, expected in rival.predictions.items():
            np.testing.assert_array_equal(scrambled[name].predictions[target], expected)
        assert scrambled[name].chosen == rival.chosen


def test_other_test_films_change_no_fit(still, fitted):
    half = still.splits["test"].select(np.arange(30))
    found = rivals.fit(still.spec, {**still.splits, "test": half})
    for name, rival in fitted.items():
        for target, expected in rival.predictions.items():
            np.testing.assert_allclose(found[name].predictions[target], expected[:30], rtol=1e-6)


def test_validation_outcomes_choose(still, fitted):
    validation = with_truth(still.splits["validation"], lambda t: t[::-1].copy())
    other = rivals.fit(still.spec, {**still.splits, "validation": validation})
    assert other["lightgbm"].chosen["rating"] != fitted["lightgbm"].chosen["rating"]


def test_refitted_rivals_learn_from_validation_films_too(still, fitted):
    found = rivals.fit(still.spec, still.splits, refit=True)
    for name in fitted:
        assert found[name].chosen == fitted[name].chosen
        for target, before in fitted[name].predictions.items():
            assert (found[name].predictions[target] != before).any(), (name, target)
    both = [still.splits[s].truth["rating"] for s in ("train", "validation")]
    expected = np.nanmean(np.concatenate(both))
    np.testing.assert_allclose(found["mean"].predictions["rating"], expected)


def test_histories_reach_the_rivals_whatever_their_group(still):
    splits = {}
    for name, films in still.splits.items():
        leak = np.nan_to_num(films.truth["rating"]).astype(np.float32)[:, None]
        known = (~np.isnan(films.truth["rating"])).astype(np.float32)[:, None]
        columns = {**films.columns, "history/values": leak, "history/known": known}
        splits[name] = dataclasses.replace(films, columns=columns)
    found = rivals.fit(still.spec, splits)
    truth = still.splits["test"].truth["rating"]
    rows = ~np.isnan(truth)
    for name in ("ridge", "lightgbm"):
        pair = np.corrcoef(found[name].predictions["rating"][rows], truth[rows])
        assert pair[0, 1] > 0.9, name


def test_trees_are_those_of_one_thread_beside_any_number(still, fitted, monkeypatch):
    monkeypatch.setattr(boosting.os, "cpu_count", lambda: 1)
    alone = rivals.fit(still.spec, still.splits)["lightgbm"]
    for target, expected in fitted["lightgbm"].predictions.items():
        np.testing.assert_array_equal(alone.predictions[target], expected)


def test_of_films_of_texts_alone_trees_read_the_topics():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(300, boosting._TOPICS)).astype(np.float32)
    truth = (features[:, 0] + rng.normal(0, 0.5, 300) > 0).astype(float)
    rows = [boosting.Rows(features[i::2], truth[i::2], np.ones(150)) for i in (0, 1)]
    found = boosting.boost("sentiment", *rows)
    assert found.settings["topics"] == boosting._TOPICS
    assert found.validation_loss < 0.55


def test_where_there_are_n_grams_their_ratios_are_a_rival(debug_config, few):
    text = dataclasses.replace(debug_config.features.text, ngrams=2, min_ngram_films=2)
    features = dataclasses.replace(debug_config.features, text=text)
    config = dataclasses.replace(debug_config, features=features)
    spec = fit(few.splits["train"], config)
    splits = {s: film_arrays(films, spec, config.targets) for s, films in few.splits.items()}
    found = rivals.fit(spec, splits)["n-gram ratios"]
    assert set(found.predictions) == {"hit"}
    assert ((found.predictions["hit"] > 0) & (found.predictions["hit"] < 1)).all()


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (ModuleNotFoundError("none", name="lightgbm"), "lightgbm is not installed; run: pip inst"),
        (OSError("libgomp.so.1: no such file"), "libgomp.so.1: no such file.*apt-get install"),
    ],
)
def test_what_is_not_installed_is_named_with_its_remedy(monkeypatch, error, remedy):
    load = builtins.__import__

    def broken(name, *arguments):
        if name == "lightgbm":
            raise error
        return load(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", broken)
    with pytest.raises(ConfigError, match=remedy):
        rivals.check_installed()


def test_a_target_without_validation_films_is_left_to_simpler_rivals(still):
    unknown = with_truth(still.splits["validation"], lambda t: np.full(len(t), np.nan))
    with np.errstate(all="ignore"), pytest.warns(RuntimeWarning):
        found = rivals.fit(still.spec, {**still.splits, "validation": unknown})
    assert found["lightgbm"].predictions == {}
    assert set(found["ridge"].predictions) == set(still.spec.targets.names)
    nothing = boosting.Rows(np.zeros((0, 40)), np.zeros(0), np.zeros(0))
    with pytest.raises(ValueError, match="no validation film"):
        boosting.boost("rating", nothing, nothing)
