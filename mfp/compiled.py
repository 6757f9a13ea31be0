"""Compiled programs kept on disk, so that a run that starts again does not compile again."""

from __future__ import annotations

import os
from pathlib import Path

import jax

# jax keeps only what took a second to compile; a run also has dozens of programs below that.
_WORTH_SECONDS = 0.2
_BYTES = 2**30  # the oldest programs go first


def default_folder() -> Path:
    """mfp/compiled in the user's cache folder."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "mfp" / "compiled"


def keep_in(folder: Path) -> str | None:
    """Keep compiled programs in a folder from now on; what to tell the user where that fails.

    A cache that the environment has chosen (JAX_COMPILATION_CACHE_DIR) stays.
    """
    if jax.config.values["jax_compilation_cache_dir"]:
        return None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".{os.getpid()}"
        probe.write_bytes(b"")
        probe.unlink()
        _make_room(folder)
    except OSError as error:
        return f"compiled programs are not kept: {error}"
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", _WORTH_SECONDS)
    return None


def _make_room(folder: Path) -> None:
    """Remove the oldest programs of a folder that has grown too large.

    jax can do that as well, but a process killed between its two writes of a program breaks it
    for good.
    """
    files = [(path, path.stat()) for path in folder.glob("*-cache")]
    size = sum(stat.st_size for _, stat in files)
    for path, stat in sorted(files, key=lambda found: found[1].st_mtime):
        if size <= _BYTES:
            break
        path.unlink(missing_ok=True)
        size -= stat.st_size
