"""Test films as if nothing had become known of people and companies since validation ended.

In use, histories roll forward: a film of 2014 is told how one of 2012 was received. That is how
test films are told too, each only what was known before its own release. Forecasts beside it with
frozen histories show how much of the result rests on outcomes of other test films.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from mfp.data.batches import FilmArrays
from mfp.data.features import FeatureSpec
from mfp.film import Film, Outcome
from mfp.training.evaluate import Evaluator

_CHUNK = 16_384  # films whose arrays are held in memory at once


def predictions(
    evaluator: Evaluator,
    params: Any,
    spec: FeatureSpec,
    pairs: Sequence[tuple[Film, Outcome]],
    arrays: FilmArrays,
    until: datetime.date,
) -> dict[str, np.ndarray]:
    """Predictions in natural units, {target: [N] or [N, C]}, of films with frozen histories.

    Args:
      pairs: the films of `arrays`, in the same order.
      until: the last day whose news count.
    """
    assert len(pairs) == len(arrays)
    assert spec.table is not None
    frozen = spec.with_table(spec.table.frozen(until))
    whole: dict[str, list[np.ndarray]] = {}
    for start in range(0, len(arrays), _CHUNK):
        which = np.arange(start, min(start + _CHUNK, len(arrays)))
        chunk = arrays.select(which)
        past = frozen.histories([pairs[int(i)][0] for i in which])
        told = replace(chunk, columns=chunk.columns | past)
        for name, y in evaluator(params, told)[0].items():
            whole.setdefault(name, []).append(y)
    return {name: np.concatenate(parts) for name, parts in whole.items()}
