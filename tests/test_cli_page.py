"""`mfp-predict --report` and `mfp report`: pages are written whole or not at all."""

from __future__ import annotations

import json
import shutil

import compilation
import numpy as np
import pytest
from click.testing import CliRunner
from conftest import ROOT

from mfp import cli, cli_predict
from mfp.training import held_out, session
from mfp.training.run import RunFolder

GOLDEN = ROOT / "tests" / "golden"
TITLE = "<script>alert(1)</script>"
ESCAPED = "&lt;script&gt;alert(1)&lt;/script&gt;"


@pytest.fixture(scope="module", autouse=True)
def compiled_once(tmp_path_factory):
    with compilation.cached(tmp_path_factory) as folder:
        yield folder


def predict(*arguments, model=GOLDEN / "format-2" / "bundle"):
    given = ["-m", str(model), *map(str, arguments)]
    result = CliRunner().invoke(cli_predict.main, given)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


@pytest.fixture
def film(tmp_path):
    """A film with a poster and a trailer, beside its media."""
    row = json.loads((GOLDEN / "films.jsonl").read_text("utf-8").splitlines()[0])
    path = tmp_path / "film.json"
    path.write_text(json.dumps(row | {"title": TITLE}), encoding="utf-8")
    return path


def test_the_page_of_a_film_with_its_media(film, tmp_path):
    page = tmp_path / "film.html"
    result = predict(film, "--media", GOLDEN / "media", "--report", page)
    assert result.exit_code == 0, result.output
    (line,) = (json.loads(line) for line in result.stdout.splitlines())
    assert line["title"] == TITLE
    assert "explanation" not in line  # not asked for there
    assert f"page in {page}" in result.stderr
    html = page.read_text("utf-8")
    assert ESCAPED in html
    assert "<script" not in html
    assert html.count("data:image/jpeg;base64,") == 2 + 2  # poster, heat map; two frames
    for said in ("Why", "Words", "Poster", "Trailer", "Similar past films"):
        assert f"<h2>{said}</h2>" in html
    assert "Plans" not in html


def test_the_page_of_a_planned_film(film, tmp_path):
    page = tmp_path / "film.html"
    result = predict(film, "--vary", "budget_usd=1e6..1e8/3", "--report", page)
    assert result.exit_code == 0, result.output
    assert len(result.stdout.splitlines()) == 3
    html = page.read_text("utf-8")
    assert "<h2>Plans</h2>" in html
    assert "no media folder is given" not in html  # the table's own folder, where nothing lies
    assert "is not in the media folder" in html


def test_a_page_has_no_room_for_a_catalogue(tmp_path):
    films, page = tmp_path / "films.jsonl", tmp_path / "film.html"
    films.write_text("".join(json.dumps({"title": f"film {i}"}) + "\n" for i in range(21)))
    result = predict(films, "--report", page)
    assert result.exit_code == 2
    assert "a page holds at most 20 films" in result.stderr.splitlines()[-1]
    assert result.stdout == ""
    assert not page.exists()


def test_a_page_is_no_other_kind_of_file(film, tmp_path):
    result = predict(film, "--report", tmp_path / "film.pdf")
    assert result.exit_code == 2
    assert "end it in .html" in result.stderr


def test_a_page_goes_into_a_folder_that_is_there(film, tmp_path):
    result = predict(film, "--report", tmp_path / "none" / "film.html")
    assert result.exit_code == 1
    assert "No such file or folder" in result.stderr


def test_of_no_film_there_is_no_page(tmp_path):
    films, page = tmp_path / "films.jsonl", tmp_path / "film.html"
    films.write_text('{"title": ""}\n')
    assert predict(films, "--report", page).exit_code == 1
    assert not page.exists()


@pytest.fixture
def copied(run, tmp_path):
    """The debug run, which a page may be written into."""
    return shutil.copytree(run.path, tmp_path / "debug")


def report(*arguments):
    result = CliRunner().invoke(cli.main, ["report", *map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def test_the_page_of_a_run(copied):
    result = report(copied)
    assert result.exit_code == 0, result.output
    html = (copied / "report.html").read_text("utf-8")
    for said in ("Learning curves", "Forecast and actual", "Residuals", "Worst misses"):
        assert f"<h2>{said}</h2>" in html
    assert "<script" not in html
    assert "Missing modalities" not in html


def test_without_metrics_the_remedy_is_named(copied):
    (copied / "metrics.json").unlink()
    result = report(copied)
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1].endswith(f"is not there; run: mfp evaluate {copied}")


def test_the_page_is_drawn_from_the_forecasts_that_the_metrics_judge(run, dataset):
    folder = RunFolder(run.path)
    trained = session.restore_trained(folder, run.config, dataset)
    found = held_out.forecasts(folder, run.config, trained)
    metrics = json.loads(folder.metrics_file.read_text("utf-8"))
    for name in ("rating", "revenue"):
        error = found.forecast[name] - found.truth[name]
        rmse = np.sqrt(np.nanmean(error**2))
        assert rmse == pytest.approx(metrics["test"][name]["rmse"], rel=1e-4)
    assert "rating" in found.low
    for name, low in found.low.items():
        covered = (low <= found.truth[name]) & (found.truth[name] <= found.high[name])
        share = covered[~np.isnan(found.truth[name])].mean()
        assert share == pytest.approx(metrics["intervals"][name]["test"]["coverage"])
