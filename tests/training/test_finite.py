"""What is not finite: which saved step is good, and that its folder is named."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from mfp.training import finite
from mfp.training.finite import TrainingError


@dataclass
class Saved:
    steps: list[int]
    folder: Path = Path("/runs/base/checkpoints")


def message(steps: list[int], check, *args) -> str:
    with pytest.raises(TrainingError) as caught, finite.last_good_step_named(Saved(steps)):
        check(*args)
    return str(caught.value)


def test_finite_numbers_pass():
    with finite.last_good_step_named(Saved([])):
        finite.check_loss(1e30, "loss", 9)
        finite.check_params({"kernel": np.full(3, 1e30, np.float32)}, 9)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_loss_tells_of_the_step_before(value):
    """The parameters after step 8 gave step 9's loss, so they are no good."""
    found = message([5, 7, 8], finite.check_loss, value, "loss", 9)
    assert f"the loss of step 9 is {value}; " in found
    assert "last good step that was saved is 7, kept in /runs/base/checkpoints/7. " in found


def test_parameters_tell_of_their_own_step():
    params = {"kernel": np.array([1.0, np.nan]), "bias": np.zeros(2)}
    found = message([5, 8], finite.check_params, params, 9)
    assert "the parameters after step 9 are not finite; " in found
    assert "is 8, kept in " in found


def test_without_a_good_step():
    assert "no good step was saved before. " in message([], finite.check_loss, math.nan, "loss", 1)
    assert "no good step" in message([8], finite.check_loss, math.nan, "loss", 9)
