"""`mfp`, which tells when it comes to a place: python victim.py PLACE COUNT FD train ...

When it comes there for the COUNTth time it writes a byte to the file descriptor FD and goes on.
Whoever started it then ends it as they like; nothing in this process knows when.
"""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

# Of each place the module, and the function or method that it begins with.
PLACES = {
    "compile": ("mfp.training.programs", "StepPrograms.__call__"),
    "step": ("mfp.report.progress", "TrainingProgress.step"),
    "evaluation": ("mfp.training.evaluate", "Evaluator.__call__"),
    "checkpoint": ("mfp.training.checkpoint", "Checkpoints.save"),
    "rename": ("mfp.training.checkpoint_files", "seal"),
    "metrics": ("mfp.training.session", "evaluate_run"),
    "export": ("mfp.training.export", "write_bundle"),
    "end of export": ("mfp.training.export", "write_text"),
}


def announce(place: str, count: int, descriptor: int) -> None:
    """Wrap the function of a place."""
    module, name = PLACES[place]
    owner: Any = import_module(module)
    *path, name = name.split(".")
    for part in path:
        owner = getattr(owner, part)
    original: Callable[..., Any] = getattr(owner, name)
    calls = itertools.count(1)

    def announced(*args: Any, **kwargs: Any) -> Any:
        if next(calls) == count:
            os.write(descriptor, b".")
        return original(*args, **kwargs)

    setattr(owner, name, announced)


if __name__ == "__main__":
    from mfp.cli import main

    place, count, descriptor = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    if place in PLACES:
        announce(place, count, descriptor)
    sys.argv[1:4] = []
    main()
