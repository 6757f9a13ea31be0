"""Fit what stands beside the network on training films, before the first step."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from mfp.config import Config
from mfp.data.batches import FilmArrays, newest_year, recency
from mfp.models import kernel as kernel_model
from mfp.models import trees as trees_model
from mfp.models.beside import PROCESS, TREES
from mfp.models.network import Network
from mfp.training import kernel, trees

MAX_FILMS = 20_000  # more are drawn from evenly
_ROWS = 2_048  # films read at a time
# The section of the model's config, what is read of films, and how that is fitted to.
_FIT = {
    PROCESS: ("kernel", kernel_model.features, kernel.process),
    TREES: ("trees", trees_model.features, trees.grown),
}
_READ = ("numbers/", "history/", "sets/", "present/", "targets/", "weights/")
# Of each part what it was fitted to last, and what came of it: the trials of a study differ in what
# is trained by gradients, rarely in this, which takes longer than their first epochs.
_last: dict[str, tuple[str, dict[str, Any]]] = {}


def fit_beside(
    params: Any,
    network: Network,
    films: FilmArrays,
    config: Config,
    say: Callable[[str], None] = lambda text: None,
) -> Any:
    """Parameters with the process solved for and the trees grown.

    Those of an ensemble's members share one of each. Without a share, or without anything that it
    reads or predicts, the network is alone.

    Args:
      films: the training films.
      say: told what is fitted; it takes up to a minute.
    """
    parts = [name for name in _FIT if name in params]
    if not parts:
        return params
    rows = np.unique(np.linspace(0, len(films) - 1, min(len(films), MAX_FILMS)).astype(int))
    columns = {name: y[rows] for name, y in films.columns.items() if name.startswith(_READ)}
    if half_life := config.train.recency_half_life_years:
        years, newest = films.facts["release_year"][rows], newest_year(films)
        factor = recency(years, newest, half_life)
        columns |= {name: y * factor for name, y in columns.items() if name.startswith("weights/")}
    names = network.shape.named(network.config.sets.multi_hot)
    found = dict(params)
    for name in parts:
        section, features, fit = _FIT[name]
        of = dataclasses.replace(getattr(config.model, section), share=0.0)
        fitted_to = _digest((names, network.shape.regressions, of, config.seed), columns)
        known, fitted = _last.get(name, ("", {}))
        if known != fitted_to:
            read = _of_all(columns, features, names)
            fitted = fit(read, columns, network.shape.regressions, config, say)
            _last[name] = fitted_to, fitted
        found[name] = {
            key: np.broadcast_to(fitted[key], like.shape).astype(np.float32)
            for key, like in params[name].items()
        }
    return found


def _digest(of: tuple[Any, ...], columns: Mapping[str, np.ndarray]) -> str:
    digest = hashlib.sha256(repr(of).encode())
    for name, y in columns.items():
        digest.update(f"{name} {y.dtype} {y.shape}".encode())
        digest.update(np.ascontiguousarray(y).tobytes())
    return digest.hexdigest()


def _of_all(
    columns: Mapping[str, Any],
    features: Callable[..., Sequence[Any]],
    names: Mapping[str, tuple[str, int]],
) -> list[np.ndarray]:
    """What is read of all films, some at a time; the last part is of no film but of features."""
    parts = []
    for start in range(0, len(next(iter(columns.values()))), _ROWS):
        batch = {name: column[start : start + _ROWS] for name, column in columns.items()}
        parts.append([np.asarray(part) for part in features(batch, names)])
    *of_films, named = zip(*parts, strict=True)
    return [*(np.concatenate(part) for part in of_films), named[0]]
