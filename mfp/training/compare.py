"""Network and rivals on the same test films: metrics, differences with intervals, one sentence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from mfp.data.batches import FilmArrays
from mfp.training import bootstrap, metrics
from mfp.training.baselines import Predictions
from mfp.training.bootstrap import LEVEL, RESAMPLES, Metric
from mfp.training.rivals import Rival

_REGRESSION: dict[str, tuple[Metric, bool]] = {
    "r2": (bootstrap.r2, True),
    "rmse": (bootstrap.rmse, False),
    "r2_without_bias": (bootstrap.r2_without_bias, True),
    "rmse_without_bias": (bootstrap.rmse_without_bias, False),
}
# Of each target what is compared, the main metric first, and whether more of it is better.
METRICS: dict[str, dict[str, tuple[Metric, bool]]] = {
    "rating": _REGRESSION,
    "revenue": _REGRESSION,
    "hit": {"auc": (bootstrap.auc, True)},
    "sentiment": {"auc": (bootstrap.auc, True), "accuracy": (bootstrap.accuracy, True)},
    "verdict": {"accuracy": (bootstrap.accuracy, True)},
}
_SHOWN = {
    ("rating", "r2"): "rating R2",
    ("revenue", "r2"): "log10 box office R2",
    ("hit", "auc"): "hit AUC",
    ("sentiment", "auc"): "sentiment AUC",
    ("verdict", "accuracy"): "verdict accuracy",
}


def report(
    test: FilmArrays, network: Predictions, rivals: Mapping[str, Rival], refit: bool
) -> dict[str, Any]:
    """The `baselines` and the `comparison` of metrics.json; the sentence comes first.

    Args:
      network: its predictions of the test films, in natural units.
      refit: whether the rivals were fitted again on training and validation films.
    """
    found = differences(test.truth, network, {n: r.predictions for n, r in rivals.items()})
    comparison = {
        "verdict": sentence(found),
        "level": LEVEL,
        "resamples": RESAMPLES,
        "refit": refit,
        "differences": found,
        "chosen": {name: rival.chosen for name, rival in rivals.items() if rival.chosen},
    }
    scores = {n: metrics.evaluate(test.truth, rival.predictions) for n, rival in rivals.items()}
    return {"comparison": comparison, "baselines": scores}


def differences(
    truth: Mapping[str, np.ndarray],
    network: Predictions,
    rivals: Mapping[str, Predictions],
    resamples: int = RESAMPLES,
) -> dict[str, dict[str, dict[str, dict[str, Any]]]]:
    """Network minus rival: {target: {rival: {metric: `bootstrap.Difference`}}}."""
    found: dict[str, dict[str, dict[str, dict[str, Any]]]] = {}
    for target, ours in network.items():
        known = ~np.isnan(truth[target])
        if known.sum() < 2:
            continue
        for name, predictions in rivals.items():
            if target not in predictions:
                continue
            one, other = (np.asarray(p, np.float64)[known] for p in (ours, predictions[target]))
            scores = {}
            for metric, (score, more) in METRICS.get(target, _REGRESSION).items():
                compared = bootstrap.difference(
                    score, more, truth[target][known], one, other, resamples
                )
                if np.isfinite([compared.difference, compared.low, compared.high]).all():
                    scores[metric] = compared.to_json()
            if scores:
                found.setdefault(target, {})[name] = scores
    return found


def sentence(found: Mapping[str, Mapping[str, Mapping[str, Mapping[str, Any]]]]) -> str:
    """Where the network loses, then where no difference is shown, then where it wins.

    By the main metric of each target. Of a target with a loss every rival that wins is named, of
    one with none all that are not told apart from the network, else the nearest rival.
    """
    said: dict[str, list[str]] = {"loses": [], "includes 0": [], "wins": []}
    for target, by_rival in found.items():
        metric = next(iter(METRICS.get(target, _REGRESSION)))
        scores = {name: s[metric] for name, s in by_rival.items() if metric in s}
        if not scores:
            continue
        outcome = next(o for o in said if any(s["outcome"] == o for s in scores.values()))
        chosen = [name for name, s in scores.items() if s["outcome"] == outcome]
        chosen.sort(key=lambda name: scores[name]["difference"])
        if outcome == "wins":
            chosen = chosen[:1]
        label = _SHOWN.get((target, metric), f"{target} {metric.upper()}")
        said[outcome] += [f"{label} {_against(name, scores[name])}" for name in chosen]
    parts = (
        ("loses", "The network loses: "),
        ("includes 0", "No difference is shown (the interval includes 0): "),
        ("wins", "The network wins: "),
    )
    told = [f"{words}{'; '.join(said[o])}." for o, words in parts if said[o]]
    return " ".join(told) or "There is nothing to compare the network with."


def _against(rival: str, scores: Mapping[str, Any]) -> str:
    return (
        f"{scores['network']:.3f} against {rival}'s {scores['rival']:.3f} "
        f"({scores['difference']:+.3f}, {LEVEL:.0%} interval {scores['low']:+.3f} to "
        f"{scores['high']:+.3f})"
    )
