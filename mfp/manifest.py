"""What a bundle folder holds: file names, hashes, and the manifest. Written by export, read by
the forecaster; imports nothing heavy.

    manifest.json       this module's Manifest, with SHA-256 and size of every other file
    params/             an Orbax checkpoint of the parameters
    program.stablehlo   the network as serialised by jax.export
    reference.npy, reference.json   past films, see data/reference.py; where their dates are known
    history/            outcomes known of people and companies, see data/history.py; where read

The bundle's id is the SHA-256 of the manifest's content, and so, by the hashes in it, of the
whole bundle. It stands in the manifest and finds every accidental change; against a change on
purpose compare it with the id that was printed when the bundle was made.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

FORMAT = "mfp-bundle"
FORMAT_VERSION = 3
# Version 1 has no calibration (such bundles forecast without intervals), no id, no past films.
# The id of version 2 is that of the content with its keys sorted, and so blind to their order.
READABLE_VERSIONS = (1, 2, 3)
MANIFEST, PARAMS, PROGRAM = "manifest.json", "params", "program.stablehlo"

MAX_MANIFEST = 200_000_000  # bytes


class BundleError(RuntimeError):
    """A folder that is no usable bundle; the message names the file and the reason."""


@dataclass(frozen=True)
class Manifest:
    """The content of manifest.json."""

    files: Mapping[str, Mapping[str, Any]]  # relative path -> {"sha256", "bytes"}
    config: Mapping[str, Any]
    features: Mapping[str, Any]
    targets: tuple[str, ...]
    metrics: Mapping[str, Any]
    data: Mapping[str, Any]  # data card: source, fingerprint, splits, counts, ranges
    versions: Mapping[str, str]
    calibration: Mapping[str, Any] = field(default_factory=dict)  # calibration/fitted.py
    format: str = FORMAT
    format_version: int = FORMAT_VERSION
    id: str = ""  # of the manifest that was read; `to_json` states it anew

    def to_json(self) -> dict[str, Any]:
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        values["targets"] = list(self.targets)
        del values["id"]
        return values if self.format_version == 1 else values | {"id": digest(values)}


def digest(values: Mapping[str, Any]) -> str:
    """SHA-256 of a manifest's values but its id, as JSON without spaces."""
    content = {name: value for name, value in values.items() if name != "id"}
    text = json.dumps(content, sort_keys=values.get("format_version") == 2, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def to_text(document: Manifest) -> str:
    """The manifest as it is written: its id, then the very text that the id is the hash of."""
    values = document.to_json()
    return json.dumps({"id": values.pop("id"), **values}, separators=(",", ":"))


def _id_by_text(content: bytes) -> str | None:
    """The id of a manifest that stands as `to_text` wrote it, else None.

    Saves `digest` from making the text anew, which takes longer than reading it.
    """
    head, rest = content[:_HEAD], content[_HEAD:]
    found = hashlib.sha256(b"{" + rest).hexdigest()
    return found if head == f'{{"id":"{found}",'.encode() else None


_HEAD = len('{"id":"",') + 64  # characters of a manifest before the text that its id hashes


def file_hashes(folder: Path) -> dict[str, dict[str, Any]]:
    """SHA-256 and size of every file below a folder but the manifest, by relative path."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name != MANIFEST:
            found[name] = {"sha256": _sha256(path), "bytes": path.stat().st_size}
    return found


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read(folder: Path, verify: bool = True) -> Manifest:
    """Read and check manifest.json.

    Args:
      verify: compare it with the id that stands in it.

    Raises:
      BundleError: no bundle, a newer format, or a changed or damaged manifest.
    """
    path = folder / MANIFEST
    if not folder.is_dir():
        raise BundleError(f"{folder}: no such folder; name a bundle that `mfp export` wrote")
    for entry in folder.rglob("*"):  # to open a pipe or a device may wait for ever
        if entry.exists() and not (entry.is_file() or entry.is_dir()):
            raise BundleError(f"{entry}: is not a file")
    try:
        if path.stat().st_size > MAX_MANIFEST:
            raise BundleError(f"{path}: is too large for a manifest")
        content = path.read_bytes()
        values = json.loads(content)
    except FileNotFoundError:
        raise BundleError(
            f"{folder}: is not a bundle (no {MANIFEST}); name the folder that `mfp export` wrote"
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise BundleError(f"{path}: cannot be read: {error}") from None
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise BundleError(f"{path}: is not the manifest of an {FORMAT}")
    version = values.get("format_version")
    if type(version) is not int or version not in READABLE_VERSIONS:
        raise BundleError(
            f"{path}: has format version {version!r}, this program reads "
            f"{READABLE_VERSIONS[0]} to {FORMAT_VERSION}; "
            "install the version of mfp that wrote it"
        )
    try:
        found = _id_by_text(content) or digest(values)
    except (RecursionError, ValueError) as error:
        raise BundleError(f"{path}: cannot be read: {error}") from None
    if verify and version != 1 and values.get("id") != found:
        raise BundleError(f"{path}: was changed after the export; copy the bundle again")
    try:
        values["id"] = found
        values["targets"] = tuple(values["targets"])
        manifest = Manifest(**values)
        files = manifest.files
        if not (isinstance(files, dict) and all(isinstance(f, dict) for f in files.values())):
            raise TypeError("'files' is not a table of hashes")
        if not all(isinstance(name, str) for name in manifest.targets):
            raise TypeError("'targets' are not names")
        return manifest
    except (KeyError, TypeError) as error:
        raise BundleError(f"{path}: is damaged: {error}") from None


def verify(folder: Path, manifest: Manifest) -> None:
    """Compare every file with its hash.

    Raises:
      BundleError: naming the first file that is missing, changed or not listed.
    """
    found = file_hashes(folder)
    for name, expected in manifest.files.items():
        actual = found.pop(name, None)
        if actual is None:
            raise BundleError(f"{folder / name}: is missing; copy the bundle again")
        if actual != dict(expected):
            raise BundleError(f"{folder / name}: differs from the manifest; copy the bundle again")
    if found:
        raise BundleError(f"{folder / min(found)}: is not listed in the manifest")
