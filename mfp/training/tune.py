"""Search for a better config: a study of training runs. The only file that imports Optuna.

    runs/<name>/
      study.db      SQLite: what was tried and what came of it, unless a --storage says otherwise
      trials/<n>/   the run folder of a trial, removed when it is done
      best.toml     the best config so far: mfp train --config runs/<name>/best.toml

Any number of processes, on machines that share the folder, work at one study: each takes a trial,
trains it, tells the result and takes the next. A trial holds the lock of its run folder while it
runs. A lock that is free though the study says "running" is that of a process that died or was
stopped: its trial is marked as failed and put back into the queue, and whoever takes it goes on
from its last checkpoint. So there is nothing to save on Ctrl-C.

Trials see training and validation films. Test films would only be looked at by a search that
fools itself; their files stay closed.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optuna
import sqlalchemy.exc
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

from mfp import config as configs
from mfp import typed_toml
from mfp.config import Config, ConfigError
from mfp.data.dataset import Dataset
from mfp.data.prepared import only_one
from mfp.report.progress import StudyProgress, TrainingProgress
from mfp.training import loop, space
from mfp.training.finite import TrainingError
from mfp.training.run import FREE_KEYS, BusyError, RunFolder, write_text
from mfp.training.space import Goal, Parameter

SPLITS = ("train", "validation")

# A trial whose process ended this many times is not tried again: it may be what ends them.
_TRIES = 3
# Seconds that SQLite waits for another process to write.
_PATIENCE = 100
# Fewer tell nothing of what mattered.
_ENOUGH_FOR_IMPORTANCE = 4


class StudyError(RuntimeError):
    """The storage of a study does not answer."""


@dataclass(frozen=True)
class Trial:
    """What became of one trial."""

    number: int
    state: str  # complete, pruned, failed, running or waiting
    value: float | None  # of the goal
    epochs: int
    seconds: float
    values: dict[str, Any]  # {key: value}
    reason: str  # why it was pruned, where its values were not halved away


class Study:
    """The study of a config in a folder; opened, and begun where there is none yet."""

    def __init__(
        self,
        config: Config,
        config_path: Path,
        folder: Path,
        fingerprint: str,
        storage: str | None = None,
    ):
        """
        Args:
          config_path: the file that best.toml extends.
          fingerprint: of the films.
          storage: an Optuna storage URL, of SQLAlchemy's databases.

        Raises:
          ConfigError: the search makes no sense, the storage cannot be opened, or the study there
            is of another config or other films.
        """
        self.config, self.config_path, self.folder = config, config_path, folder
        self.goal, self.space = Goal.of(config), space.parameters(config)
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        folder.mkdir(parents=True, exist_ok=True)
        with self._alone():
            self._study = self._open(storage)
            self._begin(fingerprint)

    def _open(self, storage: str | None) -> optuna.Study:
        url = storage or f"sqlite:///{self.folder.absolute() / 'study.db'}"
        waiting = {"connect_args": {"timeout": _PATIENCE}} if url.startswith("sqlite") else {}
        tune = self.config.tune
        try:
            return optuna.create_study(
                study_name=self.config.name,
                storage=optuna.storages.RDBStorage(url, engine_kwargs=waiting),
                direction="maximize" if self.goal.more else "minimize",
                pruner=optuna.pruners.SuccessiveHalvingPruner(
                    min_resource=tune.first_rung, reduction_factor=tune.reduction
                ),
                load_if_exists=True,
            )
        except (sqlalchemy.exc.SQLAlchemyError, ImportError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            raise ConfigError(f"{storage or url}: cannot be opened as a study: {reason}") from None

    def _begin(self, fingerprint: str) -> None:
        attributes = self._study.user_attrs
        if "config" not in attributes:
            self._study.set_user_attr("config", configs.to_json(self.config))
            self._study.set_user_attr("fingerprint", fingerprint)
            first = space.start(self.config, self.space)
            if first is not None:  # the search begins at what is known to work
                self._study.enqueue_trial(first)
            return
        old = configs.from_json(attributes["config"], f"{self.folder}: study")
        kept = tuple(key for key in FREE_KEYS if key != "tune.")
        changed = [d for d in configs.differences(old, self.config) if not d.startswith(kept)]
        if attributes["fingerprint"] != fingerprint:
            changed.append("the films")
        if changed:
            raise ConfigError(
                f"{self.folder}: holds a study of another config ({'; '.join(changed[:5])}); "
                "choose another folder with --run, or remove this one"
            )

    def search(
        self,
        dataset: Dataset,
        trials: int,
        progress: StudyProgress,
        timeout: float | None = None,
        keep: bool = False,
    ) -> None:
        """Run trials until the study has so many, those of other processes counted.

        Args:
          dataset: opened with `SPLITS`.
          timeout: no trial begins after so many seconds.
          keep: whether the run folders of trials stay.

        Raises:
          Interrupted: a signal came.
          ConfigError: the films do not allow it.
          StudyError: the storage does not answer.
        """
        started = time.monotonic()
        assert set(dataset.splits) == set(SPLITS), "a search must not see test films"
        with _storage_errors(), progress:
            progress.begin(self.done, trials, self.goal.name, self._best_value())
            while timeout is None or time.monotonic() - started < timeout:
                with contextlib.ExitStack() as claim:
                    with self._alone():
                        self._retry_dead(progress)
                        if self._taken() >= trials:
                            self._write_best()  # a process may have died before it did
                            return
                        trial = self._ask()
                        run = self._run_folder(trial.user_attrs, trial.number)
                        if "folder" not in trial.user_attrs:  # no trial's that goes on
                            shutil.rmtree(run.path, ignore_errors=True)
                        claim.enter_context(run.claimed())
                    self._train(trial, run, dataset, progress)
                    if not keep:
                        shutil.rmtree(run.path)

    def _alone(self) -> contextlib.AbstractContextManager[None]:
        """No other process may take a trial, or write best.toml, meanwhile."""
        return only_one(self.folder, "study")

    def _ask(self) -> optuna.Trial:
        # A function of the seed and the trials before, as batches are: no sampler's state is kept.
        number = len(self._study.get_trials(deepcopy=False))
        seed = np.random.SeedSequence([self.config.seed, number]).generate_state(1)[0]
        self._study.sampler = optuna.samplers.TPESampler(
            n_startup_trials=self.config.tune.startup_trials,
            multivariate=True,
            constant_liar=True,  # what other processes are at is not tried twice
            seed=int(seed),
        )
        return self._study.ask({p.key: _distribution(p) for p in self.space})

    def _run_folder(self, attributes: Mapping[str, Any], number: int) -> RunFolder:
        return RunFolder(self.folder / "trials" / str(attributes.get("folder", number)))

    def _retry_dead(self, progress: StudyProgress) -> None:
        """Trials whose process is gone are failed, and tried again from their checkpoint."""
        for found in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            run = self._run_folder(found.user_attrs, found.number)
            try:
                with run.claimed():
                    self._study.tell(found.number, state=TrialState.FAIL)
            except BusyError:
                continue  # at work
            tries = found.user_attrs.get("tries", 1) + 1
            if tries > _TRIES or set(found.params) != {p.key for p in self.space}:
                shutil.rmtree(run.path, ignore_errors=True)
                progress.say(f"trial {found.number} ended {tries - 1} times without a result")
                continue
            attributes = {"folder": run.path.name, "tries": tries}
            self._study.enqueue_trial(found.params, user_attrs=attributes)
            progress.say(f"trial {found.number} was interrupted; it is tried again")

    def _train(
        self, trial: optuna.Trial, run: RunFolder, dataset: Dataset, progress: StudyProgress
    ) -> None:
        try:
            config = space.applied(self.config, space.decode(self.space, trial.params))
        except ConfigError as error:
            self._end(trial, _Watch(trial, self.goal, progress), progress, str(error))
            return
        watch = _Watch(trial, self.goal, progress, config.train.epochs)
        try:
            for line in run.read_log():  # what an interrupted trial had told
                if "validation" in line:
                    watch(line["epoch"], line["validation"])
            loop.train(config, dataset, run, TrainingProgress(quiet=True), on_epoch=watch)
        except optuna.TrialPruned:
            self._end(trial, watch, progress, "")
        except (TrainingError, jax.errors.JaxRuntimeError) as error:  # diverged; out of memory
            self._end(trial, watch, progress, str(error).splitlines()[0])
        else:
            self._end(trial, watch, progress)
        jax.clear_caches()  # no other trial has these programs

    def _end(
        self,
        trial: optuna.Trial,
        watch: _Watch,
        progress: StudyProgress,
        pruned: str | None = None,
    ) -> None:
        """Tell the study; `pruned` is the reason of a trial that was not trained to its end."""
        with self._alone():
            if pruned is None:
                self._study.tell(trial, watch.value)
            else:
                if pruned:
                    trial.set_user_attr("reason", pruned)
                self._study.tell(trial, state=TrialState.PRUNED)
            self._write_best()
            best = self._best_value()
        value = None if math.isnan(watch.value) else watch.value
        progress.ended(self.done, trial.number, value, watch.epoch, pruned, best)

    def _count(self, *states: TrialState) -> int:
        return len(self._study.get_trials(deepcopy=False, states=states))

    @property
    def done(self) -> int:
        """Trials with a result."""
        return self._count(TrialState.COMPLETE, TrialState.PRUNED)

    def _taken(self) -> int:
        """Trials with a result, on their way to one, or given up."""
        failed = self._study.get_trials(deepcopy=False, states=(TrialState.FAIL,))
        given_up = sum(found.user_attrs.get("tries", 1) >= _TRIES for found in failed)
        return self.done + self._count(TrialState.RUNNING) + given_up

    def _best(self) -> optuna.trial.FrozenTrial | None:
        try:
            return self._study.best_trial
        except ValueError:
            return None  # none is complete

    def _best_value(self) -> float | None:
        best = self._best()
        return None if best is None else best.value

    def best_config(self) -> Config | None:
        """The config of the best trial, named <name>-best; None where no trial is complete."""
        best = self._best()
        if best is None:
            return None
        found = space.applied(self.config, space.decode(self.space, best.params))
        return dataclasses.replace(found, name=f"{self.config.name}-best")

    def _write_best(self) -> None:
        if self._best() is not None:
            write_text(self.folder / "best.toml", self._best_toml())

    def _best_toml(self) -> str:
        best, config = self._best(), self.best_config()
        assert best is not None
        assert config is not None
        base = configs.load(self.config_path)
        changed = {key: new for key, (_, new) in configs.changes(base, config).items()}
        values = {key: new for key, new in changed.items() if not key.startswith("tune.")}
        # Those that are the base's too, so that they stay when it changes.
        values |= {p.key: configs.value_of(config, p.key) for p in self.space}
        extends = os.path.relpath(self.config_path.absolute(), self.folder.absolute())
        return (
            f"# The best of {self.done} trials of mfp tune: trial {best.number}, validation "
            f"{self.goal.name} {best.value:.6g}.\n"
            f"#\n#   mfp train --config {self.folder / 'best.toml'}\n\n"
            f"{typed_toml.dump({'extends': extends})}{typed_toml.dump(values)}"
        )

    def trials(self) -> list[Trial]:
        """All trials, in the order in which they were begun."""
        return [self._told(found) for found in self._study.get_trials(deepcopy=False)]

    def _told(self, found: optuna.trial.FrozenTrial) -> Trial:
        state = {TrialState.FAIL: "failed"}.get(found.state, found.state.name.lower())
        whole = set(found.params) == {p.key for p in self.space}
        return Trial(
            found.number,
            state,
            found.value,
            max(found.intermediate_values, default=0),
            found.duration.total_seconds() if found.duration else 0.0,
            space.decode(self.space, found.params) if whole else {},
            found.user_attrs.get("reason", ""),
        )

    def importances(self) -> dict[str, float]:
        """{key: share of what the keys explain of the goal}; empty where trials are too few.

        By PED-ANOVA (Watanabe et al. 2023): how much narrower a key lies in the better trials.
        """
        if len(self.space) < 2 or self._count(TrialState.COMPLETE) < _ENOUGH_FOR_IMPORTANCE:
            return {}
        evaluator = optuna.importance.PedAnovaImportanceEvaluator()
        return optuna.importance.get_param_importances(self._study, evaluator=evaluator)


@dataclass
class _Watch:
    """Follows a trial from epoch to epoch, and ends it where others are better."""

    trial: optuna.Trial
    goal: Goal
    progress: StudyProgress
    epochs: int = 0  # of the trial, if trained to its end
    value: float = field(default=math.nan)  # at the epoch of the smallest loss: what would be kept
    loss: float = math.inf
    epoch: int = 0

    def __call__(self, epoch: int, found: Mapping[str, Any]) -> None:
        """Raises TrialPruned."""
        if epoch <= self.epoch:
            return  # told before it was interrupted
        value = self.goal.value(found)
        self.epoch = epoch
        if found["loss"] <= self.loss:  # of equal ones the latest, as the loop has it
            self.loss, self.value = found["loss"], value
        self.progress.epoch(self.trial.number, epoch, value)
        self.trial.report(self.value, epoch)
        if epoch < self.epochs and self.trial.should_prune():
            raise optuna.TrialPruned


def _distribution(parameter: Parameter) -> optuna.distributions.BaseDistribution:
    search = parameter.search
    if search.choices:
        return CategoricalDistribution(list(parameter.labels))
    if parameter.whole:
        return IntDistribution(int(search.low), int(search.high), log=search.log)
    return FloatDistribution(search.low, search.high, log=search.log)


@contextlib.contextmanager
def _storage_errors() -> Iterator[None]:
    """Raises StudyError for what a database answers."""
    try:
        yield
    except (optuna.exceptions.StorageInternalError, sqlalchemy.exc.SQLAlchemyError) as error:
        cause = error.__cause__ or error
        raise StudyError(
            f"the study's storage: {str(cause).splitlines()[0]}; run the same command to resume"
        ) from None
