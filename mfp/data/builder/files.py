"""TFDS without TensorFlow beyond one gigabyte a split.

What of a split its writer cannot hold in memory it writes to a temporary file, by TensorFlow's file
functions. Those it calls, by Python's own; the rest of its code stays as it is.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace


class _NeverRaised(Exception):
    """In the place of TensorFlow's errors: Python's own functions raise OSError."""


@contextmanager
def plain_files() -> Iterator[None]:
    """Within it TFDS writes temporary files without TensorFlow."""
    from tensorflow_datasets.core import shuffle

    gfile = SimpleNamespace(GFile=open, exists=os.path.exists, remove=os.remove)
    errors = SimpleNamespace(ResourceExhaustedError=_NeverRaised)
    theirs = shuffle.tf
    shuffle.tf = SimpleNamespace(io=SimpleNamespace(gfile=gfile), errors=errors)
    try:
        yield
    finally:
        shuffle.tf = theirs
