"""What prepared folders share: one process writes and the others wait, and whole is told from half.

rejects.jsonl   written last: without it the folder was never whole
sizes.json      bytes of each file beside it; those of a folder that lost some differ
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

REJECTS, SIZES = "rejects.jsonl", "sizes.json"


@contextlib.contextmanager
def only_one(folder: Path, name: str) -> Iterator[None]:
    """Two runs on new films: one prepares them, the other waits and finds them prepared.

    Where nothing can be written, or nothing locked, it goes on: what is prepared can be read.
    """
    with contextlib.ExitStack() as held:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = held.enter_context((folder / f".{name}.lock").open("w"))
            fcntl.flock(lock, fcntl.LOCK_EX)
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
        yield


_NO_LOCKS = (
    *(errno.EROFS, errno.EACCES, errno.EPERM),  # for readers only
    *(errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS),  # some network file systems
)


def seal(folder: Path, rejects: Sequence[str]) -> None:
    """The last of a preparation: its files are whole now. `rejects` are lines."""
    _replace(folder / SIZES, json.dumps(_sizes(folder), indent=1) + "\n")
    _replace(folder / REJECTS, "".join(f"{line}\n" for line in rejects))


def is_whole(folder: Path) -> bool:
    """Whether every file is there with all its bytes. (A record's bits ArrayRecord checks.)"""
    if not (folder / REJECTS).exists():
        return False
    try:
        expected = json.loads((folder / SIZES).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return True  # of a version that wrote none
    except ValueError:
        return False
    found = _sizes(folder)
    return all(found.get(name) == size for name, size in expected.items())


def _sizes(folder: Path) -> dict[str, int]:
    return {
        path.name: path.stat().st_size
        for path in sorted(folder.iterdir())
        if path.is_file() and path.name not in (REJECTS, SIZES)
    }


def _replace(path: Path, text: str) -> None:
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)
