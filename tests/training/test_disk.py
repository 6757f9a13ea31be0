"""Disks that are full, read-only or gone while a run writes: one clear error, nothing lost."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from conftest import ROOT

from mfp import cli_common
from mfp.data import columns
from mfp.data import dataset as datasets
from mfp.data.fit import fit
from mfp.forecast.bundle import open_bundle
from mfp.manifest import BundleError
from mfp.training import export, loop, session
from mfp.training.checkpoint import CheckpointError
from mfp.training.run import RunFolder
from training.test_damage import DAMAGES, files, flip
from training.test_loop import TOTAL, Watched, assert_same_bits, last_state


class Disk:
    """A small file system of its own."""

    def __init__(self, path: Path):
        self.path = path

    def mount(self, *options: str) -> None:
        subprocess.run(["mount", *options, str(self.path)], check=True, capture_output=True)

    def unmount(self) -> None:
        subprocess.run(["umount", "--lazy", str(self.path)], capture_output=True)

    def fill(self) -> None:
        room = os.statvfs(self.path).f_bavail * os.statvfs(self.path).f_bsize
        with contextlib.suppress(OSError):  # while a checkpoint takes some of it as well
            (self.path / "ballast").write_bytes(bytes(room))

    def make_room(self) -> None:
        (self.path / "ballast").unlink()


@pytest.fixture
def disk(tmp_path):
    disk = Disk(tmp_path / "disk")
    disk.path.mkdir()
    try:
        disk.mount("-t", "tmpfs", "-o", "size=16m", "tmpfs")
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no file system can be mounted here (that needs root)")
    yield disk
    disk.unmount()


class At(Watched):
    """Does something when the losses of a step arrive."""

    def __init__(self, when: int, then):
        super().__init__()
        self._when, self._then = when, then

    def step(self, step, losses):
        super().step(step, losses)
        if step == self._when:
            self._then()


@pytest.fixture(scope="module")
def whole(tiny, few, tmp_path_factory):
    run = RunFolder(tmp_path_factory.mktemp("whole"))
    return run, loop.train(tiny, few, run, Watched())


def assert_ends_like(whole, run, config, films):
    """After the trouble the same command goes on and ends in the same bits."""
    progress = Watched()
    loop.train(config, films, run, progress)
    assert progress.steps[-1] == TOTAL
    assert_same_bits(last_state(run, config)[0], last_state(whole[0], config)[0])
    assert run.log_file.read_text() == whole[0].log_file.read_text()
    return progress


@pytest.mark.parametrize(
    ("step", "kind", "told", "kept"),
    [
        (1, OSError, r"No space left on device: .*/log\.jsonl", None),
        (9, CheckpointError, r"could not be saved: No space left on device; those before", 6),
    ],
    ids=["logging", "saving"],
)
def test_a_full_disk(disk, whole, tiny, few, step, kind, told, kept):
    run = RunFolder(disk.path / "run")
    with pytest.raises(kind, match=told):
        loop.train(tiny, few, run, At(step, disk.fill))
    disk.make_room()
    if kept is not None:
        assert int(last_state(run, tiny)[0].step) >= kept
    progress = assert_ends_like(whole, run, tiny, few)
    if kept is not None:
        assert progress.steps[0] > kept


def test_a_full_disk_while_exporting(disk, tiny, few, whole, monkeypatch):
    _, trained = whole
    run = RunFolder(disk.path / "run")
    run.path.mkdir()
    # What is written first is small enough, the parameters are not.
    monkeypatch.setattr(export, "export_program", lambda *_: b"program")
    monkeypatch.setattr(export, "check_agreement", lambda *_: disk.fill())
    with pytest.raises(OSError, match=r"No space left on device: .*/bundle") as caught:
        export.write_bundle(run.bundle, tiny, trained.spec, trained.params, {}, {})
    assert "make room and run the same command again" in cli_common.describe(caught.value)
    assert list(run.path.iterdir()) == []  # and what was written takes no room
    disk.make_room()
    monkeypatch.undo()
    session.export_run(run, run.bundle, tiny, few, trained, {})
    open_bundle(run.bundle)


def test_a_disk_that_is_gone(disk, whole, tiny, few):
    run = RunFolder(disk.path / "run")
    with pytest.raises((OSError, CheckpointError), match=r"No such file|is gone"):
        loop.train(tiny, few, run, At(9, disk.unmount))
    # Nothing that a run could go on from was begun where the disk had been.
    assert not any(run.path.glob("*.json*"))
    assert not any(path.name.isdecimal() for path in run.path.glob("checkpoints/*"))


def test_a_read_only_folder(disk, tiny, few):
    run = RunFolder(disk.path / "run")
    disk.mount("-o", "remount,ro")
    with pytest.raises(OSError, match="Read-only file system") as caught:
        loop.train(tiny, few, run, Watched())
    said = cli_common.describe(caught.value)
    assert said.startswith(f"{run.path}: Read-only file system; nothing can be written there:")
    assert "--run" in said


def test_prepared_films_may_be_read_only(disk, debug_config, dataset, tiny):
    data = dataclasses.replace(debug_config.data, prepared=str(disk.path))
    made = datasets.prepare(data)
    spec = fit(made.splits["train"], tiny)
    before = columns.open_splits(made, spec, tiny.targets)
    disk.mount("-o", "remount,ro")
    again = datasets.prepare(data)
    assert again.fingerprint == dataset.fingerprint
    after = columns.open_splits(again, spec, tiny.targets)
    assert list(before["test"].ids) == list(after["test"].ids)
    other = dataclasses.replace(tiny.targets.rating, votes_half=9.0)
    with pytest.raises(OSError, match="Read-only file system"):
        columns.open_splits(again, spec, dataclasses.replace(tiny.targets, rating=other))


def test_a_clock_that_is_set_back(whole, tiny, few, tmp_path, monkeypatch):
    run, now, now_ns = RunFolder(tmp_path), time.time, time.time_ns
    with pytest.raises(loop.Interrupted):
        loop.train(tiny, few, run, Watched(at=9))
    a_year = 365 * 86_400
    monkeypatch.setattr(time, "time", lambda: now() - a_year)
    monkeypatch.setattr(time, "time_ns", lambda: now_ns() - a_year * 10**9)
    progress = assert_ends_like(whole, run, tiny, few)
    assert progress.steps[0] > 9


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.EDQUOT, "make room"),
        (errno.EACCES, "make it writable"),
        (errno.ESTALE, "does not answer"),
        (errno.EIO, "does not answer"),
        (errno.ENOENT, "mounted?"),
    ],
)
def test_an_error_of_the_system_is_one_line_with_its_remedy(number, remedy):
    @click.command()
    @cli_common.one_line_errors
    def command():
        raise OSError(number, os.strerror(number), "/runs/base/log.jsonl")

    done = CliRunner().invoke(command)
    assert done.exit_code == 1
    assert done.output.startswith(f"Error: /runs/base/log.jsonl: {os.strerror(number)}; ")
    assert remedy in done.output
    assert done.output.count("\n") == 1


def same_values(path: Path, content: bytes) -> bool:
    """Whether a damaged JSON file says what it said before."""
    try:
        return json.loads(path.read_bytes()) == json.loads(content)
    except ValueError:
        return False


def test_every_damage_of_every_file_of_a_bundle_is_refused_by_its_name(run, tmp_path):
    bundle = tmp_path / "bundle"
    shutil.copytree(run.bundle, bundle)
    found = files(bundle)
    assert len(found) >= 15
    for path in found:
        content = path.read_bytes()
        for damage in DAMAGES:
            damage(path)
            if damage is flip and path.name == "manifest.json" and same_values(path, content):
                path.write_bytes(content)
                continue  # one flip in a hundred: the seventeenth digit of a number
            with pytest.raises(BundleError) as caught:
                open_bundle(bundle)
            named = path if path.exists() or path.name != "manifest.json" else bundle
            assert str(named) in str(caught.value), (damage, path)
            path.write_bytes(content)


def test_a_bundle_says_nothing_of_the_machine_that_wrote_it(run):
    """But for its config, which a person wrote."""
    for path in files(run.bundle):
        if path.name != "manifest.json":
            content = path.read_bytes()
            assert str(run.path).encode() not in content, path
            assert str(ROOT).encode() not in content, path
