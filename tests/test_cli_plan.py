"""mfp-predict --level and --vary: intervals and plans in every shape, errors in one line."""

from __future__ import annotations

import csv
import io
import json

import compilation
import pytest
from click.testing import CliRunner

from mfp.cli_predict import main

FILM = {
    "title": "Heat 2",
    "genres": ["Crime"],
    "release_date": "1954-06-20",
    "runtime_minutes": 120,
}


@pytest.fixture(scope="module", autouse=True)
def compiled_once(tmp_path_factory):
    with compilation.cached(tmp_path_factory) as folder:
        yield folder


@pytest.fixture
def film(tmp_path):
    path = tmp_path / "film.json"
    path.write_text(json.dumps(FILM))
    return path


@pytest.fixture
def predict(run):
    def call(*arguments):
        result = CliRunner().invoke(main, ["-m", str(run.bundle), *map(str, arguments)])
        assert result.exception is None or isinstance(result.exception, SystemExit)
        return result

    return call


def lines(result):
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def refused(result, said):
    assert result.exit_code == 2
    assert result.stdout == ""
    last = result.stderr.splitlines()[-1]
    assert last.startswith("Error: ")
    assert said in last


def test_the_level_sets_the_intervals(predict, film):
    (default,), (half,) = lines(predict(film)), lines(predict(film, "--level", "0.5"))
    assert (default["level"], half["level"]) == (0.9, 0.5)
    assert default["rating"] == half["rating"]
    assert default["rating_low"] < half["rating_low"] < half["rating_high"] < default["rating_high"]


def test_intervals_and_flags_in_csv_and_table(predict):
    options = ("--title", "x", "--director", "Nobody Atall", "--runtime", "900", "--budget", "5M")
    (row,) = csv.DictReader(io.StringIO(predict(*options, "--format", "csv").stdout))
    assert float(row["rating_low"]) < float(row["rating"]) < float(row["rating_high"])
    assert row["flags"].startswith("this bundle does not read budget_usd; a first-time director")
    shown = predict(*options, "--format", "table").stdout
    assert "90% interval" in shown
    assert " to " in shown
    assert "x: this bundle does not read budget_usd" in shown
    assert "x: runtime_minutes 900 is outside the trained range" in shown


@pytest.mark.parametrize(
    ("level", "said"),
    [("1", "--level"), ("0", "--level"), ("much", "--level"), ("0.9999", "--level 0.9999: needs")],
)
def test_a_level_that_cannot_be(predict, film, level, said):
    refused(predict(film, "--level", level), said)


def test_plans_as_json_lines(predict, film):
    result = predict(film, "--vary", "release_date=1954-01..1954-12/month", "--best", "rating")
    found = lines(result)
    assert [plan["plan"]["release_date"] for plan in found][:2] == ["1954-01", "1954-02"]
    assert len(found) == 12
    (best,) = (plan for plan in found if plan["best"])
    assert best["rating"] == max(plan["rating"] for plan in found)
    assert best["as_good_as_the_best"]
    assert {"rating_low", "extrapolates", "level"} <= set(best)


def test_plans_as_csv_table_and_curve(predict, film, tmp_path):
    varied = ("--vary", "runtime_minutes=80..140/4", "--vary", "genres=Crime|Drama;Crime")
    path, picture = tmp_path / "plans.csv", tmp_path / "plans.png"
    result = predict(film, *varied, "--output", path, "--curve", picture)
    assert result.exit_code == 0, result.output
    rows = list(csv.DictReader(path.open(encoding="utf-8")))
    assert [row["plan_genres"] for row in rows] == ["Crime", "Drama, Crime"] * 4
    assert [row["plan_runtime_minutes"] for row in rows[::2]] == ["80", "100", "120", "140"]
    assert sum(row["best"] == "True" for row in rows) == 1
    assert picture.read_bytes()[:4] == b"\x89PNG"
    assert "drawn in" in result.stderr
    shown = predict(film, *varied, "--format", "table").stdout
    assert "runtime_minutes" in shown
    assert "best" in shown


def test_a_plan_beyond_the_training_films_is_told(predict, film):
    result = predict(film, "--vary", "release_date=2015-01-01..2015-12-31/week")
    assert len(lines(result)) == 53
    assert "53 of 53 plans lie outside what the model was trained on" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--vary", "budget_usd=1e6..1e7/3"], "this bundle does not read it"),
        (["--vary", "release_date=1900..1999/day"], "more than 1,000 steps"),
        (["--vary", "runtime=1..300/200", "--vary", "release_date=1940..1960/year"], "4,200 plans"),
        (["--vary", "poster=none.jpg"], "none.jpg: no such file"),
        (["--vary", "nonsense"], "write FIELD=VALUES"),
        (["--vary", "runtime=80,90", "--curve", "a.pdf"], "--curve a.pdf: end it in .png"),
        (["--curve", "a.png"], "--curve: is for plans; add --vary"),
        (["--best", "rating"], "--best: is for plans; add --vary"),
    ],
)
def test_what_cannot_be_planned_is_wrong_usage(predict, film, arguments, said):
    refused(predict(film, *arguments), said)


def test_one_film_is_planned(predict, tmp_path):
    path = tmp_path / "films.csv"
    path.write_text("title\na\nb\n")
    refused(predict(path, "--vary", "runtime=80,90"), "plans one film, 2 are given")


def test_a_curve_does_not_overwrite_the_film(predict, tmp_path):
    path = tmp_path / "film.json"
    path.write_text(json.dumps(FILM))
    refused(predict(path, "--vary", "runtime=80,90", "--curve", path), "cannot be written over")
