"""Is what an explanation calls important important? By deletion (Samek et al. 2017).

Of held-out films, what ranks first is taken out, and as much of the same kind at random: how far
does the forecast move? Of parts a fifth of a kind goes, and two at least: together, whereas they
were ranked one at a time. Those go that push hardest one way, up or down, whichever is more: what
pushes up and what pushes down would make up for each other. Of modalities the one with the
largest Shapley value goes, against the mean of each going alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from mfp.film import Film
from mfp.forecast import explain
from mfp.forecast.bundle import Bundle
from mfp.forecast.parts import Pixels, without

FILMS = 200
SHARE = 0.2  # of the parts of a kind
FEWEST = 4  # parts of a kind that a film must have, for two of them to be a choice
DRAWS = 4  # random choices of parts per film
_RESAMPLES = 2000

MODALITY = "modality"


@dataclass(frozen=True, slots=True)
class Faithfulness:
    """How far the forecast of one target moves when parts of one kind are taken out."""

    kind: str  # of part, or "modality"
    target: str
    films: int
    hidden: float  # parts taken out of a film, mean
    important: float  # mean absolute change: points, log10 dollars or probability
    random: float
    ratio: float
    low: float  # 95 % of bootstrap resamples of the films lie between
    high: float

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class _Moved:
    """Of one film: how many parts were hidden, and the absolute change of the forecast."""

    hidden: int
    important: float
    random: float


def sample(count: int, seed: int) -> list[int]:
    """Which of so many films are measured: FILMS at most, in order."""
    rng = np.random.default_rng(seed)
    return np.sort(rng.choice(count, min(count, FILMS), replace=False)).tolist()


def measure(
    bundle: Bundle,
    films: Iterable[tuple[Film, Pixels]],
    seed: int,
    advance: Callable[[], None] = lambda: None,
) -> list[Faithfulness]:
    """Measure every kind and target of some films; the same seed, the same draws.

    Args:
      advance: called after each film.
    """
    found: defaultdict[tuple[str, str], list[_Moved]] = defaultdict(list)
    for i, (film, pixels) in enumerate(films):
        valued = explain.value(bundle, film, pixels)
        for target, moved in _without_modality(valued).items():
            found[MODALITY, target].append(moved)
        of_kind: defaultdict[str, list[int]] = defaultdict(list)
        for index, part in enumerate(valued.parts):
            of_kind[part.kind].append(index)
        for kind, indices in of_kind.items():
            if len(indices) >= FEWEST:
                rng = np.random.default_rng((seed, i))
                moves = _without_parts(bundle, film, pixels, valued, np.array(indices), rng)
                for target, moved in moves.items():
                    found[kind, target].append(moved)
        advance()
    return [_summary(kind, target, moved, seed) for (kind, target), moved in found.items()]


def _without_modality(valued: explain.Valued) -> dict[str, _Moved]:
    if len(valued.given) < 2:
        return {}
    moves = {}
    for target, v in valued.coalitions.items():
        one_hidden = np.flatnonzero(valued.shown.sum(axis=1) == len(valued.given) - 1)
        moved = np.zeros(len(valued.given))
        moved[np.argmin(valued.shown[one_hidden], axis=1)] = np.abs(v[-1] - v[one_hidden])
        first = np.argmax(np.abs(valued.shares(target)))
        moves[target] = _Moved(1, float(moved[first]), float(moved.mean()))
    return moves


def _without_parts(
    bundle: Bundle,
    film: Film,
    pixels: Pixels,
    valued: explain.Valued,
    indices: np.ndarray,
    rng: np.random.Generator,
) -> dict[str, _Moved]:
    """Of parts of one kind: the first of each target's ranking hidden, or some drawn."""
    size = max(2, round(SHARE * len(indices)))
    ranked = {
        target: indices[_pushing(change[indices], size)]
        for target, change in valued.changes.items()
    }
    drawn = [rng.choice(indices, size, replace=False) for _ in range(DRAWS)]
    hidden = [[valued.parts[i] for i in chosen] for chosen in (*ranked.values(), *drawn)]
    rows = [(film, pixels), *(without(film, pixels, parts, bundle.spec) for parts in hidden)]
    outputs = explain.run(bundle, explain.stack(rows, bundle.spec))["outputs"]
    values = explain.target_values(outputs, bundle.spec.targets.names, whole=0)
    moves = {}
    for i, target in enumerate(ranked):
        moved = np.abs(values[target][1:] - values[target][0])
        random = float(moved[len(ranked) :].mean())
        moves[target] = _Moved(size, float(moved[i]), random)
    return moves


def _pushing(changes: np.ndarray, size: int) -> np.ndarray:
    """Which parts push hardest one way, the way that is pushed more."""
    rising = np.argsort(changes, kind="stable")
    down, up = rising[:size], rising[::-1][:size]
    return up if abs(changes[up].sum()) >= abs(changes[down].sum()) else down


def _summary(kind: str, target: str, moves: Sequence[_Moved], seed: int) -> Faithfulness:
    important = np.array([moved.important for moved in moves])
    random = np.array([moved.random for moved in moves])
    rng = np.random.default_rng(seed)
    resampled = rng.integers(0, len(moves), (_RESAMPLES, len(moves)))
    ratios = important[resampled].sum(axis=1) / np.maximum(random[resampled].sum(axis=1), 1e-12)
    low, high = np.quantile(ratios, (0.025, 0.975))
    return Faithfulness(
        kind=kind,
        target=target,
        films=len(moves),
        hidden=float(np.mean([moved.hidden for moved in moves])),
        important=float(important.mean()),
        random=float(random.mean()),
        ratio=float(important.sum() / max(random.sum(), 1e-12)),
        low=float(low),
        high=float(high),
    )
