"""Metrics of held-out films. Pure NumPy; rows whose truth is NaN are left out by the caller."""

from __future__ import annotations

import numpy as np

Metrics = dict[str, float]


def regression(truth: np.ndarray, pred: np.ndarray) -> Metrics:
    """RMSE, MAE and R2 = 1 - squared error / squared deviation from the truth's own mean. [N]."""
    error = pred - truth
    spread = float(np.sum((truth - truth.mean()) ** 2))
    return {
        "rmse": float(np.sqrt(np.mean(error**2))),
        "mae": float(np.mean(np.abs(error))),
        "r2": 1 - float(np.sum(error**2)) / spread if spread else float("nan"),
        "n": len(truth),
    }


def revenue(truth: np.ndarray, pred: np.ndarray) -> Metrics:
    """`regression` on log10 dollars, and what people ask of box office.

    median_relative_error: of |dollars - true dollars| / true dollars. rmsle: RMSE of
    ln(1 + dollars). within_factor_two: share of films between half and twice the true dollars.
    """
    dollars, true_dollars = 10.0**pred, 10.0**truth
    relative = np.abs(dollars - true_dollars) / true_dollars
    logs = np.log1p(dollars) - np.log1p(true_dollars)
    return regression(truth, pred) | {
        "median_relative_error": float(np.median(relative)),
        "rmsle": float(np.sqrt(np.mean(logs**2))),
        "within_factor_two": float(np.mean(np.abs(pred - truth) <= np.log10(2) + 1e-12)),
    }


def binary(truth: np.ndarray, probability: np.ndarray) -> Metrics:
    """AUC, log loss and accuracy at 0.5 of a probability. [N] of 0 or 1, [N]."""
    p = np.clip(probability, 1e-7, 1 - 1e-7)
    log_loss = -np.mean(truth * np.log(p) + (1 - truth) * np.log(1 - p))
    return {
        "auc": auc(truth, probability),
        "log_loss": float(log_loss),
        "accuracy": float(np.mean((probability >= 0.5) == (truth == 1))),
        "n": len(truth),
    }


def decided(truth: np.ndarray, probability: np.ndarray, threshold: float) -> Metrics:
    """Precision, recall and F1 where a probability from `threshold` on says yes. [N], [N].

    Without a film that is said (or is) a hit there is no precision (or recall): NaN.
    """
    said, true = probability >= threshold, truth == 1
    both = float(np.sum(said & true))
    return {
        "threshold": threshold,
        "precision": both / np.sum(said) if said.any() else float("nan"),
        "recall": both / np.sum(true) if true.any() else float("nan"),
        "f1": 2 * both / max(float(np.sum(said) + np.sum(true)), 1.0),
        "said": int(said.sum()),
        "true": int(true.sum()),
        "n": len(truth),
    }


def auc(truth: np.ndarray, score: np.ndarray) -> float:
    """Area under the ROC curve: the chance that a positive outranks a negative, ties counting half.

    By the rank sum (Mann and Whitney 1947). NaN where only one class is there.
    """
    positives = int(np.sum(truth == 1))
    negatives = len(truth) - positives
    if not positives or not negatives:
        return float("nan")
    _, where, counts = np.unique(score, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    mean_rank = last - (counts - 1) / 2  # tied scores share the mean of their ranks
    rank_sum = float(np.sum(mean_rank[where][truth == 1]))
    return (rank_sum - positives * (positives + 1) / 2) / (positives * negatives)


def classes(truth: np.ndarray, probability: np.ndarray) -> Metrics:
    """Log loss and accuracy of class probabilities. [N] of class indices, [N, C]."""
    labels = truth.astype(int)
    chosen = np.maximum(probability[np.arange(len(labels)), labels], 1e-7)
    return {
        "log_loss": float(-np.mean(np.log(chosen))),
        "accuracy": float(np.mean(probability.argmax(axis=1) == labels)),
        "n": len(labels),
    }


BY_TARGET = {
    "rating": regression,
    "revenue": revenue,
    "hit": binary,
    "verdict": classes,
    "sentiment": binary,
}


def evaluate(
    truth: dict[str, np.ndarray], predictions: dict[str, np.ndarray]
) -> dict[str, Metrics]:
    """Metrics of every target, over the films whose truth is known.

    Args:
      truth: {target: [N]} in natural units, NaN where unknown.
      predictions: {target: [N] or [N, C]} in natural units.
    """
    found = {}
    for name, pred in predictions.items():
        if name not in truth:  # an ensemble also tells its members' spread
            continue
        known = ~np.isnan(truth[name])
        if known.any():
            judge = BY_TARGET.get(name, regression)  # another package's target is a number
            scores = judge(truth[name][known], np.asarray(pred, np.float64)[known])
            # R2 of a single film, AUC of a single class: not defined, and no number in JSON.
            found[name] = {metric: v for metric, v in scores.items() if not np.isnan(v)}
    return found
