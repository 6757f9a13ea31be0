"""A process that decodes media files for another: `python -m mfp.data.decoder`.

Decoders are C code that reads what strangers made. Here one that crashes, hangs or wants all memory
ends this process and no other; `guard.py` starts it, and says so of that one file.

On standard input a request is a line of JSON: {"what", "path", "size", "frames"}, `what` one of
"poster" and "trailer" (as `media.prepare`) or "size" (as `image.upright_size`). On standard output
an answer is a byte (1: done, 0: refused), the length of what follows (4 bytes, little-endian), and
the pixels, the two sides as int32, or the reason.
"""

from __future__ import annotations

import contextlib
import json
import resource
import signal
import struct
import sys
from pathlib import Path
from typing import Any

HEAD = struct.Struct("<BI")
# Seconds of one file, by the clock, then the process ends itself. Reading a clip stops by itself
# before (`video.DECODE_SECONDS`).
SECONDS = {"poster": 30, "trailer": 90, "size": 30}
# Largest picture: 50 million pixels of 16 bits, in several copies.
MEMORY = 2_000_000_000  # bytes of address space
_FILES = 64


def main() -> None:
    """Answer requests until there are no more."""
    _limit()
    # Standard output is for answers alone, whatever a library prints.
    answers, sys.stdout = sys.stdout.buffer, sys.stderr
    for line in sys.stdin.buffer:
        request = json.loads(line)
        signal.alarm(SECONDS[request["what"]])
        done, content = answer(request)
        signal.alarm(0)
        answers.write(HEAD.pack(done, len(content)) + content)
        answers.flush()


def answer(request: dict[str, Any]) -> tuple[bool, bytes]:
    """What was asked for, or the reason why it cannot be had."""
    from mfp.data import media

    path, size = Path(request["path"]), request["size"]
    try:
        if request["what"] == "size":
            from mfp.data import image

            return True, struct.pack("<ii", *image.upright_size(path.read_bytes()))
        return True, media.prepare(request["what"], path, size, request["frames"])
    except media.MediaError as error:
        return False, str(error).encode("utf-8", "replace")


def _limit() -> None:
    """Bounds of this process: memory, files that it opens, and none that it writes."""
    for kind, most in (
        (resource.RLIMIT_AS, MEMORY),
        (resource.RLIMIT_NOFILE, _FILES),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        with contextlib.suppress(ValueError, OSError):  # a system without it, or a lower limit
            resource.setrlimit(kind, (most, most))


if __name__ == "__main__":
    main()
