"""LightGBM on a table of films, tuned on validation films: the rival that people use today.

LightGBM (Ke et al. 2017) belongs to the extra `compare`. The same seed gives the same trees: each
fit runs in one thread, and fits run beside each other.

Letters: N films, F features, C classes.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import sparse

from mfp.film import VERDICTS
from mfp.training.design import Design, Table

TRIALS = 16
_ROUNDS, _PATIENCE = 3000, 60
_NAMES = 300  # the most frequent are columns of 0 and 1
_TOPICS = 32  # of the TF-IDF of all texts; the last columns, the strongest first
# What an honest search tries. The first trial takes the first of each, the others draw.
_SPACE: dict[str, tuple[Any, ...]] = {
    "learning_rate": (0.05, 0.02, 0.03, 0.1),
    "num_leaves": (15, 4, 7, 31, 63),
    "min_child_samples": (20, 5, 10, 50, 100),
    "feature_fraction": (0.4, 0.1, 0.2, 0.7, 1.0),
    "bagging_fraction": (1.0, 0.8, 0.6),
    "lambda_l2": (1.0, 0.0, 10.0, 30.0),
    "topics": (0, 8, 32),  # few films learn nothing from many
}
_OBJECTIVES = {
    "rating": "regression",
    "revenue": "regression",
    "hit": "binary",
    "sentiment": "binary",
    "verdict": "multiclass",
}


@dataclass(frozen=True)
class Encoding:
    """From tables of films to the features of trees; fitted on training films, without targets."""

    frequent: np.ndarray  # columns of the names
    counts: np.ndarray  # training films of each name, [V]
    fields: tuple[slice, ...]  # which names are of a set field
    topics: np.ndarray  # directions of the TF-IDF, [topics, W]

    @classmethod
    def fit(cls, design: Design, training: Table) -> Encoding:
        from sklearn.decomposition import TruncatedSVD

        counts = np.asarray(training.names.sum(axis=0)).ravel()
        frequent = np.sort(np.argsort(-counts, kind="stable")[:_NAMES])
        fields = tuple(design.fields_of_names.values())
        topics = min(_TOPICS, *(size - 1 for size in training.words.shape))
        directions = np.zeros((0, training.words.shape[1]))
        if topics > 0:
            svd = TruncatedSVD(topics, n_iter=4, random_state=0).fit(training.words)
            directions = svd.components_
        return cls(frequent, counts, fields, directions)

    def __call__(self, table: Table) -> np.ndarray:
        """Numbers (NaN where unknown), frequent names, how known names are, topics: [N, F].

        The topics are always `_TOPICS` columns, 0 where the texts have fewer.
        """
        topics = np.zeros((len(table.numbers), _TOPICS))
        topics[:, : len(self.topics)] = table.words @ self.topics.T
        blocks = [
            table.numbers,
            table.names[:, self.frequent].toarray(),
            *(_familiarity(table.names[:, f], self.counts[f]) for f in self.fields),
            topics,
        ]
        return np.concatenate(blocks, axis=1).astype(np.float32)


def _familiarity(names: sparse.csr_matrix, counts: np.ndarray) -> np.ndarray:
    """The mean and the largest log of the training films of a film's names. [N, 2]."""
    weighed = names @ sparse.diags(np.log1p(counts))
    members = np.maximum(np.diff(names.indptr), 1)
    mean = np.asarray(weighed.sum(axis=1)).ravel() / members
    return np.stack([mean, weighed.max(axis=1).toarray().ravel()], axis=1)


@dataclass(frozen=True)
class Rows:
    """The films of a split that know a target."""

    features: np.ndarray  # [N, F] of an `Encoding`
    truth: np.ndarray  # [N]
    weight: np.ndarray  # [N], what each weighs in the network's loss


@dataclass(frozen=True)
class Boosted:
    """Trees that were tuned, and how."""

    booster: Any
    settings: Mapping[str, Any]
    rounds: int
    validation_loss: float  # mean squared error, or log loss

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Predictions [N], of classes [N, C]."""
        return np.asarray(self.booster.predict(_read(features, self.settings), num_threads=1))


def boost(
    name: str, training: Rows, validation: Rows, refit: bool = False, trials: int | None = None
) -> Boosted:
    """The best of some settings on validation, each with as many trees as validation chose.

    Args:
      name: of the target, which decides the loss.
      trials: how many settings; by default `TRIALS`.
      refit: fit again on training and validation films, with the settings and the trees chosen.

    Raises:
      ValueError: no validation film knows the target.
    """
    if not len(validation.truth):
        raise ValueError(f"{name}: no validation film knows it, so nothing can be tuned")
    only_topics = training.features.shape[1] == _TOPICS
    settings = [s | {"topics": _TOPICS} if only_topics else s for s in _settings(trials or TRIALS)]
    # Whole fits beside each other, each in a thread: faster than many threads in one fit, and
    # the order of a sum does not depend on how many cores there are.
    with ThreadPoolExecutor(os.cpu_count()) as workers:
        tried = list(workers.map(lambda s: _fit(name, s, training, validation), settings))
    best = min(tried, key=lambda found: found.validation_loss)
    if not refit:
        return best
    whole = Rows(
        np.concatenate([training.features, validation.features]),
        np.concatenate([training.truth, validation.truth]),
        np.concatenate([training.weight, validation.weight]),
    )
    again = _fit(name, best.settings, whole, None, best.rounds)
    return replace(best, booster=again.booster)


def _settings(trials: int) -> list[dict[str, Any]]:
    rng = np.random.default_rng(0)
    first = {key: values[0] for key, values in _SPACE.items()}
    drawn = [
        {key: values[int(rng.integers(len(values)))] for key, values in _SPACE.items()}
        for _ in range(trials - 1)
    ]
    return [first, *drawn]


def _fit(
    name: str,
    settings: Mapping[str, Any],
    training: Rows,
    validation: Rows | None,
    rounds: int = _ROUNDS,
) -> Boosted:
    """Trees of one setting; with validation films they stop where these are predicted best."""
    import lightgbm

    fixed: dict[str, Any] = {
        "objective": _OBJECTIVES.get(name, "regression"),
        "bagging_freq": 1,
        "max_bin": 127,
        "seed": 0,
        "num_threads": 1,
        "deterministic": True,
        "force_row_wise": True,
        "verbose": -1,
    }
    if name == "verdict":
        fixed["num_class"] = len(VERDICTS)
    parameters = fixed | {key: value for key, value in settings.items() if key != "topics"}
    features = _read(training.features, settings)
    films = lightgbm.Dataset(features, training.truth.copy(), weight=training.weight.copy())
    if validation is None:
        booster = lightgbm.train(parameters, films, rounds)
        return Boosted(booster, settings, rounds, float("nan"))
    # Not weighted: what is reported is not either.
    features = _read(validation.features, settings)
    held = lightgbm.Dataset(features, validation.truth, reference=films)
    stop = lightgbm.early_stopping(_PATIENCE, verbose=False)
    booster = lightgbm.train(parameters, films, rounds, valid_sets=[held], callbacks=[stop])
    (loss,) = booster.best_score["valid_0"].values()
    return Boosted(booster, settings, booster.best_iteration, float(loss))


def _read(features: np.ndarray, settings: Mapping[str, Any]) -> np.ndarray:
    """The columns that trees of these settings read."""
    # Copies, here and of truth and weight: LightGBM warns of a slice, which it copies anyway.
    count = features.shape[1] - _TOPICS + settings["topics"]
    return features[:, :count].copy()
