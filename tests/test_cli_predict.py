"""The command mfp-predict: films in by every way, forecasts out, bad rows and files named."""

from __future__ import annotations

import csv
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import compilation
import pytest
from click.testing import CliRunner

from mfp import cli_forecasts
from mfp.cli_predict import main

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = [sys.executable, "-c", "from mfp.cli_predict import main; main()"]
HEAT = {
    "title": "Heat 2",
    "directors": ["Michael Mann"],
    "cast": ["Al Pacino", "Adam Driver"],
    "genres": ["Crime", "Drama"],
    "release_date": "2014-06-20",
    "runtime_minutes": 150,
}


@pytest.fixture(scope="module", autouse=True)
def compiled_once(tmp_path_factory):
    with compilation.cached(tmp_path_factory) as folder:
        yield folder


@pytest.fixture
def predict(run):
    """predict(arguments...) -> the finished command, whose model is the bundle of `run`."""

    def call(*arguments, model=run.bundle, **settings):
        given = [str(argument) for argument in arguments]
        return CliRunner().invoke(main, ["--model", str(model), *given], **settings)

    return call


def lines(result):
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return [json.loads(line) for line in result.stdout.splitlines()]


FLAGS = (
    *("--title", "Heat 2", "--director", "Michael Mann", "--genre", "Crime", "--genre", "Drama"),
    *("--cast", "Al Pacino|Adam Driver", "--runtime", "150", "--release-date", "2014-06-20"),
)


@pytest.fixture(scope="module")
def heat(run):
    """The forecast of HEAT, given by flags."""
    result = CliRunner().invoke(main, ["-m", str(run.bundle), *FLAGS])
    assert result.exit_code == 0, result.output
    (found,) = lines(result)
    return found


def test_one_film_by_flags(heat):
    assert heat["title"] == "Heat 2"
    assert heat["release_date"] == "2014-06-20"
    assert 0 <= heat["rating"] <= 10
    assert heat["revenue_usd"] > 0
    assert 0 < heat["hit_probability"] < 1


@pytest.mark.parametrize("name", ["films.csv", "films.json", "films.jsonl"])
def test_the_same_film_from_a_file(predict, tmp_path, heat, name):
    path = tmp_path / name
    if name.endswith(".csv"):
        values = {k: "|".join(v) if isinstance(v, list) else str(v) for k, v in HEAT.items()}
        path.write_text(f"{','.join(values)}\n{','.join(values.values())}\n")
    else:
        path.write_text(json.dumps([HEAT] if name.endswith(".json") else HEAT))
    result = predict(path)
    assert result.exit_code == 0, result.output
    assert lines(result) == [heat]


@pytest.mark.parametrize("arguments", [[], ["-"]])
def test_the_same_film_from_standard_input(predict, heat, arguments):
    result = predict(*arguments, input=json.dumps(HEAT) + "\n")
    assert result.exit_code == 0, result.output
    assert lines(result) == [heat]


def test_several_files_are_served_in_order(predict, tmp_path):
    for name in ("b", "a"):
        (tmp_path / f"{name}.csv").write_text(f"title\n{name}1\n{name}2\n")
    result = predict(tmp_path / "b.csv", tmp_path / "a.csv")
    assert [line["title"] for line in lines(result)] == ["b1", "b2", "a1", "a2"]


def test_a_table_for_people(predict):
    result = predict("--title", "Heat 2", "--format", "table")
    assert result.exit_code == 0, result.output
    assert "Heat 2" in result.stdout
    assert "box office" in result.stdout


def test_csv(predict, heat, tmp_path):
    (tmp_path / "films.jsonl").write_text(json.dumps(HEAT | {"title": 'A "quoted", title'}))
    result = predict(tmp_path / "films.jsonl", "--format", "csv")
    (row,) = csv.DictReader(io.StringIO(result.stdout))
    assert row["title"] == 'A "quoted", title'
    assert 0 <= float(row["rating"]) <= 10


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "json"])
def test_output_to_a_file(predict, heat, tmp_path, suffix):
    path = tmp_path / f"out.{suffix}"
    result = predict("--output", path, input=json.dumps(HEAT))
    assert result.exit_code == 0, result.output
    assert result.stdout == ""
    text = path.read_text("utf-8")
    if suffix == "csv":
        (found,) = csv.DictReader(io.StringIO(text))
        assert float(found["rating"]) == heat["rating"]
    else:
        found = json.loads(text)
        assert (found if suffix == "jsonl" else found[0]) == heat


def test_an_output_of_unknown_ending_is_wrong_usage(predict, tmp_path):
    result = predict("--title", "x", "--output", tmp_path / "out.xlsx")
    assert result.exit_code == 2
    assert "end it in .csv, .jsonl or .json" in result.stderr
    assert not (tmp_path / "out.xlsx").exists()


BAD = "title,runtime,release_date\nFirst,100,2014\nSecond,a while,2014\nThird,90,13/45/95\nLast,,\n"


def test_bad_rows_are_named_and_the_others_served(predict, tmp_path):
    (tmp_path / "films.csv").write_text(BAD)
    result = predict(tmp_path / "films.csv")
    assert result.exit_code == 3
    assert [line["title"] for line in lines(result)] == ["First", "Last"]
    assert "films.csv, row 3" in result.stderr
    assert "'a while' is not a number" in result.stderr
    assert "films.csv, row 4" in result.stderr
    assert "2 rows were rejected" in result.stderr


def test_rejects_go_to_a_file(predict, tmp_path):
    (tmp_path / "films.csv").write_text(BAD)
    path = tmp_path / "rejects.jsonl"
    result = predict(tmp_path / "films.csv", "--rejects", path)
    assert result.exit_code == 3
    found = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(reject["row"], reject["field"]) for reject in found] == [
        (3, "runtime_minutes"),
        (4, "release_date"),
    ]
    assert str(path) in result.stderr
    assert "rejected: " not in result.stderr


def test_a_thousand_bad_rows_do_not_flood_the_terminal(predict):
    result = predict(input="title,runtime\n" + "x,never\n" * 1000 + "Good,90\n")
    assert result.exit_code == 3
    assert len(lines(result)) == 1
    assert len(result.stderr.splitlines()) < 40
    assert "1000 rows were rejected" in result.stderr


@pytest.mark.parametrize("start", ["=", "+", "-", "@"])
def test_a_formula_in_a_title_stays_text_in_csv(predict, start):
    title = f"{start}HYPERLINK(1)"
    result = predict("--format", "csv", input=json.dumps({"title": title, "id": title}))
    (row,) = csv.DictReader(io.StringIO(result.stdout))
    assert row["title"] == f"'{title}"
    assert row["id"] == f"'{title}"


@pytest.mark.parametrize("title", ["[bold]x[/bold]", "<script>alert(1)</script>", "[/nothing]"])
@pytest.mark.parametrize("shape", ["table", "csv", "jsonl"])
def test_markup_in_a_title_is_shown_as_it_is(predict, title, shape):
    result = predict("--title", title, "--format", shape)
    assert result.exit_code == 0, result.output
    assert title in result.stdout


def test_control_characters_do_not_reach_the_terminal(predict):
    result = predict("--format", "table", input=json.dumps({"title": "a\x1b[31mred\x07"}))
    assert result.exit_code == 0, result.output
    assert "\x1b" not in result.stdout
    assert "\x07" not in result.stdout


def one_line(result, match, code=1):
    assert result.exit_code == code
    assert isinstance(result.exception, SystemExit)
    (line,) = result.stderr.splitlines()
    assert line.startswith("Error: ")
    assert match in line


def test_a_binary_file(predict, tmp_path):
    (tmp_path / "films.csv").write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(range(256)) * 20)
    one_line(predict(tmp_path / "films.csv"), "films.csv: is a binary file")


def test_an_empty_file(predict, tmp_path):
    for name in ("films.csv", "films.jsonl", "films.json"):
        (tmp_path / name).write_bytes(b"")
        one_line(predict(tmp_path / name), f"{name}: is empty")


def test_a_folder(predict, tmp_path):
    one_line(predict(tmp_path), "is a folder")


def test_a_file_that_is_not_there(predict, tmp_path):
    one_line(predict(tmp_path / "films.csv"), "no such file")


def test_a_table_without_titles(predict):
    one_line(predict(input="a,b\n1,2\n"), "no 'title' column")


def test_empty_standard_input(predict):
    one_line(predict(input=""), "is empty")


def test_a_missing_bundle(predict, tmp_path):
    one_line(predict("--title", "x", model=tmp_path / "nothing"), "no such folder")


def test_a_folder_that_is_no_bundle(predict, tmp_path):
    one_line(predict("--title", "x", model=tmp_path), "is not a bundle")


def test_a_changed_bundle_is_refused_unless_unverified(predict, run, tmp_path):
    copy = shutil.copytree(run.bundle, tmp_path / "bundle")
    (copy / "note.txt").write_text("mine")
    one_line(predict("--title", "x", model=copy), "note.txt: is not listed")
    result = predict("--title", "x", "--no-verify", model=copy)
    assert result.exit_code == 0, result.output


def test_reasons_in_json(predict, heat):
    (explained,) = lines(predict(*FLAGS, "--explain"))
    found = explained.pop("explanation")
    assert explained == heat
    assert found["forecast"]["rating"] == pytest.approx(heat["rating"], abs=0.0011)
    every = {"numbers", "history", "people", "content", "origin", "title"}
    assert set(found["modalities"]) <= every
    total = sum(effects["rating"] for effects in found["modalities"].values())
    average = found["average_film"]["rating"]
    assert total == pytest.approx(heat["rating"] - average, abs=0.005)


def test_reasons_in_a_table(predict):
    printed = predict(*FLAGS, "--explain", "--format", "table").stdout
    assert "Why: Heat" in printed
    assert "the average film" in printed


def test_a_csv_has_no_room_for_reasons(predict, tmp_path):
    for more in (("--format", "csv"), ("--output", str(tmp_path / "x.csv"))):
        result = predict(*FLAGS, "--explain", *more)
        assert result.exit_code == 2
        assert "--explain: a CSV has no room for reasons" in result.stderr


def test_an_output_that_cannot_be_written(predict, tmp_path):
    one_line(predict("--title", "x", "--output", tmp_path / "no" / "out.csv"), "No such file")


def test_files_and_flags_together_are_wrong_usage(predict, tmp_path):
    (tmp_path / "films.csv").write_text("title\nx\n")
    result = predict("--title", "x", tmp_path / "films.csv")
    assert result.exit_code == 2
    assert "not both" in result.stderr


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--title", "x", "--runtime", "long"], "--runtime: 'long' is not a number"),
        (["--title", "x", "--release-date", "soon"], "--release-date: "),
        (["--director", "x"], "--title: is missing"),
        (["--title", "x", "--runtme", "3"], "--runtime"),  # the nearest option
    ],
)
def test_a_bad_flag_is_wrong_usage(predict, flags, said):
    result = predict(*flags)
    assert result.exit_code == 2
    assert said in result.stderr


def test_without_a_model_the_option_is_named():
    result = CliRunner(env={"MFP_MODEL": None}).invoke(main, ["--title", "x"])
    assert result.exit_code == 2
    assert "--model" in result.stderr


def test_the_model_may_stand_in_the_environment(run, heat):
    runner = CliRunner(env={"MFP_MODEL": str(run.bundle)})
    result = runner.invoke(main, [], input=json.dumps(HEAT))
    assert lines(result) == [heat]


def shell(run, factory, **settings):
    return {
        "cwd": ROOT,
        "env": compilation.environment(factory) | {"MFP_MODEL": str(run.bundle)},
        "capture_output": True,
        "text": True,
        "timeout": 100,
    } | settings


def test_a_closed_pipe_is_no_error(run, tmp_path, tmp_path_factory):
    """mfp-predict ... | head -1: more output than a pipe holds, and a reader that leaves."""
    path = tmp_path / "films.csv"
    path.write_text("title\n" + "".join(f"A film of number {i}\n" for i in range(3000)))
    command = f'"{sys.executable}" -c "from mfp.cli_predict import main; main()" "{path}"'
    script = f"{command} | head -1; echo codes ${{PIPESTATUS[@]}}"
    done = subprocess.run(["bash", "-c", script], **shell(run, tmp_path_factory))
    first, codes = done.stdout.splitlines()
    assert json.loads(first)["title"] == "A film of number 0"
    assert codes == "codes 0 0"
    assert done.stderr == ""


def test_exit_codes_and_streams_of_a_real_process(run, tmp_path_factory):
    settings = shell(run, tmp_path_factory)
    good = subprocess.run(PROGRAM, input="title,runtime\nHeat,170\nBad,x\n", **settings)
    assert good.returncode == 3
    assert [json.loads(line)["title"] for line in good.stdout.splitlines()] == ["Heat"]
    assert "row 3" in good.stderr
    bad = subprocess.run([*PROGRAM, "nothing.csv"], **settings)
    assert (bad.returncode, bad.stdout) == (1, "")
    assert bad.stderr == "Error: nothing.csv: no such file\n"


def test_help_is_quick():
    code = (
        "import sys, mfp.cli_predict; "
        "print([n for n in ('jax', 'numpy', 'rich', 'orbax') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("count", [0, 1, 3])
def test_json_written_one_by_one_is_the_json_of_the_list(count: int):
    rows = [{"title": "Amélie\u2028\n", "verdict": {"hit": i, "flop": []}} for i in range(count)]
    file, expected = io.StringIO(), io.StringIO()
    cli_forecasts._write_json(iter(rows), file)
    json.dump(rows, expected, ensure_ascii=False, indent=1)
    assert file.getvalue() == expected.getvalue() + "\n"
