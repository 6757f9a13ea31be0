"""configs/debug.toml ends in the metrics that it ended in before, so that no change goes unseen.

A change on purpose: look at the differences, then `python tests/training/test_golden_run.py`.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import pytest

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "debug-metrics.json"
PINNED = ("validation", "test", "baselines")
# The rounding of float32 on another processor, after all steps, and two films that change places
# in the order that the AUC reads (1 / 8,500). A seed moves them by hundredths.
RELATIVE, ABSOLUTE = 1e-4, 2e-4


def flat(values, prefix=""):
    found = {}
    for key, value in values.items():
        inner = flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
        found |= inner
    return found


def test_the_metrics_of_the_debug_run_are_as_they_were(run):
    metrics = json.loads((run.path / "metrics.json").read_text("utf-8"))
    found = flat({name: metrics[name] for name in PINNED})
    expected = json.loads(GOLDEN.read_text("utf-8"))
    assert len(expected) > 50
    assert found.keys() == expected.keys()
    moved = {
        name: (expected[name], value)
        for name, value in found.items()
        if value != pytest.approx(expected[name], rel=RELATIVE, abs=ABSOLUTE)
    }
    assert not moved, f"(before, now): {moved}; if that is meant: python {Path(__file__).name}"


if __name__ == "__main__":
    from click.testing import CliRunner

    from mfp.cli import main

    with tempfile.TemporaryDirectory() as folder:
        values = f'data.prepared="{folder}/prepared"'
        arguments = ["train", "--config", "configs/debug.toml", "--run", f"{folder}/run"]
        done = CliRunner().invoke(main, [*arguments, "--set", values])
        if done.exit_code:
            sys.exit(done.output)
        metrics = json.loads(Path(f"{folder}/run/metrics.json").read_text("utf-8"))
    text = json.dumps(flat({name: metrics[name] for name in PINNED}), indent=1)
    GOLDEN.write_text(text + "\n", encoding="utf-8")
