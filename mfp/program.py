"""The StableHLO program of a bundle: loaded, examined, compiled, called.

A program computes numbers from numbers, but for two kinds of operations: those that call a function
of this process by its name, and those that exchange data with it. None is needed; a program with
any is refused before it is compiled.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import jax
import numpy as np
from jax import export
from jax.interpreters import mlir
from jaxlib.mlir import ir  # these two jax itself has loaded already
from jaxlib.mlir.dialects import stablehlo

# Functions called by name: jax itself carries this one out, it checks sizes.
_CUSTOM_CALLS = frozenset({"shape_assertion"})
_EXCHANGES = frozenset(f"stablehlo.{name}" for name in ("infeed", "outfeed", "send", "recv"))


class ProgramError(ValueError):
    """Bytes that are no program of ours; the message is the reason."""


class Program:
    """outputs = program(parameters, inputs), for any batch size. Safe to share between threads.

    `parameters` are the shapes of what it wants, `inputs`, `outputs` and `embedding` those without
    the batch; `spread` names the outputs whose members' deviation it tells.
    """

    def __init__(self, serialized: bytes):
        """Raises ProgramError."""
        try:
            exported = export.deserialize(bytearray(serialized))
        except Exception as error:  # flatbuffers raises whatever the bytes lead to
            raise ProgramError(f"is not a program that jax {jax.__version__} reads") from error
        try:
            (parameters, inputs), _ = jax.tree.unflatten(exported.in_tree, exported.in_avals)
            self.parameters: Any = jax.tree.map(_like, parameters)
            self._inputs = {name: _like(aval) for name, aval in inputs.items()}
            found = jax.tree.unflatten(exported.out_tree, exported.out_avals)
            self.outputs: dict[str, tuple[int, ...]] = {
                name: tuple(aval.shape[1:]) for name, aval in found["outputs"].items()
            }
            self.spread = tuple(found.get("spread", {}))
            self.embedding = tuple(found["embedding"].shape[1:])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ProgramError("is not one of ours") from error
        _refuse_calls(exported.mlir_module_serialized)
        self._call = jax.jit(_without_lapack(exported).call)
        self._ahead: Future[None] | None = None

    @property
    def inputs(self) -> dict[str, tuple[int, ...]]:
        """Shape of each input without its leading axis."""
        return {name: tuple(like.shape[1:]) for name, like in self._inputs.items()}

    def compile_ahead(self, batch: int) -> None:
        """Begin to compile for a batch of this size in the background, once.

        XLA works outside the interpreter, which has other things to do when a bundle is opened.
        """
        inputs = {
            name: jax.ShapeDtypeStruct((batch, *like.shape[1:]), like.dtype)
            for name, like in self._inputs.items()
        }
        background = ThreadPoolExecutor(1)
        self._ahead = background.submit(self._compile, inputs)
        background.shutdown(wait=False)

    def _compile(self, inputs: Mapping[str, jax.ShapeDtypeStruct]) -> None:
        # jax finds what was compiled here when it is called with such arrays.
        self._call.lower(self.parameters, inputs).compile()

    def __call__(self, parameters: Any, inputs: Mapping[str, np.ndarray]) -> Mapping[str, Any]:
        """Outputs as NumPy arrays."""
        if self._ahead is not None:
            self._ahead.exception()  # wait; if it failed, so does the call below
        return jax.device_get(self._call(parameters, dict(inputs)))


def _refuse_calls(serialized: bytes) -> None:
    """Raises ProgramError where a program calls functions of this process, or talks to it."""
    refused: list[str] = []

    def see(operation: Any) -> Any:
        target = (
            operation.attributes["call_target_name"].value
            if (operation.name == "stablehlo.custom_call")
            else ""
        )
        if operation.name in _EXCHANGES or (target and target not in _CUSTOM_CALLS):
            refused.append(target or operation.name)
        return ir.WalkResult.ADVANCE

    try:
        with mlir.make_ir_context() as context:
            module = stablehlo.deserialize_portable_artifact(context, serialized)
            module.operation.walk(see)
    except Exception as error:  # whatever the bytes lead to
        raise ProgramError("is not a program in StableHLO") from error
    if refused:
        cause = ValueError(f"it calls {min(refused)!r}")
        raise ProgramError("does more than compute, and was refused") from cause


def _like(aval: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(aval.shape, aval.dtype)


def _without_lapack(program: export.Exported) -> export.Exported:
    """The same program; on a CPU it is not made to wait for LAPACK, which it does not call.

    Before a program that names the platform "cpu" runs, jax loads LAPACK by way of SciPy, a
    fifth of a second in a cold process. Without that name, and told that the platform differs on
    purpose, jax takes the program's first variant, which is the one for CPUs.
    """
    needless = (
        jax.default_backend() == "cpu"
        and program.platforms[0] == "cpu"
        and b"lapack" not in program.mlir_module_serialized
    )
    if not needless:
        return program
    checks = (*program.disabled_safety_checks, export.DisabledSafetyCheck.platform())
    platforms = ("any", *program.platforms[1:])
    return replace(program, platforms=platforms, disabled_safety_checks=checks)
