"""Being asked to stop: by a scheduler (SIGTERM, SIGUSR1) or a person (SIGINT, Ctrl-C).

Where nothing can be lost a signal stops at once, as an exception. Where steps were done since the
last checkpoint it is only noted, and the loop saves before it stops. Whichever it was, the process
ends with 128 + the number of the signal, which is also what a shell shows of a process that the
signal itself ended: a job script sees one code for "stopped, saved, run me again".
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

_MOMENT = 0.02  # seconds
NUMBERS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)


class Interrupted(BaseException):
    """A signal asks to stop, and what was done is saved; running again resumes.

    Not an Exception, as KeyboardInterrupt is not: a library that catches what may go wrong in
    its own work must not catch this.
    """

    def __init__(self, number: int, step: int | None = None):
        """`step`: the one that was saved last, where the loop was stopped."""
        name = signal.Signals(number).name
        where = "" if step is None else f" after step {step}; saved"
        super().__init__(f"stopped by {name}{where}")
        self.number, self.step = number, step
        self.exit_code = 128 + number


@dataclass
class Noted:
    """The first signal that arrived, 0 for none."""

    number: int = 0


@contextmanager
def stop_at_once() -> Iterator[None]:
    """A signal raises Interrupted wherever the main thread is.

    Python drops what is raised while it throws an object away (a finalizer, the callback of a weak
    reference): then the signal is sent once more, a moment later.
    """
    seen = Noted()

    def stop(number: int, _frame: Any) -> None:
        again = seen.number
        seen.number = number
        if again and number == signal.SIGINT:
            raise KeyboardInterrupt  # asked twice: do not wait for files to be closed
        if not again:
            raise Interrupted(number)

    def forget() -> None:
        seen.number = 0

    with _handled(stop), _not_dropped(forget):
        yield


@contextmanager
def _not_dropped(forget: Callable[[], None]) -> Iterator[None]:
    """An Interrupted that Python drops is sent again; `forget` is called first."""
    former = sys.unraisablehook
    again: list[tuple[int, threading.Timer]] = []

    def hook(unraisable: Any) -> None:
        if not isinstance(unraisable.exc_value, Interrupted):
            former(unraisable)
            return
        forget()
        number = unraisable.exc_value.number
        timer = threading.Timer(_MOMENT, os.kill, (os.getpid(), number))
        timer.daemon = True
        again.append((number, timer))
        timer.start()

    sys.unraisablehook = hook
    try:
        yield
        if again:  # all was done before it came
            raise Interrupted(again[-1][0])
    finally:
        sys.unraisablehook = former
        for _, timer in again:
            timer.cancel()


@contextmanager
def noted() -> Iterator[Noted]:
    """A signal is only noted; one that nobody saw raises Interrupted at the end."""
    seen = Noted()

    def note(number: int, _frame: Any) -> None:
        if seen.number and number == signal.SIGINT:
            raise KeyboardInterrupt  # asked twice: do not wait for the step to end
        seen.number = seen.number or number

    with _handled(note):
        yield seen
    if seen.number:
        raise Interrupted(seen.number)


@contextmanager
def _handled(handler: Callable[[int, Any], None]) -> Iterator[None]:
    try:
        old = {number: signal.signal(number, handler) for number in NUMBERS}
    except ValueError:  # not in the main thread (a notebook, a test): signals stay as they are
        old = {}
    try:
        yield
    finally:
        for number, former in old.items():
            signal.signal(number, former)
