"""Test films with histories that stop at a day."""

from __future__ import annotations

import datetime
import json

import numpy as np
import pytest

from mfp.report.progress import TrainingProgress
from mfp.training import assemble, frozen, session
from mfp.training.evaluate import Evaluator
from mfp.training.run import RunFolder


@pytest.fixture(scope="module")
def found(run, dataset):
    folder = RunFolder(run.path)
    trained = session.restore_trained(folder, run.config, dataset, TrainingProgress(quiet=True))
    network = assemble.build_network(run.config, trained.spec)
    return trained, Evaluator.build(network, trained.spec, run.config)


def predict(found, dataset, day, monkeypatch):
    trained, evaluator = found
    monkeypatch.setattr(frozen, "_CHUNK", 50)  # several chunks
    return frozen.predictions(
        evaluator, trained.params, trained.spec, dataset.splits["test"], trained.splits["test"], day
    )


def test_never_frozen_is_as_rolled_forward(found, dataset, monkeypatch):
    trained, evaluator = found
    expected, _ = evaluator(trained.params, trained.splits["test"])
    never = predict(found, dataset, datetime.date(2100, 1, 1), monkeypatch)
    assert never.keys() == expected.keys()
    for name, y in expected.items():
        np.testing.assert_allclose(never[name], y, rtol=1e-5, atol=1e-5)


def test_frozen_before_all_films_no_outcome_is_known(found, dataset, monkeypatch):
    trained, evaluator = found
    empty = predict(found, dataset, datetime.date(1870, 1, 1), monkeypatch)
    rolled, _ = evaluator(trained.params, trained.splits["test"])
    assert not np.allclose(empty["rating"], rolled["rating"])


def test_the_report_tells_both(run):
    metrics = json.loads((run.path / "metrics.json").read_text())
    beside = metrics["test_with_frozen_histories"]
    assert beside.keys() == metrics["test"].keys()
    assert beside["rating"]["n"] == metrics["test"]["rating"]["n"]
    assert beside["rating"]["rmse"] != metrics["test"]["rating"]["rmse"]
    manifest = json.loads((run.bundle / "manifest.json").read_text())
    assert manifest["metrics"]["test_with_frozen_histories"] == beside
