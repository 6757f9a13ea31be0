"""`make docs`: the reference builds, of every module, without a warning."""

from __future__ import annotations

import importlib.util
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, needs_beam


@pytest.mark.slow
@needs_beam  # two modules cannot be imported without it
@pytest.mark.skipif(
    importlib.util.find_spec("pdoc") is None,
    reason="pdoc is not installed (pip install 'mfp[docs]')",
)
def test_the_reference_has_every_module_and_no_warning(tmp_path: Path):
    recipe = subprocess.run(
        ["make", "--dry-run", "--no-print-directory", "docs"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
    )
    command = recipe.stdout.splitlines()[-1]
    command = command.replace(".venv/bin/python", sys.executable, 1)
    command = command.replace("build/docs", f"{tmp_path} --no-search")
    done = subprocess.run(
        shlex.split(command), capture_output=True, text=True, cwd=ROOT, timeout=600
    )
    assert (done.returncode, done.stderr) == (0, "")
    written = {
        path.relative_to(tmp_path).with_suffix("") for path in tmp_path.rglob("mfp*/**/*.html")
    }
    for path in (ROOT / "mfp").rglob("*.py"):
        module = path.relative_to(ROOT).with_suffix("")
        if not any(part.startswith("_") for part in module.parts):
            assert module in written, module
    assert "apply_function" in (tmp_path / "mfp/training/assemble.html").read_text("utf-8")
