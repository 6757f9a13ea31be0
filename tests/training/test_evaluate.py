"""Evaluation: every film counts once, whatever the batch size."""

from __future__ import annotations

import dataclasses
import json

import jax
import numpy as np
import pytest

from mfp.models import heads
from mfp.training import assemble, evaluate, losses, metrics
from mfp.training.evaluate import Evaluator
from mfp.training.step import mean_losses


@pytest.fixture(scope="module")
def evaluated(still):
    """Predictions and losses of the validation films in batches of 32 (80 films: 2.5 batches)."""
    network = assemble.build_network(still.config, still.spec)
    objective = assemble.objective(still.config, still.spec)
    params = jax.tree.map(lambda p: p + 0.05, still.params)

    def build(batch_size):
        train = dataclasses.replace(still.config.train, batch_size=batch_size)
        return Evaluator.build(network, still.spec, dataclasses.replace(still.config, train=train))

    films = still.splits["validation"]
    return build, params, films, objective, build(32)(params, films)


def test_it_equals_one_application_to_all_films(still, evaluated):
    _, params, films, objective, (predictions, found) = evaluated
    assert len(films) % 32
    outputs = still.apply(params, films.rows(np.arange(len(films)), len(films)), None)["outputs"]
    targets = still.spec.targets
    natural = heads.natural_units(outputs, targets.mean, targets.deviation)
    assert set(predictions) == set(targets.names)
    for name, expected in natural.items():
        assert predictions[name].shape == (80,)
        np.testing.assert_allclose(predictions[name], expected, rtol=1e-5, atol=1e-6)
    sums = losses.target_losses(outputs, films.columns)
    expected = mean_losses(jax.device_get(sums), objective)
    assert found == pytest.approx(expected, rel=1e-5)


def test_the_batch_size_changes_nothing(evaluated):
    build, params, films, _, (predictions, found) = evaluated
    other_predictions, other = build(25)(params, films)
    for name, expected in predictions.items():
        np.testing.assert_allclose(other_predictions[name], expected, rtol=1e-5, atol=1e-6)
    assert other == pytest.approx(found, rel=1e-5)


def test_the_report_judges_network_and_baselines_on_the_same_films(still, evaluated):
    _, _, films, _, (predictions, _) = evaluated
    test = still.splits["test"]
    constant = {name: np.full(len(test), 0.4) for name in test.truth}
    report = evaluate.report(
        still.spec, still.splits, {"validation": predictions, "test": constant}
    )
    assert set(report) == {"test", "validation", "baselines"}
    assert report["validation"] == metrics.evaluate(films.truth, predictions)
    assert report["test"] == metrics.evaluate(test.truth, constant)
    for name in ("mean", "ridge"):
        for target, found in report["baselines"][name].items():
            assert found["n"] == report["test"][target]["n"]
            assert found["n"] == np.sum(~np.isnan(test.truth[target]))


def test_metrics_json_of_a_run(run):
    report = json.loads((run.path / "metrics.json").read_text("utf-8"))
    for split in ("test", "validation"):
        assert set(report[split]["rating"]) == {"rmse", "mae", "r2", "n"}
        expected = {"rmse", "mae", "r2", "n", "median_relative_error", "rmsle"}
        expected |= {"within_factor_two"}
        assert set(report[split]["revenue"]) == expected
        assert set(report[split]["hit"]) == {"auc", "log_loss", "accuracy", "n"}
        ratings = [outcome.rating for _, outcome in run.films[split]]
        assert report[split]["rating"]["n"] == sum(r is not None for r in ratings)
    assert {"mean", "ridge"} <= set(report["baselines"])
    assert {"revenue", "hit", "slices"} <= set(report["served"])
    years = report["served"]["slices"]["rating"]["year"]
    assert set(years) <= {"1953", "1954", "1955"}
    assert sum(scores["n"] for scores in years.values()) == report["test"]["rating"]["n"]
    assert len(report["fingerprint"]) == 64
    assert report["seconds"] > 0
    assert {"mfp", "python", "jax", "flax"} <= set(report["versions"])
