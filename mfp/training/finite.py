"""A loss that is not finite stops a run before anything of it is saved."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jax
import numpy as np

from mfp.training.checkpoint import Checkpoints


class TrainingError(RuntimeError):
    """Training cannot go on; the message says what is kept."""


class _NotFiniteError(Exception):
    def __init__(self, what: str, good: int):
        """`good`: the last step whose parameters gave a finite loss."""
        super().__init__(what)
        self.good = good


def check_loss(value: float, name: str, step: int) -> None:
    """The loss of a step tells of the parameters of the step before."""
    if not math.isfinite(value):
        raise _NotFiniteError(f"the {name} of step {step} is {value}", good=step - 2)


def check_params(params: Any, step: int) -> None:
    """Of host arrays, or of the parts of device arrays that this process holds, after a step."""
    parts = [
        part
        for leaf in jax.tree.leaves(params)
        for part in ([s.data for s in leaf.addressable_shards] if _on_device(leaf) else [leaf])
    ]
    if not all(np.isfinite(jax.device_get(part)).all() for part in parts):
        raise _NotFiniteError(f"the parameters after step {step} are not finite", good=step - 1)


def _on_device(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array)


@contextmanager
def last_good_step_named(checkpoints: Checkpoints) -> Iterator[None]:
    """Around the checks: raises TrainingError, which names the step that is kept."""
    try:
        yield
    except _NotFiniteError as found:
        good = [step for step in checkpoints.steps if step <= found.good]
        kept = "no good step was saved before"
        if good:
            folder = checkpoints.folder / str(max(good))
            kept = f"the last good step that was saved is {max(good)}, kept in {folder}"
        raise TrainingError(
            f"{found}; {kept}. Lower optimizer.learning_rate, or set optimizer.clip_norm, and "
            "choose another folder with --run"
        ) from None
