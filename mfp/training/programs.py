"""Exactly one compiled program for each shape that batches have: counted, and held to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax

from mfp.training import flops, parallel
from mfp.training.meter import Meter


class RecompiledError(RuntimeError):
    """More programs than shapes: a shape, a type or a placement changes from step to step."""


class StepPrograms:
    """The compiled train step, metered.

    A program is counted when the step is traced, which every mode does once for each program,
    and by jax's own count of the function where it has one.
    """

    def __init__(
        self,
        step: Callable[..., Any],
        compile_step: Callable[..., Any],
        shapes: int,
        films: float,
        meter: Meter,
    ):
        """
        Args:
          step: the pure step.
          compile_step: makes a compiled function of it.
          shapes: how many shapes batches may have, `train.length_buckets`.
          films: in a batch, on average.
        """
        self._traces = 0

        def train_step(*args: Any, **kwargs: Any) -> Any:
            self._traces += 1
            return step(*args, **kwargs)

        self._compiled = compile_step(train_step)
        self._flops: dict[tuple, float] = {}  # of each shape
        self._shapes, self._films, self._meter = shapes, films, meter

    def __call__(self, state: Any, batch: Any, key: jax.Array) -> Any:
        """What the compiled step returns.

        Raises:
          RecompiledError: there are more programs than shapes, or more shapes than allowed.
        """
        shape = tuple(array.shape for array in jax.tree.leaves(batch))
        if shape not in self._flops:
            # Donated buffers are gone after the call; the program is read from their shapes.
            like = jax.tree.map(_like, (state, batch, key))
            with self._meter.compiling():
                found = self._compiled(state, batch, key)
                traces = self._traces
                self._flops[shape] = flops.count(self._compiled, *like)
                self._traces = traces  # under pmap counting traces once more
        else:
            found = self._compiled(state, batch, key)
        self._meter.step(self._films, self._flops[shape], _devices(batch))
        expect(max(self._traces, parallel.compilations(self._compiled)), len(self._flops), "train")
        expect(len(self._flops), self._shapes, "train")
        return found


def expect(programs: int, shapes: int, what: str) -> None:
    """Raises RecompiledError if there are more programs than shapes."""
    if programs > shapes:
        raise RecompiledError(
            f"the {what} step was compiled {programs} times for {shapes} batch shapes: something "
            "in its state or batches changes shape, type or device from step to step"
        )


def _devices(batch: Any) -> int:
    """How many devices a placed batch is spread over; under pmap a process sees only its own."""
    array = jax.tree.leaves(batch)[0]
    processes = jax.process_count() if array.is_fully_addressable else 1
    return len(array.sharding.device_set) * processes


def _like(leaf: jax.Array) -> jax.ShapeDtypeStruct:
    weak = getattr(leaf, "weak_type", False)  # keys have none
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, weak_type=weak)
