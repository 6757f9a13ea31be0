"""The table of a dataset: built once, for its films and config alone."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from data.test_features import CONFIG, TRAINING
from mfp.data import history
from mfp.data.dataset import Dataset
from mfp.data.history_files import open_table

PAST, RULES = CONFIG.features.history, CONFIG.targets


def dataset(folder: Path) -> Dataset:
    splits = {"train": TRAINING[:20], "validation": TRAINING[20:30], "test": TRAINING[30:]}
    return Dataset(folder, "films", splits, [])  # type: ignore[arg-type]


def folders(folder: Path) -> list[Path]:
    return [path for path in (folder / "histories").iterdir() if path.is_dir()]


def test_a_table_holds_the_films_of_all_splits_and_is_built_once(tmp_path: Path, monkeypatch):
    table = open_table(dataset(tmp_path), PAST, RULES)
    expected = history.build(TRAINING, PAST, RULES)
    for outcome, ledger in expected.ledgers.items():
        for part in ("keys", "days", "states"):
            assert (getattr(table.ledgers[outcome], part) == getattr(ledger, part)).all()
    monkeypatch.setattr(history, "build", lambda *_: pytest.fail("built again"))
    open_table(dataset(tmp_path), PAST, RULES)
    assert len(folders(tmp_path)) == 1


def test_what_decides_a_table_has_a_table_of_its_own(tmp_path: Path):
    films = dataset(tmp_path)
    open_table(films, PAST, RULES)
    open_table(films, dataclasses.replace(PAST, delay_days=90), RULES)
    revenue = dataclasses.replace(RULES.revenue, minimum_usd=1e6)
    open_table(films, PAST, dataclasses.replace(RULES, revenue=revenue))
    open_table(dataclasses.replace(films, fingerprint="others"), PAST, RULES)
    assert len(folders(tmp_path)) == 4


def test_a_table_that_could_not_be_written_leaves_nothing(tmp_path: Path, monkeypatch):
    def fail(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(history.HistoryTable, "write", fail)
        with pytest.raises(KeyboardInterrupt):
            open_table(dataset(tmp_path), PAST, RULES)
    assert folders(tmp_path) == []
    open_table(dataset(tmp_path), PAST, RULES)


def test_a_table_that_lost_files_is_written_anew(tmp_path: Path):
    open_table(dataset(tmp_path), PAST, RULES)
    (folder,) = folders(tmp_path)
    file = folder / "rating-keys.npy"
    content = file.read_bytes()
    for rest in (b"", content[:-1], None):
        file.unlink()
        if rest is not None:
            file.write_bytes(rest)
        open_table(dataset(tmp_path), PAST, RULES)
        assert file.read_bytes() == content
