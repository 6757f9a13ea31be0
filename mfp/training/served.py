"""Test films as people are served: dollars as median and mean, hits said, verdicts, and slices.

Metrics of the network itself are `metrics.evaluate`'s; these are of what leaves a bundle: the
calibrated chance of a hit, the mean of box office, the verdict that is said.

Letters: N films, C classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mfp.calibration.points import PointRules, f1_by_class
from mfp.data.tabular import fold
from mfp.film import VERDICTS, Film, Outcome
from mfp.training import metrics
from mfp.training.coverage import TIERS

FEWEST = 30  # films of a slice that is reported
_MOST = 20  # slices of a kind, the largest
Slices = Mapping[str, Mapping[str, np.ndarray]]


def report(
    truth: Mapping[str, np.ndarray],
    predictions: Mapping[str, np.ndarray],
    points: PointRules,
    hit_base_rate: float,
    slices: Slices,
) -> dict[str, Any]:
    """What `metrics.json` calls `served`.

    Args:
      truth: {target: [N]} in natural units, NaN where unknown.
      predictions: {target: [N] or [N, C]}; hit is the calibrated probability.
      hit_base_rate: the share of hits among training films.
      slices: {kind: {label: bool [N]}}.
    """
    found: dict[str, Any] = {}
    for name, judge in (
        ("revenue", lambda t, p: box_office(t, p, points)),
        ("hit", lambda t, p: hits(t, p, hit_base_rate)),
        ("verdict", lambda t, p: verdicts(t, p, points)),
    ):
        if name in predictions and not np.isnan(truth[name]).all():
            rows = ~np.isnan(truth[name])
            found[name] = judge(truth[name][rows], np.asarray(predictions[name], np.float64)[rows])
    found["slices"] = sliced(truth, predictions, slices)
    return found


def box_office(truth: np.ndarray, forecast: np.ndarray, points: PointRules) -> dict[str, Any]:
    """Dollars of all films together, forecast by medians and by means, over the true dollars.

    Medians add up to less than the films earn, for most of the money is in the upper tail; means
    should add up to about as much. [N], [N] of log10 dollars.
    """
    true = float(np.sum(10.0**truth))
    found: dict[str, Any] = {
        "total_by_medians": float(np.sum(10.0**forecast)) / true,
        "n": len(truth),
    }
    mean = points.mean_usd(forecast)
    if mean is not None:
        found["total_by_means"] = float(np.sum(mean)) / true
        found["smearing_factors"] = [10.0**factor for factor in points.smearing]
        found["at_forecasts_usd"] = [10.0**place for place in points.forecasts]
    return found


def hits(truth: np.ndarray, probability: np.ndarray, base_rate: float) -> dict[str, Any]:
    """Precision and recall where a hit is said from one half on, and from the base rate on."""
    found: dict[str, Any] = {"base_rate": base_rate}
    for name, threshold in (("at_half", 0.5), ("at_base_rate", base_rate)):
        scores = metrics.decided(truth, probability, threshold)
        found[name] = {key: v for key, v in scores.items() if not np.isnan(v)}
    return found


def verdicts(truth: np.ndarray, probability: np.ndarray, points: PointRules) -> dict[str, Any]:
    """F1 of each class and their mean, of what is said and of the likeliest class; confusion.

    `confusion` counts films: {true class: {said class: films}}.
    """
    labels, said = truth.astype(int), points.verdict(probability)
    scores, likeliest = f1_by_class(labels, said), f1_by_class(labels, probability.argmax(-1))
    confusion = {
        VERDICTS[c]: {VERDICTS[d]: int(np.sum((labels == c) & (said == d))) for d in range(4)}
        for c in range(len(VERDICTS))
    }
    return {
        "macro_f1": float(np.mean(list(scores.values()))),
        "f1": {VERDICTS[c]: score for c, score in scores.items()},
        "accuracy": float(np.mean(said == labels)),
        "likeliest_class": {
            "macro_f1": float(np.mean(list(likeliest.values()))),
            "f1": {VERDICTS[c]: score for c, score in likeliest.items()},
        },
        "weights": list(points.verdict_weights),
        "confusion": confusion,
        "n": len(labels),
    }


def slices_of(films: Sequence[tuple[Film, Outcome]], known_directors: set[str]) -> Slices:
    """Films by year, budget, genre, country, and whether a director has made a training film.

    A film of several genres or countries is in each of their slices.

    Args:
      films: N test films.
      known_directors: folded names of directors of training films.
    """
    years: dict[str, list[int]] = {}
    budgets: dict[str, list[int]] = {label: [] for label, *_ in TIERS}
    genres: dict[str, list[int]] = {}
    countries: dict[str, list[int]] = {}
    directors: dict[str, list[int]] = {}
    for i, (film, _) in enumerate(films):
        if film.release_date is not None:
            years.setdefault(str(film.release_date.year), []).append(i)
        tier = (n for n, low, high in TIERS if film.budget_usd and low <= film.budget_usd < high)
        budgets.setdefault(next(tier, "budget unknown"), []).append(i)
        for names, found in ((film.genres, genres), (film.countries, countries)):
            for name in set(names):
                found.setdefault(name, []).append(i)
        if film.directors:
            seen = any(fold(name) in known_directors for name in film.directors)
            label = "director of a training film" if seen else "debut: no training film"
            directors.setdefault(label, []).append(i)
    kinds = {
        "year": dict(sorted(years.items())),
        "budget": budgets,
        "genre": genres,
        "country": countries,
        "director": directors,
    }
    return {k: {n: _mask(rows, len(films)) for n, rows in s.items()} for k, s in kinds.items()}


def directors_of(films: Sequence[tuple[Film, Outcome]]) -> set[str]:
    """Folded names of all directors of films."""
    return {fold(name) for film, _ in films for name in film.directors}


def _mask(rows: list[int], count: int) -> np.ndarray:
    found = np.zeros(count, bool)
    found[rows] = True
    return found


def sliced(
    truth: Mapping[str, np.ndarray], predictions: Mapping[str, np.ndarray], slices: Slices
) -> dict[str, dict[str, dict[str, metrics.Metrics]]]:
    """{target: {kind: {label: metrics}}} of slices of `FEWEST` or more films whose truth is known.

    Also `mean` of the truth (of hits their share), and `bias`, the mean of forecast minus truth.
    """
    found: dict[str, dict[str, dict[str, metrics.Metrics]]] = {}
    for name, pred in predictions.items():
        known = ~np.isnan(truth[name])
        for kind, members in slices.items():
            large = {
                n: rows & known for n, rows in members.items() if (rows & known).sum() >= FEWEST
            }
            # By year and by budget all; of genres and countries the largest.
            kept = sorted(large, key=lambda n: -int(large[n].sum()))[:_MOST]
            for label in (n for n in large if n in kept):
                rows = large[label]
                t, p = truth[name][rows], np.asarray(pred, np.float64)[rows]
                scores = metrics.evaluate({name: t}, {name: p})[name]
                if p.ndim == 1:
                    scores |= {"mean": float(np.mean(t)), "bias": float(np.mean(p - t))}
                found.setdefault(name, {}).setdefault(kind, {})[label] = scores
    return found
