"""Long runs: shards are a partition, and a run that is resumed ends in the same bytes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import compilation
import pytest
from click.testing import CliRunner
from conftest import ROOT

from mfp import cli_stream
from mfp.cli_predict import main
from mfp.cli_stream import Journal, Shard, Tally

BUNDLE = ROOT / "tests" / "golden" / "format-2" / "bundle"
PROGRAM = [sys.executable, "-c", "from mfp.cli_predict import main; main()"]


@pytest.fixture(scope="module", autouse=True)
def compiled_once(tmp_path_factory):
    with compilation.cached(tmp_path_factory) as folder:
        yield folder


def write_films(path: Path, count: int) -> Path:
    """Every tenth row cannot be read."""
    rows = [f"{i},Film {i},{'long' if i % 10 == 9 else 80 + i % 50}" for i in range(count)]
    path.write_text("\n".join(["id,title,runtime", *rows]) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def films(tmp_path_factory) -> Path:
    return write_films(tmp_path_factory.mktemp("films") / "films.csv", 700)


def predict(*arguments):
    given = [str(argument) for argument in arguments]
    return CliRunner().invoke(main, ["--model", str(BUNDLE), "--compiled", "none", *given])


def ids(text: str) -> list[int]:
    return [int(json.loads(line)["id"]) for line in text.splitlines()]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_shards_are_a_partition(films, tmp_path, count):
    served, rejected = [], []
    for index in range(1, count + 1):
        out, bad = tmp_path / f"{index}.jsonl", tmp_path / f"bad-{index}.jsonl"
        result = predict(films, "-o", out, "--rejects", bad, "--shard", f"{index}/{count}")
        assert result.exit_code in (0, 3), result.output
        found = ids(out.read_text())
        assert {i % count for i in found} == {index - 1}
        served += found
        rejected += [json.loads(line)["row"] - 2 for line in bad.read_text().splitlines()]
    assert sorted(served) == [i for i in range(700) if i % 10 != 9]
    assert sorted(rejected) == list(range(9, 700, 10))


def test_rows_of_several_files_are_counted_on(tmp_path):
    paths = [tmp_path / f"{i}.jsonl" for i in range(4)]
    for i, path in enumerate(paths):
        path.write_text(json.dumps({"id": i, "title": "x"}))
    assert ids(predict(*paths, "--shard", "1/2").stdout) == [0, 2]
    assert ids(predict(*paths, "--shard", "2/2").stdout) == [1, 3]


@pytest.mark.parametrize("text", ["0/3", "4/3", "3", "a/b", "1/0", "-1/3", "1/3/5"])
def test_a_wrong_shard_is_wrong_usage(films, text):
    result = predict(films, "--shard", text)
    assert result.exit_code == 2
    assert "write I/N with I from 1 to N" in result.stderr


class Interrupted:
    """Interrupts the run after so many rows were written."""

    def __init__(self, monkeypatch, after: int):
        self.left = after
        original = Journal.wrote_a_row

        def wrote(journal):
            original(journal)
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt

        monkeypatch.setattr(Journal, "wrote_a_row", wrote)


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
@pytest.mark.parametrize("after", [1, 255, 256, 257, 600])
def test_a_resumed_run_ends_in_the_same_bytes(films, tmp_path, monkeypatch, suffix, after):
    monkeypatch.setattr(cli_stream, "SECONDS", 0.0)
    whole, bad = tmp_path / f"whole.{suffix}", tmp_path / "bad.jsonl"
    assert predict(films, "-o", whole, "--rejects", bad).exit_code == 3
    out, again = tmp_path / f"out.{suffix}", tmp_path / "again.jsonl"
    with monkeypatch.context() as patch:
        Interrupted(patch, after)
        stopped = predict(films, "-o", out, "--rejects", again)
    assert stopped.exit_code == 130
    assert stopped.stderr.splitlines()[-1].startswith("interrupted")
    assert not out.exists()
    resumable = Path(f"{out}.resume.json").exists()
    assert resumable == (after >= 256) == Path(f"{out}.partial").exists()
    assert ("--resume goes on" in stopped.stderr) == resumable
    result = predict(films, "-o", out, "--rejects", again, "--resume")
    assert result.exit_code == 3, result.output
    assert "70 rows were rejected" in result.stderr
    assert out.read_bytes() == whole.read_bytes()
    assert again.read_bytes() == bad.read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(
        [whole.name, bad.name, out.name, again.name]
    )


def test_only_the_rest_is_served_again(films, tmp_path, monkeypatch):
    monkeypatch.setattr(cli_stream, "SECONDS", 0.0)
    out = tmp_path / "out.csv"
    with monkeypatch.context() as patch:
        Interrupted(patch, 300)
        predict(films, "-o", out)
    result = predict(films, "-o", out, "--resume")
    # Of 256 films that could be read, the last is of row 283 from 0.
    assert f"{out}: goes on after 284 rows" in result.stderr


def test_shards_are_resumed_too(films, tmp_path, monkeypatch):
    monkeypatch.setattr(cli_stream, "SECONDS", 0.0)
    whole, out = tmp_path / "whole.csv", tmp_path / "out.csv"
    predict(films, "-o", whole, "--shard", "2/2")
    with monkeypatch.context() as patch:
        Interrupted(patch, 280)
        predict(films, "-o", out, "--shard", "2/2")
    other = predict(films, "-o", out, "--shard", "1/2", "--resume")
    assert other.exit_code == 1
    assert "belongs to a run with another shard" in other.stderr
    predict(films, "-o", out, "--shard", "2/2", "--resume")
    assert out.read_bytes() == whole.read_bytes()


@pytest.fixture
def interrupted(tmp_path, monkeypatch):
    """A run of a table of its own that was interrupted: (table, output)."""
    monkeypatch.setattr(cli_stream, "SECONDS", 0.0)
    table, out = write_films(tmp_path / "films.csv", 300), tmp_path / "out.csv"
    with monkeypatch.context() as patch:
        Interrupted(patch, 256)
        predict(table, "-o", out)
    assert cli_stream.can_be_resumed(str(out))
    return table, out


def test_what_has_changed_is_not_resumed(interrupted):
    table, out = interrupted
    for more, what in ((("--level", "0.5"), "level"), (("--rejects", f"{out}.bad"), "rejects")):
        result = predict(table, "-o", out, "--resume", *more)
        assert result.exit_code == 1
        assert f"belongs to a run with another {what}; without --resume" in result.stderr
    write_films(table, 301)
    result = predict(table, "-o", out, "--resume")
    assert result.exit_code == 1
    assert "belongs to a run with another films" in result.stderr
    assert predict(table, "-o", out).exit_code == 3  # anew
    assert len(out.read_text().splitlines()) == 1 + 271
    assert not cli_stream.can_be_resumed(str(out))


@pytest.mark.parametrize("damage", ["{", "[]", '{"rows": 3}'])
def test_a_damaged_note_is_told(interrupted, damage):
    table, out = interrupted
    Path(f"{out}.resume.json").write_text(damage)
    result = predict(table, "-o", out, "--resume")
    assert result.exit_code == 1
    assert "out.csv.resume.json: is damaged" in result.stderr


def test_rows_that_are_gone_are_told(interrupted):
    table, out = interrupted
    Path(f"{out}.partial").write_text("id\n")
    result = predict(table, "-o", out, "--resume")
    assert result.exit_code == 1
    assert "out.csv.partial, which is shorter" in result.stderr


def test_without_anything_to_resume_it_begins(films, tmp_path):
    result = predict(films, "-o", tmp_path / "out.csv", "--resume")
    assert result.exit_code == 3
    assert len((tmp_path / "out.csv").read_text().splitlines()) == 631


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ((), "needs forecasts in --output"),
        (("-o", "x.json"), "needs forecasts in --output"),
        (("--title", "x"), "are for files of films"),
    ],
)
def test_what_cannot_be_resumed_is_wrong_usage(films, tmp_path, monkeypatch, more, said):
    monkeypatch.chdir(tmp_path)
    result = predict(*(() if "--title" in more else (films,)), "--resume", *more)
    assert result.exit_code == 2
    assert said in result.stderr


def test_a_killed_process_loses_and_repeats_nothing(tmp_path, tmp_path_factory):
    """kill -9 in the middle of 15,000 rows; what is resumed equals what was never killed."""
    table = write_films(tmp_path / "films.csv", 15_000)
    out, whole = tmp_path / "out.csv", tmp_path / "whole.csv"
    command = [*PROGRAM, "-m", BUNDLE, table]
    settings = {
        "cwd": ROOT,
        "env": compilation.environment(tmp_path_factory),
        "stderr": subprocess.DEVNULL,
    }
    started = subprocess.Popen([*command, "-o", out], **settings)
    note = Path(f"{out}.resume.json")
    while not note.exists() and started.poll() is None:
        time.sleep(0.01)
    time.sleep(0.5)
    started.send_signal(signal.SIGKILL)
    assert started.wait() == -signal.SIGKILL
    assert 0 < json.loads(note.read_text())["rows"] < 15_000
    for more in ((out, "--resume"), (whole,)):
        done = subprocess.run([*command, "-o", *more], timeout=200, **settings)
        assert done.returncode == 3
    assert out.read_bytes() == whole.read_bytes()
    assert len(out.read_bytes().splitlines()) == 13_501


def test_rows_of_shards_add_up():
    tallies = [Tally(shard=Shard(i, 3), skip=4) for i in (1, 2, 3)]
    wanted = [[tally.wants() for tally in tallies] for _ in range(10)]
    assert [sum(row) for row in wanted] == [0] * 4 + [1] * 6


def test_lines_of_files_are_estimated(tmp_path):
    path = write_films(tmp_path / "films.csv", 700)
    assert cli_stream.lines((str(path), str(path))) == 2 * 701
    assert cli_stream.lines(("-",)) is None
    assert cli_stream.lines((str(path), str(tmp_path / "x.json"))) is None
