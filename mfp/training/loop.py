"""The training loop: every effect is visible here, everything else is a pure function.

Read it top to bottom: data, network, resume, then one step after another.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import jax
import numpy as np

from mfp.config import Config
from mfp.data import columns
from mfp.data.batches import FilmArrays, TrainingBatches
from mfp.data.dataset import Dataset
from mfp.data.features import FeatureSpec
from mfp.data.fit import fit
from mfp.data.history import HistoryTable
from mfp.data.history_files import open_table
from mfp.report.progress import TrainingProgress
from mfp.training import (
    assemble,
    checkpoint_files,
    finite,
    groups,
    metrics,
    optim,
    pretrained,
    programs,
    signals,
)
from mfp.training.beside import fit_beside
from mfp.training.checkpoint import Checkpoints, Interval
from mfp.training.evaluate import Evaluator
from mfp.training.events import Events
from mfp.training.finite import TrainingError
from mfp.training.memory import Memory
from mfp.training.meter import Meter
from mfp.training.naive_bayes import start_from_naive_bayes
from mfp.training.parallel import Runner, Wish, compilations, of_the_first, on_host
from mfp.training.processes import ALONE, Processes
from mfp.training.profiler import Profiler
from mfp.training.run import RunFolder, write_json
from mfp.training.signals import Interrupted
from mfp.training.step import TrainState, init_state
from mfp.training.step_losses import StepLosses
from mfp.training.vectors import start_from_vectors


@dataclass(frozen=True)
class Trained:
    """The outcome of a run: the averaged parameters of its best epoch."""

    spec: FeatureSpec
    params: Any  # NumPy arrays
    splits: dict[str, FilmArrays]
    step: int  # of the best epoch
    seconds: float


# (epoch, {"loss": ..., "rating": {"r2": ...}, ...} of the validation films)
OnEpoch = Callable[[int, Mapping[str, Any]], None]


def _go_on(epoch: int, found: Mapping[str, Any]) -> None:
    """Nobody wants to know."""


def train(
    config: Config,
    dataset: Dataset,
    run: RunFolder,
    progress: TrainingProgress,
    profile: tuple[int, int] | None = None,
    processes: Processes = ALONE,
    on_epoch: OnEpoch = _go_on,
) -> Trained:
    """Train in a run folder from wherever it stands, and return the best parameters.

    The result depends on config and data only: a run that was interrupted and resumed ends in
    the same bits as one that was not.

    Args:
      profile: first and last step to trace with JAX's profiler, counted from 1.
      on_epoch: is told of each epoch's validation losses and metrics; what it raises ends the run.

    Raises:
      ConfigError: the folder belongs to another config or other data.
      BusyError: another process trains in it.
      Interrupted: a signal came; the state is saved.
      TrainingError: a loss is not finite.
    """
    with run.claimed():
        return _train(config, dataset, run, progress, profile, processes, on_epoch)


def _train(
    config: Config,
    dataset: Dataset,
    run: RunFolder,
    progress: TrainingProgress,
    profile: tuple[int, int] | None,
    processes: Processes,
    on_epoch: OnEpoch,
) -> Trained:
    dataset = dataset.of_run(config.train)
    with processes.first():
        resuming = run.begin(config, dataset)
        if not (resuming and run.features_file.exists()):
            progress.say("fitting features on the training films")
            table = past_films(config, dataset)
            write_json(run.features_file, fit(dataset.splits["train"], config, table).to_json())
        if run.writer:
            checkpoint_files.fall_back(run.checkpoints, progress.say)
    spec = with_past_films(run.read_features(), config, dataset)
    if spec.absent:
        progress.say(f"no training film has {', '.join(spec.absent)}: left out")
    with progress.counting("transforming films", dataset.count) as count:
        splits = columns.open_splits(dataset, spec, config.targets, count.advance)
    splits = pretrained.with_vectors(splits, dataset, spec, config, progress)
    size, buckets = config.train.batch_size, config.train.length_buckets
    runner = Runner(config.parallel, size, config.train.accumulate)
    half_life = config.train.recency_half_life_years
    batches = TrainingBatches(splits["train"], size, config.seed, buckets, runner.share, half_life)
    total = batches.per_epoch * config.train.epochs
    final = batches.per_epoch * config.train.final_epochs  # 0: validation chooses the epoch

    network = assemble.build_network(config, spec)
    objective = assemble.objective(config, spec)
    tx = optim.optimizer(config.optimizer, total)
    rates = np.asarray(jax.vmap(optim.schedule(config.optimizer, total))(np.arange(total)))
    meter = Meter()
    step_function = programs.StepPrograms(
        assemble.step_function(network, config, spec, tx),
        runner.compile,
        shapes=buckets,
        films=len(splits["train"]) / batches.per_epoch,
        meter=meter,
    )
    evaluator = Evaluator.build(network, spec, config)
    params = assemble.init_params(network, spec, config.seed, config.train.ensemble)
    groups.check(config.optimizer, params)
    params = start_from_vectors(params, spec, config)
    params = pretrained.start_from_published(params, config)
    params = start_from_naive_bayes(params, spec, splits["train"], config)
    if not checkpoint_files.steps_in(run.checkpoints):  # which hold it
        params = fit_beside(params, network, splits["train"], config, progress.say)
        params |= of_the_first(groups.held(params))
    params = assemble.with_uncertainty(params, config, spec)
    state = init_state(params, tx, config.train.ensemble)
    key = runner.place_key(jax.random.key(config.seed))

    # From here on a signal is obeyed where the loop says so, and nowhere else.
    with signals.noted() as asked, Checkpoints(run.checkpoints) as checkpoints, progress:
        memory = Memory()
        if checkpoints.last is not None:
            state, meta = checkpoints.restore(checkpoints.last, state)
            memory = Memory(**meta)
            progress.say(f"resuming after step {int(state.step)} of {total}")
        step = int(state.step)
        template, state = on_host(state), runner.place_state(state)
        started = time.perf_counter() - memory.seconds
        finished = memory.finished(config.train, step, final or total)
        progress.begin(step, final or total, batches.per_epoch, config.train.batch_size)
        interval = Interval(config.train)
        with (
            Events(run, step) as events,
            Profiler(run.path / "profile", profile, meter) as profiler,
            finite.last_good_step_named(checkpoints),
            # Nothing may slip between host and device unseen.
            jax.transfer_guard("disallow"),
        ):
            losses = StepLosses(config, objective, rates, batches.per_epoch, events, progress)
            wishes: Any = None  # of all processes, told with the step before
            while not finished:
                earlier = wishes
                # The step before computes meanwhile. A thread that reads further ahead gained no
                # more than noise beside that.
                with meter.input(losses.running):
                    batch = runner.place(batches[step], _wish(asked, interval))
                with profiler.step(step + 1):
                    state, sums, wishes = step_function(state, batch, key)
                step += 1
                losses.started(step, sums)
                if profiler.ends(step, sums):
                    progress.say(f"the steps up to {step} are traced in {profiler.folder}")
                epoch_ends = step % batches.per_epoch == 0
                if epoch_ends and final:
                    losses.read()
                    meter.pause()
                    epoch = step // batches.per_epoch
                    events.speed({"step": step, "epoch": epoch, **meter.take().figures()})
                    memory.best_step = step if step == final else 0
                elif epoch_ends:
                    losses.read()
                    meter.pause()
                    predictions, held_out = evaluator(state.ema, splits["validation"])
                    programs.expect(compilations(evaluator.compiled), buckets, "evaluation")
                    finite.check_loss(held_out["loss"], "validation loss", step)
                    scores = metrics.evaluate(splits["validation"].truth, predictions)
                    memory.see(held_out["loss"], step)
                    epoch = step // batches.per_epoch
                    events.log({"step": step, "epoch": epoch, "validation": held_out | scores})
                    events.speed({"step": step, "epoch": epoch, **meter.take().figures()})
                    progress.epoch(epoch, held_out, scores, best=memory.best_step == step)
                    on_epoch(epoch, held_out | scores)
                # The one place that decides about stopping. The signal may have come at any
                # time: while compiling, evaluating or saving as well; and to any process.
                stopping, by_clock = runner.agreed(_wish(asked, interval), earlier)
                if stopping or by_clock or epoch_ends or interval.by_step(step):
                    losses.read()  # the log holds every step that a checkpoint holds
                    meter.pause()
                    memory.seconds = time.perf_counter() - started
                    saved = runner.savable(state)
                    finite.check_params(saved.params, step)
                    events.flush()
                    loss = held_out["loss"] if epoch_ends and not final else None
                    checkpoints.save(saved, asdict(memory), loss)
                    interval.saved()
                    if interval.wait:
                        checkpoints.wait()
                if stopping:
                    raise Interrupted(stopping, step)
                finished = memory.finished(config.train, step, final or total)
        checkpoints.wait()  # a checkpoint counts once it is whole
        if not memory.best_step:
            raise TrainingError(f"{run.path}: no epoch was finished; remove the folder and rerun")
        best, _ = checkpoints.restore(memory.best_step, template)
    meter.take()
    if meter.total.steps:
        progress.say(str(meter.total))
    return Trained(spec, assemble.of_network(best.ema), splits, int(best.step), memory.seconds)


def past_films(config: Config, dataset: Dataset) -> HistoryTable | None:
    """What histories are looked up in; None where the config asks for none."""
    asked = config.features.history
    return open_table(dataset, asked, config.targets) if asked.fields else None


def with_past_films(spec: FeatureSpec, config: Config, dataset: Dataset) -> FeatureSpec:
    """The features that were read from a file, with the table that they look histories up in."""
    return spec.with_table(past_films(config, dataset)) if spec.history else spec


def _wish(asked: signals.Noted, interval: Interval) -> Wish:
    return Wish(stop=asked.number, save=int(interval.by_clock()))


def restore_best(run: RunFolder, config: Config) -> tuple[FeatureSpec, Any, int, float]:
    """Of a run's best epoch: features, averaged parameters, step, and seconds trained by then.

    Raises:
      ConfigError: the folder is no run.
      CheckpointError: its checkpoint is not usable.
      TrainingError: it has no finished epoch.
    """
    spec = run.read_features()
    with Checkpoints(run.checkpoints) as checkpoints:
        last = checkpoints.last
        # Remembered, and not the best of those that are there: one may be lost.
        best = 0 if last is None else Memory(**checkpoints.meta(last)).best_step
        if not best:
            final = config.train.final_epochs > 0
            why = "the final fit has not ended" if final else "has no finished epoch yet"
            raise TrainingError(f"{run.path}: {why}; run mfp train first")
        params, meta = checkpoints.restore_average(best, _like(spec, config))
    return spec, params, best, Memory(**meta).seconds


def restore_last(run: RunFolder, config: Config) -> tuple[TrainState, Memory]:
    """The state that a run would be resumed from. Raises what `restore_best` does."""
    with Checkpoints(run.checkpoints) as checkpoints:
        if checkpoints.last is None:
            raise TrainingError(f"{run.path}: has no checkpoint yet; run mfp train first")
        state, meta = checkpoints.restore(checkpoints.last, _like(run.read_features(), config))
    return state, Memory(**meta)


def _like(spec: FeatureSpec, config: Config) -> TrainState:
    """The shapes of a run's state, in its place."""
    network, members = assemble.build_network(config, spec), config.train.ensemble

    def fresh() -> TrainState:
        params = assemble.init_params(network, spec, config.seed, members)
        params = assemble.with_uncertainty(params, config, spec)
        return init_state(params, optim.optimizer(config.optimizer, 1), members)

    return jax.eval_shape(fresh)
