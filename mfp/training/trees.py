"""Grow the boosted trees beside the network, on training films.

Gradient boosting of the weighted squared error, each tree on a draw of films (Friedman 2002). With
residuals r of films that weigh w as in the loss, a leaf says

    rate * sum(w r) / (sum(w) + l2)

and of all questions that a depth may ask, the one is asked that lessens the error most: that of the
largest sum over leaves of sum(w r)^2 / (sum(w) + l2) (Chen and Guestrin 2016, equation 7; all
leaves of a depth are asked the same, as in Prokhorenkova et al. 2018).

Letters: N films, F features, T trees, D depth, L = 2^D leaves, C thresholds of a feature.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from mfp.config import Config, TreesModelConfig
from mfp.models import trees

_THRESHOLDS = 63  # of a feature, at most
_BINS = _THRESHOLDS + 1  # that they part its films into
_RARE = 5  # fewer films teach nothing


class Trees(NamedTuple):
    """Of one target, float32 as the network keeps them."""

    feature: np.ndarray  # of each question, [T, D]
    threshold: np.ndarray  # [T, D]
    leaves: np.ndarray  # [T, L]
    constant: np.ndarray  # []


def grown(
    read: Sequence[np.ndarray],
    films: Mapping[str, Any],
    targets: tuple[str, ...],
    config: Config,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """The parameters of `trees.TreesRegression`.

    Args:
      read: `trees.features` of the training films.
      films: their targets and weights.
      say: told what is grown; it takes up to half a minute.
    """
    of_films = trees.Read(*read)
    unknown, absent = stand_ins(of_films)
    x = np.asarray(trees.filled(of_films, unknown, absent))
    fitted: dict[str, Any] = {"unknown": unknown, "absent": absent}
    for target in targets:
        say(f"growing the trees beside the network: {target}")
        weight, truth = films[f"weights/{target}"], films[f"targets/{target}"]
        known = weight > 0
        found = grow(x[known], truth[known], weight[known], config.model.trees, config.seed)
        fitted |= {f"{target}_{name}": y for name, y in found._asdict().items()}
    return fitted


def stand_ins(read: trees.Read) -> tuple[np.ndarray, np.ndarray]:
    """What stands for a value that is not known, and for that of an absent modality. [F], [F].

    Where training films lack it, what tells trees so: less than all that is known, and of a name 0.
    Where hardly any does, trees could not know what that means: the typical value, its median.
    """
    told = np.where((read.known > 0) & (read.present > 0), read.values, np.nan)
    heard = ~np.all(np.isnan(told), axis=0)
    typical = np.nanmedian(np.where(heard, told, 0.0), axis=0)
    least = np.where(read.named, 0.0, trees.UNKNOWN)
    unknown = np.sum((read.present > 0) & (read.known == 0), axis=0) >= _RARE
    absent = np.sum(read.present == 0, axis=0) >= _RARE
    return np.where(unknown, least, typical), np.where(absent, least, typical)


def grow(
    x_NxF: np.ndarray, y_N: np.ndarray, weight_N: np.ndarray, config: TreesModelConfig, seed: int
) -> Trees:
    """Trees whose sum predicts y; the same seed grows the same."""
    films, y, weight = len(x_NxF), y_N.astype(float), weight_N.astype(float)
    cuts = [thresholds(x) for x in x_NxF.T]
    # Above threshold c of a feature are the films of bins larger than c.
    binned = [np.searchsorted(c, x).astype(np.uint8) for c, x in zip(cuts, x_NxF.T, strict=True)]
    bins_FxN, cuts_F = np.stack(binned), np.array([len(c) for c in cuts])
    varying = np.flatnonzero(cuts_F)
    constant = np.sum(weight * y) / max(np.sum(weight), 1e-12)
    found = Trees(
        np.zeros((config.count, config.depth), np.float32),
        np.zeros((config.count, config.depth), np.float32),
        np.zeros((config.count, 2**config.depth), np.float32),
        np.asarray(constant, np.float32),
    )
    if not len(varying):
        return found
    said, draw = np.full(films, constant), np.random.default_rng(seed)
    # Of few features still enough for questions that bear on each other.
    drawn = min(len(varying), max(config.depth, round(config.features * len(varying))))
    for t in range(config.count):
        asked = np.sort(draw.choice(varying, drawn, replace=False))
        rows = np.flatnonzero(draw.random(films) < config.films)
        residual = (weight * (y - said))[rows]
        films_drawn = _Drawn.of(
            bins_FxN[np.ix_(asked, rows)], cuts_F[asked], residual, weight[rows]
        )
        leaf_N = np.zeros(films, np.int64)
        for d in range(config.depth):
            f, c = _question(films_drawn, leaf_N[rows], config.l2)
            f = asked[f]
            leaf_N = 2 * leaf_N + (bins_FxN[f] > c)
            found.feature[t, d], found.threshold[t, d] = f, cuts[f][c]
        of, size = leaf_N[rows], 2**config.depth
        residuals, weights = np.bincount(of, residual, size), np.bincount(of, weight[rows], size)
        found.leaves[t] = config.rate * residuals / np.maximum(weights + config.l2, 1e-12)
        said += found.leaves[t][leaf_N]
    return found


def thresholds(values_N: np.ndarray) -> np.ndarray:
    """Of a feature: halfway between values that films have, in its type, rising. [C].

    Never at a value that a film has, whose side could then depend on rounding. Where there are
    many, as many films lie between each two.
    """
    distinct, counts = np.unique(values_N, return_counts=True)
    if len(distinct) - 1 > _THRESHOLDS:
        below = np.cumsum(counts)[:-1]
        wanted = np.linspace(0, len(values_N), _THRESHOLDS + 2)[1:-1]
        chosen = np.unique(np.minimum(np.searchsorted(below, wanted), len(below) - 1))
    else:
        chosen = np.arange(len(distinct) - 1)
    low, high = distinct[chosen], distinct[chosen + 1]
    return low + (high - low) / 2


class _Drawn(NamedTuple):
    """What a tree is grown on; films by feature are laid out in a row, as NumPy counts fastest."""

    place: np.ndarray  # of a film and a feature, its bin among those of all features, [F N]
    residual: np.ndarray  # w r, [F N]
    weight: np.ndarray  # [F N]
    cuts: np.ndarray  # how many thresholds a feature has, [F]

    @classmethod
    def of(
        cls, bins_FxN: np.ndarray, cuts_F: np.ndarray, residual_N: np.ndarray, weight_N: np.ndarray
    ) -> _Drawn:
        place = bins_FxN + _BINS * np.arange(len(bins_FxN))[:, None]
        return cls(
            place.ravel(),
            np.broadcast_to(residual_N, place.shape).ravel(),
            np.broadcast_to(weight_N, place.shape).ravel(),
            cuts_F,
        )


def _question(drawn: _Drawn, leaf_N: np.ndarray, l2: float) -> tuple[int, int]:
    """The feature and the threshold that part the films of all leaves best."""
    features, leaves = len(drawn.cuts), int(leaf_N.max(initial=0)) + 1
    place = (drawn.place.reshape(features, -1) + features * _BINS * leaf_N).ravel()

    def below(values: np.ndarray) -> np.ndarray:  # each threshold of each feature, by leaf
        sums = np.bincount(place, values, leaves * features * _BINS)
        return np.cumsum(sums.reshape(leaves, features, _BINS), axis=-1)

    r, w = below(drawn.residual), below(drawn.weight)
    both = _gain(r, w, l2) + _gain(r[..., -1:] - r, w[..., -1:] - w, l2)
    gain = np.where(np.arange(_BINS) < drawn.cuts[:, None], np.sum(both, axis=0), -np.inf)
    return divmod(int(np.argmax(gain)), _BINS)


def _gain(residuals: np.ndarray, weights: np.ndarray, l2: float) -> np.ndarray:
    return residuals**2 / np.maximum(weights + l2, 1e-12)
