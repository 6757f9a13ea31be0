"""The SLURM batch file, submitted to a cluster of two virtual nodes on this machine."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import compilation
import pytest

ROOT = Path(__file__).resolve().parents[2]
CLUSTER = Path(__file__).with_name("slurm_cluster.sh")
BATCH_FILE = ROOT / "configs" / "jobs" / "slurm.sbatch"

_ABSENT = [p for p in ("sbatch", "slurmctld", "slurmd", "munged") if shutil.which(p) is None]
pytestmark = [
    pytest.mark.slurm,
    pytest.mark.skipif(
        bool(_ABSENT), reason=f"{', '.join(_ABSENT)} absent: apt-get install slurm-wlm munge"
    ),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can start the daemons of SLURM"),
]

# Stands for mfp in the tests of the batch file alone: notes how it was called, and where it is
# to wait, stops on a signal as mfp does.
PROGRAM = """#!/usr/bin/env bash
echo "$SLURM_PROCID of $SLURM_NTASKS: $*"
trap 'echo "saved"; exit 138' USR1
trap 'echo "saved"; exit 143' TERM
[[ $SLURM_PROCID != "${FAILS:-}" ]] || exit 1
[[ ! -e $WAIT || ${SLURM_RESTART_COUNT:-0} -gt 0 ]] || for _ in {1..600}; do sleep 0.1; done
[[ -z ${CODE:-} ]] || { sleep 1; exit "$CODE"; }
"""


ENDED = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL")


@dataclass(frozen=True)
class Cluster:
    folder: Path

    def run(self, *command: str | Path, **variables: str | Path) -> str:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("JAX_", "SLURM_", "XLA_"))}
        environment = kept | {"SLURM_CONF": str(self.folder / "slurm.conf")}
        environment |= {name: str(value) for name, value in variables.items()}
        done = subprocess.run(
            [str(c) for c in command], cwd=ROOT, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout

    def submit(self, *options: str, **variables: str | Path) -> str:
        """Submit the batch file as it is; options and variables override its own."""
        output = f"--output={self.folder}/%j.out"
        return self.run("sbatch", "--parsable", output, *options, BATCH_FILE, **variables).strip()

    def job(self, job: str) -> dict[str, str]:
        """JobId, JobState, Restarts, ExitCode and the rest of `scontrol show job`."""
        return dict(
            re.findall(r"(\S+?)=(\S*)", self.run("scontrol", "--oneliner", "show", "job", job))
        )

    def output(self, job: str) -> str:
        file = self.folder / f"{self.job(job)['JobId']}.out"
        return file.read_text() if file.exists() else ""

    def wait(self, what: str, condition: Callable[[], bool], job: str, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while True:
            over = self.job(job)["JobState"] in ENDED or time.monotonic() > deadline
            if condition():
                return
            assert not over, f"no sign of '{what}':\n{self.job(job)}\n{self.output(job)}"
            time.sleep(0.2)

    def wait_for_state(self, state: str, *jobs: str, seconds: float = 60) -> None:
        for job in jobs:
            self.wait(state, lambda job=job: self.job(job)["JobState"] == state, job, seconds)

    def wait_for_output(self, text: str, job: str) -> None:
        self.wait(text, lambda: text in self.output(job), job)

    def start_now(self, job: str) -> None:
        """A requeued job would rest for two minutes. Its nodes refuse it in the same second."""
        self.run("scontrol", "update", f"JobId={job}", "StartTime=now+2seconds")


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("slurm")
    try:
        subprocess.run([CLUSTER, "start", folder], check=True, timeout=60)
        yield Cluster(folder)
    finally:
        subprocess.run([CLUSTER, "stop", folder], check=True, timeout=60)


@pytest.fixture
def cluster(nodes: Cluster) -> Iterator[Cluster]:
    yield nodes
    nodes.run("scancel", "--me")  # what a failed test left in the queue


@pytest.fixture
def program(tmp_path: Path) -> dict[str, Path]:
    """Variables that make the batch file call PROGRAM; it waits while the file WAIT is there."""
    path = tmp_path / "mfp"
    path.write_text(PROGRAM)
    path.chmod(0o755)
    return {"MFP": path, "WAIT": tmp_path / "wait", "RUNS": tmp_path / "runs"}


def calls(output: str) -> list[str]:
    return sorted(line for line in output.splitlines() if " of " in line)


def test_each_node_runs_a_task_of_the_shipped_command(cluster, program):
    job = cluster.submit(SETTINGS="--set train.epochs=2", **program)
    cluster.wait_for_state("COMPLETED", job)
    runs = program["RUNS"]
    arguments = (
        f"train --quiet --config configs/base.toml --distributed --set seed=0 --run {runs}/base-0"
        f' --set parallel.mode=sharded --set data.prepared="{runs}/prepared"'
        " --set train.epochs=2"
    )
    assert calls(cluster.output(job)) == [f"{i} of 2: {arguments}" for i in range(2)]


def test_an_array_runs_every_config_with_every_seed(cluster, program):
    configs = "configs/base.toml configs/reviews.toml"
    array = cluster.submit("--array=0-4", "--nodes=1", CONFIGS=configs, SEEDS="2", **program)
    cluster.wait_for_state("COMPLETED", *(f"{array}_{i}" for i in range(4)))
    names = [re.findall(r"--run \S+/(\S+)", cluster.output(f"{array}_{i}")) for i in range(4)]
    assert names == [["base-0"], ["base-1"], ["reviews-0"], ["reviews-1"]]
    cluster.wait_for_state("FAILED", f"{array}_4")
    assert "array index 4: there are 2 configs x 2 seeds" in cluster.output(f"{array}_4")


def test_the_members_of_an_array_search_in_one_study(cluster, program):
    variables = {"COMMAND": "tune", "CONFIGS": "configs/tune.toml", "SEEDS": "2", **program}
    array = cluster.submit("--array=0-1", "--nodes=1", SETTINGS="--trials 9", **variables)
    cluster.wait_for_state("COMPLETED", *(f"{array}_{i}" for i in range(2)))
    runs = program["RUNS"]
    arguments = (
        f"tune --quiet --config configs/tune.toml --run {runs}/tune"
        f' --set parallel.mode=sharded --set data.prepared="{runs}/prepared" --trials 9'
    )
    found = [calls(cluster.output(f"{array}_{i}")) for i in range(2)]
    assert found == [[f"0 of 1: {arguments}"]] * 2


def test_a_stopped_member_of_an_array_returns_alone(cluster, program):
    program["WAIT"].touch()
    array = cluster.submit("--array=0-1", "--nodes=1", **program, SEEDS="2")
    stopped, other = f"{array}_0", f"{array}_1"
    for member in (stopped, other):
        cluster.wait_for_output("0 of 1", member)
    cluster.run("scancel", "--signal=USR1", stopped)
    cluster.wait_for_state("PENDING", stopped)
    assert "saved" in cluster.output(stopped)
    assert cluster.job(other)["JobState"] == "RUNNING"
    cluster.start_now(stopped)
    cluster.wait_for_state("COMPLETED", stopped)
    assert [cluster.job(j)["Restarts"] for j in (stopped, other)] == ["1", "0"]
    cluster.run("scancel", other)


def test_a_signal_to_the_batch_shell_reaches_the_tasks(cluster, program):
    program["WAIT"].touch()
    job = cluster.submit(**program)
    cluster.wait("both tasks", lambda: len(calls(cluster.output(job))) == 2, job)
    cluster.run("scancel", "--batch", "--signal=USR1", job)
    cluster.wait_for_state("PENDING", job)
    assert cluster.output(job).count("saved") == 2
    cluster.run("scancel", job)


def test_a_cancelled_job_saves_and_stays_cancelled(cluster, program):
    program["WAIT"].touch()
    job = cluster.submit(**program)
    cluster.wait("both tasks", lambda: len(calls(cluster.output(job))) == 2, job)
    cluster.run("scancel", job)
    cluster.wait_for_state("CANCELLED", job)
    assert cluster.output(job).count("saved") == 2
    assert cluster.job(job)["Restarts"] == "0"


def test_a_failed_job_is_not_tried_again(cluster, program):
    """The other task must not be stopped by SIGTERM: it would answer as after a preemption."""
    job = cluster.submit(**program, FAILS="1", CODE="3")
    cluster.wait_for_state("FAILED", job)
    assert cluster.job(job)["ExitCode"] == "3:0"
    assert cluster.job(job)["Restarts"] == "0"


def log(run: Path) -> list[dict]:
    file = run / "log.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def metrics(run: Path) -> dict:
    found = json.loads((run / "metrics.json").read_text())
    return {name: found[name] for name in ("test", "validation", "baselines", "fingerprint")}


def test_a_preempted_training_resumes_to_the_same_metrics(
    cluster, prepared, dataset, tmp_path, tmp_path_factory
):
    """Two tasks on two nodes; a more urgent job takes their place in the middle."""
    variables = {
        "MFP": Path(sys.executable).with_name("mfp"),
        "CONFIGS": "configs/debug.toml",
        # Without texts and track records, which would take most of the time to compile.
        "SETTINGS": "--set features.texts=[] --set features.history.fields=[] "
        f'--set data.prepared="{prepared}"',
        "JAX_PLATFORMS": "cpu",
        **compilation.settings(tmp_path_factory),
    }
    undisturbed = cluster.submit(RUNS=tmp_path / "undisturbed", **variables)
    cluster.wait_for_state("COMPLETED", undisturbed, seconds=300)

    job = cluster.submit(RUNS=tmp_path / "preempted", **variables)
    run = tmp_path / "preempted" / "debug-0"
    cluster.wait("step 4", lambda: bool(log(run)) and log(run)[-1]["step"] >= 4, job, seconds=300)
    urgent = cluster.run(
        "sbatch",
        "--parsable",
        "--partition=urgent",
        "--nodes=2",
        "--output=/dev/null",
        "--wrap=true",
    ).strip()
    cluster.wait_for_state("COMPLETED", urgent)
    cluster.wait_for_state("PENDING", job)
    assert "stopped by SIGTERM after step" in cluster.output(job)
    assert not (run / "metrics.json").exists()
    cluster.start_now(job)
    cluster.wait_for_state("COMPLETED", job, seconds=300)

    assert cluster.job(job)["Restarts"] == "1"
    assert metrics(run) == metrics(tmp_path / "undisturbed" / "debug-0")
    assert log(run) == log(tmp_path / "undisturbed" / "debug-0")


def test_the_cluster_leaves_nothing_behind(tmp_path):
    hosts = Path("/etc/hosts").read_text()
    for action in ("start", "start", "stop", "stop"):
        subprocess.run([CLUSTER, action, tmp_path], check=True, timeout=60)
    assert Path("/etc/hosts").read_text() == hosts
    mark = str(tmp_path).encode()
    left = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (process / "environ").read_bytes() and process.name != str(os.getpid()):
                left.append((process / "cmdline").read_bytes())
        except OSError:  # it ended while we looked
            continue
    assert not left
