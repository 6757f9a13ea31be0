"""The model card, told from a manifest alone."""

from __future__ import annotations

import dataclasses
import json

import pytest
from conftest import ROOT

from mfp import manifest as manifests
from mfp.report import card


@pytest.fixture(scope="module")
def manifest():
    return manifests.read(ROOT / "tests" / "golden" / "format-2" / "bundle")


def test_what_the_card_says(manifest):
    found = card.of(manifest)
    assert found == json.loads(json.dumps(found))
    assert found["id"] == manifest.id
    assert found["bytes"] == sum(f["bytes"] for f in manifest.files.values())
    assert found["data"]["films"] == {"train": 80, "validation": 20, "test": 20}
    assert found["data"]["released"]["train"] == ["2000-01-15", "2007-12-15"]
    assert found["data"]["known"]["test"] == {"rating": 20, "revenue": 20, "hit": 20}
    assert found["targets"]["hit"] == "probability of a hit: rating at least 7"
    assert found["metrics"]["test"]["rating"]["n"] == 20


def test_every_input_with_its_availability(manifest):
    found = {row["field"]: row for row in card.of(manifest)["inputs"]}
    assert {row["modality"] for row in found.values()} == {
        *("numbers", "people", "content", "plot", "poster", "trailer")
    }
    assert found["directors"]["read_as"] == "a name"
    assert found["plot"]["read_as"] == "the first 8 tokens"
    assert found["trailer"]["read_as"] == "2 frames of 8 x 8 pixels"
    assert {row["availability"] for row in found.values()} == {"before release"}


def test_known_limits(manifest):
    limits = " ".join(card.of(manifest)["limits"])
    assert "trained on films released 2000-01-15 to 2007-12-15; measured on films up to" in limits
    assert "rating: measured on 20 films only" in limits
    assert "A baseline beats the network" in limits
    assert "not read" not in limits

    features = {**manifest.features, "absent": ["budget_usd"], "numbers": {"vote_count": {}}}
    limits = " ".join(card.of(dataclasses.replace(manifest, features=features))["limits"])
    assert "no training film had budget_usd: these are not read" in limits
    assert "known only after release" in limits


def test_the_printed_card(manifest, capsys):
    intervals = {"level": 0.9, "rating": {"test": {"coverage": 0.885, "n": 1234}}}
    metrics = {**manifest.metrics, "intervals": intervals}
    card.show(dataclasses.replace(manifest, metrics=metrics), verified=True)
    printed = capsys.readouterr().out
    assert manifest.id in printed
    assert "verified  every file and the id" in printed
    assert "rating: 90% intervals cover 88.5% of 1,234 test films" in printed
    assert "ridge" in printed
    assert "before release" in printed


def test_a_card_of_the_oldest_format(capsys):
    oldest = manifests.read(ROOT / "tests" / "golden" / "format-1" / "bundle")
    card.show(oldest, verified=False)
    printed = capsys.readouterr().out
    assert "verified  not" in printed
    assert "train" in printed


def test_a_card_of_a_bare_manifest(capsys):
    bare = manifests.Manifest({}, {}, {}, ("verdict", "sentiment", "hit"), {}, {}, {})
    card.show(bare, verified=False)
    assert "known limits" in capsys.readouterr().out
