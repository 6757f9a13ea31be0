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
    """What is not finite."""


def check_loss(value: float, name: str, step: int) -> None:
    if not math.isfinite(value):
        raise _NotFiniteError(f"the {name} of step {step} is {value}")


def check_params(params: Any, step: int) -> None:
    """Of host arrays; the loss of a step comes from the parameters of the step before."""
    if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params)):
        raise _NotFiniteError(f"the parameters after step {step} are not finite")


@contextmanager
def last_good_step_named(checkpoints: Checkpoints) -> Iterator[None]:
    """Around the checks: raises TrainingError, which names the step that is kept."""
    try:
        yield
    except _NotFiniteError as found:
        last = checkpoints.last
        kept = (
            "no step was saved before"
            if last is None
            else f"the last good step that was saved is {last}, kept in "
            f"{checkpoints.folder / str(last)}"
        )
        raise TrainingError(
            f"{found}; {kept}. Lower optimizer.learning_rate, or set optimizer.clip_norm, and "
            "choose another folder with --run"
        ) from None
