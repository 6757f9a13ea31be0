"""Programs kept on disk: found again by the next process, and no trouble where that fails."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import jax
import pytest
from conftest import ROOT

from mfp import compiled

CACHE = "jax_compilation_cache_dir"
CODE = """
import sys
from pathlib import Path
import jax, jax.numpy as jnp
from mfp import compiled
compiled._WORTH_SECONDS = 0.0
assert compiled.keep_in(Path(sys.argv[1])) is None
seen = []
jax.monitoring.register_event_listener(lambda event, **_: seen.append(event))
jax.jit(lambda x: jnp.sin(x) @ x)(jnp.ones((50, 50)))
print(sum(event.endswith("cache_hits") for event in seen))
"""


@pytest.fixture
def chosen(monkeypatch):
    """What keep_in tells jax, without telling it."""
    found = {}
    before = jax.config.values[CACHE]
    update = jax.config.update
    update(CACHE, None)
    monkeypatch.setattr(compiled.jax.config, "update", found.__setitem__)
    yield found
    update(CACHE, before)


def test_the_next_process_finds_the_programs(tmp_path):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("JAX_")}
    hits = []
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", CODE, tmp_path / "kept"],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        hits.append(int(done.stdout))
    assert hits[0] == 0 < hits[1]


def test_a_folder_is_made(tmp_path, chosen):
    folder = tmp_path / "a" / "b"
    assert compiled.keep_in(folder) is None
    assert chosen["jax_compilation_cache_dir"] == str(folder)
    assert chosen["jax_persistent_cache_min_compile_time_secs"] < 1
    assert list(folder.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_told_and_left(tmp_path, chosen):
    (tmp_path / "file").write_text("")
    trouble = compiled.keep_in(tmp_path / "file" / "kept")
    assert trouble is not None
    assert trouble.startswith("compiled programs are not kept: ")
    assert "\n" not in trouble
    assert chosen == {}


def test_the_choice_of_the_environment_stays(tmp_path, chosen, monkeypatch):
    """Whose value jax has read."""
    monkeypatch.undo()
    jax.config.update(CACHE, "/elsewhere")
    assert compiled.keep_in(tmp_path / "new") is None
    assert jax.config.values[CACHE] == "/elsewhere"
    assert not (tmp_path / "new").exists()


def test_the_oldest_programs_make_room(tmp_path, chosen, monkeypatch):
    monkeypatch.setattr(compiled, "_BYTES", 250)
    for age, name in enumerate(("new", "middle", "old")):
        path = tmp_path / f"{name}-cache"
        path.write_bytes(b"x" * 100)
        os.utime(path, (1e9 - age, 1e9 - age))
    (tmp_path / "other").write_bytes(b"x" * 1000)
    compiled.keep_in(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["middle-cache", "new-cache", "other"]


def test_the_default_is_the_cache_folder_of_the_user(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert compiled.default_folder() == Path("/somewhere/mfp/compiled")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert compiled.default_folder() == Path.home() / ".cache/mfp/compiled"
