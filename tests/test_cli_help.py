"""The help of the command mfp: an example each, at once, and what is wrong usage."""

from __future__ import annotations

import subprocess
import sys

import pytest
from click.testing import CliRunner
from conftest import ROOT

from mfp.cli import main


@pytest.mark.parametrize(
    "command",
    [
        [],
        ["train"],
        ["verify-resume"],
        ["tune"],
        ["evaluate"],
        ["export"],
        ["data", "prepare"],
        ["bundle", "show"],
    ],
)
def test_help_has_an_example(command):
    result = CliRunner().invoke(main, [*command, "--help"])
    assert result.exit_code == 0
    assert "Example" in result.stdout


def test_help_is_quick():
    code = (
        "import sys, mfp.cli; "
        "print([n for n in ('jax', 'numpy', 'rich', 'flax') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout == "[]\n"


def test_wrong_usage_is_code_2():
    assert CliRunner().invoke(main, ["trian"]).exit_code == 2
    assert CliRunner().invoke(main, ["export"]).exit_code == 2
