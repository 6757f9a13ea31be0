"""Checkpoints by Orbax: the last and the best are kept. The only file that imports Orbax here.

A checkpoint holds the train state (arrays) and `meta` (JSON: what the loop must remember).
Arrays are saved from host memory, so that a run on eight devices resumes on one.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers

from mfp.training.step import TrainState


class CheckpointError(RuntimeError):
    """A checkpoint that cannot be restored."""


def _loss(metrics: dict[str, float]) -> float:
    return metrics["loss"]


class Checkpoints:
    """The checkpoints of one run folder. Use as a context manager: leaving waits for writes."""

    def __init__(self, folder: Path):
        logging.getLogger("absl").setLevel(logging.ERROR)  # "did not provide metrics", each time
        self.folder = folder.absolute()
        keep = checkpoint_managers.AnyPreservationPolicy(
            [
                checkpoint_managers.LatestN(1),
                checkpoint_managers.BestN(
                    get_metric_fn=_loss, reverse=True, n=1, keep_checkpoints_without_metrics=False
                ),
            ]
        )
        options = ocp.CheckpointManagerOptions(
            best_fn=_loss, best_mode="min", preservation_policy=keep, create=True
        )
        self._manager = ocp.CheckpointManager(self.folder, options=options)

    def __enter__(self) -> Checkpoints:
        return self

    def __exit__(self, *_: object) -> None:
        self._manager.close()

    @property
    def last(self) -> int | None:
        """Step of the newest checkpoint."""
        return self._manager.latest_step()

    @property
    def best(self) -> int | None:
        """Step of the checkpoint with the smallest validation loss."""
        self._manager.wait_until_finished()  # a checkpoint counts once it is whole
        best = self._manager.best_step()
        # Orbax falls back to the latest where none has a metric.
        return best if best is not None and self._manager.metrics(best) else None

    def save(self, state: TrainState, meta: dict[str, Any], loss: float | None = None) -> None:
        """Write in the background; `loss` is the validation loss where one was just measured."""
        step = int(jax.device_get(state.step))
        if step == self.last:
            return  # the same bits are there already
        with jax.transfer_guard("allow"):  # of several processes, each copies its part to the host
            saved = self._manager.save(
                step,
                args=ocp.args.Composite(
                    state=ocp.args.StandardSave(state._asdict()), meta=ocp.args.JsonSave(meta)
                ),
                metrics=None if loss is None else {"loss": loss},
            )
        if not saved:  # Orbax says no by returning False
            raise CheckpointError(f"{self.folder}: step {step} was not saved")

    def restore(self, step: int, like: TrainState) -> tuple[TrainState, dict[str, Any]]:
        """The state (NumPy arrays, shaped as `like`) and meta of a step.

        Raises:
          CheckpointError: it is unreadable, or of another network.
        """
        empty = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), like)
        try:
            restored = self._manager.restore(
                step,
                args=ocp.args.Composite(
                    state=ocp.args.StandardRestore(empty._asdict()), meta=ocp.args.JsonRestore()
                ),
            )
        except Exception as error:  # Orbax and TensorStore raise many kinds
            reason = str(error).splitlines()[0][:300] if str(error) else type(error).__name__
            raise CheckpointError(
                f"{self.folder / str(step)}: cannot be restored: {reason}; "
                "remove that folder to fall back to the checkpoint before"
            ) from error
        state = TrainState(**restored["state"])
        # Orbax gives arrays of the shapes that were saved, whatever shapes were asked for.
        if jax.tree.map(np.shape, state) != jax.tree.map(np.shape, empty):
            raise CheckpointError(f"{self.folder / str(step)}: belongs to another network")
        return state, restored["meta"]
