"""Bundles that earlier versions wrote: opened and served with the same numbers, for ever."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

from mfp import manifest, tables
from mfp.forecast import Forecaster
from mfp.forecast.bundle import open_bundle

GOLDEN = ROOT / "tests" / "golden"
# What rounding in another version of XLA or on another processor may change.
ROUNDING = {"rating": 2e-3, "hit_probability": 2e-4}


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def films():
    return [record.film for record in tables.read(GOLDEN / "films.jsonl")]


@pytest.mark.parametrize("version", ["format-1", "format-2", "format-3"])
def test_a_golden_bundle_forecasts_what_it_did(version, films):
    expected = lines(GOLDEN / version / "forecasts.jsonl")
    assert len(expected) == len(films) == 8
    assert len({row["rating"] for row in expected}) == 8  # films differ, or this says nothing
    found = Forecaster.open(GOLDEN / version / "bundle").predict(films, GOLDEN / "media")
    for forecast, row in zip(found, expected, strict=True):
        values = forecast.to_json()
        assert (values["id"], values["title"]) == (row["id"], row["title"])
        for name, rounding in ROUNDING.items():
            assert values[name] == pytest.approx(row[name], rel=0, abs=rounding)
        assert values["revenue_usd"] == pytest.approx(row["revenue_usd"], rel=1e-3)


def test_a_bundle_of_eight_devices_forecasts_the_same_on_one():
    """Made by training that was spread over a mesh of eight devices, and split parameters."""
    folder = GOLDEN / "format-3"
    parallel = json.loads((folder / "bundle" / "manifest.json").read_text())["config"]["parallel"]
    assert parallel["mode"] == "sharded"
    code = f"""
import json
import jax
from mfp import tables
from mfp.forecast import Forecaster
assert jax.device_count() == 1
films = [record.film for record in tables.read({str(GOLDEN / "films.jsonl")!r})]
found = Forecaster.open({str(folder / "bundle")!r}).predict(films, {str(GOLDEN / "media")!r})
print(json.dumps([forecast.to_json() for forecast in found]))
"""
    alone = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"} | {"JAX_NUM_CPU_DEVICES": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=alone, cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    for values, row in zip(json.loads(done.stdout), lines(folder / "forecasts.jsonl"), strict=True):
        for name, rounding in ROUNDING.items():
            assert values[name] == pytest.approx(row[name], rel=0, abs=rounding)


def test_the_oldest_bundle_explains_too(films):
    bundle = open_bundle(GOLDEN / "format-1" / "bundle")
    assert bundle.reference is None
    (found,) = Forecaster(bundle).predict(films[:1], GOLDEN / "media", explain=True)
    explanation = found.explanation
    assert explanation.similar == ()
    assert explanation.notes == ("this bundle carries no past films to compare with",)
    kinds = {effect.part.kind for effect in explanation.parts}
    assert kinds == {"fact", "member", "word", "region"}
    # Its trailer moves the forecast, but either of the two frames does so alone.
    trailer = next(m for m in explanation.modalities if m.name == "trailer")
    assert trailer.effects["rating"] > 0.01


def test_a_golden_bundle_keeps_its_past_films(films):
    (found,) = Forecaster.open(GOLDEN / "format-2" / "bundle").predict(films[:1], explain=True)
    similar = found.explanation.similar
    assert len(similar) == 5
    # Films of 2000 to 2009 are past for one of 2010, and the good ones are like this one.
    assert all(2000 <= s.film.release_date.year <= 2009 for s in similar)
    assert all(s.film.rating > 6.5 and s.film.hit is (s.film.rating >= 7) for s in similar)


def test_the_newest_golden_bundle_is_of_the_format_that_is_written():
    newest = max(GOLDEN.glob("format-*"), key=lambda path: int(path.name.split("-")[1]))
    assert newest.name == f"format-{manifest.FORMAT_VERSION}"
