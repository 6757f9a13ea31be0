"""Columns on disk: the bits of memory, whole or not there, written once, read in flat memory."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from numpy.lib import format as npy

from mfp import config as configs
from mfp.data import batches, columns
from mfp.data.batches import FilmArrays, TrainingBatches
from mfp.data.columns import Column, Ids
from mfp.data.dataset import Dataset
from mfp.data.fit import fit
from mfp.film import Film, Outcome

CONFIG = configs.load(
    ROOT / "configs" / "base.toml",
    ['features.images=["poster"]', "data.image_size=8", 'features.texts=["title", "reviews"]',
     'as_of="post_release"'],
)  # fmt: skip


class Films(list):
    """Films of which every third has a poster."""

    def pixels(self, i: int) -> dict[str, bytes]:
        film, _ = self[i]
        return {"poster": bytes([len(film.title)]) * (8 * 8 * 3)} if film.poster else {}


def films(count: int) -> Films:
    return Films(
        (
            Film(
                "a title of " + " ".join(["words"] * (1 + i % 7)),
                id=f"é{i}" if i % 5 else "",
                runtime_minutes=80.0 + i,
                reviews=tuple("good film " * (1 + i % 4) for _ in range(i % 3)),
                poster="p.jpg" if i % 3 == 0 else "",
            ),
            Outcome(None if i % 4 == 0 else i % 10, None if i % 2 else 1000.0 * (i + 1)),
        )
        for i in range(count)
    )


SPLITS = {"train": films(600), "validation": films(5), "test": films(1)}
SPEC = fit(SPLITS["train"], CONFIG)


def dataset(folder: Path, fingerprint: str = "some films") -> Dataset:
    return Dataset(folder, fingerprint, SPLITS, [])


def assert_same(found: FilmArrays, expected: FilmArrays) -> None:
    assert list(found.ids) == list(expected.ids)
    assert found.columns.keys() == expected.columns.keys()
    assert found.media.keys() == expected.media.keys() == {"images/poster"}
    pairs = [(found.columns[name], column) for name, column in expected.columns.items()]
    pairs += [(found.truth[name], truth) for name, truth in expected.truth.items()]
    pairs += [(found.media[n].index, pool.index) for n, pool in expected.media.items()]
    pairs += [(found.media[n].content, pool.content) for n, pool in expected.media.items()]
    for one, other in [*pairs, (found.fill, expected.fill)]:
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


def test_disk_holds_what_memory_would(tmp_path: Path):
    told: list[int] = []
    found = columns.open_splits(dataset(tmp_path), SPEC, CONFIG.targets, told.append)
    assert sum(told) == 606
    assert list(found) == list(SPLITS)
    for name, split in SPLITS.items():
        expected = batches.film_arrays(split, SPEC, CONFIG.targets)
        assert_same(found[name], expected)
        one, other = (TrainingBatches(a, 4, 3, buckets=3) for a in (found[name], expected))
        for k in (0, 5, 200):
            a, b = one[k], other[k]
            assert {n: x.tobytes() for n, x in a.items()} == {n: x.tobytes() for n, x in b.items()}
    for column in found["train"].columns.values():
        assert not column.flags.writeable
        assert not column.flags.owndata


def test_every_poster_stands_by_its_film(tmp_path: Path):
    arrays = columns.open_splits(dataset(tmp_path), SPEC, CONFIG.targets)["train"]
    assert len(arrays.media["images/poster"].content) == 201
    batch = arrays.rows(np.array([599, 0, 597, 300]), 4)
    titles = [len(SPLITS["train"][i][0].title) for i in (0, 597, 300)]
    assert batch["images/poster"][:, 0, 0, 0].tolist() == [0, *titles]
    chosen = arrays.select(np.array([597, 599]))
    np.testing.assert_array_equal(
        chosen.rows(np.array([1, 0]), 2)["images/poster"], batch["images/poster"][[0, 2]]
    )
    assert chosen.ids == ["é597", "é599"]
    np.testing.assert_array_equal(chosen.fill, arrays.fill[[597, 599]])


def test_what_is_there_is_not_written_again(tmp_path: Path):
    first = columns.open_splits(dataset(tmp_path), SPEC, CONFIG.targets)

    class Unreadable(Films):
        def __getitem__(self, _):
            raise AssertionError("a film was read")

    unreadable = {name: Unreadable(split) for name, split in SPLITS.items()}
    again = columns.open_splits(
        dataclasses.replace(dataset(tmp_path), splits=unreadable), SPEC, CONFIG.targets
    )
    for name in SPLITS:
        assert_same(again[name], first[name])


def test_what_decides_the_columns_is_in_their_name(tmp_path: Path, monkeypatch):
    def folders() -> int:
        return sum(path.is_dir() for path in (tmp_path / "columns").iterdir())

    targets = dataclasses.replace(
        CONFIG.targets, hit=dataclasses.replace(CONFIG.targets.hit, rating_at_least=5.0)
    )
    spec = dataclasses.replace(SPEC, lengths={**SPEC.lengths, "title": 2})
    fewer = {name: Films(split[:4]) for name, split in SPLITS.items()}
    one = dataset(tmp_path)
    columns.open_splits(one, SPEC, CONFIG.targets)
    assert folders() == 1
    easier = columns.open_splits(one, SPEC, targets)["train"].truth["hit"]
    np.testing.assert_array_equal(
        easier, batches.film_arrays(SPLITS["train"], SPEC, targets).truth["hit"]
    )
    found = columns.open_splits(one, spec, CONFIG.targets)["train"]
    assert found.columns["texts/title"].shape == (600, 2)
    columns.open_splits(dataset(tmp_path, "other films"), SPEC, CONFIG.targets)
    columns.open_splits(dataclasses.replace(one, splits=fewer), SPEC, CONFIG.targets)
    assert folders() == 5
    monkeypatch.setattr(columns, "_CODE", ("film.py",))  # other code than that which wrote them
    columns.open_splits(one, SPEC, CONFIG.targets)
    assert folders() == 6


class Failing(Films):
    """A crash after the first chunk of films is on disk."""

    def __getitem__(self, i):
        if i == 500:
            raise KeyboardInterrupt
        return super().__getitem__(i)


def test_what_was_stopped_half_way_leaves_nothing(tmp_path: Path):
    failing = dataclasses.replace(
        dataset(tmp_path), splits={"train": Failing(SPLITS["train"]), "validation": [], "test": []}
    )
    with pytest.raises(KeyboardInterrupt):
        columns.open_splits(failing, SPEC, CONFIG.targets)
    assert [path.suffix for path in (tmp_path / "columns").iterdir()] == [".lock"]


PROGRAM = """
import os, signal, sys, time
from pathlib import Path
sys.path[:0] = ["tests", "tests/data"]
from test_columns import CONFIG, SPEC, dataset
from mfp.data import columns

def note(count):
    if sys.argv[2] == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.2)
    written.append(count)

written = []
found = columns.open_splits(dataset(Path(sys.argv[1])), SPEC, CONFIG.targets, note)
print(sum(written), len(found["train"]))
"""


def start(folder: Path, how: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(folder), how],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_after_a_kill_two_processes_start_anew_and_one_of_them_writes(tmp_path: Path):
    killed = start(tmp_path, "killed")
    _, errors = killed.communicate(timeout=120)
    assert killed.returncode == -9, errors
    (partial,) = (tmp_path / "columns").glob(".*.partial")
    assert (partial / "train" / "records.npy").exists()
    both = [start(tmp_path, "whole") for _ in range(2)]
    done = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], done
    assert sorted(output for output, _ in done) == ["0 600\n", "606 600\n"]
    found = columns.open_splits(dataset(tmp_path), SPEC, CONFIG.targets)
    assert_same(found["train"], batches.film_arrays(SPLITS["train"], SPEC, CONFIG.targets))
    assert not list((tmp_path / "columns").glob(".*.partial"))


@pytest.mark.parametrize("name", ["records", "ids", "images-poster"])
@pytest.mark.parametrize("lost", ["an end", "all", "the file"])
def test_what_lost_files_is_written_anew(tmp_path: Path, name: str, lost: str):
    columns.open_splits(dataset(tmp_path), SPEC, CONFIG.targets)
    (file,) = (tmp_path / "columns").glob(f"*/train/{name}.npy")
    content = file.read_bytes()
    file.unlink()  # the maps of it that are open stay as they were
    if lost != "the file":
        file.write_bytes(content[:-1] if lost == "an end" else b"")
    columns.open_splits(dataset(tmp_path), SPEC, CONFIG.targets)
    assert file.read_bytes() == content


def test_a_column_is_a_plain_npy_file_of_all_its_rows(tmp_path: Path):
    rows = np.arange(24, dtype=np.int32).reshape(12, 2)
    with Column(tmp_path / "x.npy") as column:
        for start in range(0, 12, 5):
            column.append(rows[start : start + 5])
        with pytest.raises(ValueError, match="another kind"):
            column.append(rows.astype(np.int64))
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy"), rows)


def test_ids_are_read_on_access():
    ids = Ids(np.frombuffer("aéb".encode(), np.uint8), np.array([1, 1, 3, 4]))
    assert list(ids) == ["a", "", "é", "b"]
    assert ids[-2] == "é"
    assert ids[1:3] == ["", "é"]
    with pytest.raises(IndexError):
        ids[4]


def anonymous_megabytes() -> float:
    """Memory of this process that is no file's (maps of files can be dropped at any time)."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("RssAnon:")[1].split()[0]) / 1024


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="RssAnon is Linux's")
@pytest.mark.parametrize("buckets", [1, 4])
def test_reading_batches_takes_no_memory_for_films(tmp_path: Path, buckets: int):
    """A million films take 156 MB on disk; an array of their order would take 8 MB."""
    count, copies = 1_000_200, 1667
    some = batches.transform(SPLITS["train"], range(600), SPEC, CONFIG.targets)
    with (
        Column(tmp_path / "records.npy") as records,
        Column(tmp_path / "truth.npy") as truth,
        Column(tmp_path / "fill.npy") as fill,
        Column(tmp_path / "facts.npy") as facts,
    ):
        for _ in range(copies):
            records.append(some.records)
            truth.append(some.truth)
            fill.append(some.fill)
            facts.append(some.facts)
    opened = [
        np.asarray(npy.open_memmap(tmp_path / f"{name}.npy", mode="r"))
        for name in ("records", "truth", "fill", "facts")
    ]
    assert len(opened[0]) == count
    assert opened[0].nbytes > 150e6
    content = {"images/poster": np.zeros((201, 8, 8, 3), np.uint8)}
    ids = Ids(np.zeros(0, np.uint8), np.zeros(count, np.int8))
    films = batches.joined(ids, *opened, content)
    few = TrainingBatches(films.select(np.arange(20_000)), 256, 0, buckets)
    for k in range(40):  # what any reading takes: a window, batches
        few[k]
    before = anonymous_megabytes()
    training = TrainingBatches(films, 256, 0, buckets)
    assert training.per_epoch == -(-count // 256)
    for k in range(0, training.per_epoch, 7):
        training[k]
    assert anonymous_megabytes() - before < 4
