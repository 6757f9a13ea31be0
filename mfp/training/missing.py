"""How the network serves films with any subset of modalities: all 2^M of them, in one program."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import jax
import numpy as np

from mfp.config import Config
from mfp.data import batches
from mfp.data.batches import FilmArrays
from mfp.data.features import FeatureSpec
from mfp.models import heads
from mfp.models.network import Network
from mfp.training import assemble, metrics, parallel

MAX_MODALITIES = 12  # 4,096 subsets


def subsets(modalities: Sequence[str]) -> list[tuple[str, ...]]:
    """Every subset of the modalities, the full one first, the empty one last."""
    patterns = product((True, False), repeat=len(modalities))
    found = [tuple(m for m, on in zip(modalities, p, strict=True) if on) for p in patterns]
    return sorted(found, key=lambda subset: -len(subset))


def evaluate_subsets(
    network: Network, spec: FeatureSpec, config: Config, params: Any, films: FilmArrays
) -> list[dict[str, Any]]:
    """Metrics with only a subset of modalities shown, for every subset.

    The encoders run once per batch: only what follows the presence masks is computed 2^M times.

    Returns:
      [{"present": modalities, "metrics": {target: metrics}}], the full subset first.
    """
    apply, targets = assemble.evaluation_function(network, config.train.ensemble), spec.targets
    shown = subsets(spec.modalities)
    masks = np.array([[m in subset for m in spec.modalities] for subset in shown], np.float32)

    def forecast(params: Any, batch: Any, masks_SxM: jax.Array) -> Any:
        def one(mask: jax.Array) -> Any:
            hidden = {
                f"present/{m}": batch[f"present/{m}"] * mask[i]
                for i, m in enumerate(spec.modalities)
            }
            outputs = apply(params, {**batch, **hidden}, None)["outputs"]
            return heads.natural_units(outputs, targets.mean, targets.deviation)

        return jax.vmap(one)(masks_SxM)

    compiled = parallel.compile_evaluation(forecast)
    on_device = parallel.to_device(masks)
    predictions: dict[str, np.ndarray] = {}
    for batch, indices in batches.once(films, config.train.batch_size, config.train.length_buckets):
        natural = parallel.on_host(compiled(params, parallel.to_device(batch), on_device))
        for name, y in natural.items():
            shape = (len(shown), len(films), *y.shape[2:])
            whole = predictions.setdefault(name, np.zeros(shape, y.dtype))
            whole[:, indices] = y[:, : len(indices)]
    return [
        {
            "present": list(subset),
            "metrics": metrics.evaluate(films.truth, {n: y[i] for n, y in predictions.items()}),
        }
        for i, subset in enumerate(shown)
    ]


def ablation(rows: Sequence[dict[str, Any]], modalities: Sequence[str]) -> list[dict[str, Any]]:
    """Of `evaluate_subsets`: everything, each modality alone, all but each."""
    by_subset = {frozenset(row["present"]): row["metrics"] for row in rows}
    everything = frozenset(modalities)
    found = [{"shown": "everything", "metrics": by_subset[everything]}]
    for m in modalities:
        found.append({"shown": f"{m} alone", "metrics": by_subset[frozenset({m})]})
    for m in modalities:
        found.append({"shown": f"all but {m}", "metrics": by_subset[everything - {m}]})
    return found
