"""The C library's allocator: the only file that speaks to it."""

from __future__ import annotations

import ctypes
from typing import Any

# Options of mallopt(3), glibc's <malloc.h>.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX, _ARENA_MAX = -1, -2, -4, -8
_OPTIONS = {
    _ARENA_MAX: 1,  # else large arrays of a thread's own arena go back to the system at once
    _MMAP_MAX: 0,
    _TRIM_THRESHOLD: 2**31 - 1,
    _TOP_PAD: 64 << 20,
}


def keep_freed_memory() -> bool:
    """Let this process keep what it frees, for its next step; whether that can be done.

    XLA allocates a step's arrays anew each time. By default glibc gives arrays of some megabytes
    back to the system when they are freed, and the system clears every page it hands out again:
    a third of the time of a training step with pictures. Call it before threads start. Nothing
    is done where there is no mallopt (macOS, musl) or it declines.
    """
    mallopt: Any = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and all(mallopt(*option) for option in _OPTIONS.items())
