"""Logistic regressions: the linear rivals of the network's binary targets.

scikit-learn belongs to the extra `compare`. Letters: N films, F features, W words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

STRENGTHS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)


@dataclass(frozen=True)
class Labelled:
    """The films of a split that know a binary target."""

    features: sparse.csr_matrix  # [N, F]
    truth: np.ndarray  # [N] of 0 and 1


@dataclass(frozen=True)
class Logistic:
    """A regression whose strength validation chose."""

    model: Any
    strength: float  # scikit-learn's C: the inverse of the penalty
    validation_loss: float  # log loss

    def __call__(self, features: sparse.csr_matrix) -> np.ndarray:
        """Probabilities [N]."""
        return self.model.predict_proba(features)[:, 1]


def logistic(
    training: Labelled,
    validation: Labelled,
    refit: bool = False,
    strengths: Sequence[float] = STRENGTHS,
) -> Logistic:
    """The regression of least log loss on validation.

    Strengths rise until two in a row predict validation films worse: weaker penalties only fit
    longer and overfit more.

    Args:
      refit: fit again on training and validation films with the strength chosen.

    Raises:
      ValueError: training or validation films are of one class.
    """
    if len(np.unique(training.truth)) < 2 or not len(validation.truth):
        raise ValueError("a regression needs films of both classes, and validation films")
    tried: list[Logistic] = []
    for strength in strengths:
        model = _fit(training, strength)
        loss = _log_loss(model.predict_proba(validation.features)[:, 1], validation.truth)
        tried.append(Logistic(model, strength, loss))
        losses = [found.validation_loss for found in tried]
        if len(losses) > 2 and losses[-1] > losses[-2] > losses[-3]:
            break
    best = min(tried, key=lambda found: found.validation_loss)
    if not refit:
        return best
    whole = Labelled(
        sparse.vstack([training.features, validation.features], format="csr"),
        np.concatenate([training.truth, validation.truth]),
    )
    return Logistic(_fit(whole, best.strength), best.strength, best.validation_loss)


def _fit(films: Labelled, strength: float) -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=strength, solver="liblinear").fit(films.features, films.truth)


def _log_loss(probability: np.ndarray, truth: np.ndarray) -> float:
    p = np.clip(probability, 1e-7, 1 - 1e-7)
    return float(-np.mean(truth * np.log(p) + (1 - truth) * np.log1p(-p)))


def log_count_ratios(words: sparse.csr_matrix, truth: np.ndarray) -> np.ndarray:
    """log of each word's smoothed share in films of class 1 over that in class 0. [W].

    Wang and Manning 2012; what a word is multiplied by before the regression.

    Args:
      words: above 0 where a film has the word, [N, W].
    """
    there = words > 0
    p, q = (1 + np.asarray(there[truth == c].sum(axis=0)).ravel() for c in (1, 0))
    return np.log(p / p.sum()) - np.log(q / q.sum())
