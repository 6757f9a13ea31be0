"""The study: it goes on after any end, is shared by processes, and sees no test film."""

from __future__ import annotations

import dataclasses
import math
import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest

pytest.importorskip("optuna", reason="Optuna is not installed (pip install 'mfp[tune]')")

from mfp import config as configs
from mfp.config import Config, ConfigError, SearchConfig, TuneConfig
from mfp.data.dataset import Dataset
from mfp.report.progress import StudyProgress
from mfp.training import loop, tune
from mfp.training.finite import TrainingError
from mfp.training.run import RunFolder
from mfp.training.signals import Interrupted

RATE, HIDDEN = "optimizer.learning_rate", "model.fusion.hidden"
SPACE = {
    RATE: SearchConfig(low=1e-3, high=1e-1, log=True),
    HIDDEN: SearchConfig(choices=([8], [8, 4])),
}
EPOCHS = 3


@pytest.fixture(scope="session")
def searched(tiny: Config) -> Config:
    """The tiny config with a search that ends no trial early."""
    return dataclasses.replace(
        tiny, tune=TuneConfig(first_rung=EPOCHS, startup_trials=4, space=SPACE)
    )


@pytest.fixture(scope="session")
def seen(few: Dataset) -> Dataset:
    """The few films without those of the test split."""
    return dataclasses.replace(few, splits={name: few.splits[name] for name in tune.SPLITS})


@pytest.fixture
def base(tmp_path: Path, searched: Config) -> Path:
    """The config as a file, for best.toml to extend."""
    path = tmp_path / "base.toml"
    text = configs.typed_toml.dump(
        {k: new for k, (_, new) in configs.changes(Config(), searched).items() if "tune." not in k}
    )
    path.write_text(text)
    return path


class Told(StudyProgress):
    """Notes what it is told."""

    def __init__(self):
        super().__init__(quiet=True)
        self.said: list[str] = []

    def say(self, message):
        self.said.append(message)


def loss_of(config: Config, epoch: int) -> float:
    """A bowl whose bottom is a rate of 0.01, and which sinks from epoch to epoch."""
    return abs(math.log10(config.optimizer.learning_rate) + 2) + 1 / epoch


def train(config, dataset, run, progress, on_epoch):
    """Stands for the loop: quick, and its losses are known."""
    assert set(dataset.splits) == {"train", "validation"}
    run.begin(config, dataset)
    for epoch in range(1, config.train.epochs + 1):
        found = {"loss": loss_of(config, epoch), "rating": {"r2": 1 - loss_of(config, epoch)}}
        run.log({"step": epoch, "epoch": epoch, "validation": found})
        on_epoch(epoch, found)


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(loop, "train", train)


def opened(config: Config, base: Path, fingerprint: str = "few", storage: str | None = None):
    return tune.Study(config, base, base.parent / "study", fingerprint, storage)


def searching(config, base, seen, trials, **options) -> tuple[tune.Study, Told]:
    study, progress = opened(config, base), Told()
    study.search(seen, trials, progress, **options)
    return study, progress


def states(study: tune.Study) -> list[str]:
    return [trial.state for trial in study.trials()]


def test_real_trials_share_columns_and_leave_a_config(searched, seen, base, tmp_path):
    own = dataclasses.replace(seen, folder=tmp_path / "prepared")
    own.folder.mkdir()
    study, _ = searching(searched, base, own, 2, keep=True)
    assert states(study) == ["complete"] * 2
    assert len([path for path in (own.folder / "columns").iterdir() if path.is_dir()]) == 1
    first, second = study.trials()
    assert first.values == {RATE: searched.optimizer.learning_rate, HIDDEN: [8]}
    assert 1e-3 <= second.values[RATE] <= 1e-1
    for trial in study.trials():
        assert trial.epochs == EPOCHS
        run = RunFolder(study.folder / "trials" / str(trial.number))
        config, _ = run.read_config()
        assert configs.value_of(config, RATE) == trial.values[RATE]
        losses = [line["validation"]["loss"] for line in run.read_log() if "validation" in line]
        assert min(losses) == trial.value  # what training would keep
    best = min(study.trials(), key=lambda trial: trial.value)
    config = configs.load(study.folder / "best.toml")
    assert config == study.best_config()
    assert config.name == "tiny-best"
    assert configs.value_of(config, RATE) == best.values[RATE]


def test_more_trials_go_on_with_the_same_study(quick, searched, seen, base):
    study, _ = searching(searched, base, seen, 2)
    first = study.trials()
    again, progress = searching(searched, base, seen, 4)
    assert again.trials()[:2] == first
    assert len(again.trials()) == 4 == len(progress.said) + 2
    _, nothing = searching(searched, base, seen, 3)
    assert nothing.said == []


def test_a_seed_decides_what_is_tried_however_often_it_was_stopped(
    quick, searched, seen, base, tmp_path
):
    whole, _ = searching(searched, base, seen, 8)
    other = tmp_path / "other" / "base.toml"
    other.parent.mkdir()
    other.write_text(base.read_text())
    for trials in (1, 5, 8):
        parts, _ = searching(searched, other, seen, trials)
    assert [t.values for t in parts.trials()] == [t.values for t in whole.trials()]
    tried = [trial.values[RATE] for trial in whole.trials()]
    assert len(set(tried)) == 8


def test_trials_that_fall_behind_are_ended_early(quick, searched, seen, base):
    halving = dataclasses.replace(
        searched, tune=dataclasses.replace(searched.tune, first_rung=1, reduction=2)
    )
    study, progress = searching(halving, base, seen, 8)
    pruned = [trial for trial in study.trials() if trial.state == "pruned"]
    assert pruned
    assert all(trial.epochs < EPOCHS for trial in pruned)
    assert all(trial.epochs == EPOCHS for trial in study.trials() if trial not in pruned)
    complete = [trial.value for trial in study.trials() if trial.state == "complete"]
    assert min(complete) == min(loss_of_best(trial) for trial in study.trials())
    assert sum("ended early" in line for line in progress.said) == len(pruned)


def loss_of_best(trial: tune.Trial) -> float:
    return abs(math.log10(trial.values[RATE]) + 2) + 1 / EPOCHS


def test_a_metric_of_which_more_is_better(quick, searched, seen, base):
    goal = dataclasses.replace(
        searched, tune=dataclasses.replace(searched.tune, metric="rating/r2")
    )
    study, _ = searching(goal, base, seen, 5)
    best = configs.load(study.folder / "best.toml")
    values = {trial.value: trial.values[RATE] for trial in study.trials()}
    assert configs.value_of(best, RATE) == values[max(values)]
    assert f"rating/r2 {max(values):.6g}" in (study.folder / "best.toml").read_text()


def test_the_value_is_that_of_the_epoch_with_the_smallest_loss(searched, seen, base, monkeypatch):
    goal = dataclasses.replace(
        searched, tune=dataclasses.replace(searched.tune, metric="rating/r2")
    )

    def train(config, dataset, run, progress, on_epoch):
        for epoch, (loss, r2) in enumerate([(3.0, 0.1), (1.0, 0.2), (2.0, 0.9)], 1):
            on_epoch(epoch, {"loss": loss, "rating": {"r2": r2}})

    monkeypatch.setattr(loop, "train", train)
    study, _ = searching(goal, base, seen, 1)
    assert study.trials()[0].value == 0.2


def test_a_trial_that_diverges_is_a_result(searched, seen, base, monkeypatch):
    def train(config, dataset, run, progress, on_epoch):
        raise TrainingError("the loss of step 3 is nan; no good step")

    monkeypatch.setattr(loop, "train", train)
    study, progress = searching(searched, base, seen, 2)
    assert states(study) == ["pruned", "pruned"]
    assert study.trials()[0].reason == "the loss of step 3 is nan; no good step"
    assert "ended early: the loss of step 3 is nan" in progress.said[0]
    assert study.best_config() is None
    assert not (study.folder / "best.toml").exists()


def stopping(at_epoch: int, then):
    """The loop, which is stopped after an epoch and goes on from there when called again."""

    def train(config, dataset, run, progress, on_epoch):
        resumed = run.begin(config, dataset)
        done = [line["epoch"] for line in run.read_log()]
        for epoch in range(len(done) + 1, config.train.epochs + 1):
            found = {"loss": loss_of(config, epoch)}
            run.log({"step": epoch, "epoch": epoch, "validation": found})
            on_epoch(epoch, found)
            if epoch == at_epoch and not resumed:
                then()

    return train


def interrupt():
    raise Interrupted(signal.SIGTERM, 7)


def test_an_interrupted_trial_is_failed_and_goes_on_as_another(searched, seen, base, monkeypatch):
    monkeypatch.setattr(loop, "train", stopping(2, interrupt))
    with pytest.raises(Interrupted):
        searching(searched, base, seen, 1)
    study, progress = searching(searched, base, seen, 1)
    assert progress.said[0] == "trial 0 was interrupted; it is tried again"
    assert states(study) == ["failed", "complete"]
    failed, retried = study.trials()
    assert retried.values == failed.values
    assert (failed.epochs, retried.epochs) == (2, EPOCHS)  # told of all, trained only the third
    assert list((study.folder / "trials").iterdir()) == []


def test_a_trial_at_work_is_left_alone(quick, searched, seen, base, monkeypatch):
    monkeypatch.setattr(loop, "train", stopping(1, interrupt))
    with pytest.raises(Interrupted):
        searching(searched, base, seen, 1)
    folder = base.parent / "study" / "trials" / "0"
    with RunFolder(folder).claimed():  # as its process would
        study, _ = searching(searched, base, seen, 1)
        assert states(study) == ["running"]


def test_a_trial_that_always_dies_is_given_up(searched, seen, base, monkeypatch):
    def train(config, dataset, run, progress, on_epoch):
        interrupt()

    monkeypatch.setattr(loop, "train", train)
    for _ in range(3):
        with pytest.raises(Interrupted):
            searching(searched, base, seen, 1)
    study, progress = searching(searched, base, seen, 1)
    assert progress.said == ["trial 2 ended 3 times without a result"]
    assert states(study) == ["failed"] * 3


def in_another_process(config, base, seen, trials, epoch, mark):
    """Search, and after an epoch of the first trial say so and hang."""

    def hang():
        mark.touch()
        time.sleep(600)

    loop.train = stopping(epoch, hang)
    searching(config, base, seen, trials)


def pair_member(config, base, seen, trials, barrier):
    def slowly(config, dataset, run, progress, on_epoch):
        time.sleep(0.02)
        train(config, dataset, run, progress, on_epoch)

    loop.train = slowly
    study = opened(config, base)
    barrier.wait()
    progress = Told()
    study.search(seen, trials, progress)
    (base.parent / f"{os.getpid()}.said").write_text("\n".join(progress.said))


SPAWN = multiprocessing.get_context("spawn")


def light(seen: Dataset) -> Dataset:
    return dataclasses.replace(seen, splits={name: [] for name in tune.SPLITS})


@pytest.mark.multiprocess
def test_a_killed_process_leaves_a_study_that_goes_on(quick, searched, seen, base, tmp_path):
    mark, films = tmp_path / "mark", light(seen)
    process = SPAWN.Process(
        daemon=True, target=in_another_process, args=(searched, base, films, 2, 1, mark)
    )
    process.start()
    deadline = time.monotonic() + 100
    while not mark.exists():
        assert process.is_alive()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    study = opened(searched, base)
    assert states(study) == ["running"]
    process.kill()
    process.join()
    study, _ = searching(searched, base, films, 2)
    assert sorted(states(study)) == ["complete", "complete", "failed"]
    assert study.trials()[1].values == study.trials()[0].values


@pytest.mark.multiprocess
def test_two_processes_work_at_one_study(searched, seen, base):
    trials, barrier = 12, SPAWN.Barrier(2)
    arguments = (searched, base, light(seen), trials, barrier)
    pair = [SPAWN.Process(daemon=True, target=pair_member, args=arguments) for _ in range(2)]
    for process in pair:
        process.start()
    for process in pair:
        process.join(100)
        assert process.exitcode == 0
    study = opened(searched, base)
    assert states(study) == ["complete"] * trials
    assert len({trial.values[RATE] for trial in study.trials()}) == trials
    said = [path.read_text().splitlines() for path in base.parent.glob("*.said")]
    assert sum(map(len, said)) == trials
    assert all(said)
    assert configs.load(study.folder / "best.toml") == study.best_config()


def test_folders_of_trials_are_kept_on_demand(quick, searched, seen, base):
    study, _ = searching(searched, base, seen, 2, keep=True)
    assert sorted(p.name for p in (study.folder / "trials").iterdir()) == ["0", "1"]


def test_no_trial_begins_after_the_timeout(searched, seen, base, monkeypatch):
    def slowly(*args, **kwargs):
        time.sleep(0.3)
        train(*args, **kwargs)

    monkeypatch.setattr(loop, "train", slowly)
    study, _ = searching(searched, base, seen, 50, timeout=0.25)
    assert states(study) == ["complete"]


def test_a_dataset_with_test_films_is_refused(searched, few, base):
    with pytest.raises(AssertionError, match="must not see test films"):
        opened(searched, base).search(few, 1, Told())


def test_a_study_of_another_config_or_other_films_is_refused(searched, base):
    opened(searched, base)
    free = configs.with_values(searched, {"parallel.mode": "pmap"}, "x")
    opened(free, base)
    other = configs.with_values(searched, {"train.epochs": 4}, "x")
    with pytest.raises(ConfigError, match=r"another config \(train\.epochs: 3 -> 4\); .*--run"):
        opened(other, base)
    space = dataclasses.replace(searched, tune=TuneConfig(space={RATE: SPACE[RATE]}))
    with pytest.raises(ConfigError, match=r"tune\.first_rung: 3 -> 2; .*tune\.space"):
        opened(space, base)
    with pytest.raises(ConfigError, match="the films"):
        opened(searched, base, fingerprint="more films")


@pytest.mark.parametrize(
    "url", ["nonsense", "sqlite:////nowhere/study.db", "postgresql+none://host/name"]
)
def test_a_storage_that_cannot_be_opened(searched, base, url):
    with pytest.raises(ConfigError, match=f"^{url[:8]}.*: cannot be opened as a study: "):
        opened(searched, base, storage=url)


def test_a_damaged_study_is_told_in_one_line(searched, base):
    folder = base.parent / "study"
    folder.mkdir()
    (folder / "study.db").write_bytes(b"not a database, but long enough to be read as one" * 99)
    with pytest.raises(ConfigError, match=r"study\.db: cannot be opened as a study") as caught:
        opened(searched, base)
    assert "\n" not in str(caught.value)


def test_another_storage_holds_the_study(quick, searched, seen, base, tmp_path):
    storage = f"sqlite:///{tmp_path}/elsewhere.db"
    opened(searched, base, storage=storage).search(seen, 2, Told())
    assert not (base.parent / "study" / "study.db").exists()
    assert states(opened(searched, base, storage=storage)) == ["complete"] * 2


def test_importances_name_what_mattered(quick, searched, seen, base):
    study, _ = searching(searched, base, seen, 3)
    assert study.importances() == {}  # too few
    study, _ = searching(searched, base, seen, 25)
    shares = study.importances()
    assert set(shares) == {RATE, HIDDEN}
    assert sum(shares.values()) == pytest.approx(1)
    assert shares[RATE] > 0.7


def test_the_best_is_written_though_the_process_that_found_it_died(quick, searched, seen, base):
    study, _ = searching(searched, base, seen, 2)
    best = study.folder / "best.toml"
    before = best.read_text()
    best.unlink()
    searching(searched, base, seen, 2)
    assert best.read_text() == before


def test_a_folder_that_an_earlier_study_left_is_begun_anew(quick, searched, seen, base):
    first, _ = searching(searched, base, seen, 1, keep=True)
    (first.folder / "study.db").unlink()
    longer = configs.with_values(searched, {"train.epochs": 4}, "x")
    study, _ = searching(longer, base, seen, 1)
    assert [trial.epochs for trial in study.trials()] == [4]
