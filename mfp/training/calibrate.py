"""Calibrate a trained network on the validation films, with every part hidden in turn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import jax
import numpy as np

from mfp.calibration import fitted, patterns
from mfp.calibration.fitted import Calibration, CalibrationFilms
from mfp.calibration.hit import HitRules
from mfp.calibration.patterns import Parts
from mfp.calibration.spread import with_members
from mfp.config import Config
from mfp.data import batches
from mfp.data.batches import FilmArrays
from mfp.data.features import FeatureSpec
from mfp.models.network import Network
from mfp.training import assemble, parallel

# More films tell the quantiles no better; they are taken evenly over the split.
MAX_FILMS = 5000
USED = (*fitted.TARGETS, "hit")
_FUSED = "embedding"


def calibrate(
    network: Network,
    spec: FeatureSpec,
    config: Config,
    params: Any,
    validation: FilmArrays,
    train: FilmArrays,
    fused: bool = True,
) -> tuple[Calibration, CalibrationFilms, list[tuple[np.ndarray, Calibration]]]:
    """The calibration, the films it rests on, and calibrations of folds (`fitted.fit`).

    Args:
      fused: whether it may read the fused vector, which is the network's own.
    """
    chosen = np.linspace(0, len(validation) - 1, min(len(validation), MAX_FILMS)).astype(int)
    films = show(network, spec, config, params, validation.select(np.unique(chosen)), train)
    if not fused:  # of no variance, so that its weights are 0
        films = replace(films, embedding=np.zeros_like(films.embedding))
    hit = config.targets.hit
    rules = HitRules(hit.rating_at_least, hit.revenue_at_least_usd, hit.revenue_over_budget)
    predicted = "hit" in spec.targets.names
    calibration, held_out = fitted.fit(films, Parts.of(spec), rules if predicted else None)
    return calibration, films, held_out


def show(
    network: Network,
    spec: FeatureSpec,
    config: Config,
    params: Any,
    films: FilmArrays,
    train: FilmArrays,
) -> CalibrationFilms:
    """Outputs and fused vectors of the films with each pattern of key parts hidden.

    The encoders run once per batch: only what follows the presence masks is computed S times.
    """
    apply = assemble.evaluation_function(network, config.train.ensemble)
    targets, parts = spec.targets, Parts.of(spec)

    def forecast(params: Any, batch: Any, hidden_SxP: jax.Array, shown_SxD: jax.Array) -> Any:
        def one(hidden_P: jax.Array, shown_D: jax.Array) -> Any:
            found = apply(params, parts.hide(batch, hidden_P, shown_D), None)
            natural = assemble.in_natural_units(found, targets)
            outputs = {n: natural["outputs"][n] for n in USED if n in natural["outputs"]}
            shown = with_members(outputs, natural.get("spread", {}))
            return {**shown, _FUSED: found["embedding"]}

        return jax.vmap(one)(hidden_SxP, shown_SxD)

    compiled, size = parallel.compile_evaluation(forecast), config.train.batch_size

    def hiding(hidden_SxP: np.ndarray) -> dict[str, np.ndarray]:
        masks = (hidden_SxP.astype(np.float32), parts.numbers_shown(hidden_SxP))
        on_device = parallel.to_device(masks)
        whole: dict[str, np.ndarray] = {}
        for batch, indices in batches.once(films, size, config.train.length_buckets):
            found = parallel.on_host(compiled(params, parallel.to_device(batch), *on_device))
            for name, y in found.items():
                shape = (len(hidden_SxP), len(films), *y.shape[2:])
                rows = whole.setdefault(name, np.zeros(shape, np.float32))
                rows[:, indices] = y[:, : len(indices)]
        return whole

    keys = tuple(range(len(parts.names)))
    if len(keys) > patterns.MAX_KEYS:
        alone = np.concatenate([np.zeros((1, len(keys)), bool), np.eye(len(keys), dtype=bool)])
        keys = key_parts(hiding(alone), targets.deviation)
    hidden = patterns.combinations(len(parts.names), keys)
    outputs = hiding(hidden)
    embedding = outputs.pop(_FUSED)
    return CalibrationFilms(
        keys,
        hidden,
        parts.missing(films.columns),
        outputs,
        embedding,
        {name: films.truth[name] for name in outputs if name in USED},
        films.facts["budget_usd"],
        films.facts["release_year"],
        {name: int((~np.isnan(train.truth[name])).sum()) for name in outputs if name in USED},
    )


def key_parts(outputs: Mapping[str, np.ndarray], deviation: Mapping[str, float]) -> tuple[int, ...]:
    """The parts whose hiding moves the forecasts most; no truth is looked at.

    Args:
      outputs: {target: [1 + P, N]}, first with nothing hidden, then with each part.
      deviation: of each regression; probabilities count as they are.
    """
    moved: np.ndarray = sum(
        np.sqrt(np.mean((y[1:] - y[0]) ** 2, axis=1)) / deviation.get(name, 1.0)
        for name, y in outputs.items()
        if name in USED
    )
    return tuple(sorted(np.argsort(-moved, kind="stable")[: patterns.MAX_KEYS].tolist()))
