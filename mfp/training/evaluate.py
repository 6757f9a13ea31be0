"""Predictions and metrics of held-out films, beside the baselines on the same rows."""

from __future__ import annotations

import importlib.metadata
import json
import platform
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

import mfp
from mfp.calibration.spread import with_members
from mfp.config import Config, ParallelConfig
from mfp.data import batches
from mfp.data.batches import FilmArrays
from mfp.data.features import FeatureSpec
from mfp.data.targets import TargetSpec
from mfp.models.network import Network
from mfp.training import assemble, baselines, losses, metrics, parallel
from mfp.training.parallel import Runner
from mfp.training.step import Objective, mean_losses

_FUSED = "embedding"


@dataclass(frozen=True)
class Evaluator:
    """The compiled evaluation of a network; every film counts exactly once."""

    runner: Runner
    compiled: Callable[..., Any]
    objective: Objective
    batch_size: int
    buckets: int

    @classmethod
    def build(cls, network: Network, spec: FeatureSpec, config: Config) -> Evaluator:
        size, members = config.train.batch_size, config.train.ensemble
        buckets, shapes = config.train.length_buckets, {k: v[0] for k, v in spec.shapes().items()}
        key = json.dumps([spec.targets.to_json(), shapes, buckets])
        runner, compiled = _compiled(network, members, config.parallel, size, key)
        return cls(runner, compiled, assemble.objective(config, spec), size, buckets)

    def __call__(
        self, params: Any, films: FilmArrays
    ) -> tuple[dict[str, np.ndarray], dict[str, float]]:
        """Predictions {target: [N] or [N, C]} in natural units, and mean losses."""
        predictions, _, mean = self.everything(params, films)
        return predictions, mean

    def everything(
        self, params: Any, films: FilmArrays
    ) -> tuple[dict[str, np.ndarray], np.ndarray, dict[str, float]]:
        """Predictions as above, fused vectors [N, E], and mean losses.

        Predictions of an ensemble also hold the members' spread, see `calibration/spread.py`.
        Each process computes its share of every batch, and all get the whole.
        """
        whole: dict[str, np.ndarray] = {}
        sums: dict[str, np.ndarray] = {}
        params = self.runner.place_for_evaluation(params)
        for batch, indices in batches.once(films, self.batch_size, self.buckets, self.runner.share):
            placed = self.runner.place_rows(batch)
            natural, fused, found = parallel.on_host(self.compiled(params, placed))
            for name, y in {**natural, _FUSED: fused}.items():
                rows = whole.setdefault(name, np.zeros((len(films), *y.shape[1:]), y.dtype))
                rows[indices] = y[: len(indices)]
            for name, pair in found.items():
                sums[name] = sums.get(name, np.zeros(2)) + np.array(pair, np.float64)
        pairs = {name: (s[0], s[1]) for name, s in sums.items()}
        return whole, whole.pop(_FUSED), mean_losses(pairs, self.objective)


# A process that evaluates again and again traces and compiles its network once.
@lru_cache(maxsize=8)
def _compiled(
    network: Network, members: int, config: ParallelConfig, batch_size: int, key: str
) -> tuple[Runner, Callable[..., Any]]:
    """The runner and the compiled evaluation.

    Args:
      key: JSON of the targets, and of what else decides the shapes of batches.
    """
    targets = TargetSpec.from_json(json.loads(key)[0])
    apply = assemble.evaluation_function(network, members, config.precision)
    runner = parallel.evaluation_runner(config, batch_size)

    def evaluate(params, batch):
        found = apply(params, batch, None)
        natural = assemble.in_natural_units(found, targets)
        outputs = with_members(natural["outputs"], natural.get("spread", {}))
        return outputs, found["embedding"], losses.target_losses(found["outputs"], batch)

    return runner, runner.compile_evaluation(evaluate)


def report(
    spec: FeatureSpec,
    splits: dict[str, FilmArrays],
    predictions: dict[str, dict[str, np.ndarray]],
    joined: int = 0,
) -> dict[str, Any]:
    """Metrics of the network on validation and test, and of the baselines on test.

    Args:
      splits: train, validation and test films.
      predictions: those of the network on validation and test.
      joined: of a final fit, how many of the last training films are those of validation. The
        baselines are fitted on both as well, once validation has chosen their penalty.
    """
    test, apart = splits["test"], fitting_splits(splits, joined)
    ridge = baselines.ridge(spec, apart["train"], apart["validation"], [test], refit=joined > 0)[0]
    return {
        **{s: metrics.evaluate(splits[s].truth, found) for s, found in predictions.items()},
        "baselines": {
            "mean": metrics.evaluate(test.truth, baselines.mean(splits["train"], test)),
            "ridge": metrics.evaluate(test.truth, ridge),
        },
    }


def fitting_splits(splits: dict[str, FilmArrays], joined: int) -> dict[str, FilmArrays]:
    """The splits, the last `joined` training films of a final fit as validation films again."""
    train = splits["train"]
    if not joined:
        return splits
    return {
        **splits,
        "train": train.between(0, len(train) - joined),
        "validation": train.between(len(train) - joined, len(train)),
    }


def versions() -> dict[str, str]:
    """Versions of what decides the numbers."""
    packages = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")
    return {"mfp": mfp.__version__, "python": platform.python_version()} | {
        name: importlib.metadata.version(name) for name in packages
    }
