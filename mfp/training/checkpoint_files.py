"""The files of checkpoints: hashes of each, what is damaged, and the newest that can be used.

    checkpoints/<step>/           as Orbax writes it
    checkpoints/<step>/hashes.json   SHA-256 and size of every other file of the folder
    checkpoints-damaged/<step>/   what was found damaged, out of the way of the run

Orbax makes a checkpoint whole by renaming its folder; the hashes are written just before, so that
what is whole has them. Neither Orbax nor TensorStore finds every flipped bit by itself.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mfp.manifest import file_hashes

HASHES = "hashes.json"
_UNFINISHED = "*.orbax-checkpoint-tmp*"  # what a killed process had not made whole


def seal(folder: Path) -> None:
    """Write the hashes of a checkpoint's files."""
    (folder / HASHES).unlink(missing_ok=True)
    text = json.dumps(file_hashes(folder), indent=1)  # whose last character counts, too
    (folder / HASHES).write_text(text, encoding="utf-8")


def flaw(folder: Path) -> str | None:
    """The first file of a checkpoint that is missing, changed or new, and what it is; or None.

    Raises:
      OSError: a file cannot be read now, which says nothing about it.
    """
    try:
        expected = json.loads((folder / HASHES).read_text(encoding="utf-8"))
        names = list(expected.items())
    except FileNotFoundError:
        return f"{folder / HASHES}: is missing"
    except (ValueError, AttributeError):
        return f"{folder / HASHES}: is damaged"
    found = file_hashes(folder)
    del found[HASHES]
    for name, values in names:
        actual = found.pop(name, None)
        if actual is None:
            return f"{folder / name}: is missing"
        if actual != values:
            return f"{folder / name}: is damaged"
    return f"{folder / min(found)}: is not of this checkpoint" if found else None


def steps_in(folder: Path) -> list[int]:
    """The steps of a run's checkpoints, the newest last."""
    return sorted(int(path.name) for path in folder.glob("*") if path.name.isdecimal())


def fall_back(folder: Path, say: Callable[[str], None]) -> None:
    """Leave in the folder of a run's checkpoints only such as the run can go on from.

    The newest of them is whole, and so is the best that it remembers: without that one the run
    could not end as it would have. What is not is moved to `<folder>-damaged`.
    """
    for unfinished in folder.glob(_UNFINISHED):
        shutil.rmtree(unfinished)
    steps = steps_in(folder)
    if not any((folder / str(step) / HASHES).exists() for step in steps):
        for step in steps:  # of a version that wrote no hashes: taken as they are
            seal(folder / str(step))
    while steps:
        newest = folder / str(steps[-1])
        found = flaw(newest)
        if found is None and (best := read_meta(newest)["best_step"]) not in (0, steps[-1]):
            found = flaw(folder / str(best))
        if found is None:
            break
        steps.pop()
        _set_aside(newest)
        remains = f"going on from step {steps[-1]}" if steps else "training starts anew"
        say(f"{found}; {remains}")
    for step in steps[:-1]:
        found = flaw(folder / str(step))
        if found is not None and step in steps[-2:]:
            _set_aside(folder / str(step))
            say(f"{found}; the run goes on from a newer one")
        elif found is not None:  # being removed when the process was killed
            shutil.rmtree(folder / str(step))


def read_meta(checkpoint: Path) -> dict[str, Any]:
    """What a whole checkpoint remembers beside its arrays (`memory.py`)."""
    return json.loads((checkpoint / "meta" / "metadata").read_text(encoding="utf-8"))


def _set_aside(checkpoint: Path) -> None:
    folder = checkpoint.parent
    damaged = folder.with_name(f"{folder.name}-damaged")
    damaged.mkdir(exist_ok=True)
    shutil.rmtree(damaged / checkpoint.name, ignore_errors=True)
    os.rename(checkpoint, damaged / checkpoint.name)
