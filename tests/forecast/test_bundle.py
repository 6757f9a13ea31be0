"""Bundles: verified before use, refused in one line, opened without the trainer's libraries."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from mfp import manifest
from mfp.data.batches import film_arrays
from mfp.forecast.bundle import open_bundle
from mfp.manifest import BundleError
from mfp.training import assemble, loop
from mfp.training.evaluate import Evaluator
from mfp.training.run import RunFolder


def refused(folder: Path, match: str, verify: bool = True) -> None:
    with pytest.raises(BundleError, match=match) as caught:
        open_bundle(folder, verify)
    assert "\n" not in str(caught.value)
    assert str(folder) in str(caught.value)


def listed_files(folder: Path) -> list[Path]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [path for path in files if path.name != manifest.MANIFEST]


def test_a_flipped_bit_in_any_file_is_refused(copy):
    files = listed_files(copy)
    assert len(files) > 3
    for path in files:
        content = path.read_bytes()
        if not content:
            continue
        for position in (0, len(content) // 2, len(content) - 1):
            changed = bytearray(content)
            changed[position] ^= 1
            path.write_bytes(changed)
            refused(copy, f"{path.name}: differs from the manifest")
        path.write_bytes(content)
    open_bundle(copy)  # whole again


def test_a_missing_file_is_refused(copy):
    for path in listed_files(copy):
        content = path.read_bytes()
        path.unlink()
        refused(copy, f"{path.name}: is missing")
        path.write_bytes(content)


def test_an_additional_file_is_refused(copy):
    (copy / "params" / "extra.py").write_text("print('hello')")
    refused(copy, r"extra\.py: is not listed")


@pytest.mark.parametrize("version", [4, 0, "1", None])
def test_another_format_version_is_refused(rewrite, version):
    folder = rewrite(lambda document: document.update(format_version=version))
    refused(folder, "has format version .* install the version of mfp that wrote it")


def test_what_is_no_bundle_is_refused(tmp_path):
    refused(tmp_path / "nothing", "no such folder")
    refused(tmp_path, "is not a bundle")
    path = tmp_path / "file"
    path.write_text("x")
    refused(path, "no such folder")


@pytest.mark.parametrize("content", ["", "{", "[]", "null", "{}", '{"format": "mfp-bundle"}', "\0"])
def test_a_damaged_manifest_is_refused(copy, content):
    (copy / "manifest.json").write_text(content)
    refused(copy, r"manifest\.json")


def test_a_feature_spec_that_does_not_match_the_program_is_refused(rewrite):
    def shorten(document):
        document["features"]["lengths"]["cast"] -= 1

    refused(rewrite(shorten), "program and feature spec do not belong together")


def test_a_feature_spec_without_a_number_is_refused(rewrite):
    def drop(document):
        document["features"]["numbers"].popitem()

    refused(rewrite(drop), "program and feature spec do not belong together")


@pytest.mark.parametrize(
    "edit",
    [
        lambda d: d.update(features={}),
        lambda d: d["features"].update(numbers=3),
        lambda d: d["features"].update(texts={"title": {"bad": 1}}),
        lambda d: d["features"]["numbers"].update(runtime_minutes={"knots": [2, 1], "scores": [1]}),
    ],
)
def test_a_damaged_feature_spec_is_refused(rewrite, edit):
    refused(rewrite(edit), r"manifest\.json")


@pytest.mark.parametrize("content", [b"", b"junk", b"\0" * 1000])
def test_a_program_that_is_none_is_refused_even_unverified(copy, content):
    (copy / "program.stablehlo").write_bytes(content)
    refused(copy, r"program\.stablehlo: is not a program", verify=False)


def test_a_cut_program_is_refused_even_unverified(copy):
    path = copy / "program.stablehlo"
    path.write_bytes(path.read_bytes()[:2000])
    refused(copy, r"program\.stablehlo", verify=False)


def test_a_changed_manifest_is_refused_and_opens_unverified(copy):
    path = copy / "manifest.json"
    path.write_text(path.read_text("utf-8").replace('"rating"', '"Rating"', 1), "utf-8")
    refused(copy, r"manifest\.json: was changed after the export")
    text = path.read_text("utf-8").replace('"Rating"', '"rating"', 1)
    path.write_text(text.replace('"source":"bundled"', '"source":"mine"'), "utf-8")
    refused(copy, "was changed after the export")
    assert open_bundle(copy, verify=False).manifest.data["source"] == "mine"


def test_a_truncated_file_is_refused(copy):
    for path in listed_files(copy):
        content = path.read_bytes()
        if content:
            path.write_bytes(content[:-1])
            refused(copy, f"{path.name}: differs from the manifest")
            path.write_bytes(content)


def test_a_program_of_a_jax_to_come_is_told(copy):
    """What jax says of a calling convention that it does not know is passed on in one line."""
    (copy / "program.stablehlo").write_bytes(b"")
    refused(copy, rf"jax {jax.__version__} reads \(jax {jax.__version__} wrote it\)", verify=False)


def test_past_films_are_read_when_they_are_asked_for_and_damage_is_told(copy):
    (copy / "reference.json").write_text("{}")
    bundle = open_bundle(copy, verify=False)  # forecasts need none
    with pytest.raises(BundleError, match="past films cannot be read"):
        _ = bundle.reference


def test_a_bundle_without_past_films_has_none(rewrite):
    folder = rewrite(
        lambda d: [d["files"].pop(f"reference.{ending}") for ending in ("npy", "json")]
    )
    for ending in ("npy", "json"):
        (folder / f"reference.{ending}").unlink()
    assert open_bundle(folder).reference is None


def test_damaged_parameters_are_refused_even_unverified(copy):
    for path in (copy / "params").rglob("*"):
        if path.is_file():
            path.write_bytes(b"junk")
    refused(copy, "params: cannot be restored", verify=False)


def test_parameters_of_another_network_are_refused(copy):
    import orbax.checkpoint as ocp

    bundle = copy / "params"
    with ocp.StandardCheckpointer() as checkpointer:
        params = checkpointer.restore(bundle.absolute())
        wider = jax.tree.map(lambda leaf: np.concatenate([leaf, leaf]), params)
        checkpointer.save(bundle.absolute(), wider, force=True)
    refused(copy, "params", verify=False)


def test_forecasts_equal_the_evaluation_of_the_network(run, forecaster, test_films):
    """The network of the run's best checkpoint, by way of Flax, against the bundle."""
    spec = forecaster.bundle.spec
    network = assemble.build_network(run.config, spec)
    evaluator = Evaluator.build(network, spec, run.config)
    _, params, *_ = loop.restore_best(RunFolder(run.path), run.config)
    films = film_arrays(run.films["test"], spec, run.config.targets)
    expected, _ = evaluator(params, films)
    found = forecaster.bundle.run(spec.stack(test_films))["outputs"]
    assert set(found) == set(expected) == {"rating", "revenue", "hit"}
    for name, y in expected.items():
        assert np.std(y) > 1e-4  # films differ, or the comparison says nothing
        np.testing.assert_allclose(found[name], y, rtol=0, atol=1e-5)


def test_the_manifest_tells_what_the_bundle_is(run, forecaster):
    found = forecaster.bundle.manifest
    report = json.loads((run.path / "metrics.json").read_text("utf-8"))
    assert found.metrics["test"] == report["test"]
    assert found.targets == ("rating", "revenue", "hit")
    assert found.data["films"] == {name: len(films) for name, films in run.films.items()}
    assert found.data["fingerprint"] == report["fingerprint"]


def test_opening_a_bundle_needs_no_trainer(run, tmp_path):
    code = """
import sys
from mfp.film import Film
from mfp.forecast import Forecaster
print(Forecaster.open(sys.argv[1]).predict([Film(title="Heat")])[0].title)
heavy = {"flax", "optax", "tensorflow_datasets", "tensorflow", "grain", "array_record", "sklearn"}
print(sorted(heavy & set(sys.modules)))
print(sorted(name for name in sys.modules if name.startswith(("mfp.models", "mfp.training"))))
"""
    done = subprocess.run(
        [sys.executable, "-c", code, run.bundle],
        capture_output=True,
        text=True,
        timeout=100,
        cwd=Path(__file__).resolve().parents[2],
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["Heat", "[]", "[]"]
