"""The launcher of TPU VMs, with a gcloud that plays a slice which comes and goes."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LAUNCHER = ROOT / "configs" / "jobs" / "tpu_vm.sh"

_COMMIT = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True)
pytestmark = pytest.mark.skipif(
    _COMMIT.returncode != 0, reason="no git checkout: the launcher sends what is committed"
)

# The file `state` is that of the slice. Each training takes a line of the file `trainings`: the
# exit code, and the state that the slice is then in.
GCLOUD = """#!/usr/bin/env bash
cd "$(dirname "$0")"
tr '\\n' ' ' <<< "$*" >> calls
echo >> calls
case "$4 $*" in
  describe*) cat state ;;
  create*) echo READY > state ;;
  delete*) rm state ;;
  ssh*"systemctl stop mfp") touch stopped ;;
  ssh*systemd-run*)
    read -r code state < trainings
    sed -i 1d trainings
    [[ $code != wait ]] || { while [[ ! -e stopped ]]; do sleep 0.05; done; code=143; }
    echo "$state" > state
    exit "$code" ;;
esac
"""


class Cloud:
    def __init__(self, folder: Path, trainings: list[str]):
        self.folder = folder
        (folder / "gcloud").write_text(GCLOUD)
        (folder / "gcloud").chmod(0o755)
        (folder / "trainings").write_text("".join(f"{line}\n" for line in trainings))

    def launch(self, **variables: str) -> subprocess.Popen:
        needed = {"PROJECT": "films", "ZONE": "us-west4-a", "SHARE": "10.0.0.2:/films"}
        path = f"{self.folder}:{os.environ['PATH']}"
        environment = os.environ | needed | {"PATH": path, "PAUSE": "0"} | variables
        return subprocess.Popen(
            # Ignored where the tests run in the background of a shell, and bash would keep to it.
            # By env, for Python's own way would fork a process of many threads.
            ["env", "--default-signal=INT", LAUNCHER],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    @property
    def calls(self) -> list[str]:
        file = self.folder / "calls"
        return file.read_text().splitlines() if file.exists() else []

    @property
    def verbs(self) -> list[str]:
        """What was done, in order: create, install, train, delete, stop."""
        found = []
        for call in self.calls:
            verb = call.split()[3]
            if verb == "ssh":
                verb = "train" if "systemd-run" in call else "stop" if "stop" in call else "install"
            if verb not in ("describe", "scp"):
                found.append(verb)
        return found


def test_a_slice_that_is_taken_away_is_created_again(tmp_path):
    cloud = Cloud(tmp_path, ["255 PREEMPTED", "0 READY"])
    launcher = cloud.launch()
    _, errors = launcher.communicate(timeout=60)
    assert launcher.returncode == 0, errors
    once = ["create", "install", "train", "delete"]
    assert cloud.verbs == once + once
    assert not (tmp_path / "state").exists()


def test_the_hosts_run_the_trainer_in_the_shared_folder(tmp_path):
    cloud = Cloud(tmp_path, ["0 READY"])
    launcher = cloud.launch(
        NAME="try", CONFIG="configs/debug.toml", SETTINGS="--set seed=3", SPOT="0"
    )
    _, errors = launcher.communicate(timeout=60)
    assert launcher.returncode == 0, errors
    by_verb = dict(
        zip(
            cloud.verbs,
            [c for c in cloud.calls if " describe " not in c and " scp " not in c],
            strict=True,
        )
    )
    assert "--accelerator-type=v5litepod-16" in by_verb["create"]
    assert "--spot" not in by_verb["create"]
    assert "mount -t nfs '10.0.0.2:/films' runs" in by_verb["install"]
    assert (
        "mfp train --quiet --distributed --config configs/debug.toml"
        " --set parallel.mode=sharded --set seed=3 --run runs/try"
    ) in " ".join(by_verb["train"].split())
    for call in cloud.calls:
        assert "try" in call
        assert "--project=films --zone=us-west4-a" in call
        assert "--worker=all" in call or call.split()[3] not in ("ssh", "scp")


def test_a_training_that_fails_is_given_up_and_the_slice_left(tmp_path):
    cloud = Cloud(tmp_path, ["1 READY"] * 2)
    launcher = cloud.launch(ATTEMPTS="2")
    _, errors = launcher.communicate(timeout=60)
    assert launcher.returncode == 1
    assert "training failed 2 times" in errors
    assert cloud.verbs == ["create", *["install", "train"] * 2]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_hosts_and_leaves_the_slice(tmp_path, number):
    cloud = Cloud(tmp_path, ["wait READY"])
    launcher = cloud.launch()
    deadline = time.monotonic() + 60
    while "train" not in cloud.verbs:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    launcher.send_signal(number)
    launcher.communicate(timeout=60)
    assert launcher.returncode == 128 + number
    assert cloud.verbs == ["create", "install", "train", "stop"]


@pytest.mark.parametrize("variable", ["PROJECT", "ZONE", "SHARE"])
def test_a_missing_variable_is_named(tmp_path, variable):
    cloud = Cloud(tmp_path, [])
    launcher = cloud.launch(**{variable: ""})
    _, errors = launcher.communicate(timeout=60)
    assert launcher.returncode == 2
    assert f"set {variable}" in errors
    assert not cloud.calls
