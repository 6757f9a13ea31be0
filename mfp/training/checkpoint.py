"""Checkpoints by Orbax: the last two and the best are kept. The only file that imports Orbax here.

A checkpoint holds the train state (arrays) and `meta` (JSON: what the loop must remember).
Arrays are saved from host memory, so that a run on eight devices resumes on one.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers

from mfp.config import TrainConfig
from mfp.training import checkpoint_files
from mfp.training.step import TrainState


class Interval:
    """When a checkpoint is due, so that `kill -9` loses at most `checkpoint_every` steps.

    A checkpoint counts once it is whole, and it is written while the loop goes on. So one is
    begun twice as often, and the next only when the one before is whole.
    """

    def __init__(self, config: TrainConfig, clock: Callable[[], float] = time.monotonic):
        self._steps = max(1, config.checkpoint_every // 2) if config.checkpoint_every else 0
        self._seconds = 30.0 * config.checkpoint_minutes
        self._clock, self._saved = clock, clock()
        self.wait = config.checkpoint_every == 1  # each step must be whole before the next

    def by_step(self, step: int) -> bool:
        """Whether one is due after a step."""
        return bool(self._steps) and step % self._steps == 0

    def by_clock(self) -> bool:
        """Whether one is due now."""
        return bool(self._seconds) and self._clock() - self._saved >= self._seconds

    def saved(self) -> None:
        """A checkpoint was begun."""
        self._saved = self._clock()


class CheckpointError(RuntimeError):
    """A checkpoint that cannot be saved or restored."""


class _Sealed(ocp.path.atomicity.AtomicRenameTemporaryPath):
    """A checkpoint becomes whole with the hashes of its files, or not at all."""

    async def finalize(self) -> None:
        folder = Path(self.get())
        if self._checkpoint_metadata_store is None:  # a part of one
            await super().finalize()
            return
        # It writes in a thread of its own.
        await asyncio.to_thread(self._checkpoint_metadata_store.wait_until_finished)
        if not (folder / "_CHECKPOINT_METADATA").exists():  # Orbax makes missing folders anew
            raise FileNotFoundError(errno.ENOENT, "its beginning is gone", str(folder))
        await asyncio.to_thread(checkpoint_files.seal, folder)
        os.rename(folder, self.get_final())


def _loss(metrics: dict[str, float]) -> float:
    return metrics["loss"]


class Checkpoints:
    """The checkpoints of one run folder. Use as a context manager: leaving waits for writes."""

    def __init__(self, folder: Path):
        # "did not provide metrics", each time; and every error that is raised as well.
        logging.getLogger("absl").setLevel(logging.CRITICAL)
        self.folder = folder.absolute()
        keep = checkpoint_managers.AnyPreservationPolicy(
            [
                # The last may hold what the next step finds to be no good.
                checkpoint_managers.LatestN(2),
                checkpoint_managers.BestN(
                    get_metric_fn=_loss, reverse=True, n=1, keep_checkpoints_without_metrics=False
                ),
            ]
        )
        options = ocp.CheckpointManagerOptions(
            best_fn=_loss,
            best_mode="min",
            preservation_policy=keep,
            create=True,
            temporary_path_class=_Sealed,
        )
        self._manager = ocp.CheckpointManager(self.folder, options=options)

    def __enter__(self) -> Checkpoints:
        return self

    def __exit__(self, kind: type | None, *_: object) -> None:
        if kind is not None:  # the first error is the one to tell
            with suppress(Exception):
                self._manager.close()
            return
        with self._saving():
            self._manager.close()

    @property
    def steps(self) -> list[int]:
        """Of all checkpoints that are kept."""
        return [int(step) for step in self._manager.all_steps()]

    @property
    def last(self) -> int | None:
        """Step of the newest checkpoint."""
        return self._manager.latest_step()

    def wait(self) -> None:
        """Until all that was saved is whole. Raises CheckpointError where it could not be."""
        with self._saving():
            self._manager.wait_until_finished()

    @contextmanager
    def _saving(self) -> Iterator[None]:
        """What was begun in the background may fail at any later call."""
        try:
            yield
        except CheckpointError:
            raise
        except Exception as error:  # Orbax and TensorStore raise many kinds
            raise CheckpointError(
                f"{self.folder}: a checkpoint could not be saved: {reason_of(error)}; those before "
                "it are whole: make room or mend it, and run the same command to go on"
            ) from error

    def save(self, state: TrainState, meta: dict[str, Any], loss: float | None = None) -> None:
        """Write in the background, once what was saved before is whole.

        `loss` is the validation loss where one was just measured.

        Raises:
          CheckpointError: this one or the one before could not be written.
        """
        step = int(jax.device_get(state.step))
        if step == self.last:
            return  # the same bits are there already
        if not self.folder.is_dir():  # Orbax would begin a new one, wherever that is
            raise CheckpointError(
                f"{self.folder}: is gone; is its disk or network folder still mounted? Then run "
                "the same command to go on"
            )
        # Of several processes, each copies its part to the host.
        with self._saving(), jax.transfer_guard("allow"):
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
          CheckpointError: it is damaged, or of another network.
        """
        found, meta = self._restore(step, like._asdict(), ocp.args.StandardRestore)
        return TrainState(**found), meta

    def restore_average(self, step: int, like: TrainState) -> tuple[Any, dict[str, Any]]:
        """The averaged parameters (NumPy arrays) and meta of a step: what is evaluated.

        A quarter of the state, in a third of the time.

        Raises:
          CheckpointError: it is damaged, or of another network.
        """

        def only(item: Any) -> ocp.args.PyTreeRestore:
            arrays = ocp.checkpoint_utils.construct_restore_args(item)
            return ocp.args.PyTreeRestore(item, restore_args=arrays, partial_restore=True)

        found, meta = self._restore(step, {"ema": like.ema}, only)
        return found["ema"], meta

    def _restore(
        self, step: int, like: dict[str, Any], ask: Callable[[Any], Any]
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """So much of a state, and the meta of a step."""
        meta = self.meta(step)
        empty = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), like)
        try:
            found = self._manager.restore(step, args=ocp.args.Composite(state=ask(empty)))["state"]
        except Exception as error:  # Orbax and TensorStore raise many kinds
            raise CheckpointError(
                f"{self.folder / str(step)}: cannot be restored: {reason_of(error)}"
            ) from error
        # Orbax gives arrays of the shapes that were saved, whatever shapes were asked for.
        if jax.tree.map(np.shape, found) != jax.tree.map(np.shape, empty):
            raise CheckpointError(f"{self.folder / str(step)}: belongs to another network")
        return found, meta

    def meta(self, step: int) -> dict[str, Any]:
        """What a step remembers beside its arrays. Raises CheckpointError where it is damaged."""
        flaw = checkpoint_files.flaw(self.folder / str(step))
        if flaw is not None:
            raise CheckpointError(f"{flaw}; run mfp train again: it goes on from the one before")
        return checkpoint_files.read_meta(self.folder / str(step))


def reason_of(error: BaseException) -> str:
    """An error of Orbax or TensorStore in one line."""
    if (full := os.strerror(errno.ENOSPC)) in str(error):  # at the end of a long tale of paths
        return full
    return str(error).splitlines()[0][:300] if str(error) else type(error).__name__
