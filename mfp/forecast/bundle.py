"""Open a bundle: verify its hashes, restore the parameters, load the program."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import jax
import numpy as np

from mfp import manifest as manifests
from mfp import parameters
from mfp.calibration.fitted import Calibration
from mfp.calibration.spread import with_members
from mfp.data import history
from mfp.data import reference as references
from mfp.data.features import FeatureSpec
from mfp.data.history import HistoryTable
from mfp.data.reference import Reference
from mfp.extensions import ExtensionError
from mfp.film import VERDICTS, Film
from mfp.forecast.intervals import intervals
from mfp.manifest import BundleError, Manifest
from mfp.program import Program, ProgramError


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


def open_bundle(path: str | Path, verify: bool = True, batch: int | None = None) -> Bundle:
    """Load a bundle that `mfp export` wrote. Nothing in it is executed but its StableHLO.

    Args:
      verify: compare every file with its SHA-256, and the manifest with its id, first.
      batch: films of the first batch, where that is known: the program for so many is compiled
        while the rest of the bundle is read.

    Raises:
      BundleError: it is no bundle, newer, incomplete, changed or damaged; in one line.
    """
    folder = Path(path)
    manifest = manifests.read(folder, verify)
    if verify:
        manifests.verify(folder, manifest)
    path_of_program = folder / manifests.PROGRAM
    try:
        program = Program(path_of_program.read_bytes())
    except ProgramError as error:
        written = f"jax {manifest.versions.get('jax', '?')} wrote it"
        raise BundleError(
            f"{path_of_program}: {error} ({written}): {_one_line(error.__cause__)}"
        ) from None
    except OSError as error:
        raise BundleError(f"{path_of_program}: cannot be read: {_one_line(error)}") from None
    if batch is not None:
        program.compile_ahead(batch)
    try:
        spec = FeatureSpec.from_json(manifest.features)
        calibration = (
            Calibration.from_json(manifest.calibration, spec) if manifest.calibration else None
        )
    except ExtensionError as error:
        raise BundleError(f"{folder}: {error}") from None
    except ValueError as error:
        raise BundleError(
            f"{folder / manifests.MANIFEST}: {error}; if another version of mfp wrote it, "
            "export it again"
        ) from None
    if spec.history:
        spec = spec.with_table(_past_films(folder / history.FOLDER))
    expected = {name: tuple(shape) for name, (shape, _) in spec.shapes().items()}
    outputs = {name: (len(VERDICTS),) if name == "verdict" else () for name in manifest.targets}
    named = set(spec.targets.names) == set(outputs)
    if program.outputs != outputs or len(program.embedding) != 1 or not named:
        raise BundleError(f"{folder}: program and targets do not belong together")
    if program.inputs != expected:
        raise BundleError(f"{folder}: program and feature spec do not belong together")
    if calibration is not None and not _fits(calibration, spec, program):
        raise BundleError(f"{folder}: program and calibration do not belong together")
    try:
        params = jax.device_put(parameters.read(folder / manifests.PARAMS, program.parameters))
    except parameters.ParametersError as error:
        raise BundleError(
            f"{folder / manifests.PARAMS}: cannot be restored: {_one_line(error)}"
        ) from None

    def run(batch: Mapping[str, np.ndarray]) -> Mapping[str, Any]:
        return program(params, batch)

    return Bundle(folder, manifest, spec, run, calibration)


def _fits(calibration: Calibration, spec: FeatureSpec, program: Program) -> bool:
    """Whether a calibration can be used on what a program tells: tried on a film of nothing."""
    inputs = {name: np.zeros((1, *shape), dtype) for name, (shape, dtype) in spec.shapes().items()}
    outputs = {name: np.zeros((1, *shape)) for name, shape in program.outputs.items()}
    shown = with_members(outputs, {name: np.ones(1) for name in program.spread})
    try:
        intervals(calibration, [Film("")], inputs, shown, np.zeros((1, *program.embedding)), 0.5)
    except (ValueError, IndexError, KeyError, TypeError, ArithmeticError):
        return False
    return True


def _past_films(folder: Path) -> HistoryTable:
    try:
        return HistoryTable.read(folder)
    except (OSError, ValueError) as error:
        raise BundleError(f"{folder}: cannot be read: {error}") from None


def _one_line(error: BaseException | None) -> str:
    return str(error).splitlines()[0][:300] if str(error) else type(error).__name__
