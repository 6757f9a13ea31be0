"""The losses of a step, read while the next one computes: the loop does not wait for a device."""

from __future__ import annotations

from typing import Any

import numpy as np

from mfp.config import Config
from mfp.report.progress import TrainingProgress
from mfp.training import finite
from mfp.training.events import Events
from mfp.training.parallel import on_host
from mfp.training.step import Objective, mean_losses


class StepLosses:
    """Shows the losses of every step, and logs every `train.log_every`-th."""

    def __init__(
        self,
        config: Config,
        objective: Objective,
        rates: np.ndarray,
        per_epoch: int,
        events: Events,
        progress: TrainingProgress,
    ):
        """`rates`: the learning rate of each step."""
        self._every, self._per_epoch = config.train.log_every, per_epoch
        self._objective, self._rates = objective, rates
        self._events, self._progress = events, progress
        self._step = 0
        self.running: Any = None  # what the step under way returns; None where none is

    def started(self, step: int, sums: Any) -> None:
        """`step` was started; the losses of the one before are read meanwhile."""
        self.read()
        self._step, self.running = step, sums

    def read(self) -> None:
        """Wait for the step under way, if any, and show its losses.

        Raises an error of `finite` if they are not.
        """
        if self.running is None:
            return
        step, found = self._step, mean_losses(on_host(self.running), self._objective)
        self.running = None
        finite.check_loss(found["loss"], "loss", step)
        self._progress.step(step, found)
        if step % self._every == 0:
            rate, epoch = float(self._rates[step - 1]), (step - 1) // self._per_epoch + 1
            self._events.log({"step": step, "epoch": epoch, **found, "learning_rate": rate})
