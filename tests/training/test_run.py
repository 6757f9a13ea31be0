"""The run folder: claimed once, crash-proof files, a log without doubles."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import shutil
import signal
import subprocess
import sys

import pytest
from conftest import ROOT

from mfp.config import ConfigError
from mfp.training import run as run_module
from mfp.training.run import BusyError, RunFolder, write_json, write_text


def test_a_new_folder_is_claimed_and_found_again(tmp_path, tiny, few):
    run = RunFolder(tmp_path / "runs" / "new")
    assert run.begin(tiny, few) is False
    assert run.begin(tiny, few) is True
    assert run.read_config() == (tiny, "few films")


def test_a_folder_of_another_config_is_refused_by_the_key(tmp_path, tiny, few):
    run = RunFolder(tmp_path)
    run.begin(tiny, few)
    other = dataclasses.replace(tiny, seed=5)
    with pytest.raises(ConfigError, match=r"another config \(seed: 0 -> 5\)"):
        run.begin(other, few)
    deeper = dataclasses.replace(
        tiny, optimizer=dataclasses.replace(tiny.optimizer, learning_rate=0.5)
    )
    with pytest.raises(ConfigError, match=r"optimizer.learning_rate: 0.02 -> 0.5"):
        run.begin(deeper, few)
    assert run.read_config()[0] == tiny  # the folder is as it was


def test_a_folder_of_other_films_is_refused(tmp_path, tiny, few):
    run = RunFolder(tmp_path)
    run.begin(tiny, few)
    with pytest.raises(ConfigError, match="the films changed"):
        run.begin(tiny, dataclasses.replace(few, fingerprint="other"))


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "{}", '{"config": {}}', '{"config": {"nme": "x"}, "fingerprint": ""}'],
)
def test_a_damaged_config_file_is_a_config_error(tmp_path, content):
    run = RunFolder(tmp_path)
    run.config_file.write_text(content)
    with pytest.raises(ConfigError, match=r"config\.json"):
        run.read_config()


def test_a_folder_that_is_no_run_is_named(tmp_path):
    with pytest.raises(ConfigError, match="is not a run folder"):
        RunFolder(tmp_path / "nothing").read_config()


@pytest.mark.parametrize("content", [None, "", "{}", '{"numbers": 3}'])
def test_damaged_features_are_a_config_error(tmp_path, content):
    run = RunFolder(tmp_path)
    if content is not None:
        run.features_file.write_text(content)
    with pytest.raises(ConfigError, match=r"features\.json: cannot be read"):
        run.read_features()


def test_the_log_is_cut_back_to_a_step(tmp_path):
    run = RunFolder(tmp_path)
    run.truncate_log(3)  # no log yet
    lines = [{"step": step, "loss": 1 / step} for step in (1, 2, 3, 4, 5)]
    for line in lines:
        run.log(line)
    with run.log_file.open("a") as file:
        file.write('[1]\n{"loss": 1}\n{"step": 2, "lo')  # cut short by a crash
    run.truncate_log(3)
    assert [json.loads(line) for line in run.log_file.read_text().splitlines()] == lines[:3]
    run.truncate_log(0)
    assert run.log_file.read_text() == ""


def test_no_log_begins_where_the_run_is_gone(tmp_path, tiny, few):
    """A checkpoint in the background makes the folder anew where its disk is no longer there."""
    run = RunFolder(tmp_path / "run")
    run.begin(tiny, few)
    run.log({"step": 1})
    shutil.rmtree(run.path)
    run.checkpoints.mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match=r"log\.jsonl"):
        run.log({"step": 2})
    assert not run.log_file.exists()


def test_a_file_is_replaced_whole(tmp_path):
    path = tmp_path / "metrics.json"
    write_json(path, {"title": "Amélie"})
    with pytest.raises(TypeError):
        write_json(path, {"bad": object()})
    with pytest.raises(UnicodeEncodeError):
        write_text(path, "\ud800")  # fails while writing: the old file stays
    assert json.loads(path.read_text("utf-8")) == {"title": "Amélie"}
    assert "Amélie" in path.read_text("utf-8")


def test_a_run_may_go_on_with_other_devices_and_intervals(tmp_path, tiny, few):
    run = RunFolder(tmp_path)
    run.begin(tiny, few)
    other = dataclasses.replace(
        tiny,
        parallel=dataclasses.replace(tiny.parallel, mode="pmap"),
        train=dataclasses.replace(tiny.train, checkpoint_every=7, checkpoint_minutes=3.0),
    )
    assert run.begin(other, few) is True
    assert run.read_config()[0] == other


def test_a_folder_is_claimed_by_one_alone(tmp_path):
    run = RunFolder(tmp_path / "new")
    with run.claimed(), run.claimed():  # the same may claim again
        with pytest.raises(BusyError, match=rf"process {os.getpid()} on ") as caught:
            RunFolder(run.path).claimed().__enter__()
        assert str(run.path) in str(caught.value)
        assert "\n" not in str(caught.value)
    with RunFolder(run.path).claimed(), pytest.raises(BusyError), run.claimed():
        pass


def test_the_claim_of_a_killed_process_is_gone(tmp_path):
    code = (
        "import os, signal, sys; from pathlib import Path; from mfp.training.run import RunFolder\n"
        "RunFolder(Path(sys.argv[1])).claimed().__enter__()\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path], cwd=ROOT, timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert "process" in (tmp_path / ".lock").read_text()
    with RunFolder(tmp_path).claimed():
        pass


def test_a_file_system_without_locks_stops_nobody(tmp_path, monkeypatch):
    def unsupported(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(run_module.fcntl, "flock", unsupported)
    with RunFolder(tmp_path).claimed():
        pass
