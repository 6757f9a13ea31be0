"""Export: the program agrees with the network, on real films, for any batch size."""

from __future__ import annotations

import dataclasses
import json

import jax
import numpy as np
import pytest
from jax import export as jax_export

from mfp.film import Film
from mfp.training import assemble, export


@pytest.fixture(scope="module")
def exported(still, tmp_path_factory):
    """A bundle of the tiny network, and its forecast function."""
    params = jax.device_get(jax.tree.map(lambda p: p + 0.05, still.params))
    folder = tmp_path_factory.mktemp("export") / "bundle"
    card = {"source": "bundled"}
    export.write_bundle(folder, still.config, still.spec, params, {"test": {}}, card)
    network = assemble.build_network(still.config, still.spec)
    return folder, assemble.forecast_function(network, still.spec), params


@pytest.fixture(scope="module")
def program(exported):
    return jax_export.deserialize(bytearray((exported[0] / "program.stablehlo").read_bytes()))


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_program_and_network_agree_on_real_films(exported, program, still, few, batch_size):
    _, forecast, params = exported
    films = [film for film, _ in [*few.splits["test"], *few.splits["validation"]]]
    inputs = still.spec.stack(films[:batch_size])
    ours = jax.jit(forecast)(params, inputs)
    theirs = jax.jit(program.call)(params, inputs)
    assert set(ours["outputs"]) == {"rating", "revenue", "hit"}
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(b, a, rtol=0, atol=1e-5)


def test_the_program_is_for_cpu_gpu_and_tpu(program):
    assert program.platforms == ("cpu", "cuda", "tpu")


def test_an_existing_folder_is_not_overwritten(exported, still):
    folder, _, params = exported
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(export.ExportError, match=f"{folder}: exists"):
        export.write_bundle(folder, still.config, still.spec, params, {}, {})
    assert {path: path.read_bytes() for path in before} == before


def test_the_manifest_lists_every_file(exported):
    folder = exported[0]
    document = json.loads((folder / "manifest.json").read_text("utf-8"))
    files = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert set(document["files"]) == files - {"manifest.json"}
    assert document["targets"] == ["rating", "revenue", "hit"]
    assert document["data"] == {"source": "bundled"}


def test_a_program_that_disagrees_is_refused_and_nothing_is_left(
    exported, still, tmp_path, monkeypatch
):
    folder, forecast, params = exported
    program = (folder / "program.stablehlo").read_bytes()

    def skewed(params, inputs):
        found = forecast(params, inputs)
        return {**found, "outputs": {n: y + 1e-4 for n, y in found["outputs"].items()}}

    with pytest.raises(export.ExportError, match=r"differ by 0.0001.* \(allowed: 1e-05\)"):
        export.check_agreement(program, skewed, still.spec, params)
    assert export.check_agreement(program, forecast, still.spec, params) <= 1e-5

    monkeypatch.setattr(export, "export_program", lambda *_: program)
    monkeypatch.setattr(assemble, "forecast_function", lambda *_: skewed)
    with pytest.raises(export.ExportError, match="differ"):
        export.write_bundle(tmp_path / "new", still.config, still.spec, params, {}, {})
    assert not (tmp_path / "new").exists()


def test_a_nan_is_no_agreement(exported, still):
    folder, _, params = exported
    program = (folder / "program.stablehlo").read_bytes()
    targets = still.spec.targets
    broken = dataclasses.replace(targets, mean={**targets.mean, "rating": np.nan})
    network = assemble.build_network(still.config, still.spec)
    wrong = assemble.forecast_function(network, dataclasses.replace(still.spec, targets=broken))
    with pytest.raises(export.ExportError, match="differ by nan"):
        export.check_agreement(program, wrong, still.spec, params)


def test_an_ensemble_is_exported_as_one_network(still):
    """Two networks of two members each; the program tells their spread besides."""
    fusion = dataclasses.replace(still.config.model.fusion, members=2)
    model = dataclasses.replace(still.config.model, fusion=fusion)
    network = assemble.build_network(dataclasses.replace(still.config, model=model), still.spec)
    params = assemble.init_params(network, still.spec, 0, members=2)
    params = jax.device_get(jax.tree.map(lambda p: p + 0.05, params))
    forecast = assemble.forecast_function(network, still.spec, members=2)
    program = export.export_program(forecast, still.spec, params)
    assert export.check_agreement(program, forecast, still.spec, params) <= 1e-5
    found = jax_export.deserialize(bytearray(program)).call(params, still.spec.stack([Film("X")]))
    assert {name: y.shape for name, y in found["outputs"].items()} == {
        "rating": (1,),
        "revenue": (1,),
        "hit": (1,),
    }
    assert float(found["spread"]["rating"][0]) > 1e-3
