"""The honest rivals that need nothing but NumPy and SciPy: the training mean, and ridge."""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import lsqr

from mfp.data.batches import FilmArrays
from mfp.data.features import FeatureSpec, vocabulary_name
from mfp.film import VERDICTS
from mfp.models.heads import BINARY

Predictions = dict[str, np.ndarray]
# Films whose columns are held in memory at once.
_CHUNK = 65_536
_PENALTIES = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)


def mean(training: FilmArrays, films: FilmArrays) -> Predictions:
    """Every film is predicted the training mean (of a class: its training share)."""
    predictions = {}
    for name, truth in training.truth.items():
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
    """Ridge regression on all inputs of the network: numbers, names as 0/1, words as 0/1.

    The penalty of each target is the best on validation. Hit and sentiment are regressed as 0/1
    and clipped to a probability; verdict is left out.

    Args:
      refit: fit again on training and validation films, with the penalty that was best.

    Returns:
      Predictions of each collection of films.
    """
    designs = [_design(spec, arrays) for arrays in (training, validation, *films)]
    results: list[Predictions] = [{} for _ in films]
    for name, truth in training.truth.items():
        if name == "verdict":
            continue
        known = ~np.isnan(truth)
        middle = float(truth[known].mean())
        design, centred = designs[0][known], truth[known] - middle
        checked = ~np.isnan(validation.truth[name])
        best, best_error, best_penalty = None, np.inf, _PENALTIES[-1]
        for penalty in _PENALTIES:
            weights = lsqr(design, centred, damp=np.sqrt(penalty), iter_lim=200)[0]
            guess = designs[1][checked] @ weights + middle
            error = float(np.mean((guess - validation.truth[name][checked]) ** 2))
            # Without validation films the strongest penalty is the safe choice.
            if best is None or not error >= best_error:
                best, best_error, best_penalty = weights, error, penalty
        if refit:
            joined = np.concatenate([truth[known], validation.truth[name][checked]])
            middle = float(joined.mean())
            design = sparse.vstack([design, designs[1][checked]], format="csr")
            best = lsqr(design, joined - middle, damp=np.sqrt(best_penalty), iter_lim=200)[0]
        for held_out, result in zip(designs[2:], results, strict=True):
            guess = held_out @ best + middle
            result[name] = np.clip(guess, 1e-3, 1 - 1e-3) if name in BINARY else guess
    return results


def _design(spec: FeatureSpec, films: FilmArrays) -> sparse.csr_matrix:
    """The design matrix [N, features]: sparse, some 8 bytes for a name or word of a film."""
    starts = range(0, len(films), _CHUNK)
    chunks = [_design_of(spec, films, slice(start, start + _CHUNK)) for start in starts]
    return sparse.vstack(chunks, format="csr")


def _design_of(spec: FeatureSpec, films: FilmArrays, which: slice) -> sparse.csr_matrix:
    columns = {name: column[which] for name, column in films.columns.items()}
    blocks = []
    if spec.numbers:
        blocks += [columns["numbers/values"], columns["numbers/known"]]
    if spec.history:
        blocks += [columns["history/values"], columns["history/known"]]
    for fields in spec.sets.values():
        for field in fields:
            size = spec.vocabularies[vocabulary_name(field)].size
            blocks.append(_multi_hot(columns[f"sets/{field}"], size))
    for field, text in spec.texts.items():
        kind = "ngrams" if text.config.ngrams else "texts"
        ids = columns[f"{kind}/{field}"]
        ids = ids.reshape(len(ids), -1)
        blocks.append(_multi_hot(ids, text.ngram_size if text.config.ngrams else text.size))
    return sparse.hstack([sparse.csr_matrix(block) for block in blocks], format="csr")


def _multi_hot(ids: np.ndarray, size: int) -> sparse.csr_matrix:
    """[N, P] ids -> [N, size] of 0 and 1; id 0 is padding."""
    rows, columns = np.nonzero(ids)
    matrix = sparse.csr_matrix(
        (np.ones(len(rows), np.float32), (rows, ids[rows, columns])), shape=(len(ids), size)
    )
    matrix.data = np.minimum(matrix.data, 1)
    return matrix
