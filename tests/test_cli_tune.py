"""The command mfp tune."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import compilation
import pytest
from click.testing import CliRunner
from conftest import ROOT

from mfp import config as configs
from mfp.cli import main

pytest.importorskip("optuna", reason="Optuna is not installed (pip install 'mfp[tune]')")

MINI = """
extends = {base}
name = "mini"
data.prepared = {prepared}
[features]
numbers = ["runtime_minutes"]
texts = []
sets = {{ people = [], content = ["genres"], origin = [] }}
[model]
fusion.hidden = [8]
[train]
epochs = 2
[tune]
metric = "rating/r2"
first_rung = 1
[tune.space]
"optimizer.learning_rate" = {{ low = 1e-3, high = 1e-1, log = true }}
"""


@pytest.fixture(scope="module", autouse=True)
def compiled_once(tmp_path_factory):
    with compilation.cached(tmp_path_factory) as folder:
        yield folder


@pytest.fixture
def work(tmp_path, prepared, dataset, monkeypatch) -> Path:
    """A working folder with a config over prepared films of its own, whose test split is garbage.

    Of the same size, for files that are missing or cut would be prepared anew.
    """
    copy = tmp_path / "prepared"
    shutil.copytree(prepared, copy, ignore=shutil.ignore_patterns("columns"))
    gone = list(copy.glob("**/*-test.array_record*"))
    assert gone
    for path in gone:
        path.write_bytes(bytes(path.stat().st_size))
    base, folder = json.dumps(str(ROOT / "configs" / "debug.toml")), json.dumps(str(copy))
    (tmp_path / "mini.toml").write_text(MINI.format(base=base, prepared=folder))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def mfp(*arguments):
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def test_a_search_leaves_a_config_plots_and_a_table_and_reads_no_test_film(work):
    from mfp.data import dataset

    films = dataset.prepare(configs.load("mini.toml").data).splits["test"]
    with pytest.raises(RuntimeError, match="Corrupted"):  # who opens it notices
        next(iter(films))
    result = mfp("tune", "-c", "mini.toml", "--trials", "2", "--set", "train.log_every=5")
    assert result.exit_code == 0, result.output
    assert "trial   0  rating/r2" in result.stderr
    assert "*best" in result.stderr
    rows = [line.split() for line in result.stdout.splitlines()]
    (values,) = [row[2:] for row in rows if row[:2] == ["validation", "rating/r2"]]
    assert values == sorted(values, key=float, reverse=True)
    assert result.stdout.endswith("Try next:\n  mfp train --config runs/mini/best.toml\n")
    run = work / "runs" / "mini"
    assert (run / "history.png").read_bytes()[:4] == b"\x89PNG"
    best = configs.load(run / "best.toml")
    assert best.name == "mini-best"
    assert best.train.log_every == 5  # what --set said goes along
    assert f"learning_rate = {best.optimizer.learning_rate}" in (run / "best.toml").read_text()
    assert list((run / "trials").iterdir()) == []

    again = mfp("tune", "-c", "mini.toml", "--trials", "2", "--set", "train.log_every=5", "-q")
    assert (again.stdout, again.stderr) == (result.stdout, "")


def test_a_dry_run_shows_the_search_and_writes_nothing(work):
    before = sorted(work.rglob("*"))
    result = mfp("tune", "-c", "mini.toml", "--trials", "7", "--dry-run")
    assert result.exit_code == 0
    assert "0.001 to 0.1, over magnitudes" in result.stdout
    assert "largest validation rating/r2 is best" in result.stdout
    assert "7 trials of at most 2 epochs; the best 1/3 go on after epoch 1" in result.stdout
    assert "study  runs/mini/study.db" in result.stdout
    assert sorted(work.rglob("*")) == before


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("tune.metric=rating/r", "tune.metric: 'rating/r' is not a choice; did you mean"),
        ("tune.metrik=loss", "tune.metrik: unknown key; did you mean 'metric'?"),
        ("data.split.test_until=1900-01-01", "train_until < validation_until < test_until"),
    ],
)
def test_a_wrong_search_is_one_line(work, override, said):
    result = mfp("tune", "-c", "mini.toml", "--set", override)
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith("Error: ")
    assert said in line
    assert not (work / "runs").exists()


def test_a_config_without_a_search(work):
    result = mfp("tune", "-c", ROOT / "configs" / "base.toml", "--dry-run")
    assert result.exit_code == 1
    assert "Error: tune.space: is empty; name keys to search" in result.stderr


def test_without_optuna_the_extra_is_named(work):
    code = (
        "import sys; sys.modules['optuna'] = None\n"
        "from mfp.cli import main; main(['tune', '-c', 'mini.toml'])"
    )
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{code}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, cwd=work)
    assert done.returncode == 1
    assert done.stderr == "Error: Optuna is not installed; run: pip install 'mfp[tune]'\n"


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGUSR1, 138)]
)
def test_a_signal_says_how_to_go_on(work, monkeypatch, number, code):
    from mfp.training import loop

    def train(*_, **__):
        signal.raise_signal(number)
        raise AssertionError("it went on")

    monkeypatch.setattr(loop, "train", train)
    result = mfp("tune", "-c", "mini.toml", "--trials", "1", "-q")
    assert result.exit_code == code
    name = signal.Signals(number).name
    assert result.stderr == f"runs/mini: stopped by {name}. Run the same command to resume.\n"
    monkeypatch.undo()
    monkeypatch.chdir(work)
    monkeypatch.setattr(loop, "train", lambda *_, on_epoch, **__: on_epoch(1, FOUND))
    again = mfp("tune", "-c", "mini.toml", "--trials", "1")
    assert again.exit_code == 0
    assert "trial 0 was interrupted; it is tried again" in again.stderr


FOUND = {"loss": 1.0, "rating": {"r2": 0.5}}


def test_no_trial_that_came_to_its_end_is_told(work, monkeypatch):
    from mfp.training import loop
    from mfp.training.finite import TrainingError

    def train(*_, **__):
        raise TrainingError("the loss of step 1 is nan")

    monkeypatch.setattr(loop, "train", train)
    result = mfp("tune", "-c", "mini.toml", "--trials", "1")
    assert result.exit_code == 1
    assert "runs/mini: no trial came to its end" in result.stderr
