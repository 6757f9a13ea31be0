"""A table of track records written to files and read again; damaged files are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from data.test_history import PEOPLE, RULES, asked, config, film, told_of
from mfp.data import history
from mfp.data.history import HistoryTable
from mfp.data.ledger import STATE
from mfp.dates import PartialDate


def test_a_table_survives_its_files(tmp_path: Path):
    films = [film(f"{2000 + i}", i % 10, 1e6, directors=(PEOPLE[i % 3],)) for i in range(12)]
    table = history.build(films, config(), RULES)
    table.write(tmp_path / "new" / "history")
    again = HistoryTable.read(tmp_path / "new" / "history")
    date = PartialDate(2009)
    assert told_of(again, date, config()) == told_of(table, date, config())


def test_a_table_of_no_films_survives_its_files(tmp_path: Path):
    history.build([], config(), RULES).write(tmp_path / "history")
    again = HistoryTable.read(tmp_path / "history")
    assert asked(again, "rating", "directors", "Ann", "2000").count == 0


@pytest.mark.parametrize("damage", ["missing", "empty", "index", "version", "kind", "rows"])
def test_damaged_files_are_refused(tmp_path: Path, damage: str):
    folder = tmp_path / "history"
    history.build([film("2000", 5.0, directors=("Ann",))], config(), RULES).write(folder)
    if damage == "missing":
        (folder / "rating-days.npy").unlink()
    elif damage == "empty":
        (folder / "rating-days.npy").write_bytes(b"")
    elif damage == "index":
        (folder / "history.json").write_text("[]")
    elif damage == "version":
        text = (folder / "history.json").read_text()
        (folder / "history.json").write_text(text.replace('"version": 1', '"version": 9'))
    elif damage == "kind":
        np.save(folder / "rating-keys.npy", np.zeros(3))
    else:
        np.save(folder / "rating-states.npy", np.zeros(3, STATE))
    with pytest.raises((OSError, ValueError)):
        HistoryTable.read(folder)
