"""A trace of chosen steps by JAX's profiler, for TensorBoard's profile plugin or Perfetto."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax

from mfp.training.meter import Meter


class Profiler:
    """Traces the steps first..last; leaving the context ends a trace that is under way."""

    def __init__(self, folder: Path, steps: tuple[int, int] | None, meter: Meter):
        """`steps`: first and last to trace, counted from 1; None for none."""
        self.folder, self._meter = folder, meter
        self._first, self._last = steps or (0, -1)
        self._tracing = False

    def __enter__(self) -> Profiler:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    @contextmanager
    def step(self, step: int) -> Iterator[None]:
        """Around starting a step."""
        if not self._tracing and self._first <= step <= self._last:
            with self._meter.aside():
                jax.profiler.start_trace(str(self.folder))
            self._tracing = True
        if not self._tracing:
            yield
            return
        with jax.profiler.StepTraceAnnotation("train", step_num=step):
            yield

    def ends(self, step: int, results: Any) -> bool:
        """Whether the trace is whole with `step`, which was started and returns `results`."""
        if not self._tracing or step < self._last:
            return False
        jax.block_until_ready(results)  # what devices do of a step comes later than its start
        with self._meter.aside():
            self._end()
        return True

    def _end(self) -> None:
        if self._tracing:
            self._tracing = False
            jax.profiler.stop_trace()
