"""Media decoded in processes of their own, so that a hostile file costs its row and nothing else.

A process (`decoder.py`) is started with the first medium and serves many; one that crashed, hung or
met a limit is replaced. What goes between is JSON one way and bytes of a known length the other:
nothing that an answer holds is ever run.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import json
import os
import queue
import signal
import struct
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import mfp
from mfp.data.decoder import HEAD, SECONDS
from mfp.data.media import MediaError

# Decoding in threads of as many processes.
WORKERS = min(os.cpu_count() or 1, 8)
_MOST_WORDS = 10_000  # bytes of a reason
# -P and -B: nothing is imported from the working folder, and no file is written.
COMMAND = (sys.executable, "-P", "-B", "-m", "mfp.data.decoder")


def prepare(name: str, path: Path, size: int, frames: int) -> bytes:
    """`media.prepare` of a file, in another process.

    Raises:
      MediaError: it cannot be decoded, or not within the limits of time and memory.
    """
    picture = 3 * size * size
    length = picture if name == "poster" else frames * (1 + picture)
    return _decoders(os.getpid()).answer(name, path, size, frames, length)


def upright_size(path: Path) -> tuple[int, int]:
    """`image.upright_size` of a file, in another process. Raises MediaError."""
    width, height = struct.unpack("<ii", _decoders(os.getpid()).answer("size", path, 0, 0, 8))
    return width, height


class Decoders:
    """Decoding processes; safe to share between threads, each of which has one to itself."""

    def __init__(self, command: Sequence[str] = COMMAND):
        self._command = command
        self._idle: queue.LifoQueue[subprocess.Popen[bytes]] = queue.LifoQueue()

    def answer(self, what: str, path: Path, size: int, frames: int, length: int) -> bytes:
        """Of so many bytes. Raises MediaError."""
        request = {"what": what, "path": str(path), "size": size, "frames": frames}
        worker = self._worker()
        try:
            done, content = _ask(worker, json.dumps(request).encode("ascii") + b"\n", length)
        except BaseException as error:
            _end(worker)
            if isinstance(error, OSError | EOFError):
                raise MediaError(_ended(what, worker.returncode)) from None
            raise
        self._idle.put(worker)
        if not done:
            raise MediaError(content.decode("utf-8", "replace"))
        return content

    def _worker(self) -> subprocess.Popen[bytes]:
        with contextlib.suppress(queue.Empty):
            while True:
                worker = self._idle.get_nowait()
                if worker.poll() is None:
                    return worker
                _end(worker)
        # What this process can import, the other can; "" would be its working folder.
        folders = [str(Path(mfp.__file__).parent.parent), *filter(None, sys.path)]
        return subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            # One thread a process: there are as many of these as processors.
            env=os.environ | {"PYTHONPATH": os.pathsep.join(folders), "OPENBLAS_NUM_THREADS": "1"},
            start_new_session=True,  # Ctrl-C is for us
        )

    def close(self) -> None:
        """End the processes that are idle."""
        with contextlib.suppress(queue.Empty):
            while True:
                _end(self._idle.get_nowait())


@functools.cache
def _decoders(process: int) -> Decoders:
    """Those of a process; one that was forked from it has others."""
    decoders = Decoders()
    atexit.register(decoders.close)
    return decoders


def _ask(worker: subprocess.Popen[bytes], request: bytes, length: int) -> tuple[bool, bytes]:
    """Raises OSError or EOFError where the process has ended, or says what it should not."""
    assert worker.stdin is not None
    assert worker.stdout is not None
    worker.stdin.write(request)
    worker.stdin.flush()
    done, size = HEAD.unpack(_read(worker, HEAD.size))
    if (done and size != length) or size > max(length, _MOST_WORDS):
        raise EOFError
    return bool(done), _read(worker, size)


def _read(worker: subprocess.Popen[bytes], size: int) -> bytes:
    assert worker.stdout is not None
    content = worker.stdout.read(size)
    if len(content) < size:
        worker.wait()
        raise EOFError
    return content


def _end(worker: subprocess.Popen[bytes]) -> None:
    if worker.poll() is None:
        worker.kill()
    worker.wait()
    for pipe in (worker.stdin, worker.stdout):
        with contextlib.suppress(OSError):  # a request that was not read
            assert pipe is not None
            pipe.close()


def _ended(what: str, code: int) -> str:
    medium = "clip" if what == "trailer" else "picture"
    if code == -signal.SIGALRM:
        return f"the {medium} takes more than {SECONDS[what]} s to decode; make it smaller"
    how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    return f"the {medium} ended its decoder ({how}); replace it or empty the field"
