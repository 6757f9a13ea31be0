"""Bundles and checkpoints made by an attacker: nothing runs, nothing is written, one line says why.

All manifests are sealed anew, so that no hash protects.
"""

from __future__ import annotations

import functools
import json
import os
import pickle
import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export
from jax._src.lib.mlir.dialects import hlo
from jax.interpreters import mlir

from mfp import manifest, program
from mfp.dates import PartialDate
from mfp.film import Film
from mfp.forecast import Forecaster
from mfp.forecast import bundle as bundles
from mfp.forecast.bundle import open_bundle
from mfp.manifest import BundleError
from mfp.program import Program, ProgramError
from mfp.training import loop
from mfp.training.run import RunFolder

FILM = Film("Heat", release_date=PartialDate(1953, 1, 1), genres=("Drama",), directors=("A",))


def seal(folder: Path) -> Path:
    """Make hashes and id true again."""
    path = folder / "manifest.json"
    document = json.loads(path.read_text("utf-8"))
    document["files"] = manifest.file_hashes(folder)
    document["id"] = manifest.digest(document)
    path.write_text(json.dumps(document), encoding="utf-8")
    return folder


def refused(folder: Path, match: str) -> None:
    with pytest.raises(BundleError, match=match) as caught:
        open_bundle(folder)
    assert "\n" not in str(caught.value)


class Payload:
    """Unpickled, it leaves a trace."""

    def __init__(self, trace: Path):
        self.trace = trace

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.trace),)


@pytest.fixture
def payload(tmp_path: Path) -> Iterator[bytes]:
    content = pickle.dumps(Payload(tmp_path / "trace"))
    yield content
    assert not (tmp_path / "trace").exists()


@pytest.fixture
def unpickled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is unpickled while the test runs, by whichever of the loaded modules."""
    seen: list[str] = []

    def watched(original: Callable) -> Callable:
        def call(*args: Any, **kwargs: Any) -> Any:
            seen.append(sys._getframe(1).f_code.co_filename)
            return original(*args, **kwargs)

        return call

    doors = {pickle.load, pickle.loads, pickle.Unpickler, pickle._Unpickler}
    replaced = {id(door): watched(door) for door in doors}
    for module in list(sys.modules.values()):
        for name, value in list(getattr(module, "__dict__", {}).items()):
            if id(value) in replaced and getattr(module, "__name__", "") != __name__:
                monkeypatch.setattr(module, name, replaced[id(value)])
    with pytest.raises(pickle.UnpicklingError):
        pickle.loads(b"nothing")
    assert len(seen) == 1  # the watch works
    seen.clear()
    return seen


def test_no_pickle_is_read_to_forecast_or_to_restore(run, copy, payload, unpickled):
    for place in ("params/evil.pkl", "params/checkpoint", "history/evil.pickle", "evil.pt"):
        path = copy / place
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(payload)
    forecast = Forecaster.open(seal(copy)).predict([FILM], explain=True)
    assert forecast[0].rating is not None
    loop.restore_best(RunFolder(run.path), run.config)
    assert unpickled == []


def test_arrays_of_objects_are_refused(copy, payload, tmp_path):
    objects = np.array([Payload(tmp_path / "trace")], dtype=object)
    np.save(copy / "reference.npy", objects, allow_pickle=True)
    with pytest.raises(BundleError, match="past films cannot be read"):
        _ = open_bundle(seal(copy)).reference
    for path in (copy / "history").glob("*.npy"):
        np.save(path, objects, allow_pickle=True)
        refused(seal(copy), "history: cannot be read")


@pytest.mark.parametrize("shape", [(10**9, 16), (10**15,), (2**62, 4)])
def test_an_array_that_promises_more_than_it_holds_is_refused(copy, shape):
    path = copy / "reference.npy"
    with path.open("wb") as file:
        header = {"descr": "<f2", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_2_0(file, header)
        file.write(bytes(100))
    with pytest.raises(BundleError, match="past films cannot be read"):
        _ = open_bundle(seal(copy)).reference


@pytest.mark.parametrize("key", ["shape", "chunks"])
def test_parameters_that_promise_terabytes_are_refused_unread(copy, key):
    """Orbax writes to a key-value store; here plain files of the same format take its place."""
    import tensorstore

    folder = copy / "params"
    base = {"driver": "file", "path": f"{folder.absolute()}/"}
    store = tensorstore.KvStore.open({"driver": "ocdbt", "base": base}).result()
    names = [name for name in store.list().result() if name.endswith(b".zarray")]
    assert names
    found = json.loads(store.read(names[0]).result().value)
    store.write(names[0], json.dumps(found | {key: [10**6] * len(found["shape"])})).result()
    refused(seal(copy), "do not belong together|cannot be restored")


def test_pipes_devices_and_links_to_them_are_refused_unopened(copy):
    for name in ("manifest.json", "program.stablehlo", "reference.npy"):
        path, kept = copy / name, (copy / name).read_bytes()
        path.unlink()
        os.mkfifo(path)
        for verify in (True, False):
            with pytest.raises(BundleError, match="is not a file"):
                open_bundle(copy, verify)
        path.unlink()
        path.symlink_to("/dev/zero")
        refused(copy, "is not a file")
        path.unlink()
        path.write_bytes(kept)
    (copy / "loop").symlink_to(copy)
    seal(copy)
    open_bundle(copy)


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "params/../../outside"])
def test_a_manifest_names_no_file_outside(copy, rewrite, name, tmp_path):
    (tmp_path / "outside").write_text("x")
    content = {"sha256": manifest._sha256(tmp_path / "outside"), "bytes": 1}
    folder = rewrite(lambda document: document["files"].update({name: content}))
    refused(folder, "is missing; copy the bundle again")


def exported(function: Callable, inputs: dict, parameters: Any) -> bytes:
    checks = [export.DisabledSafetyCheck.custom_call(name) for name in ("evil", "Sharding")]
    made = export.export(jax.jit(function), disabled_checks=checks)(parameters, inputs)
    return bytes(made.serialize())


def test_a_program_that_calls_a_function_by_name_is_refused():
    from jax.extend.core import Primitive

    evil = Primitive("evil")
    evil.def_abstract_eval(lambda x: x)

    def lower(context: Any, x: Any) -> Any:
        return hlo.CustomCallOp(
            [x.type], [x], call_target_name=mlir.ir.StringAttr.get("evil")
        ).results

    mlir.register_lowering(evil, lower)

    def function(parameters: Any, inputs: Any) -> Any:
        y = evil.bind(inputs["x"])
        return {"outputs": {"rating": y[:, 0]}, "embedding": y}

    inputs = {"x": jax.ShapeDtypeStruct((4, 2), jnp.float32)}
    with pytest.raises(ProgramError, match="does more than compute") as caught:
        Program(exported(function, inputs, {}))
    assert "'evil'" in str(caught.value.__cause__)


def test_a_program_that_calls_back_to_python_is_not_even_exported_and_a_plain_one_is_read():
    def function(parameters: Any, inputs: Any) -> Any:
        return {"outputs": {"rating": inputs["x"][:, 0]}, "embedding": inputs["x"]}

    inputs = {"x": jax.ShapeDtypeStruct((4, 2), jnp.float32)}
    found = Program(exported(function, inputs, {}))
    assert found.outputs == {"rating": ()}


def test_a_program_with_other_outputs_is_refused(copy):
    original = export.deserialize(bytearray((copy / "program.stablehlo").read_bytes()))
    (parameters, inputs), _ = jax.tree.unflatten(original.in_tree, original.in_avals)

    def function(parameters: Any, inputs: Any) -> Any:
        batch = inputs["numbers/values"]
        return {"outputs": {"rating": batch}, "embedding": batch}

    made = export.export(jax.jit(function))(
        *jax.tree.map(
            lambda aval: jax.ShapeDtypeStruct(aval.shape, aval.dtype), (parameters, inputs)
        )
    )
    (copy / "program.stablehlo").write_bytes(made.serialize())
    refused(seal(copy), "program and targets do not belong together")


@pytest.mark.parametrize(
    "shorten",
    [
        lambda calibration: calibration["keys"].pop(),
        lambda calibration: calibration["targets"]["rating"]["spread"]["weights"].pop(),
    ],
)
def test_a_calibration_of_other_parts_or_another_width_is_refused(copy, rewrite, shorten):
    refused(
        rewrite(lambda document: shorten(document["calibration"])),
        "program and calibration do not belong together",
    )


WRONG = (None, True, -1, 0, 10**30, 1e308, float("nan"), "", "../x", [], {}, [[]], {"a": 1}, [1, 2])


def places(value: Any, path: tuple = ()) -> Iterator[tuple]:
    yield path
    if isinstance(value, dict):
        for key in value:
            yield from places(value[key], (*path, key))
    elif isinstance(value, list):
        for i in range(min(len(value), 3)):
            yield from places(value[i], (*path, i))


def changed(document: dict, rng: random.Random) -> dict:
    """The document with one value, anywhere, that is wrong or gone."""
    document = json.loads(json.dumps(document))
    groups: dict[tuple, list[tuple]] = {}
    for path in places(document):
        if path and path[0] not in ("metrics", "files", "id"):
            groups.setdefault(path[:2], []).append(path)
    *above, last = rng.choice(groups[rng.choice(sorted(groups, key=str))])
    node = functools.reduce(lambda found, key: found[key], above, document)
    if rng.random() < 0.3:
        del node[last]
    else:
        node[last] = rng.choice(WRONG)
    return document | {"id": manifest.digest(document)}


def attack_manifests(folder: Path, cases: int, seed: int) -> dict[str, int]:
    """Open and use a bundle with so many wrong manifests; any other error is raised."""
    rng, path = random.Random(seed), folder / "manifest.json"
    document, counts = json.loads(path.read_text("utf-8")), {"served": 0, "refused": 0}
    for _ in range(cases):
        path.write_text(json.dumps(changed(document, rng)), encoding="utf-8")
        try:
            Forecaster.open(folder).predict([FILM])
            counts["served"] += 1
        except BundleError as error:
            assert "\n" not in str(error)  # noqa: PT017
            counts["refused"] += 1
    return counts


@pytest.mark.parametrize("cases", [60, pytest.param(20_000, marks=pytest.mark.soak)])
def test_a_wrong_manifest_is_served_or_refused(copy, monkeypatch, cases):
    monkeypatch.setattr(bundles, "Program", functools.lru_cache(program.Program))
    counts = attack_manifests(copy, cases, seed=cases)
    print(counts)
    assert min(counts.values()) > cases / 10
