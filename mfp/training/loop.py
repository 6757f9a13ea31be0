"""The training loop: every effect is visible here, everything else is a pure function.

Read it top to bottom: data, network, resume, then one step after another.
"""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import jax
import numpy as np

from mfp.config import Config
from mfp.data import columns
from mfp.data.batches import FilmArrays, TrainingBatches
from mfp.data.dataset import Dataset
from mfp.data.features import FeatureSpec
from mfp.data.fit import fit
from mfp.report.progress import TrainingProgress
from mfp.training import assemble, metrics, optim
from mfp.training.checkpoint import Checkpoints
from mfp.training.evaluate import Evaluator
from mfp.training.parallel import Runner, on_host, to_device
from mfp.training.run import RunFolder, write_json
from mfp.training.step import Objective, TrainState, init_state, mean_losses, train_step
from mfp.training.vectors import start_from_vectors


class TrainingError(RuntimeError):
    """Training cannot go on; the message says what is kept."""


class Interrupted(RuntimeError):
    """Stopped by a signal after saving; running again resumes."""

    def __init__(self, number: int, step: int):
        super().__init__(f"stopped by {signal.Signals(number).name} after step {step}; saved")
        self.number = number


@dataclass
class Memory:
    """What the loop remembers besides arrays; saved with each checkpoint."""

    best_loss: float = math.inf
    best_step: int = 0
    stale_epochs: int = 0
    seconds: float = 0.0  # spent training, over all sessions of the run

    def see(self, loss: float, step: int) -> None:
        """Account for a validation loss."""
        self.stale_epochs = 0 if loss < self.best_loss else self.stale_epochs + 1
        if loss <= self.best_loss:  # of equal ones the latest, as Orbax keeps it
            self.best_loss, self.best_step = loss, step


@dataclass(frozen=True)
class Trained:
    """The outcome of a run: the averaged parameters of its best epoch."""

    spec: FeatureSpec
    params: Any  # NumPy arrays
    splits: dict[str, FilmArrays]
    step: int  # of the best epoch
    seconds: float


def train(config: Config, dataset: Dataset, run: RunFolder, progress: TrainingProgress) -> Trained:
    """Train in a run folder from wherever it stands, and return the best parameters.

    The result depends on config and data only: a run that was interrupted and resumed ends in
    the same bits as one that was not.

    Raises:
      ConfigError: the folder belongs to another config or other data.
      Interrupted: a signal came; the state is saved.
      TrainingError: the loss is not finite.
    """
    resuming = run.begin(config, dataset)
    if not (resuming and run.features_file.exists()):
        progress.say("fitting features on the training films")
        write_json(run.features_file, fit(dataset.splits["train"], config).to_json())
    spec = run.read_features()
    if spec.absent:
        progress.say(f"no training film has {', '.join(spec.absent)}: left out")
    with progress.counting("transforming films", dataset.count) as count:
        splits = columns.open_splits(dataset, spec, config.targets, count.advance)
    batches = TrainingBatches(
        splits["train"], config.train.batch_size, config.seed, config.train.length_buckets
    )
    total = batches.per_epoch * config.train.epochs

    network = assemble.build_network(config, spec)
    objective = assemble.objective(config, spec)
    tx = optim.optimizer(config.optimizer, total)
    rates = np.asarray(jax.vmap(optim.schedule(config.optimizer, total))(np.arange(total)))
    runner = Runner(config.parallel, config.train.batch_size)
    step_function = runner.compile(
        partial(
            train_step,
            apply=assemble.apply_function(network),
            tx=tx,
            objective=objective,
            ema=config.optimizer.ema,
        )
    )
    evaluator = Evaluator.build(network, spec, config)
    params = assemble.init_params(network, spec, config.seed)
    state = init_state(start_from_vectors(params, spec, config), tx)
    key = runner.replicate(jax.random.key(config.seed))

    with Checkpoints(run.checkpoints) as checkpoints, _signals() as received, progress:
        memory = Memory()
        if checkpoints.last is not None:
            state, meta = checkpoints.restore(checkpoints.last, state)
            memory = Memory(**meta)
            progress.say(f"resuming after step {int(state.step)} of {total}")
        step = int(state.step)
        run.truncate_log(step)
        template, state = on_host(state), runner.replicate(state)
        started = time.perf_counter() - memory.seconds
        finished = _finished(memory, config, step, total)
        progress.begin(step, total, batches.per_epoch, config.train.batch_size)
        pending: tuple[int, Any] | None = None
        # Nothing may slip between host and device unseen.
        with jax.transfer_guard("disallow"):
            while not finished:
                state, sums = step_function(state, runner.place(batches[step]), key)
                step += 1
                # The losses of the step before, and the next batch, are read while this one
                # computes; a thread that reads ahead gained no more than noise beside that.
                _log(pending, run, config, objective, rates, batches.per_epoch, progress)
                pending = (step, sums)
                stopping = bool(received)
                epoch_ends = step % batches.per_epoch == 0
                saving = epoch_ends or stopping or step % config.train.checkpoint_every == 0
                if saving:  # the log holds every step that a checkpoint holds, and no NaN is saved
                    _log(pending, run, config, objective, rates, batches.per_epoch, progress)
                    pending = None
                if epoch_ends:
                    averaged = to_device(on_host(state.ema))
                    predictions, held_out = evaluator(averaged, splits["validation"])
                    scores = metrics.evaluate(splits["validation"].truth, predictions)
                    memory.see(held_out["loss"], step)
                    epoch = step // batches.per_epoch
                    run.log({"step": step, "epoch": epoch, "validation": held_out | scores})
                    progress.epoch(epoch, held_out, scores, best=memory.best_step == step)
                if saving:
                    memory.seconds = time.perf_counter() - started
                    loss = held_out["loss"] if epoch_ends else None
                    checkpoints.save(on_host(state), asdict(memory), loss)
                if stopping:
                    raise Interrupted(received[0], step)
                finished = _finished(memory, config, step, total)
        if checkpoints.best is None:
            raise TrainingError(f"{run.path}: no epoch was finished; remove the folder and rerun")
        best, _ = checkpoints.restore(checkpoints.best, template)
    return Trained(spec, best.ema, splits, int(best.step), memory.seconds)


def _finished(memory: Memory, config: Config, step: int, total: int) -> bool:
    return step >= total or memory.stale_epochs >= config.train.patience


def _log(
    pending: tuple[int, Any] | None,
    run: RunFolder,
    config: Config,
    objective: Objective,
    rates: np.ndarray,
    per_epoch: int,
    progress: TrainingProgress,
) -> None:
    """Read the losses of a finished step; show them, and log every `log_every`-th."""
    if pending is None:
        return
    step, sums = pending
    found = mean_losses(on_host(sums), objective)
    if not math.isfinite(found["loss"]):
        raise TrainingError(
            f"{run.path}: the loss of step {step} is {found['loss']}; the last checkpoint is "
            "kept. Lower optimizer.learning_rate, or set optimizer.clip_norm"
        )
    progress.step(step, found)
    if step % config.train.log_every == 0:
        rate = float(rates[step - 1])
        epoch = (step - 1) // per_epoch + 1
        run.log({"step": step, "epoch": epoch, **found, "learning_rate": rate})


@contextmanager
def _signals() -> Iterator[list[int]]:
    """A list that SIGTERM and SIGINT are noted in, so that the loop can save before it stops."""
    received: list[int] = []

    def note(number: int, _frame: Any) -> None:
        if received and number == signal.SIGINT:
            raise KeyboardInterrupt  # asked twice: do not wait for the step to end
        received.append(number)

    numbers = (signal.SIGTERM, signal.SIGINT)
    try:
        old = {number: signal.signal(number, note) for number in numbers}
    except ValueError:  # not in the main thread (a notebook, a test): signals stay as they are
        old = {}
    try:
        yield received
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


def restore_best(run: RunFolder, config: Config) -> tuple[FeatureSpec, TrainState, float]:
    """The features and the best state of a run, and the seconds it had trained by then.

    Raises:
      ConfigError: the folder is no run.
      CheckpointError: its checkpoint is not usable.
      TrainingError: it has no finished epoch.
    """
    spec = run.read_features()
    network = assemble.build_network(config, spec)
    params = assemble.init_params(network, spec, config.seed)
    like = init_state(params, optim.optimizer(config.optimizer, 1))
    with Checkpoints(run.checkpoints) as checkpoints:
        if checkpoints.best is None:
            raise TrainingError(f"{run.path}: has no finished epoch yet; run mfp train first")
        state, meta = checkpoints.restore(checkpoints.best, like)
    return spec, state, Memory(**meta).seconds
