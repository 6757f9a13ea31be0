"""Shared fixtures. Several CPU devices are faked before jax starts, so that pmap has shards."""

from __future__ import annotations

import gc
import importlib.util
import os

os.environ.setdefault("JAX_NUM_CPU_DEVICES", "8")
# Compiling is most of what the tests do, and they run what they compile for moments. Here and in
# the processes that they start; JAX_DISABLE_MOST_OPTIMIZATIONS=0 tests programs as users have them.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import compilation
import jax
import pytest
from filelock import FileLock

from mfp import config as configs
from mfp.config import Config
from mfp.film import Film, Outcome

# Looking for cycles among what jax traces, a tenth of the time, finds next to none.
gc.set_threshold(100_000, 50, 50)

ROOT = Path(__file__).resolve().parent.parent
SHARED_FILMS = ROOT.parent / "shared" / "data" / "films"

# The files that take longest, which are begun first so that no worker is left with one at the end;
# in an order in which those that start processes are not at work at the same time.
LONG = (
    *(
        "notebooks/test_notebooks",
        "training/test_loop",
        "test_multimodal",
        "training/test_processes",
    ),
    *(
        "training/test_ten_steps",
        "jobs/test_slurm",
        "test_cli",
        "data/test_beam",
        "test_cli_stream",
    ),
    *(
        "training/test_pretrained",
        "training/test_refit",
        "training/test_tune",
        "training/test_kills",
    ),
    *("test_contributing", "models/test_text", "training/test_disk", "training/test_in_memory"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {ROOT / "tests" / f"{name}.py": place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: places.get(item.path, len(LONG)))


needs_shared_films = pytest.mark.skipif(
    not SHARED_FILMS.is_dir(), reason="the folder ../shared/data/films is not here"
)
needs_beam = pytest.mark.skipif(
    importlib.util.find_spec("apache_beam") is None,
    reason="Apache Beam is not installed (pip install 'mfp[beam]')",
)


@dataclass(frozen=True)
class Run:
    """A debug run on bundled films, trained once per test session by one of its workers."""

    config: Config
    path: Path
    films: dict[str, list[tuple[Film, Outcome]]]  # of each split

    @property
    def bundle(self) -> Path:
        return self.path / "bundle"


@pytest.fixture(scope="module")
def optimised() -> Iterator[None]:
    """Programs as users have them, where a test is of their last bits."""
    name = "jax_disable_most_optimizations"
    former = jax.config.values[name]
    jax.config.update(name, False)
    yield
    jax.config.update(name, former)


@pytest.fixture(scope="session")
def common(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all workers of pytest-xdist share: what is dear is made by one of them."""
    return compilation.common_folder(tmp_path_factory)


@pytest.fixture(scope="session")
def prepared(common: Path) -> Path:
    """The folder where this test session keeps prepared datasets."""
    return common / "prepared"


@pytest.fixture(scope="session")
def debug_config(prepared: Path) -> Config:
    return configs.load(ROOT / "configs" / "debug.toml", [f'data.prepared="{prepared}"'])


@pytest.fixture(scope="session")
def dataset(debug_config: Config, common: Path):
    """The bundled films of the debug config, prepared."""
    from mfp.data import dataset as datasets

    with FileLock(common / "prepared.lock"):
        return datasets.prepare(debug_config.data)


@pytest.fixture(scope="session")
def run(debug_config: Config, dataset, common: Path) -> Run:
    """A finished run with metrics and bundle. Read only: copy it before you change it."""
    path, films = common / "debug", {name: list(split) for name, split in dataset.splits.items()}
    with FileLock(common / "debug.lock"):
        if not (done := common / "debug.done").exists():
            _train(debug_config, dataset, path)
            done.touch()
    return Run(debug_config, path, films)


def _train(config: Config, dataset, path: Path) -> None:
    from mfp.report.progress import TrainingProgress
    from mfp.training import loop, session
    from mfp.training.run import RunFolder

    folder, progress = RunFolder(path), TrainingProgress(quiet=True)
    trained = loop.train(config, dataset, folder, progress)
    report = session.evaluate_run(folder, config, dataset, trained, progress)
    session.export_run(folder, folder.bundle, config, dataset, trained, report)
