"""Rivals in a file: fitted once, read for the same films only, and never trusted blindly."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

pytest.importorskip("lightgbm", reason="pip install 'mfp[compare]'")

from mfp.config import ConfigError
from mfp.training import boosting, rival_files


@pytest.fixture(scope="module")
def kept(still, tmp_path_factory):
    """The file, and what was fitted."""
    path = tmp_path_factory.mktemp("rivals") / "of" / "all.npz"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(boosting, "TRIALS", 2)
        fitted = rival_files.fit_once(path, still.spec, still.splits, False, lambda _: None)
        yield path, fitted


@pytest.fixture
def fits(monkeypatch):
    """How often rivals are fitted from here on; they are {}."""
    calls = []

    def fit(*args):
        calls.append(args)
        return {}

    monkeypatch.setattr(rival_files.rivals, "fit", fit)
    return calls


def again(still, path, splits=None, refit=False):
    said = []
    return rival_files.fit_once(path, still.spec, splits or still.splits, refit, said.append), said


def test_what_was_fitted_is_read_to_the_last_bit(still, kept, fits):
    path, fitted = kept
    found, said = again(still, path)
    assert not fits
    assert said == [f"rivals as in {path}"]
    assert list(found) == list(fitted)
    for name, rival in fitted.items():
        assert found[name].chosen == rival.chosen
        assert list(found[name].predictions) == list(rival.predictions)
        for target, y in rival.predictions.items():
            np.testing.assert_array_equal(found[name].predictions[target], y)
            assert found[name].predictions[target].dtype == y.dtype


def changed(still, split, part, name):
    films = still.splits[split]
    arrays = dict(getattr(films, part))
    array = np.array(arrays[name])
    array.flat[-1] += 1
    return {**still.splits, split: dataclasses.replace(films, **{part: arrays | {name: array}})}


@pytest.mark.parametrize(
    "change",
    [
        ("train", "truth", "rating"),
        ("validation", "columns", "weights/rating"),
        ("test", "columns", "numbers/values"),
    ],
)
def test_other_films_have_others(still, kept, fits, tmp_path, change):
    path = tmp_path / "copy.npz"
    path.write_bytes(kept[0].read_bytes())
    found, said = again(still, path, changed(still, *change))
    assert (found, len(fits)) == ({}, 1)
    assert "of other films or features" in said[0]
    assert again(still, path, changed(still, *change))[1] == [f"rivals as in {path}"]


def test_a_refit_and_another_search_have_others(still, kept, fits, tmp_path, monkeypatch):
    path = tmp_path / "copy.npz"
    path.write_bytes(kept[0].read_bytes())
    again(still, path, refit=True)
    assert len(fits) == 1
    path.write_bytes(kept[0].read_bytes())
    monkeypatch.setattr(boosting, "TRIALS", 3)
    again(still, path)
    assert len(fits) == 2


@pytest.mark.parametrize(
    "damage",
    [
        lambda b: b"",
        lambda b: b"no",
        lambda b: b[: len(b) // 2],
        lambda b: b[:60] + bytes(40) + b[100:],  # within what is compressed
    ],
)
def test_what_is_no_file_of_rivals_is_named(still, kept, fits, tmp_path, damage):
    path = tmp_path / "bad.npz"
    path.write_bytes(damage(kept[0].read_bytes()))
    with pytest.raises(ConfigError, match=r"bad\.npz: is no file of rivals"):
        again(still, path)
    assert not fits


def test_a_pickle_is_not_opened(still, tmp_path):
    path = tmp_path / "evil.npz"
    with path.open("wb") as file:
        np.savez(file, about=np.array([{"fitted_on": "x"}], dtype=object))
    with pytest.raises(ConfigError, match="is no file of rivals"):
        again(still, path)


def test_without_a_file_nothing_is_written(still, fits, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert again(still, None)[0] == {}
    assert not list(tmp_path.iterdir())
