"""One compilation cache for a test session: compiling is most of what these tests would do."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import jax
import pytest
from jax.experimental.compilation_cache import compilation_cache

_SETTINGS = {"jax_compilation_cache_dir": "", "jax_persistent_cache_min_compile_time_secs": 0.2}


def common_folder(factory: pytest.TempPathFactory) -> Path:
    """One for all workers of pytest-xdist, whose own folders lie beside each other.

    MFP_TESTS_COMMON names one that outlives the session, for sessions of one and the same code.
    """
    if named := os.environ.get("MFP_TESTS_COMMON"):
        return Path(named)
    base = factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


def cache_folder(factory: pytest.TempPathFactory) -> Path:
    return common_folder(factory) / "compiled"


@contextmanager
def cached(factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A program that this session compiled before is read from disk and not compiled again."""
    folder = cache_folder(factory)
    old = {name: getattr(jax.config, name) for name in _SETTINGS}
    compilation_cache.reset_cache()  # jax decides about its cache once, at its first compilation
    for name, value in (_SETTINGS | {"jax_compilation_cache_dir": str(folder)}).items():
        jax.config.update(name, value)
    yield folder
    for name, value in old.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()


def settings(factory: pytest.TempPathFactory) -> dict[str, str]:
    """The variables by which a subprocess shares the cache."""
    return {
        "JAX_COMPILATION_CACHE_DIR": str(cache_folder(factory)),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.2",
    }


def environment(factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a subprocess that shares the cache."""
    return os.environ | settings(factory)
