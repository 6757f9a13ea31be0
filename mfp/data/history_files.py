"""The table of a prepared dataset's films, built once and kept beside them on disk.

    <prepared dataset>/histories/<key>/    the files of `history.HistoryTable`

It holds the outcomes of all splits: a film is told only what was known before its own release, so
that histories roll forward through the test years as they would in use.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import shutil
import socket
from dataclasses import asdict
from pathlib import Path

from mfp.config import HistoryConfig, TargetsConfig
from mfp.data import history
from mfp.data.dataset import Dataset
from mfp.data.history import HistoryTable
from mfp.data.prepared import only_one
from mfp.files import named

# What decides a table, besides films and config.
_CODE = (
    "data/history.py",
    "data/joint.py",
    "data/ledger.py",
    "data/tabular.py",
    "data/targets.py",
    "dates.py",
)


def open_table(dataset: Dataset, config: HistoryConfig, rules: TargetsConfig) -> HistoryTable:
    """The table of all films of a dataset, as maps of files, which are written first where they
    lack, and anew where they are damaged."""
    folder = dataset.folder / "histories" / _key(dataset, config, rules)
    with only_one(folder.parent, folder.name), named(folder):
        if folder.exists():
            with contextlib.suppress(FileNotFoundError, ValueError):
                return HistoryTable.read(folder)
            shutil.rmtree(folder)
        partial = folder.with_name(f".{folder.name}.{socket.gethostname()}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        try:
            everything = itertools.chain.from_iterable(dataset.splits.values())
            history.build(everything, config, rules).write(partial)
            # Of several machines that share the folder one wins, with the same content.
            with contextlib.suppress(OSError):
                os.rename(partial, folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        return HistoryTable.read(folder)


def _key(dataset: Dataset, config: HistoryConfig, rules: TargetsConfig) -> str:
    code = hashlib.sha256()
    package = Path(__file__).parent.parent
    for name in _CODE:
        code.update((package / name).read_bytes())
    counts = {name: len(films) for name, films in dataset.splits.items()}
    parts = [dataset.fingerprint, counts, asdict(config), asdict(rules), code.hexdigest()]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]
