"""The command mfp, end to end: prepare, train, evaluate, export; errors in one line."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import compilation
import pytest
from click.testing import CliRunner

from mfp import cli_train
from mfp.cli import main
from mfp.cli_predict import main as predict
from mfp.training import verify
from mfp.training.run import RunFolder

ROOT = Path(__file__).resolve().parent.parent
# Numbers and genres alone, which compile in seconds, over the films of configs/debug.toml.
MINI = """
name = "mini"
[data]
prepared = "{prepared}"
[data.split]
train_until = "1949-12-31"
validation_until = "1952-12-31"
test_until = "1955-12-31"
[features]
numbers = ["runtime_minutes", "release_year"]
sets.content = ["genres"]
[model]
fusion.hidden = [8]
[train]
batch_size = 64
epochs = 2
"""


@pytest.fixture(scope="module", autouse=True)
def compiled_once(tmp_path_factory):
    with compilation.cached(tmp_path_factory) as folder:
        yield folder


@pytest.fixture(scope="module")
def work(tmp_path_factory, prepared, dataset):
    """A working folder with a config, where the commands of this file run."""
    folder = tmp_path_factory.mktemp("work")
    (folder / "mini.toml").write_text(MINI.format(prepared=prepared))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield folder


def mfp(*arguments):
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


@pytest.fixture(scope="module")
def trained(work):
    result = mfp("train", "--config", "mini.toml")
    assert result.exit_code == 0, result.output
    return result


def content(folder: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_train_ends_with_a_command_that_works(work, trained):
    for name in ("config.json", "features.json", "log.jsonl", "metrics.json", "bundle"):
        assert (work / "runs" / "mini" / name).exists()
    assert "held-out test films" in trained.stdout
    assert "ridge" in trained.stdout
    command = shlex.split(trained.stdout.splitlines()[-1])
    assert command[:3] == ["mfp-predict", "--model", "runs/mini/bundle"]
    result = CliRunner().invoke(predict, command[1:])
    assert result.exit_code == 0, result.output
    assert 0 <= json.loads(result.stdout)["rating"] <= 10


def test_a_second_call_does_not_train_again(work, trained):
    run = work / "runs" / "mini"
    parts = ("checkpoints", "bundle")
    before = [content(run / part) for part in parts], (run / "log.jsonl").read_bytes()
    metrics = json.loads((run / "metrics.json").read_text())
    again = mfp("train", "--config", "mini.toml")
    assert again.exit_code == 0
    assert ([content(run / part) for part in parts], (run / "log.jsonl").read_bytes()) == before
    assert again.stdout == trained.stdout
    assert "epoch   1" in trained.stderr
    assert "epoch   1" not in again.stderr
    after = json.loads((run / "metrics.json").read_text())
    assert {**after, "seconds": 0} == {**metrics, "seconds": 0}


def test_quiet_says_the_result_alone(work, trained):
    result = mfp("train", "--config", "mini.toml", "--quiet")
    assert result.stdout == trained.stdout
    assert result.stderr == ""


def one_line(result, *parts):
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith("Error: ")
    for part in parts:
        assert part in line


def test_a_run_of_another_config_is_refused_by_the_key(trained):
    result = mfp("train", "--config", "mini.toml", "--set", "train.epochs=3")
    one_line(result, "runs/mini", "train.epochs: 2 -> 3", "--run")


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        ("optimizer.learning_rte=1", ("optimizer.learning_rte", "did you mean 'learning_rate'?")),
        ("optimizer.name=adm", ("optimizer.name", "did you mean 'adam'?")),
        ("train.epochs=many", ("train.epochs", "must be a whole number")),
        ("train.epochs=0", ("train.epochs", "must be at least 1")),
        ("features.numbers=['runtime']", ("features.numbers", "runtime_minutes")),
        ("features.texts=['rating']", ("features.texts", "'rating' is a target")),
    ],
)
def test_a_config_error_is_one_line_with_the_key_and_the_nearest(work, override, parts):
    one_line(mfp("train", "--config", "mini.toml", "--set", override), *parts)


def test_a_config_that_is_not_there(work):
    one_line(mfp("train", "--config", "nothing.toml"), "nothing.toml: no such config file")


def test_a_table_that_is_not_there(work):
    one_line(mfp("train", "--config", "mini.toml", "--table", "films.csv"), "films.csv")


def test_evaluate_as_json(work, trained):
    result = mfp("evaluate", "runs/mini", "--json")
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    metrics = json.loads((work / "runs" / "mini" / "metrics.json").read_text())
    for part in ("test", "validation", "baselines", "fingerprint", "versions"):
        assert found[part] == metrics[part]
    assert result.stderr == ""


def test_evaluate_as_a_table(trained):
    result = mfp("evaluate", "runs/mini")
    assert result.exit_code == 0
    table = trained.stdout.split("checkpoint")[0]
    assert result.stdout.startswith(table.rstrip())
    assert "90% intervals: rating" in result.stdout.removeprefix(table.rstrip())


def test_evaluate_beside_the_rivals(work, trained, tmp_path, monkeypatch):
    pytest.importorskip("lightgbm", reason="pip install 'mfp[compare]'")
    from mfp.training import boosting

    monkeypatch.setattr(boosting, "TRIALS", 2)
    run = tmp_path / "mini"
    shutil.copytree(work / "runs" / "mini", run)
    result = mfp("evaluate", run, "--compare")
    assert result.exit_code == 0, result.output
    found = json.loads((run / "metrics.json").read_text())
    assert next(iter(found)) == "comparison"
    first = result.stdout.splitlines()[0]
    assert first == found["comparison"]["verdict"]
    assert first.startswith(("The network", "No difference is shown"))
    assert {"mean", "ridge", "logistic", "lightgbm"} == set(found["baselines"])
    for target, by_rival in found["comparison"]["differences"].items():
        for rival, scores in by_rival.items():
            for metric in set(scores) & set(found["test"][target]):
                expected = found["test"][target][metric], found["baselines"][rival][target][metric]
                assert (scores[metric]["network"], scores[metric]["rival"]) == pytest.approx(
                    expected
                )
    # What was measured is kept as long as the network and its films are the same.
    again = mfp("evaluate", run)
    assert again.stdout.splitlines()[0] == first
    assert json.loads((run / "metrics.json").read_text())["comparison"] == found["comparison"]
    page = mfp("report", run)
    assert page.exit_code == 0, page.output
    html = (run / "report.html").read_text()
    assert first.split(" (")[0].replace("'", "&#39;") in html
    kept = tmp_path / "rivals.npz"
    where = ("--refit-rivals", "--where", "runtime_minutes>=80", "--rivals", kept, "--json")
    some = mfp("evaluate", run, "--compare", *where)
    assert kept.exists()
    assert some.exit_code == 0, some.output
    shown = json.loads(some.stdout)
    assert shown["comparison"]["refit"]
    assert shown["test"]["rating"]["n"] < found["test"]["rating"]["n"]
    assert json.loads((run / "metrics.json").read_text())["comparison"] == found["comparison"]


def test_rivals_that_are_not_installed_are_named(work, trained, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "lightgbm", None)
    one_line(mfp("evaluate", "runs/mini", "--compare"), "pip install 'mfp[compare]'")
    assert mfp("evaluate", "runs/mini", "--refit-rivals").exit_code == 2
    assert mfp("evaluate", "runs/mini", "--rivals", "rivals.npz").exit_code == 2


def test_the_card_of_a_bundle(work, trained):
    result = mfp("bundle", "show", "runs/mini/bundle")
    assert result.exit_code == 0, result.output
    found = json.loads(mfp("bundle", "show", "runs/mini/bundle", "--json").stdout)
    assert found["id"] in result.stdout
    assert found["id"] == json.loads((work / "runs/mini/bundle/manifest.json").read_text())["id"]
    for said in ("verified", "before release", "ridge", "known limits", "to 1949"):
        assert said in result.stdout
    assert found["data"]["known"]["train"]["rating"] > 0


def test_the_card_of_a_changed_bundle_is_refused(work, trained, tmp_path):
    copy = tmp_path / "bundle"
    shutil.copytree(work / "runs/mini/bundle", copy)
    (copy / "reference.npy").write_bytes(b"")
    one_line(mfp("bundle", "show", copy), "reference.npy: differs from the manifest")
    assert "verified  not" in mfp("bundle", "show", copy, "--no-verify").stdout
    one_line(mfp("bundle", "show", tmp_path), "is not a bundle")


def test_are_the_explanations_faithful(work, trained, monkeypatch):
    from mfp.forecast import faithfulness

    monkeypatch.setattr(faithfulness, "FILMS", 20)
    result = mfp("evaluate", "runs/mini", "--faithfulness")
    assert result.exit_code == 0, result.output
    assert "modality" in result.stdout
    rows = json.loads((work / "runs/mini/faithfulness.json").read_text())
    assert {row["kind"] for row in rows} >= {"modality"}
    assert all(row["films"] <= 20 for row in rows)
    assert json.loads(mfp("evaluate", "runs/mini", "--faithfulness", "--json").stdout) == rows


def test_evaluate_without_a_run(work):
    one_line(mfp("evaluate", "runs/other"), "runs/other: is not a run folder")


def test_export_writes_an_equal_bundle_once(work, trained):
    result = mfp("export", "runs/mini", "--output", "again")
    assert result.exit_code == 0, result.output
    film = ["--title", "Heat 2", "--genre", "Crime", "--runtime", "150"]
    forecasts = [
        CliRunner().invoke(predict, ["-m", folder, *film]).stdout
        for folder in ("again", "runs/mini/bundle")
    ]
    assert forecasts[0] == forecasts[1] != ""
    twice = mfp("export", "runs/mini", "--output", "again")
    assert twice.exit_code == 1
    assert twice.stderr.splitlines()[-1] == "Error: again: exists; remove it or export elsewhere"


TABLE = """title,release_date,runtime,genres,rating
One,1940-05-01,90,Drama,6.5
Two,1951-05-01,95,Drama|Crime,7.5
Three,1954-05-01,100,Crime,5.5
Four,1954-06-01,never,Crime,5.5
Five,1954-07-01,100,Crime,11
"""


def test_prepare_a_table(work):
    (work / "films.csv").write_text(TABLE)
    arguments = ("data", "prepare", "--config", "mini.toml", "--table", "films.csv")
    result = mfp(*arguments, "--rejects", "rejects.jsonl")
    assert result.exit_code == 0, result.output
    counts = [line.split()[:2] for line in result.stdout.splitlines()[:3]]
    assert counts == [["train", "1"], ["validation", "1"], ["test", "1"]]
    assert "films.csv, row 5, runtime_minutes: 'never' is not a number" in result.stderr
    found = [json.loads(line) for line in (work / "rejects.jsonl").read_text().splitlines()]
    assert [(reject["row"], reject["field"]) for reject in found] == [
        (5, "runtime_minutes"),
        (6, "rating"),
    ]
    again = mfp(*arguments)
    assert again.stdout == result.stdout  # the same folder and fingerprint


def test_prepare_names_an_empty_split(work):
    (work / "old.csv").write_text("title,release_date\nOne,1940-05-01\n")
    result = mfp("data", "prepare", "--config", "mini.toml", "--table", "old.csv")
    assert result.exit_code == 1
    assert "Error: " in result.stderr.splitlines()[-1]
    assert "no film falls into validation" in result.stderr.splitlines()[-1]


def test_a_second_train_in_the_same_folder_is_told_so(work):
    with RunFolder(work / "runs" / "busy").claimed():
        result = mfp("train", "--config", "mini.toml", "--run", "runs/busy", "--quiet")
    one_line(result, "runs/busy: another mfp train is at work", f"process {os.getpid()}", "--run")


def test_a_signal_before_the_first_step_stops_at_once(work, monkeypatch):
    def prepare(*_, **__):
        os.kill(os.getpid(), signal.SIGUSR1)
        raise AssertionError("it went on")

    monkeypatch.setattr(cli_train, "prepare_films", prepare)
    result = mfp("train", "--config", "mini.toml", "--run", "runs/early")
    assert result.exit_code == 138
    assert result.stderr == ("runs/early: stopped by SIGUSR1. Run the same command to resume.\n")


@pytest.mark.parametrize("steps", ["10", "10:", ":5", "5:4", "0:4", "a:b", "-1:4"])
def test_steps_to_profile_that_make_no_sense(work, steps):
    result = mfp("train", "--config", "mini.toml", "--profile", steps)
    assert result.exit_code == 2
    assert "write FIRST:LAST" in result.stderr


@pytest.mark.parametrize(("different", "code"), [(0, 0), (2, 1)])
def test_verify_resume_shows_a_table(work, monkeypatch, different, code):
    asked = []

    def found(config, folder, kills, seed, say):
        asked.append((config.name, folder.is_dir(), kills, seed))
        say("training undisturbed")
        rows = [verify.Interruption("SIGKILL", 14, 10, 5)]
        return verify.Verdict(rows, [verify.Comparison("parameters", 59, different)])

    monkeypatch.setattr(verify, "verify", found)
    result = mfp("verify-resume", "--config", "mini.toml", "--kills", "2", "--seed", "7")
    assert asked == [("mini", True, 2, 7)]
    assert result.exit_code == code
    assert "training undisturbed" in result.stderr
    rows = [line.split() for line in result.stdout.splitlines()]
    assert ["SIGKILL", "14", "10", "4", "5", "ok"] in rows
    assert ["parameters", "59", str(different)] in rows
    assert ("The same, bit for bit." in result.stdout) == (code == 0)


@pytest.mark.slow
def test_a_training_process_that_is_told_to_stop_can_be_resumed(work, tmp_path_factory):
    arguments = ["train", "--config", "mini.toml", "--run", "stopped", "--set", "train.epochs=4000"]
    arguments += ["--set", "train.patience=4000", "--set", "train.log_every=1"]
    process = subprocess.Popen(
        [sys.executable, "-c", "from mfp.cli import main; main()", *arguments],
        cwd=work,
        env=compilation.environment(tmp_path_factory) | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    log = work / "stopped" / "log.jsonl"
    deadline = time.monotonic() + 100
    while not (log.exists() and log.read_text().count("\n") > 5):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.1)
    os.kill(process.pid, signal.SIGTERM)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert "stopped by SIGTERM after step" in error
    assert "Run the same command to resume" in error
    assert "Traceback" not in error
    steps = [json.loads(line)["step"] for line in log.read_text().splitlines()]
    checkpoints = [int(p.name) for p in (work / "stopped/checkpoints").iterdir()]
    assert max(checkpoints) == steps[-1]


def test_refit_trains_once_more_on_all_but_the_test_films(work, trained):
    result = mfp("train", "--config", "mini.toml", "--run", "refitted", "--refit")
    assert result.exit_code == 0, result.output
    assert "final fit: " in result.stderr
    assert "before refit" in result.stdout
    assert "calibrated by the errors that the network had" in result.stdout
    assert "--model refitted/refit/bundle" in result.stdout
    assert not (work / "refitted" / "bundle").exists()
    evaluated = mfp("evaluate", "refitted/refit", "--where", "runtime_minutes>=60")
    assert evaluated.exit_code == 0, evaluated.output
    shown = mfp("bundle", "show", "refitted/refit/bundle")
    assert "before refit" in shown.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--distributed"], "--refit: is for one process"),
        (["--set", "train.final_epochs=1"], "--refit: finds train.final_epochs by itself"),
    ],
)
def test_what_refit_cannot_do_is_refused(work, arguments, message):
    result = mfp("train", "--config", "mini.toml", "--refit", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
