"""The honest rivals that need nothing but NumPy and SciPy: the training mean, and ridge."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import lsqr

from mfp.data.batches import FilmArrays
from mfp.data.features import FeatureSpec
from mfp.film import VERDICTS
from mfp.models.heads import BINARY
from mfp.training.design import Design

Predictions = dict[str, np.ndarray]
_PENALTIES = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)


def mean(
    training: FilmArrays, films: FilmArrays, validation: FilmArrays | None = None
) -> Predictions:
    """Every film is predicted the training mean (of a class: its training share).

    Args:
      validation: where given, its films count as training films.
    """
    predictions = {}
    for name, truth in training.truth.items():
        if validation is not None:
            truth = np.concatenate([truth, validation.truth[name]])
        known = truth[~np.isnan(truth)]
        if name == "verdict":
            shares = np.bincount(known.astype(int), minlength=len(VERDICTS)) / len(known)
            predictions[name] = np.tile(shares, (len(films), 1))
        else:
            predictions[name] = np.full(len(films), known.mean())
    return predictions


def ridge(
    spec: FeatureSpec,
    training: FilmArrays,
    validation: FilmArrays,
    films: list[FilmArrays],
    refit: bool = False,
) -> list[Predictions]:
    """Ridge regression on all inputs of the network but pictures: numbers, names, TF-IDF.

    The penalty of each target is the best on validation; films weigh what they weigh in the
    network's loss. Hit and sentiment are regressed as 0/1 and clipped to a probability; verdict is
    left out.

    Args:
      refit: fit again on training and validation films with the penalty that validation chose.

    Returns:
      Predictions of each collection of films.
    """
    table = Design.fit(spec, training)
    designs = [table.linear(arrays) for arrays in (training, validation, *films)]
    results: list[Predictions] = [{} for _ in films]
    for name in training.truth:
        if name == "verdict":
            continue
        fitted = _Rows.of(designs[0], training, name)
        checked = ~np.isnan(validation.truth[name])
        best, best_penalty, best_error = None, 0.0, np.inf
        for penalty in _PENALTIES:
            line = fitted.regress(penalty)
            guess = line(designs[1][checked])
            error = float(np.mean((guess - validation.truth[name][checked]) ** 2))
            # Without validation films the strongest penalty is the safe choice.
            if best is None or not error >= best_error:
                best, best_penalty, best_error = line, penalty, error
        assert best is not None
        if refit:
            best = fitted.with_rows(_Rows.of(designs[1], validation, name)).regress(best_penalty)
        for held_out, result in zip(designs[2:], results, strict=True):
            guess = best(held_out)
            result[name] = np.clip(guess, 1e-3, 1 - 1e-3) if name in BINARY else guess
    return results


@dataclass(frozen=True)
class _Line:
    """x @ weights + middle."""

    weights: np.ndarray
    middle: float

    def __call__(self, design: sparse.csr_matrix) -> np.ndarray:
        return design @ self.weights + self.middle


@dataclass(frozen=True)
class _Rows:
    """The films that know a target."""

    design: sparse.csr_matrix  # [N, features]
    truth: np.ndarray  # [N]
    weight: np.ndarray  # [N]

    @classmethod
    def of(cls, design: sparse.csr_matrix, films: FilmArrays, name: str) -> _Rows:
        known = ~np.isnan(films.truth[name])
        weight = films.columns[f"weights/{name}"][known].astype(np.float64)
        return cls(design[known], films.truth[name][known], weight)

    def with_rows(self, more: _Rows) -> _Rows:
        design = sparse.vstack([self.design, more.design], format="csr")
        truth = np.concatenate([self.truth, more.truth])
        return _Rows(design, truth, np.concatenate([self.weight, more.weight]))

    def regress(self, penalty: float) -> _Line:
        """Weighted least squares with a penalty on the squared weights."""
        middle = float(np.average(self.truth, weights=self.weight))
        root = np.sqrt(self.weight)
        found = lsqr(
            sparse.diags(root) @ self.design,
            root * (self.truth - middle),
            damp=np.sqrt(penalty),
            iter_lim=200,
        )
        return _Line(found[0], middle)
