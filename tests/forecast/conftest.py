"""Fixtures of the forecast tests: one opened bundle, and copies to damage."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import compilation
import pytest

from mfp import manifest
from mfp.film import Film
from mfp.forecast import Forecaster


@pytest.fixture(scope="package", autouse=True)
def compiled_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with compilation.cached(tmp_path_factory) as folder:
        yield folder


@pytest.fixture(scope="package")
def forecaster(run) -> Forecaster:
    return Forecaster.open(run.bundle)


@pytest.fixture(scope="package")
def test_films(run) -> list[Film]:
    return [film for film, _ in run.films["test"]]


@pytest.fixture
def copy(run, tmp_path: Path) -> Path:
    """A bundle that may be damaged."""
    return Path(shutil.copytree(run.bundle, tmp_path / "bundle"))


@pytest.fixture
def rewrite(copy: Path) -> Callable:
    """Changes the manifest of `copy` and its id with it: rewrite(lambda document: ...)."""
    import json

    def change(edit: Callable[[dict], None]) -> Path:
        path = copy / "manifest.json"
        document = json.loads(path.read_text("utf-8"))
        edit(document)
        document["id"] = manifest.digest(document)
        path.write_text(json.dumps(document), encoding="utf-8")
        return copy

    return change
