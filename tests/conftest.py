"""Shared fixtures. Several CPU devices are faked before jax starts, so that pmap has shards."""

from __future__ import annotations

import os

os.environ.setdefault("JAX_NUM_CPU_DEVICES", "8")

from dataclasses import dataclass
from pathlib import Path

import pytest

from mfp import config as configs
from mfp.config import Config
from mfp.film import Film, Outcome

ROOT = Path(__file__).resolve().parent.parent
SHARED_FILMS = ROOT.parent / "shared" / "data" / "films"

needs_shared_films = pytest.mark.skipif(
    not SHARED_FILMS.is_dir(), reason="the folder ../shared/data/films is not here"
)


@dataclass(frozen=True)
class Run:
    """A debug run on bundled films, trained once per test session."""

    config: Config
    path: Path
    films: dict[str, list[tuple[Film, Outcome]]]  # of each split

    @property
    def bundle(self) -> Path:
        return self.path / "bundle"


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder where this test session keeps prepared datasets."""
    return tmp_path_factory.mktemp("prepared")


@pytest.fixture(scope="session")
def debug_config(prepared: Path) -> Config:
    return configs.load(ROOT / "configs" / "debug.toml", [f'data.prepared="{prepared}"'])


@pytest.fixture(scope="session")
def dataset(debug_config: Config):
    """The bundled films of the debug config, prepared."""
    from mfp.data import dataset as datasets

    return datasets.prepare(debug_config.data)


@pytest.fixture(scope="session")
def run(debug_config: Config, dataset, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run with metrics and bundle. Read only: copy it before you change it."""
    from mfp.report.progress import TrainingProgress
    from mfp.training import loop, session
    from mfp.training.run import RunFolder

    folder = RunFolder(tmp_path_factory.mktemp("runs") / "debug")
    progress = TrainingProgress(quiet=True)
    trained = loop.train(debug_config, dataset, folder, progress)
    report = session.evaluate_run(folder, debug_config, dataset, trained, progress)
    session.export_run(folder, folder.bundle, debug_config, dataset, trained, report)
    films = {name: list(split) for name, split in dataset.splits.items()}
    return Run(debug_config, folder.path, films)
