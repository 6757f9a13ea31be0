"""Poster and trailer files: found inside the media folder only, bounded, decoded to pixels."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mfp.dates import short
from mfp.film import Film

# Largest file taken, in bytes.
MAX_BYTES = {"poster": 20_000_000, "trailer": 300_000_000}
MEDIA_FIELDS = tuple(MAX_BYTES)


class MediaError(ValueError):
    """A media file that cannot be used; the message is the reason and remedy."""


def locate(name: str, relative: str, folder: Path) -> Path:
    """The regular file that a table's relative path means.

    Raises:
      MediaError: the path leaves the folder (absolute, '..', a link out), is missing, is not a
        regular file, is empty or is too large.
    """
    root = folder.resolve()
    try:
        path = (root / relative).resolve()
        if not path.is_relative_to(root):
            raise MediaError(f"{short(relative)} leaves the media folder; use a path inside it")
        status = path.stat()
    except (OSError, ValueError, RuntimeError) as error:  # RuntimeError: a loop of links
        if isinstance(error, MediaError):
            raise
        raise MediaError(
            f"{short(relative)} is not in the media folder; correct or empty it"
        ) from None
    if name == "trailer" and stat.S_ISDIR(status.st_mode):
        return path  # a folder of frames; its files are checked one by one when they are read
    if not stat.S_ISREG(status.st_mode):
        raise MediaError(f"{short(relative)} is not a file")
    if status.st_size == 0:
        raise MediaError(f"{short(relative)} is an empty file")
    if status.st_size > MAX_BYTES[name]:
        raise MediaError(f"{short(relative)} is larger than {MAX_BYTES[name] // 1_000_000} MB")
    return path


def prepare(name: str, path: Path, size: int, frames: int) -> bytes:
    """A media file decoded, resized and packed: what a record and a film's features hold.

    A poster is its pixels, uint8 [size, size, 3]. A trailer is one byte per frame (1: read),
    then the pixels, uint8 [frames, size, size, 3].

    Raises:
      MediaError: it cannot be decoded.
    """
    # Decoders are loaded by whoever has media to decode.
    if name == "trailer":
        from mfp.data import video

        pixels, read = video.decode(path, frames, size)
        return read.astype(np.uint8).tobytes() + pixels.tobytes()
    try:
        data = path.read_bytes()
    except OSError as error:
        raise MediaError(f"'{path.name}' cannot be read: {error.strerror}") from None
    from mfp.data import image

    return image.decode(data, size).tobytes()


def paths(film: Film, folder: Path) -> Iterator[Path]:
    """The usable media files of a film."""
    for name in MEDIA_FIELDS:
        relative = getattr(film, name)
        if relative:
            try:
                path = locate(name, relative, folder)
            except MediaError:
                continue  # reported when the film is prepared
            if path.is_dir():
                yield from sorted(p for p in path.iterdir() if p.is_file())
            else:
                yield path
