"""What the loop remembers besides arrays; saved with each checkpoint."""

from __future__ import annotations

import math
from dataclasses import dataclass

from mfp.config import TrainConfig


@dataclass
class Memory:
    """Validation so far, and the time spent."""

    best_loss: float = math.inf
    best_step: int = 0
    stale_epochs: int = 0
    seconds: float = 0.0  # spent training, over all sessions of the run

    def see(self, loss: float, step: int) -> None:
        """Account for a validation loss."""
        self.stale_epochs = 0 if loss < self.best_loss else self.stale_epochs + 1
        if loss <= self.best_loss:  # of equal ones the latest, as Orbax keeps it
            self.best_loss, self.best_step = loss, step

    def finished(self, config: TrainConfig, step: int, total: int) -> bool:
        """Whether all steps are done, or validation has been getting no better for too long.

        A final fit sees no validation, and then its last step counts as the best.
        """
        return step >= total or self.stale_epochs >= config.patience
