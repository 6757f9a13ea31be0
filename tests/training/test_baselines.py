"""The baselines: the training mean, and a ridge that equals scikit-learn's."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from mfp.training import baselines
from mfp.training.design import Design


@pytest.fixture(scope="module")
def splits(still):
    return still.splits


def test_the_mean_of_the_known_training_films(splits):
    train, test = splits["train"], splits["test"]
    found = baselines.mean(train, test)
    assert set(found) == set(train.truth)
    for name, pred in found.items():
        known = train.truth[name][~np.isnan(train.truth[name])]
        assert len(known) > 0
        np.testing.assert_allclose(pred, np.full(len(test), known.mean()))


def test_the_mean_of_a_class_is_its_share(splits):
    train = splits["train"]
    truth = np.full(len(train), np.nan)
    truth[:10] = [0, 0, 0, 0, 1, 1, 1, 2, 2, 3]
    verdicts = dataclasses.replace(train, truth={"verdict": truth})
    found = baselines.mean(verdicts, splits["test"])["verdict"]
    np.testing.assert_allclose(found, np.tile([0.4, 0.3, 0.2, 0.1], (len(splits["test"]), 1)))


def one_hot(films, spec):
    """The design matrix, written out."""
    names = spec.vocabularies["genres"].names
    hot = np.zeros((len(films), len(names) + 2))
    for row, ids in enumerate(films.columns["sets/genres"]):
        hot[row, ids[ids > 0]] = 1
    return np.hstack([films.columns["numbers/values"], films.columns["numbers/known"], hot])


def test_ridge_equals_scikit_learn_with_the_penalty_best_on_validation(still, splits):
    train, validation, test = (splits[name] for name in ("train", "validation", "test"))
    on_validation, found = baselines.ridge(still.spec, train, validation, [validation, test])
    for name in ("rating", "revenue", "hit"):
        known = ~np.isnan(train.truth[name])
        checked = ~np.isnan(validation.truth[name])
        y, weight = train.truth[name][known], train.columns[f"weights/{name}"][known]
        middle, best = np.average(y, weights=weight), None
        for penalty in (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0):
            model = Ridge(alpha=penalty, fit_intercept=False, tol=1e-12)
            model.fit(one_hot(train, still.spec)[known], y - middle, weight)
            guess = model.predict(one_hot(validation, still.spec)) + middle
            error = np.mean((guess - validation.truth[name])[checked] ** 2)
            if best is None or error < best[0]:
                best = (error, model.predict(one_hot(test, still.spec)) + middle, guess)
        expected, expected_validation = best[1:]
        if name == "hit":
            expected = np.clip(expected, 1e-3, 1 - 1e-3)
            expected_validation = np.clip(expected_validation, 1e-3, 1 - 1e-3)
        np.testing.assert_allclose(found[name], expected, rtol=1e-3)
        np.testing.assert_allclose(on_validation[name], expected_validation, rtol=1e-3)


def test_ridge_knows_nothing_of_the_test_outcomes(still, splits):
    train, validation, test = (splits[name] for name in ("train", "validation", "test"))
    blind = dataclasses.replace(test, truth={n: np.full(len(test), np.nan) for n in test.truth})
    a = baselines.ridge(still.spec, train, validation, [test])[0]
    b = baselines.ridge(still.spec, train, validation, [blind])[0]
    for name in a:
        np.testing.assert_array_equal(a[name], b[name])


def test_without_validation_truth_ridge_still_predicts(still, splits):
    validation = splits["validation"]
    truth = {name: np.full(len(validation), np.nan) for name in validation.truth}
    unknown = dataclasses.replace(validation, truth=truth)
    with np.errstate(all="ignore"), pytest.warns(RuntimeWarning):
        found = baselines.ridge(still.spec, splits["train"], unknown, [splits["test"]])[0]
    assert all(np.isfinite(pred).all() for pred in found.values())


def test_ridge_fitted_again_is_that_of_both_splits(still, splits):
    """With the penalty that validation chose: no film of validation lies beside the training."""
    train = splits["train"]
    earlier, later = train.between(0, 150), train.between(150, len(train))
    found = baselines.ridge(still.spec, earlier, later, [splits["test"]], refit=True)[0]
    known = ~np.isnan(train.truth["rating"])
    design, truth = Design.fit(still.spec, earlier), train.truth["rating"][known]
    weight = train.columns["weights/rating"][known]
    mean = np.average(truth, weights=weight)
    nearest = min(
        np.abs(
            Ridge(penalty, fit_intercept=False)
            .fit(design.linear(train)[known], truth - mean, weight)
            .predict(design.linear(splits["test"]))
            + mean
            - found["rating"]
        ).max()
        for penalty in baselines._PENALTIES
    )
    assert nearest < 1e-3
