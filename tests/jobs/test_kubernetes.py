"""The JobSets: every field is one of the API's, and they say what a restartable training needs."""

from __future__ import annotations

import math
import re
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
_VARIABLE = re.compile(r"\$\{(\w+)\}")

# Fields and types of jobset.x-k8s.io/v1alpha2, batch/v1 and core/v1, as far as a training uses
# them: {field: type}, [type of the items]; a quantity is a string, a string key any key.
LABELS = {str: str}
QUANTITIES = {str: str}
CONTAINER = {
    "name": str,
    "image": str,
    "workingDir": str,
    "command": [str],
    "args": [str],
    "env": [{"name": str, "value": str}],
    "ports": [{"name": str, "containerPort": int}],
    "resources": {"requests": QUANTITIES, "limits": QUANTITIES},
    "volumeMounts": [{"name": str, "mountPath": str, "subPath": str, "readOnly": bool}],
}
POD = {
    "restartPolicy": str,
    "terminationGracePeriodSeconds": int,
    "nodeSelector": LABELS,
    "tolerations": [{"key": str, "operator": str, "value": str, "effect": str}],
    "containers": [CONTAINER],
    "volumes": [
        {
            "name": str,
            "persistentVolumeClaim": {"claimName": str, "readOnly": bool},
            "emptyDir": {"medium": str, "sizeLimit": str},
        }
    ],
}
JOB = {
    "completionMode": str,
    "parallelism": int,
    "completions": int,
    "backoffLimit": int,
    "activeDeadlineSeconds": int,
    "podFailurePolicy": {
        "rules": [
            {
                "action": str,
                "onPodConditions": [{"type": str, "status": str}],
                "onExitCodes": {"containerName": str, "operator": str, "values": [int]},
            }
        ]
    },
    "template": {"metadata": {"labels": LABELS, "annotations": LABELS}, "spec": POD},
}
JOBSET = {
    "apiVersion": str,
    "kind": str,
    "metadata": {"name": str, "labels": LABELS, "annotations": LABELS},
    "spec": {
        "failurePolicy": {
            "maxRestarts": int,
            "restartStrategy": str,
            "rules": [{"name": str, "action": str, "onJobFailureReasons": [str]}],
        },
        "network": {"enableDNSHostnames": bool, "subdomain": str, "publishNotReadyAddresses": bool},
        "replicatedJobs": [
            {
                "name": str,
                "replicas": int,
                "template": {"metadata": {"labels": LABELS, "annotations": LABELS}, "spec": JOB},
            }
        ],
    },
}


def mistakes(value: Any, schema: Any, place: str = "") -> list[str]:
    """Where a value is not as the schema says."""
    if isinstance(schema, type):
        # YAML reads True and 3 without quotes as what they are, the API wants strings there.
        return [] if type(value) is schema else [f"{place}: {value!r} is no {schema.__name__}"]
    if isinstance(schema, list):
        if not isinstance(value, list):
            return [f"{place}: is no list"]
        return [m for i, v in enumerate(value) for m in mistakes(v, schema[0], f"{place}[{i}]")]
    if not isinstance(value, dict):
        return [f"{place}: is no mapping"]
    found = []
    for key, inner in value.items():
        kind = schema.get(str) if str in schema else schema.get(key)
        if kind is None:
            found.append(f"{place}.{key}: there is no such field")
        else:
            found += mistakes(inner, kind, f"{place}.{key}")
    return found


@dataclass(frozen=True)
class JobSet:
    text: str
    variables: dict[str, str]  # the example of its header
    document: dict[str, Any]

    @property
    def spec(self) -> dict[str, Any]:
        return self.document["spec"]

    @property
    def job(self) -> dict[str, Any]:
        (replicated,) = self.spec["replicatedJobs"]
        return replicated["template"]["spec"]

    @property
    def pod(self) -> dict[str, Any]:
        return self.job["template"]["spec"]

    @property
    def container(self) -> dict[str, Any]:
        (container,) = self.pod["containers"]
        return container


@pytest.fixture(params=["gpu", "tpu"])
def jobset(request) -> JobSet:
    return read(request.param)


def read(name: str) -> JobSet:
    text = (ROOT / "configs" / "jobs" / f"jobset-{name}.yaml").read_text()
    exports = " ".join(re.findall(r"^#\s+export (.*)$", text, re.MULTILINE))
    variables = dict(pair.split("=", 1) for pair in exports.split())
    filled = _VARIABLE.sub(lambda match: variables[match[1]], text)
    (document,) = yaml.safe_load_all(filled)
    return JobSet(text, variables, document)


def test_every_field_is_one_of_the_api(jobset):
    assert mistakes(jobset.document, JOBSET) == []


def test_a_field_of_another_name_or_type_is_seen():
    document = {"kind": "JobSet", "spec": {"replicatedJobs": [{"name": "x", "replica": 1}]}}
    assert mistakes(document, JOBSET) == [".spec.replicatedJobs[0].replica: there is no such field"]
    assert mistakes({"maxRestarts": "5"}, {"maxRestarts": int}) == [".maxRestarts: '5' is no int"]


def test_it_is_a_jobset(jobset):
    assert jobset.document["apiVersion"] == "jobset.x-k8s.io/v1alpha2"
    assert jobset.document["kind"] == "JobSet"


def test_every_variable_is_used_and_has_a_value_in_the_header(jobset):
    assert set(_VARIABLE.findall(jobset.text)) == set(jobset.variables)


def test_all_pods_run_at_once_and_are_numbered(jobset):
    job = jobset.job
    assert jobset.spec["replicatedJobs"][0]["replicas"] == 1
    assert job["completionMode"] == "Indexed"
    assert job["parallelism"] == job["completions"] > 1


def test_one_lost_pod_restarts_all_of_them(jobset):
    assert jobset.job["backoffLimit"] == 0
    assert jobset.pod["restartPolicy"] == "Never"  # else a pod failure policy is refused
    assert jobset.spec["failurePolicy"]["maxRestarts"] > 0


def test_a_stop_after_saving_is_no_failure_of_the_training(jobset):
    by_condition, by_code = jobset.job["podFailurePolicy"]["rules"]
    assert by_condition["onPodConditions"] == [{"type": "DisruptionTarget", "status": "True"}]
    codes = by_code["onExitCodes"]
    assert codes["containerName"] == jobset.container["name"]
    assert codes["operator"] == "In"
    assert codes["values"] == [128 + signal.SIGUSR1, 128 + signal.SIGTERM]
    assert by_condition["action"] == by_code["action"] == "FailJob"
    (rule,) = jobset.spec["failurePolicy"]["rules"]
    assert rule["action"] == "RestartJobSetAndIgnoreMaxRestarts"
    assert rule["onJobFailureReasons"] == ["PodFailurePolicy"]
    assert re.fullmatch(r"[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?", rule["name"])


def test_the_signal_reaches_the_program_with_time_to_save(jobset):
    assert jobset.container["command"] == ["mfp", "train"]
    assert jobset.pod["terminationGracePeriodSeconds"] >= 60


def test_runs_lie_on_the_volume(jobset):
    container = jobset.container
    (run,) = [a.removeprefix("--run=") for a in container["args"] if a.startswith("--run=")]
    mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    assert str(Path(container["workingDir"], run).parent) in mounts
    volumes = {volume["name"]: volume for volume in jobset.pod["volumes"]}
    assert set(mounts.values()) == set(volumes)
    claim = volumes[mounts["/mfp/runs"]]["persistentVolumeClaim"]["claimName"]
    assert claim == jobset.variables["CLAIM"]


def test_no_image_names_a_registry(jobset):
    assert jobset.container["image"] == jobset.variables["IMAGE"]
    assert "/" not in jobset.variables["IMAGE"]


def test_the_gpu_pods_find_the_first_of_them():
    jobset = read("gpu")
    (name,) = [job["name"] for job in jobset.spec["replicatedJobs"]]
    whole = jobset.document["metadata"]["name"]
    (port,) = [p["containerPort"] for p in jobset.container["ports"]]
    # <jobset>-<replicated job>-<job index>-<pod index>.<subdomain: the jobset>
    for argument in (
        "--distributed",
        f"--coordinator={whole}-{name}-0-0.{whole}:{port}",
        f"--processes={jobset.job['completions']}",
        "--process=$(JOB_COMPLETION_INDEX)",
    ):
        assert argument in jobset.container["args"]
    assert jobset.spec["network"]["enableDNSHostnames"]


def test_the_gpus_of_a_node_are_asked_for_and_tolerated():
    jobset = read("gpu")
    limits = jobset.container["resources"]["limits"]
    assert limits["nvidia.com/gpu"] == jobset.variables["GPUS"]
    assert {t["key"] for t in jobset.pod["tolerations"]} == {"nvidia.com/gpu"}


def test_the_tpu_hosts_make_up_the_topology():
    jobset = read("tpu")
    chips = [jobset.container["resources"][k]["google.com/tpu"] for k in ("requests", "limits")]
    selector = jobset.pod["nodeSelector"]
    topology = selector["cloud.google.com/gke-tpu-topology"]
    assert chips[0] == chips[1]
    chips_of_slice = math.prod(int(n) for n in topology.split("x"))
    assert chips_of_slice == jobset.job["completions"] * int(chips[0])
    assert selector["cloud.google.com/gke-tpu-accelerator"].startswith("tpu-")
    # The cluster numbers the hosts: flags would contradict it.
    assert not any(argument.startswith("--process") for argument in jobset.container["args"])
