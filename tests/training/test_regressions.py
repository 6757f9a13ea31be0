"""Logistic regressions: the strength that validation chose, and log-count ratios by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from mfp.training import regressions
from mfp.training.regressions import Labelled


def films(seed: int, count: int = 200) -> Labelled:
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(count, 30))
    truth = (features[:, 0] + rng.normal(0, 1.5, count) > 0).astype(float)
    return Labelled(sparse.csr_matrix(features), truth)


def test_the_strength_of_least_log_loss_on_validation_is_chosen():
    training, validation = films(0), films(1)
    found = regressions.logistic(training, validation)
    losses = {}
    for strength in regressions.STRENGTHS:
        model = LogisticRegression(C=strength, solver="liblinear")
        model.fit(training.features, training.truth)
        chance = model.predict_proba(validation.features)[:, 1]
        losses[strength] = log_loss(validation.truth, chance)
    assert found.strength == min(losses, key=losses.__getitem__)
    assert found.validation_loss == pytest.approx(min(losses.values()))
    again = regressions.logistic(training, validation, refit=True)
    assert again.strength == found.strength
    assert (again(validation.features) != found(validation.features)).any()


def test_one_class_is_refused():
    one = Labelled(films(0).features, np.ones(200))
    with pytest.raises(ValueError, match="both classes"):
        regressions.logistic(one, films(1))


def test_log_count_ratios_by_hand():
    words = sparse.csr_matrix([[1, 0, 0.3], [0.2, 0, 1], [0, 1, 0]])
    found = regressions.log_count_ratios(words, np.array([1, 1, 0]))
    # Films with each word, plus 1: of class 1 it is 3, 1, 3; of class 0 it is 1, 2, 1.
    expected = np.log([3 / 7, 1 / 7, 3 / 7]) - np.log([1 / 4, 2 / 4, 1 / 4])
    np.testing.assert_allclose(found, expected)
