"""The bundle's manifest: hashes of every file, and errors that name the file."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from mfp import manifest as manifests
from mfp.manifest import MANIFEST, BundleError, Manifest


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A folder with two files and their manifest."""
    folder = tmp_path / "bundle"
    (folder / "params").mkdir(parents=True)
    (folder / "params" / "a").write_bytes(b"weights")
    (folder / "program.stablehlo").write_bytes(b"program")
    made = Manifest(
        files=manifests.file_hashes(folder),
        config={"name": "x"},
        features={},
        targets=("rating", "hit"),
        metrics={},
        data={},
        versions={},
    )
    write(folder, made.to_json())
    return folder


def sealed(values: dict[str, Any]) -> dict[str, Any]:
    """The values with the id that belongs to them: changed on purpose."""
    return values | {"id": manifests.digest(values)}


def write(folder: Path, values: Any) -> None:
    (folder / MANIFEST).write_text(json.dumps(values), encoding="utf-8")


def values_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / MANIFEST).read_text(encoding="utf-8"))


def test_hashes_are_sha256_of_every_file_but_the_manifest(bundle: Path):
    found = manifests.file_hashes(bundle)
    assert list(found) == ["params/a", "program.stablehlo"]
    # printf weights | sha256sum
    assert found["params/a"] == {
        "sha256": "9a129038d9a00aed0cf6a7ea059ca50a813449061ab87848cf1a13eafdf33b2c",
        "bytes": 7,
    }


def test_round_trip(bundle: Path):
    found = manifests.read(bundle)
    assert found.targets == ("rating", "hit")
    assert found.to_json() == values_of(bundle)
    assert found.id == values_of(bundle)["id"]
    manifests.verify(bundle, found)


def test_the_id_is_the_hash_of_the_content_in_any_layout(bundle: Path):
    found = manifests.read(bundle)
    values = values_of(bundle)
    for text in (json.dumps(values, indent=3), manifests.to_text(found)):
        (bundle / MANIFEST).write_text(text, encoding="utf-8")
        assert manifests.read(bundle) == found
    # printf '{"a":1,"b":["\\u00e9"]}' | sha256sum
    expected = "28cae5a5c18b900797e4b0965b55b478f4f38f98b65b950166fcdc48184ec43a"
    assert manifests.digest({"id": "x", "a": 1, "b": ["é"]}) == expected


def test_the_id_stands_before_the_text_that_it_hashes(bundle: Path):
    """So that a reader compares it without writing the manifest anew."""
    text = manifests.to_text(manifests.read(bundle))
    id, rest = text[7:71], "{" + text[73:]
    assert text.startswith('{"id":"')
    assert hashlib.sha256(rest.encode("ascii")).hexdigest() == id
    changed = text.replace('"name":"x"', '"name":"y"')
    (bundle / MANIFEST).write_text(changed, encoding="utf-8")
    with pytest.raises(BundleError, match="was changed after the export"):
        manifests.read(bundle)


def test_the_order_of_keys_counts_as_features_have_one(bundle: Path):
    """Since version 3; a network reads its inputs in the order in which the manifest names them."""
    values = values_of(bundle) | {"features": {"sets": {"people": [], "origin": []}}}
    turned = values | {"features": {"sets": {"origin": [], "people": []}}}
    write(bundle, turned | {"id": manifests.digest(values)})
    with pytest.raises(BundleError, match="was changed after the export"):
        manifests.read(bundle)
    write(bundle, sealed(turned | {"format_version": 2}))
    assert manifests.read(bundle).id == manifests.digest(values | {"format_version": 2})


@pytest.mark.parametrize(
    "change",
    [
        {"metrics": {"test": {"rating": {"r2": 0.99}}}},
        {"data": {"source": "another"}},
        {"id": "0" * 64},
        {"id": None},
        {"files": {}},
    ],
)
def test_a_changed_manifest_is_refused(bundle: Path, change: dict[str, Any]):
    write(bundle, values_of(bundle) | change)
    with pytest.raises(BundleError, match=r"manifest\.json: was changed after the export"):
        manifests.read(bundle)
    manifests.read(bundle, verify=False)


def test_a_manifest_without_its_id_is_refused(bundle: Path):
    values = values_of(bundle)
    del values["id"]
    write(bundle, values)
    with pytest.raises(BundleError, match="was changed"):
        manifests.read(bundle)


def test_format_1_has_no_id(bundle: Path):
    values = values_of(bundle) | {"format_version": 1}
    del values["id"]
    write(bundle, values)
    found = manifests.read(bundle)
    assert found.to_json() == values
    assert len(found.id) == 64


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "params" / "a").unlink(), "params/a: is missing"),
        (lambda f: (f / "params" / "a").write_bytes(b"Weights"), "params/a: differs"),
        (lambda f: (f / "params" / "a").write_bytes(b"weights+"), "params/a: differs"),
        (lambda f: (f / "extra").write_bytes(b""), "extra: is not listed"),
    ],
)
def test_every_change_of_a_file_is_found(bundle: Path, damage: Any, message: str):
    damage(bundle)
    with pytest.raises(BundleError, match=message):
        manifests.verify(bundle, manifests.read(bundle))


def test_a_listed_path_outside_the_bundle_is_not_followed(bundle: Path):
    (bundle.parent / "secret").write_bytes(b"weights")
    values = values_of(bundle)
    values["files"]["../secret"] = values["files"]["params/a"]
    write(bundle, sealed(values))
    with pytest.raises(BundleError, match="secret: is missing"):
        manifests.verify(bundle, manifests.read(bundle))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "zip"}, "is not the manifest of an mfp-bundle"),
        ({"format_version": 4}, "format version 4, this program reads 1 to 3; install"),
        ({"format_version": True}, "format version True"),
        ({"format_version": None}, "format version None"),
        ({"unheard_of": 1}, "is damaged"),
        ({"targets": 3}, "is damaged"),
        ({"files": []}, "is damaged"),
        ({"files": ["params/a"]}, "is damaged"),
        ({"files": {"params/a": "abc"}}, "is damaged"),
    ],
)
def test_a_wrong_manifest_is_told(bundle: Path, change: dict[str, Any], message: str):
    write(bundle, sealed(values_of(bundle) | change))
    with pytest.raises(BundleError, match=message):
        manifests.verify(bundle, manifests.read(bundle))


@pytest.mark.parametrize("name", ["files", "config", "features", "targets", "format"])
def test_a_missing_part_is_told(bundle: Path, name: str):
    values = values_of(bundle)
    del values[name]
    write(bundle, sealed(values))
    with pytest.raises(BundleError, match=r"manifest\.json"):
        manifests.read(bundle)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "\xff", "[" * 100_000])
def test_a_manifest_that_is_no_json_object_is_told(bundle: Path, text: str):
    (bundle / MANIFEST).write_bytes(text.encode("latin-1"))
    with pytest.raises(BundleError, match=r"manifest\.json"):
        manifests.read(bundle)


def test_no_bundle(tmp_path: Path):
    with pytest.raises(BundleError, match=r"no such folder; name a bundle that `mfp export` wrote"):
        manifests.read(tmp_path / "none")
    with pytest.raises(BundleError, match=r"is not a bundle \(no manifest\.json\)"):
        manifests.read(tmp_path)
    (tmp_path / MANIFEST).mkdir()
    with pytest.raises(BundleError, match="cannot be read"):
        manifests.read(tmp_path)


def test_a_huge_manifest_is_not_read(bundle: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(manifests, "MAX_MANIFEST", 10)
    with pytest.raises(BundleError, match="too large"):
        manifests.read(bundle)
