"""The network under every pattern of hidden parts equals the network on films without them."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np
import pytest

from mfp.calibration import patterns
from mfp.calibration.patterns import Parts
from mfp.data.batches import film_arrays
from mfp.training import assemble, calibrate, parallel
from mfp.training.evaluate import Evaluator


@pytest.fixture(scope="module")
def network(still):
    return assemble.build_network(still.config, still.spec)


@pytest.fixture(scope="module")
def params(still):
    return parallel.to_device(jax.device_get(jax.tree.map(lambda p: p + 0.05, still.params)))


@pytest.fixture(scope="module")
def shown(still, network, params):
    validation, train = still.splits["validation"], still.splits["train"]
    return calibrate.show(network, still.spec, still.config, params, validation, train)


def test_the_first_pattern_hides_nothing(still, network, params, shown):
    evaluator = Evaluator.build(network, still.spec, still.config)
    outputs, fused, _ = evaluator.everything(params, still.splits["validation"])
    for name, y in shown.outputs.items():
        np.testing.assert_allclose(y[0], outputs[name], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(shown.embedding[0], fused, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("part", "without"),
    [("runtime_minutes", {"runtime_minutes": None}), ("content", {"genres": ()})],
)
def test_hidden_is_as_if_it_were_not_known(still, few, network, params, shown, part, without):
    parts = Parts.of(still.spec)
    lacking = [(dataclasses.replace(f, **without), o) for f, o in few.splits["validation"]]
    films = film_arrays(lacking, still.spec, still.config.targets)
    evaluator = Evaluator.build(network, still.spec, still.config)
    outputs, _ = evaluator(params, films)
    row = next(
        i
        for i, hidden in enumerate(shown.patterns)
        if [name for name, gone in zip(parts.names, hidden, strict=True) if gone] == [part]
    )
    np.testing.assert_allclose(shown.outputs["rating"][row], outputs["rating"], atol=1e-5)
    assert not np.allclose(shown.outputs["rating"][row], shown.outputs["rating"][0], atol=1e-3)


def test_no_more_films_than_are_useful_are_taken_evenly(still, network, params, monkeypatch):
    monkeypatch.setattr(calibrate, "MAX_FILMS", 30)
    validation, train = still.splits["validation"], still.splits["train"]
    fitted, films, folds = calibrate.calibrate(
        network, still.spec, still.config, params, validation, train
    )
    assert films.natural.shape[0] == 30
    known = ~np.isnan(validation.truth["rating"])
    assert fitted.films["rating"] <= 30 < known.sum()
    assert sum(len(rows) for rows, _ in folds) == 30
    assert fitted.rules.rating_at_least == still.config.targets.hit.rating_at_least


def test_the_parts_that_move_the_forecast_most_are_the_keys(monkeypatch):
    monkeypatch.setattr(patterns, "MAX_KEYS", 2)
    rating = np.array([[5.0, 5], [5, 5.1], [8, 5], [5, 5]])
    revenue = np.array([[6.0, 6], [6, 6], [6, 6], [6, 7]])
    outputs = {"rating": rating, "revenue": revenue, "embedding": np.zeros((4, 2, 9))}
    assert calibrate.key_parts(outputs, {"rating": 1.0, "revenue": 1.0}) == (1, 2)
    assert calibrate.key_parts(outputs, {"rating": 1.0, "revenue": 100.0}) == (0, 1)
