"""A trained network as a bundle: parameters, a StableHLO program, a manifest. No code in it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from jax import export

from mfp import config as configs
from mfp import manifest, parameters
from mfp.config import Config
from mfp.data import history
from mfp.data.features import FeatureSpec, vocabulary_name
from mfp.data.reference import Reference
from mfp.files import named
from mfp.manifest import Manifest
from mfp.program import Program
from mfp.training import assemble, evaluate, pretrained
from mfp.training.assemble import Forecast
from mfp.training.checkpoint import reason_of
from mfp.training.run import write_text

PLATFORMS = ("cpu", "cuda", "tpu")
AGREEMENT = 1e-5  # largest difference allowed between program and network, in output units


class ExportError(RuntimeError):
    """A bundle that cannot be written."""


def write_bundle(
    folder: Path,
    config: Config,
    spec: FeatureSpec,
    params: Any,
    metrics: dict[str, Any],
    data: dict[str, Any],
    calibration: dict[str, Any] | None = None,
    reference: Reference | None = None,
) -> None:
    """Write a bundle folder; it appears whole or not at all. Uncalibrated, it has no intervals.

    Args:
      reference: past films to compare with; left out where there are none.

    Raises:
      ExportError: the folder exists, or program and network disagree.
      OSError: it cannot be written; what was written is removed.
    """
    if folder.exists():
        raise ExportError(f"{folder}: exists; remove it or export elsewhere")
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        with named(folder):
            partial.mkdir(parents=True)
            _write(partial, config, spec, params, metrics, data, calibration, reference)
            os.replace(partial, folder)
    except BaseException:  # the room is wanted where the disk is full
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _write(
    folder: Path,
    config: Config,
    spec: FeatureSpec,
    params: Any,
    metrics: dict[str, Any],
    data: dict[str, Any],
    calibration: dict[str, Any] | None,
    reference: Reference | None,
) -> None:
    params = pretrained.with_encoder(params, config)
    network = assemble.build_network(config, spec)
    forecast = assemble.forecast_function(network, spec, config.train.ensemble)
    program = export_program(forecast, spec, params)
    check_agreement(program, forecast, spec, params)
    (folder / manifest.PROGRAM).write_bytes(program)
    _write_params(folder / manifest.PARAMS, params)
    check_stored(folder / manifest.PARAMS, params)
    if reference is not None and reference.films:
        reference.write(folder)
    if spec.table is not None:
        spec.table.write(folder / history.FOLDER)
    document = Manifest(
        files=manifest.file_hashes(folder),
        config=configs.to_json(config),
        features=spec.to_json(),
        targets=spec.targets.names,
        metrics=metrics,
        data=data,
        versions=evaluate.versions(),
        calibration=calibration or {},
    )
    write_text(folder / manifest.MANIFEST, manifest.to_text(document))


def _write_params(folder: Path, params: Any) -> None:
    # Of several processes only this one exports: Orbax must not wait for the others.
    here = jax.process_index()
    alone = ocp.options.MultiprocessingOptions(primary_host=here, active_processes={here})
    try:
        with ocp.StandardCheckpointer(multiprocessing_options=alone) as checkpointer:
            checkpointer.save(folder.absolute(), params)
    except ValueError as error:  # of TensorStore, in many lines
        raise ExportError(f"{folder}: cannot be written: {reason_of(error)}") from error
    # Orbax notes there what the folder was called while it was written, on this machine.
    (folder / "commit_success.txt").write_text("whole\n", encoding="utf-8")


def check_stored(folder: Path, params: Any) -> None:
    """Read the checkpoint as a reader of the bundle will.

    Raises:
      ExportError: what is read differs from the parameters.
    """
    try:
        stored = parameters.read(folder, params)
    except parameters.ParametersError as error:
        raise ExportError(f"the parameters that were written cannot be read: {error}") from None
    for ours, theirs in zip(jax.tree.leaves(params), jax.tree.leaves(stored), strict=True):
        if np.asarray(ours).tobytes() != theirs.tobytes():
            raise ExportError("the parameters that were written differ from the network's")


def export_program(forecast: Forecast, spec: FeatureSpec, params: Any) -> bytes:
    """forecast(params, inputs) for any batch size, lowered for CPU, GPU and TPU at once."""
    (batch,) = export.symbolic_shape("batch")
    inputs = {
        name: jax.ShapeDtypeStruct((batch, *shape), dtype)
        for name, (shape, dtype) in spec.shapes().items()
    }
    like = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), params)
    with _without_folders():
        exported = export.export(jax.jit(forecast), platforms=PLATFORMS)(like, inputs)
    # Without its gradient, which would make it three times as large: explanations hide parts
    # instead, which finds more of what matters (forecast/explain.py).
    return bytes(exported.serialize())


@contextmanager
def _without_folders() -> Iterator[None]:
    """A program names the lines of code that it comes from: by file, not by this machine's path."""
    name = "jax_hlo_source_file_canonicalization_regex"  # what it matches is left out
    former = jax.config.values[name]
    jax.config.update(name, "^.*/")
    try:
        yield
    finally:
        jax.config.update(name, former)


def check_agreement(program: bytes, forecast: Forecast, spec: FeatureSpec, params: Any) -> float:
    """Compare the program as a reader will load it with the network, in batches of 1 and of 64.

    Returns:
      The largest absolute difference of any output.

    Raises:
      ExportError: it exceeds AGREEMENT.
    """
    loaded = Program(program)
    inputs = _random_inputs(spec, 64, np.random.default_rng(0))
    ours = jax.tree.leaves(jax.device_get(jax.jit(forecast)(params, inputs)))
    worst = 0.0
    for rows in (1, 64):  # each is compiled: seconds
        first = {name: array[:rows] for name, array in inputs.items()}
        for a, b in zip(ours, jax.tree.leaves(loaded(params, first)), strict=True):
            # np.maximum, for max() would drop a NaN.
            worst = float(np.maximum(worst, np.max(np.abs(a[:rows] - b), initial=0.0)))
    if not worst <= AGREEMENT:
        raise ExportError(
            f"exported program and network differ by {worst:.2g} (allowed: {AGREEMENT:g})"
        )
    return worst


def _random_inputs(spec: FeatureSpec, batch_size: int, rng: np.random.Generator) -> dict:
    """Inputs with random values, ids in range, and modalities missing at random."""
    sizes = {f"texts/{name}": text.size for name, text in spec.texts.items()}
    sizes |= {f"ngrams/{name}": text.ngram_size for name, text in spec.texts.items()}
    for fields in spec.sets.values():
        for field in fields:
            vocabulary = spec.vocabularies[vocabulary_name(field)]
            sizes[f"sets/{field}"] = vocabulary.size
    inputs = {}
    for name, (shape, dtype) in spec.shapes().items():
        full = (batch_size, *shape)
        if name in sizes:
            ids = rng.integers(1, sizes[name], full)
            inputs[name] = np.where(np.arange(shape[-1]) < rng.integers(0, shape[-1] + 1), ids, 0)
        elif dtype == np.uint8:
            inputs[name] = rng.integers(0, 256, full)
        elif name.endswith("/values"):
            inputs[name] = rng.normal(size=full)
        else:
            inputs[name] = rng.integers(0, 2, full)
        inputs[name] = inputs[name].astype(dtype)
    return inputs
