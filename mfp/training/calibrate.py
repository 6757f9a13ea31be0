"""Calibrate a trained network on the validation films, with every part hidden in turn."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from mfp.calibration import fitted, patterns
from mfp.calibration.fitted import Calibration, CalibrationFilms
from mfp.calibration.hit import HitRules
from mfp.calibration.patterns import Parts
from mfp.config import Config
from mfp.data import batches
from mfp.data.batches import FilmArrays
from mfp.data.features import FeatureSpec
from mfp.models import heads
from mfp.models.network import Network
from mfp.training import assemble, parallel

# More films tell the quantiles no better; they are taken evenly over the split.
MAX_FILMS = 5000
_USED = (*fitted.TARGETS, "hit")


def calibrate(
    network: Network,
    spec: FeatureSpec,
    config: Config,
    params: Any,
    validation: FilmArrays,
    train: FilmArrays,
) -> tuple[Calibration, CalibrationFilms, list[tuple[np.ndarray, Calibration]]]:
    """The calibration, the films it rests on, and calibrations of folds (`fitted.fit`)."""
    chosen = np.linspace(0, len(validation) - 1, min(len(validation), MAX_FILMS)).astype(int)
    films = show(network, spec, config, params, validation.select(np.unique(chosen)), train)
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
    """Outputs and fused vectors of the films with each pattern of parts hidden.

    The encoders run once per batch: only what follows the presence masks is computed S times.
    """
    apply, targets, parts = assemble.apply_function(network), spec.targets, Parts.of(spec)
    natural = parts.missing(films.columns)
    hidden = patterns.choose(natural)

    def forecast(params: Any, batch: Any, hidden_SxP: jax.Array, shown_SxD: jax.Array) -> Any:
        def one(hidden_P: jax.Array, shown_D: jax.Array) -> Any:
            found = apply(params, parts.hide(batch, hidden_P, shown_D), None)
            natural = heads.natural_units(found["outputs"], targets.mean, targets.deviation)
            return {name: natural[name] for name in _USED if name in natural}, found["embedding"]

        return jax.vmap(one)(hidden_SxP, shown_SxD)

    compiled = parallel.compile_evaluation(forecast)
    masks = parallel.to_device((hidden.astype(np.float32), parts.numbers_shown(hidden)))
    outputs: dict[str, np.ndarray] = {}
    for batch, indices in batches.once(films, config.train.batch_size, config.train.length_buckets):
        found, fused = parallel.on_host(compiled(params, parallel.to_device(batch), *masks))
        for name, y in {**found, "embedding": fused}.items():
            shape = (len(hidden), len(films), *y.shape[2:])
            whole = outputs.setdefault(name, np.zeros(shape, np.float32))
            whole[:, indices] = y[:, : len(indices)]
    embedding = outputs.pop("embedding")
    return CalibrationFilms(
        hidden,
        natural,
        outputs,
        embedding,
        {name: films.truth[name] for name in outputs},
        films.facts["budget_usd"],
        films.facts["release_year"],
        {name: int((~np.isnan(train.truth[name])).sum()) for name in outputs},
    )
