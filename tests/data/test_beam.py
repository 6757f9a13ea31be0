"""Films prepared on Apache Beam: the records, their order and the rejects of the builder alone."""

from __future__ import annotations

import csv
import dataclasses
import functools
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from conftest import ROOT, SHARED_FILMS, needs_beam

from mfp import cli
from mfp.config import Config, ConfigError, DataConfig, SplitConfig
from mfp.data import dataset as datasets
from mfp.data import guard
from mfp.data.dataset import Dataset
from mfp.tables import TableError

from .test_dataset import array_records, films  # noqa: F401 - a fixture


def test_without_beam_the_remedy_is_told(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    with pytest.raises(ConfigError, match=r"DirectRunner: .*; run: pip install 'mfp\[beam\]'"):
        datasets.prepare(DataConfig(), runner="DirectRunner")


def test_options_of_beam_want_a_runner():
    result = CliRunner().invoke(cli.main, ["data", "prepare", "--beam-option", "a=b"])
    assert result.exit_code == 2
    assert "--runner" in result.stderr


PROCESSES = ("direct_num_workers=2", "direct_running_mode=multi_processing")


def content(dataset: Dataset) -> dict[str, list[tuple]]:
    """Every record of each split, in order: film, outcome and pixels.

    Not the bytes of the files: protobuf orders the columns of a record anew in each process.
    """
    return {
        name: [(*split[i], split.pixels(i)) for i in range(len(split))]
        for name, split in dataset.splits.items()
    }


def both(config: DataConfig, there: Path, *options: str) -> tuple[Dataset, Dataset]:
    """Films prepared here, and by Beam in the folder `there`; they must be told the same."""
    told: dict[str, list[str]] = {"here": [], "beam": []}
    here = datasets.prepare(config, told["here"].append)
    moved = dataclasses.replace(config, prepared=str(there))
    beam = datasets.prepare(
        moved, told["beam"].append, runner="DirectRunner", runner_options=options
    )
    assert sorted(told["here"]) == sorted(told["beam"])
    return here, beam


def assert_same(here: Dataset, beam: Dataset) -> None:
    assert beam.folder != here.folder
    assert content(beam) == content(here)
    assert (beam.fingerprint, beam.rejects) == (here.fingerprint, here.rejects)


@needs_beam
def test_films_in_several_shards_keep_their_order(
    films: DataConfig,  # noqa: F811 - the fixture
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    from mfp.data.builder import beam

    names = [f"s{i},Film {i},{1990 + i % 21},,,{i % 10},," for i in range(200)]
    with Path(films.table).open("a", encoding="utf-8") as file:
        file.write("\n".join(names) + "\n")
    here = datasets.prepare(films, warn=lambda message: None)
    download = beam.tfds.download
    monkeypatch.setattr(
        download, "DownloadConfig", functools.partial(download.DownloadConfig, num_shards=3)
    )
    config = dataclasses.replace(films, prepared=str(tmp_path / "beam"))
    there = datasets.prepare(config, str, runner="DirectRunner")
    assert len(array_records(there.folder)) == 9
    assert_same(here, there)
    monkeypatch.undo()
    # A later run without Beam finds them.
    before = array_records(there.folder)
    again = datasets.prepare(config, str, on_film=lambda: pytest.fail("a film was written"))
    assert (again.folder, array_records(again.folder)) == (there.folder, before)
    assert_same(here, again)


@pytest.mark.soak  # several minutes
@needs_beam
def test_bundled_films_are_the_same(dataset: Dataset, debug_config: Config, tmp_path: Path):
    config = dataclasses.replace(debug_config.data, prepared=str(tmp_path))
    there = datasets.prepare(config, str, runner="DirectRunner")
    assert_same(dataset, there)
    assert sorted(p.name for p in tmp_path.iterdir() if "rejects" in p.name) == []


@needs_beam
def test_posters_are_decoded_by_the_workers_and_rejects_are_the_same(
    films: DataConfig,  # noqa: F811 - the fixture
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    here = datasets.prepare(films, warn=lambda message: None)
    assert len(here.rejects) == 7
    # Worker processes do not see this; the launcher would fail.
    monkeypatch.setattr(guard, "prepare", lambda *_: pytest.fail("decoded in the launcher"))
    monkeypatch.chdir(tmp_path)
    relative = dataclasses.replace(films, table="films.csv", media="media")
    moved = dataclasses.replace(relative, prepared="beam")
    told: list[str] = []
    there = datasets.prepare(moved, told.append, runner="DirectRunner", runner_options=PROCESSES)
    assert sorted(told) == [
        "2 films released after data.split.test_until are left out",
        "films.csv: column 'mood' is not a field; ignored",
    ]
    files = {reject["file"] for reject in there.rejects}
    assert files == {"films.csv"}  # as it was named, not as workers see it
    named = [{**reject, "file": "films.csv"} for reject in here.rejects]
    assert_same(dataclasses.replace(here, rejects=named), there)
    assert len(there.splits["train"].pixels(0)["poster"]) == 8 * 8 * 3


@needs_beam
@pytest.mark.skipif(
    not (SHARED_FILMS / "posters").is_dir(), reason="the posters in ../shared/data are not here"
)
def test_real_films_with_real_posters(tmp_path: Path):
    with (SHARED_FILMS / "films.csv").open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        every = list(reader)
    with (tmp_path / "films.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, every[0].keys())
        writer.writeheader()
        writer.writerows(every[::24])
    config = DataConfig(
        source="table",
        table=str(tmp_path / "films.csv"),
        media=str(SHARED_FILMS),
        prepared=str(tmp_path / "here"),
        split=SplitConfig("2009-12-31", "2011-12-31", "2013-12-31"),
    )
    here, there = both(config, tmp_path / "there", *PROCESSES)
    assert_same(here, there)
    assert sum(map(len, there.splits.values())) > 300
    posters = [bool(split.pixels(i)) for split in there.splits.values() for i in range(len(split))]
    assert sum(posters) > 100


@needs_beam
def test_an_empty_split_is_told_as_without_beam(films: DataConfig):  # noqa: F811
    config = dataclasses.replace(films, split=SplitConfig("1980-12-31", "1981-12-31", "2040"))
    messages = []
    for runner in (None, "DirectRunner"):
        with pytest.raises(ConfigError, match="no film falls into train") as caught:
            datasets.prepare(config, str, runner=runner)
        messages.append(str(caught.value))
    assert messages[0] == messages[1]


@needs_beam
def test_a_table_that_cannot_be_read_is_told_as_without_beam(films: DataConfig):  # noqa: F811
    Path(films.table).write_text("id,title\n", encoding="utf-8")
    with pytest.raises(TableError, match=r"films\.csv: holds no films"):
        datasets.prepare(films, str, runner="DirectRunner")


@needs_beam
def test_a_pipeline_that_fails_is_told_in_one_line_and_leaves_nothing(
    films: DataConfig,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
):
    def broken(*_):
        raise RuntimeError("line one\nout of disk")

    monkeypatch.setattr(guard, "prepare", broken)
    arguments = ["data", "prepare", "--config", str(ROOT / "configs" / "debug.toml")]
    arguments += ["--table", films.table, "--media", films.media]
    ends = dataclasses.asdict(films.split).items()
    values = [("prepared", films.prepared), *((f"split.{name}", end) for name, end in ends)]
    for name, value in values:
        arguments += ["--set", f'data.{name}="{value}"']
    result = CliRunner().invoke(cli.main, [*arguments, "--runner", "DirectRunner"])
    assert result.exit_code == 1
    line = result.stderr.splitlines()[-1]
    assert line.startswith("Error: --runner DirectRunner: the pipeline failed: out of disk")
    assert list(Path(films.prepared).glob("movie_feedback/*/1.0.0")) == []
    monkeypatch.undo()
    again = CliRunner().invoke(cli.main, [*arguments, "--runner", "DirectRunner"])
    assert again.exit_code == 0, again.stderr
    assert again.stdout.splitlines()[0].split() == ["train", "3", "films"]
    assert "7 problems" in again.stderr


@needs_beam
def test_an_unknown_runner_is_told(films: DataConfig):  # noqa: F811
    with pytest.raises(ConfigError, match=r"--runner Nope: .*DataflowRunner"):
        datasets.prepare(films, str, runner="Nope")
