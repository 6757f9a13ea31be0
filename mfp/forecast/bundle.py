"""Open a bundle: verify its hashes, restore the parameters, load the program."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax import export

from mfp import manifest as manifests
from mfp.calibration.fitted import Calibration
from mfp.data import history
from mfp.data import reference as references
from mfp.data.features import FeatureSpec
from mfp.data.history import HistoryTable
from mfp.data.reference import Reference
from mfp.manifest import BundleError, Manifest


@dataclass(frozen=True)
class Bundle:
    """A loaded bundle. `run(inputs)` gives outputs in natural units, attention, embedding."""

    path: Path
    manifest: Manifest
    spec: FeatureSpec
    run: Callable[[Mapping[str, np.ndarray]], Mapping[str, Any]]
    calibration: Calibration | None = None  # of older bundles there is none

    @cached_property
    def reference(self) -> Reference | None:
        """Past films with their outcomes, read when first asked for; None where it has none.

        Raises:
          BundleError: they are damaged.
        """
        if references.FILMS not in self.manifest.files:
            return None
        try:
            return Reference.read(self.path)
        except (OSError, ValueError) as error:
            raise BundleError(f"{self.path}: the past films cannot be read: {error}") from None


def open_bundle(path: str | Path, verify: bool = True) -> Bundle:
    """Load a bundle that `mfp export` wrote. Nothing in it is executed but its StableHLO.

    Args:
      verify: compare every file with its SHA-256, and the manifest with its id, first.

    Raises:
      BundleError: it is no bundle, newer, incomplete, changed or damaged; in one line.
    """
    folder = Path(path)
    manifest = manifests.read(folder, verify)
    if verify:
        manifests.verify(folder, manifest)
    try:
        spec = FeatureSpec.from_json(manifest.features)
        calibration = (
            Calibration.from_json(manifest.calibration, spec) if manifest.calibration else None
        )
    except ValueError as error:
        raise BundleError(
            f"{folder / manifests.MANIFEST}: {error}; if another version of mfp wrote it, "
            "export it again"
        ) from None
    if spec.history:
        spec = spec.with_table(_past_films(folder / history.FOLDER))
    try:
        program = export.deserialize(bytearray((folder / manifests.PROGRAM).read_bytes()))
    except Exception as error:  # flatbuffers raises whatever the bytes lead to
        raise BundleError(
            f"{folder / manifests.PROGRAM}: is not a program that jax {jax.__version__} reads"
            f" (jax {manifest.versions.get('jax', '?')} wrote it): {_one_line(error)}"
        ) from None
    like, inputs = _signature(program, folder)
    expected = {name: tuple(shape) for name, (shape, _) in spec.shapes().items()}
    if inputs != expected:
        raise BundleError(f"{folder}: program and feature spec do not belong together")
    params = jax.device_put(_restore(folder / manifests.PARAMS, like))
    call = jax.jit(program.call)

    def run(batch: Mapping[str, np.ndarray]) -> Mapping[str, Any]:
        return jax.device_get(call(params, dict(batch)))

    return Bundle(folder, manifest, spec, run, calibration)


def _signature(program: export.Exported, folder: Path) -> tuple[Any, dict[str, tuple]]:
    """Parameters (as empty arrays) and input shapes (without the batch) that a program takes."""
    try:
        (params, inputs), _ = jax.tree.unflatten(program.in_tree, program.in_avals)
        like = jax.tree.map(lambda aval: np.zeros(aval.shape, aval.dtype), params)
        return like, {name: tuple(aval.shape[1:]) for name, aval in inputs.items()}
    except (TypeError, ValueError, AttributeError) as error:
        raise BundleError(f"{folder}: the program is not one of ours: {error}") from None


def _past_films(folder: Path) -> HistoryTable:
    try:
        return HistoryTable.read(folder)
    except (OSError, ValueError) as error:
        raise BundleError(f"{folder}: cannot be read: {error}") from None


def _restore(path: Path, like: Any) -> Any:
    """The parameters as NumPy arrays, shaped as the program wants them."""
    # Orbax takes most of a second to import and is needed for this alone.
    import orbax.checkpoint as ocp

    logging.getLogger("absl").setLevel(logging.ERROR)
    try:
        with ocp.StandardCheckpointer() as checkpointer:
            params = checkpointer.restore(path.absolute(), like)
    except Exception as error:  # Orbax and TensorStore raise many kinds
        raise BundleError(f"{path}: cannot be restored: {_one_line(error)}") from None
    # Orbax gives arrays of the shapes that were saved, whatever shapes were asked for.
    if jax.tree.map(np.shape, params) != jax.tree.map(np.shape, like):
        raise BundleError(f"{path}: parameters and program do not belong together")
    return params


def _one_line(error: Exception) -> str:
    return str(error).splitlines()[0][:300] if str(error) else type(error).__name__
