"""Fit what stands beside the network on training films, before the first step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mfp.config import Config
from mfp.data.batches import FilmArrays
from mfp.models.beside import PROCESS, TREES
from mfp.models.network import Network
from mfp.training import kernel, trees

MAX_FILMS = 20_000  # more are drawn from evenly
_FIT = {PROCESS: kernel.process, TREES: trees.grown}
_READ = ("numbers/", "history/", "sets/", "present/", "targets/", "weights/")


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
    read = {name: y[rows] for name, y in films.columns.items() if name.startswith(_READ)}
    names = network.shape.named(network.config.sets.multi_hot)
    found = dict(params)
    for name in parts:
        fitted = _FIT[name](read, names, network.shape.regressions, config, say)
        found[name] = {
            key: np.broadcast_to(fitted[key], like.shape).astype(np.float32)
            for key, like in params[name].items()
        }
    return found
