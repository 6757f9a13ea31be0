"""Every notebook runs from top to bottom, and stands in the repository as it came out."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest

from notebooks import execute

notebooks = pytest.mark.parametrize("path", execute.find(), ids=lambda path: path.stem)
MAX_FOLDER_BYTES = 4_000_000
# Those that train for minutes; they are run by `make notebooks` and `pytest -m soak`.
LONG = ("04", "05", "06", "07")


@notebooks
def test_as_it_stands_it_is_whole(path: Path):
    assert execute.problems(path) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, id=path.stem, marks=[pytest.mark.soak] * path.name.startswith(LONG))
        for path in execute.find()
    ],
)
def test_it_runs(path: Path, tmp_path: Path):
    copy = tmp_path / path.name
    nbformat.write(execute.execute(path), copy)
    assert execute.problems(copy) == []


def test_all_together_stay_small():
    assert sum(path.stat().st_size for path in execute.find()) < MAX_FOLDER_BYTES
