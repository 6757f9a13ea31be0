"""mfp train, ended by real signals at chosen places of its life, and started again each time.

`tests/soak/kills.py` does so at hundreds of random moments.
"""

from __future__ import annotations

import signal

import pytest
from soak.lives import Moment, Run, check, differences

EVERY = 5  # train.checkpoint_every of configs/debug.toml


@pytest.mark.slow
def test_ended_anywhere_it_arrives_at_the_same_bits(run, prepared, tmp_path, compiled_once):
    """As the run of this session, which nothing disturbed; every process hashes in its own way."""
    options = ["--config", "configs/debug.toml", "--set", f'data.prepared="{prepared}"']
    killed = Run(tmp_path / "killed", options, {"PYTHONHASHSEED": "random"}, compiled_once)
    before = 0
    for moment in (
        Moment("rename", 3, 0.0, signal.SIGKILL),
        Moment("evaluation", 1, 0.02, signal.SIGKILL),
        Moment("export", 1, 0.1, signal.SIGKILL),
    ):
        end = killed.live(moment, timeout=200)
        assert end.hit
        assert check(moment, end, killed, before, EVERY) == []
        before = killed.logged()
    assert not killed.folder.joinpath("bundle").exists()
    end = killed.live(timeout=200)
    assert end.code == 0, end.error
    assert "Traceback" not in end.error
    assert differences(run.path, killed.folder) == []
