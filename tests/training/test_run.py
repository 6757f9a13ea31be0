"""The run folder: claimed once, crash-proof files, a log without doubles."""

from __future__ import annotations

import dataclasses
import json

import pytest

from mfp.config import ConfigError
from mfp.training.run import RunFolder, write_json, write_text


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


def test_a_file_is_replaced_whole(tmp_path):
    path = tmp_path / "metrics.json"
    write_json(path, {"title": "Amélie"})
    with pytest.raises(TypeError):
        write_json(path, {"bad": object()})
    with pytest.raises(UnicodeEncodeError):
        write_text(path, "\ud800")  # fails while writing: the old file stays
    assert json.loads(path.read_text("utf-8")) == {"title": "Amélie"}
    assert "Amélie" in path.read_text("utf-8")
