"""Damaged files of a run: found, named, and the run goes on from the checkpoint before."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from mfp.training import checkpoint_files, loop
from mfp.training.checkpoint import CheckpointError, Checkpoints
from mfp.training.run import RunFolder
from training.test_checkpoint import state
from training.test_loop import TOTAL, Watched, assert_same_bits, last_state


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def empty(path: Path) -> None:
    path.write_bytes(b"")


DAMAGES = (truncate, flip, empty, Path.unlink)


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def meta(step, best):
    return {"best_loss": 0.5, "best_step": best, "stale_epochs": 0, "seconds": 1.0}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Checkpoints of steps 2 (the best), 4 and 6, as a run leaves them."""
    folder = tmp_path_factory.mktemp("run") / "checkpoints"
    with Checkpoints(folder) as checkpoints:
        checkpoints.save(state(2), meta(2, 2), 0.5)
        checkpoints.save(state(4), meta(4, 2))
        checkpoints.save(state(6), meta(6, 2))
    return folder


@pytest.fixture
def folder(made, tmp_path):
    shutil.copytree(made, tmp_path / "checkpoints")
    return tmp_path / "checkpoints"


def left(folder: Path) -> list[int]:
    return sorted(int(path.name) for path in folder.iterdir())


def fallen_back(folder: Path) -> list[str]:
    said: list[str] = []
    checkpoint_files.fall_back(folder, said.append)
    return said


def test_whole_ones_stay_as_they_are(folder):
    before = {path: path.read_bytes() for path in files(folder)}
    assert fallen_back(folder) == []
    assert {path: path.read_bytes() for path in files(folder)} == before
    assert checkpoint_files.flaw(folder / "6") is None
    assert list(folder.parent.iterdir()) == [folder]


def test_every_damage_of_every_file_is_found_and_named(folder):
    newest, count = folder / "6", 0
    for path in files(newest):
        content = path.read_bytes()
        for damage in DAMAGES:
            damage(path)
            found = checkpoint_files.flaw(newest)
            # Damage of the hashes may look like damage of what they are hashes of.
            named = str(newest) if path.name == checkpoint_files.HASHES else f"{path}: "
            assert found is not None, (damage, path)
            assert found.startswith(named)
            path.write_bytes(content)
            count += 1
    assert count >= 4 * 10
    (newest / "state" / "more").touch()
    assert checkpoint_files.flaw(newest) == f"{newest}/state/more: is not of this checkpoint"


@pytest.mark.parametrize("damage", DAMAGES)
def test_the_newest_damaged(folder, damage):
    broken = max(files(folder / "6" / "state"), key=lambda path: path.stat().st_size)
    damage(broken)
    with (
        Checkpoints(folder) as checkpoints,
        pytest.raises(CheckpointError, match=f"{broken}: is .*; run mfp train again"),
    ):
        checkpoints.restore(6, state(0))
    (said,) = fallen_back(folder)
    assert said.startswith(f"{broken}: is ")
    assert said.endswith("going on from step 4")
    assert left(folder) == [2, 4]
    assert left(folder.with_name("checkpoints-damaged")) == [6]
    with Checkpoints(folder) as checkpoints:
        assert checkpoints.last == 4
        checkpoints.save(state(6), meta(6, 2))  # the place is free
    assert fallen_back(folder) == []


def test_without_the_best_none_after_it_can_be_used(folder):
    flip(folder / "2" / "state" / "manifest.ocdbt")
    said = fallen_back(folder)
    assert left(folder) == []
    assert len(said) == 3
    assert all("checkpoints/2/state/manifest.ocdbt: is damaged" in line for line in said[:2])
    assert said[-1].endswith("training starts anew")


def test_the_one_before_damaged(folder):
    flip(folder / "4" / "meta" / "metadata")
    assert fallen_back(folder) == [
        f"{folder}/4/meta/metadata: is damaged; the run goes on from a newer one"
    ]
    assert left(folder) == [2, 6]


def test_what_a_killed_process_left_is_removed_without_a_word(folder):
    shutil.copytree(folder / "6", folder / "8.orbax-checkpoint-tmp")
    shutil.copytree(folder / "4", folder / "3")  # superseded, and half removed
    (folder / "3" / "meta" / "metadata").unlink()
    assert fallen_back(folder) == []
    assert left(folder) == [2, 4, 6]


def test_those_of_a_version_without_hashes_are_taken_as_they_are(folder):
    for path in folder.glob(f"*/{checkpoint_files.HASHES}"):
        path.unlink()
    with (
        Checkpoints(folder) as checkpoints,
        pytest.raises(CheckpointError, match=r"hashes\.json: is missing; run mfp train again"),
    ):
        checkpoints.restore(6, state(0))
    assert fallen_back(folder) == []
    with Checkpoints(folder) as checkpoints:
        found, _ = checkpoints.restore(6, state(0))
    np.testing.assert_array_equal(found.step, 6)


@pytest.fixture(scope="module")
def stopped(tiny, few, tmp_path_factory):
    """A run that was stopped, and the same one undisturbed."""
    whole, run = (RunFolder(tmp_path_factory.mktemp(name)) for name in ("whole", "stopped"))
    loop.train(tiny, few, whole, Watched())
    with pytest.raises(loop.Interrupted):
        loop.train(tiny, few, run, Watched(at=12))
    return whole, run


@pytest.mark.parametrize("what", ["newest", "best", "all"])
def test_the_run_ends_in_the_same_bits(stopped, tiny, few, tmp_path, what):
    whole, run = stopped
    shutil.copytree(run.path, tmp_path / "run")
    run = RunFolder(tmp_path / "run")
    *_, before, last = left(run.checkpoints)
    damaged = {"newest": [last], "best": [7], "all": left(run.checkpoints)}[what]
    for step in damaged:
        flip(run.checkpoints / str(step) / "state" / "_METADATA")
    with pytest.raises(CheckpointError, match="_METADATA: is damaged; run mfp train again"):
        loop.restore_best(run, tiny)
    progress = Watched()
    loop.train(tiny, few, run, progress)
    first = {"newest": before + 1}.get(what, 1)
    assert progress.steps == list(range(first, TOTAL + 1))
    assert any("_METADATA: is damaged" in line for line in progress.said)
    assert_same_bits(last_state(run, tiny)[0], last_state(whole, tiny)[0])
    assert run.log_file.read_text() == whole.log_file.read_text()
