"""How fast the loop runs, by the clock alone: nothing here waits for a device.

The loop is a sequence of stretches of steps, each of which ends when the losses of its last step
were read (before a checkpoint or an evaluation). The time of a stretch without what compiling took
is the time of its steps, whatever a device did ahead of the loop.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import jax

from mfp.training import flops


@dataclass
class Speed:
    """Sums over steps."""

    steps: int = 0
    films: float = 0.0
    seconds: float = 0.0  # of the steps, compiling left out
    input_seconds: float = 0.0  # of these, in which a device may have waited for its batch
    compile_seconds: float = 0.0
    flops: float = 0.0
    device_flops: float = 0.0  # of each device

    def add(self, other: Speed) -> None:
        for name, value in asdict(other).items():
            setattr(self, name, getattr(self, name) + value)

    def figures(self) -> dict[str, float]:
        """What people ask for; {} without a step. `peak_share` only where the peak is known."""
        if not self.steps or self.seconds <= 0:
            return {}
        found = {
            "films_per_second": self.films / self.seconds,
            "step_seconds": self.seconds / self.steps,
            "input_wait_share": min(1.0, self.input_seconds / self.seconds),
            "compile_seconds": self.compile_seconds,
            "flops_per_second": self.flops / self.seconds,
        }
        peak = flops.peak(jax.devices()[0].device_kind)
        if peak is not None:
            found["peak_share"] = self.device_flops / self.seconds / peak
        return {name: float(f"{value:.4g}") for name, value in found.items()}

    def __str__(self) -> str:
        found = self.figures()
        if not found:
            return "no step was measured"
        parts = [
            f"{_short(found['films_per_second'])} films/s",
            f"{_short(1000 * found['step_seconds'])} ms a step",
            f"at most {found['input_wait_share']:.0%} of it waiting for input",
            f"{found['compile_seconds']:,.1f} s compiling",
            f"{_short(found['flops_per_second'] / 1e9)} GFLOP/s",
        ]
        if "peak_share" in found:
            parts.append(f"{found['peak_share']:.1%} of the device's bfloat16 peak")
        return ", ".join(parts)


class Meter:
    """Measures the steps of this process: `speed` since the last `take`, `total` of them all."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter):
        self._clock = clock
        self._speed = Speed()
        self._began: float | None = None  # this stretch
        self._compiled = self._aside = 0.0  # seconds, in this stretch
        self.total = Speed()

    @contextmanager
    def input(self, running: Any) -> Iterator[None]:
        """Around making a batch; `running` is what the step before returns, None after a pause.

        A device that finished before its batch was there waited for some of that time, and all
        of it is counted: an upper bound, for asking when it finished would mean to wait for it.
        """
        start = self._clock()
        if self._began is None:
            self._began = start
        yield
        if running is None or all(leaf.is_ready() for leaf in jax.tree.leaves(running)):
            self._speed.input_seconds += self._clock() - start

    @contextmanager
    def compiling(self) -> Iterator[None]:
        """Around a call that compiles."""
        start = self._clock()
        yield
        self._compiled += self._clock() - start

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Around what belongs to no step, such as the start of a trace."""
        start = self._clock()
        yield
        self._aside += self._clock() - start

    def step(self, films: float, operations: float, devices: int) -> None:
        """A step was started."""
        each = operations / devices
        self._speed.add(Speed(steps=1, films=films, flops=operations, device_flops=each))

    def pause(self) -> None:
        """All steps so far are done, and what follows is none."""
        if self._began is not None:
            seconds = self._clock() - self._began - self._compiled - self._aside
            self._speed.add(Speed(seconds=seconds, compile_seconds=self._compiled))
            self._began, self._compiled, self._aside = None, 0.0, 0.0

    def take(self) -> Speed:
        """The speed since the last call; after a pause."""
        taken, self._speed = self._speed, Speed()
        self.total.add(taken)
        return taken


def _short(value: float) -> str:
    """Three digits, or a whole number."""
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"
