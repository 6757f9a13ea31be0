"""Forecasts on Apache Beam: those of the forecaster, each once, by a bundle opened once."""

from __future__ import annotations

import collections
import json
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, needs_beam

from mfp.film import Film
from mfp.forecast import Forecaster


def test_without_beam_the_remedy_is_told():
    code = "import sys; sys.modules['apache_beam'] = None; import mfp.forecast.beam"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=60
    )
    assert done.stderr.splitlines()[-1].endswith("run: pip install 'mfp[beam]'")


# What "DirectRunner" means here: Beam would first try to download another program for it.
DIRECT = "FnApiRunner"


def outcome(
    elements: list, bundle: Path, folder: Path, *options: str, media: Path | None = None
) -> tuple[list[dict], list[dict]]:
    """Forecasts and rejects of a pipeline over the elements, through files."""
    import apache_beam as beam

    from mfp.forecast.beam import Predict

    options = beam.options.pipeline_options.PipelineOptions([f"--{option}" for option in options])
    with beam.Pipeline(runner=DIRECT, options=options) as pipeline:
        found = pipeline | beam.Create(elements) | Predict(bundle, media)
        for name in ("forecasts", "rejects"):
            lines = getattr(found, name) | f"{name} as JSON" >> beam.Map(json.dumps)
            _ = lines | f"write {name}" >> beam.io.WriteToText(str(folder / name))
    return tuple(
        [
            json.loads(line)
            for path in folder.glob(f"{name}*")
            for line in path.read_text("utf-8").splitlines()
        ]
        for name in ("forecasts", "rejects")
    )


def assert_same(found: list[dict], expected: list[dict]) -> None:
    """The same forecasts in any order. Numbers may round apart, as batches differ."""
    assert [f["id"] for f in sorted(found, key=lambda f: f["id"])] == sorted(
        f["id"] for f in expected
    )
    of_id = {forecast["id"]: forecast for forecast in found}
    for forecast in expected:
        assert of_id[forecast["id"]] == {
            name: pytest.approx(value, rel=1e-5, abs={"rating": 1.1e-3}.get(name, 1.1e-4))
            if isinstance(value, float | int)
            else value
            for name, value in forecast.items()
        }


@needs_beam
def test_forecasts_are_those_of_the_forecaster_by_a_bundle_opened_once(
    run, forecaster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    films = [film for split in run.films.values() for film, _ in split]
    assert len(films) == len({film.id for film in films}) > 800
    opened, batches = [], collections.Counter()
    open_bundle, predict = Forecaster.open, Forecaster.predict

    def open_and_count(path, verify=True):
        opened.append(path)
        return open_bundle(path, verify)

    def predict_and_count(self, batch, media=None):
        batches[len(batch)] += 1
        return predict(self, batch, media)

    monkeypatch.setattr(Forecaster, "open", staticmethod(open_and_count))
    monkeypatch.setattr(Forecaster, "predict", predict_and_count)
    workers = ("direct_num_workers=3", "direct_running_mode=multi_threading")
    found, rejects = outcome(films, run.bundle, tmp_path, *workers)
    monkeypatch.undo()
    assert_same(found, [forecast.to_json() for forecast in forecaster.predict(films)])
    assert rejects == []
    assert opened == [str(run.bundle)]
    assert max(batches) == 256  # whole batches, and not film by film
    assert sum(batches.values()) < 3 * 4


@needs_beam
def test_raw_rows_are_read_and_bad_ones_set_aside(run, forecaster, tmp_path: Path):
    rows = [
        {"id": "a", "Title": "Heat", "release_date": "1954-12-15", "director": "A|B"},
        '{"id": "b", "title": "Ronin", "runtime": 121, "genres": ["Crime"]}',
        Film("Spy", id="c", genres=("Comedy",)),
        {"id": "d", "title": "Bad", "release_date": "13/45/95"},
        {"id": "e"},
        '{"id": "f", ',
        "[1]",
        7,
    ]
    found, rejects = outcome(rows, run.bundle, tmp_path)
    from mfp.dates import PartialDate

    films = [
        Film("Heat", id="a", release_date=PartialDate(1954, 12, 15), directors=("A", "B")),
        Film("Ronin", id="b", runtime_minutes=121.0, genres=("Crime",)),
        rows[2],
    ]
    assert_same(found, [forecast.to_json() for forecast in forecaster.predict(films)])
    key = lambda reject: rows.index(reject["row"])  # noqa: E731
    assert [
        (key(reject), reject["field"], reject["reason"].split(";")[0].split(":")[0])
        for reject in sorted(rejects, key=key)
    ] == [
        (3, "release_date", "'13/45/95' is not a date"),
        (4, "title", "is missing"),
        (5, "", "is not JSON"),
        (6, "", "is not a row"),
        (7, "", "is not a row"),
    ]


@needs_beam
def test_worker_processes_serve_too(run, forecaster, test_films, tmp_path: Path):
    workers = ("direct_num_workers=2", "direct_running_mode=multi_processing")
    found, rejects = outcome(test_films[:40], run.bundle, tmp_path, *workers)
    assert_same(found, [forecast.to_json() for forecast in forecaster.predict(test_films[:40])])
    assert rejects == []


@needs_beam
def test_a_damaged_bundle_is_named(run, copy: Path, tmp_path: Path):
    (copy / "program.stablehlo").write_bytes(b"damaged")
    with pytest.raises(Exception, match=r"program\.stablehlo"):
        outcome([Film("Heat")], copy, tmp_path)
