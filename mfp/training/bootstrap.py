"""Paired bootstrap: how far chance in the test films may carry the difference of two forecasters.

Both are judged on the same resampled films (Efron and Tibshirani 1993, percentile interval), so
that what makes a film hard for both cancels. A resample is a vector of counts, with which every
metric is a ratio of weighted sums: nothing is predicted again.

Letters: N films, R resamples, C classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

LEVEL = 0.95
RESAMPLES = 2000
# (truth [N], prediction [N] or [N, C], counts [R, N]) -> metric of each resample [R]
Metric = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
Outcome = Literal["wins", "includes 0", "loses"]
_CELLS = 4_000_000  # of R x N counts held at once


@dataclass(frozen=True)
class Difference:
    """Network minus rival in one metric, with its interval."""

    network: float
    rival: float
    difference: float
    low: float
    high: float
    outcome: Outcome  # of the network: whether the interval lies wholly on one side of 0

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def difference(
    metric: Metric,
    more_is_better: bool,
    truth: np.ndarray,
    network: np.ndarray,
    rival: np.ndarray,
    resamples: int = RESAMPLES,
    seed: int = 0,
    level: float = LEVEL,
) -> Difference:
    """Compare two predictions of the same films.

    Resamples in which the metric is not defined (an AUC of one class) are left out.

    Args:
      truth: [N], known of every film.
      network, rival: [N], or [N, C] of classes.
    """
    whole = np.ones((1, len(truth)))
    ours, theirs = (float(metric(truth, p, whole)[0]) for p in (network, rival))
    found = np.concatenate(
        [
            metric(truth, network, counts) - metric(truth, rival, counts)
            for counts in resampled(len(truth), resamples, seed)
        ]
    )
    defined = found[~np.isnan(found)]
    tail = (1 - level) / 2
    low, high = np.quantile(defined, [tail, 1 - tail]) if len(defined) else (np.nan, np.nan)
    good, bad = (low > 0, high < 0) if more_is_better else (high < 0, low > 0)
    outcome: Outcome = "wins" if good else "loses" if bad else "includes 0"
    return Difference(ours, theirs, ours - theirs, float(low), float(high), outcome)


def resampled(films: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """How often each film stands in each resample, in blocks: float64 [R of the block, N]."""
    rng = np.random.default_rng(seed)
    block = max(1, _CELLS // max(films, 1))
    for start in range(0, resamples, block):
        rows = min(block, resamples - start)
        drawn = rng.integers(0, films, (rows, films)) + films * np.arange(rows)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=rows * films)
        yield counts.reshape(rows, films).astype(np.float64)


def r2(truth: np.ndarray, pred: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """1 - squared error / squared deviation from the resample's own mean."""
    return _explained(counts @ (pred - truth) ** 2, truth, counts)


def r2_without_bias(truth: np.ndarray, pred: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """`r2` after the mean error of the resample is subtracted."""
    return _explained(_scatter(pred - truth, counts), truth, counts)


def rmse(truth: np.ndarray, pred: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Root of the mean squared error."""
    return np.sqrt(counts @ (pred - truth) ** 2 / counts.sum(axis=1))


def rmse_without_bias(truth: np.ndarray, pred: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """`rmse` after the mean error of the resample is subtracted."""
    return np.sqrt(_scatter(pred - truth, counts) / counts.sum(axis=1))


def auc(truth: np.ndarray, score: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Chance that a positive outranks a negative, ties counting half; NaN of a single class."""
    order = np.argsort(score, kind="stable")
    rank = np.unique(score[order], return_index=True)[1]  # where each distinct score begins
    positive = np.add.reduceat(counts[:, order] * (truth[order] == 1), rank, axis=1)
    negative = np.add.reduceat(counts[:, order] * (truth[order] != 1), rank, axis=1)
    below = np.cumsum(negative, axis=1) - negative / 2
    pairs = positive.sum(axis=1) * negative.sum(axis=1)
    won = np.sum(positive * below, axis=1)
    return np.divide(won, pairs, out=np.full(len(counts), np.nan), where=pairs > 0)


def accuracy(truth: np.ndarray, probability: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Share of films whose class is the one that is said: the likeliest, or 1 from 0.5 on."""
    said = probability >= 0.5 if probability.ndim == 1 else probability.argmax(axis=-1)
    return counts @ (said == truth) / counts.sum(axis=1)


def _explained(squares: np.ndarray, truth: np.ndarray, counts: np.ndarray) -> np.ndarray:
    spread = _scatter(truth, counts)
    found = np.full(len(counts), np.nan)
    np.divide(squares, spread, out=found, where=spread > 0)
    return 1 - found


def _scatter(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Squared deviations from the resample's mean, summed. [N] -> [R]."""
    centred = values - values.mean()  # no digits are lost to a large mean
    sums = counts @ centred
    return counts @ centred**2 - sums**2 / counts.sum(axis=1)
