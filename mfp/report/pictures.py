"""Posters and trailers for a page: small, decoded and encoded anew, as data URIs.

What the page carries are our own JPEGs of the pixels: no metadata, nothing but pictures, and
within the bounds of `data/image.py` and `data/video.py`.
"""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from mfp.data import guard, media
from mfp.film import Film

_POSTER_SIDE = 480  # pixels
_FRAME_SIDE = 128


@dataclass(frozen=True)
class Picture:
    """A picture as data URI, and its size on the page."""

    uri: str
    width: int
    height: int


@dataclass(frozen=True)
class Pictures:
    """A film's pictures; what is missing or cannot be read is flagged in its forecast."""

    poster: Picture | None = None
    frames: tuple[Picture | None, ...] = ()  # None: this frame could not be read


def of(film: Film, folder: str | Path | None, frames: int) -> Pictures:
    """The pictures of a film.

    Args:
      folder: what its paths are relative to; None: there are no pictures.
      frames: of the trailer, as many as the network reads, so that they are the same.
    """
    if folder is None:
        return Pictures()
    return Pictures(_poster(film, Path(folder)), _frames(film, Path(folder), frames))


def _poster(film: Film, folder: Path) -> Picture | None:
    if not film.poster:
        return None
    try:
        path = media.locate("poster", film.poster, folder)
        packed = guard.prepare("poster", path, _POSTER_SIDE, 0)
        width, height = guard.upright_size(path)
    except media.MediaError:
        return None
    pixels = np.frombuffer(packed, np.uint8).reshape(_POSTER_SIDE, _POSTER_SIDE, 3)
    # The decoder makes a square of it: stretched back.
    scale = _POSTER_SIDE / max(width, height)
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    return Picture(_jpeg(Image.fromarray(pixels).resize(size)), *size)


def _frames(film: Film, folder: Path, frames: int) -> tuple[Picture | None, ...]:
    if not film.trailer or not frames:
        return ()
    try:
        path = media.locate("trailer", film.trailer, folder)
        packed = np.frombuffer(guard.prepare("trailer", path, _FRAME_SIDE, frames), np.uint8)
    except media.MediaError:
        return ()
    read, pixels = packed[:frames], packed[frames:].reshape(frames, _FRAME_SIDE, _FRAME_SIDE, 3)
    return tuple(
        Picture(_jpeg(Image.fromarray(frame)), _FRAME_SIDE, _FRAME_SIDE) if known else None
        for frame, known in zip(pixels, read, strict=True)
    )


def _jpeg(picture: Image.Image) -> str:
    """A picture as a data URI."""
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode("ascii")
