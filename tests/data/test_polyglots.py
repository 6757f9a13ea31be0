"""Files that are two things at once, and GIFs: read as the one thing that they may be, or not."""

from __future__ import annotations

import base64
import io
import struct
import zipfile

import numpy as np
import pytest
from PIL import Image

from data.test_image import COLOURS, encoded, png
from data.test_video import clip
from mfp.data import guard, image, video
from mfp.data.media import MediaError
from mfp.film import Film
from mfp.report import pictures

SIZE = 24
SCRIPT = b"<script>alert(1)</script>"


def archive() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        file.writestr("../../escaped.py", "raise SystemExit")
    return out.getvalue()


ALIENS = {
    "archive": archive(),
    "page": b"<!doctype html>" + SCRIPT,
    "clip": clip(frames=4),
    "program": b"\x7fELF" + bytes(60),
    "GIF": encoded(COLOURS, "GIF"),
    "PNG": png(200_000, 200_000, 8, 2, b""),  # a bomb, were it read
}


@pytest.mark.parametrize("alien", ALIENS.values(), ids=ALIENS)
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_what_follows_a_picture_is_not_read(form, alien):
    whole = encoded(COLOURS, form)
    np.testing.assert_array_equal(image.decode(whole + alien, SIZE), image.decode(whole, SIZE))


@pytest.mark.parametrize("alien", [a for n, a in ALIENS.items() if n != "PNG"])
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_a_picture_that_something_else_stands_before_is_refused(form, alien):
    with pytest.raises(MediaError, match="not JPEG, PNG or WebP; convert it"):
        image.decode(alien + encoded(COLOURS, form), SIZE)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "GIF"])
def test_a_picture_is_no_clip(form):
    """FFmpeg would take each for a clip, of one frame or as a slide show."""
    for end in (b"", ALIENS["clip"]):
        with pytest.raises(MediaError, match="clip"):
            video.decode(encoded(COLOURS, form) + end, 4, SIZE)


def test_a_gif_of_endless_frames_is_no_clip():
    frame = Image.new("P", (8, 8))
    animated = encoded(frame, "GIF", save_all=True, append_images=[frame] * 500)
    for refuse in (lambda: image.decode(animated, SIZE), lambda: video.decode(animated, 4, SIZE)):
        with pytest.raises(MediaError):
            refuse()


@pytest.mark.parametrize("size", [(1, 1), (65_535, 65_535)])
def test_a_gif_bomb_is_refused_before_its_size_is_looked_at(size, tmp_path):
    data = bytearray(encoded(COLOURS, "GIF"))
    data[6:10] = struct.pack("<HH", *size)
    path = tmp_path / "bomb.gif"
    path.write_bytes(data)
    for name in ("poster", "trailer"):
        with pytest.raises(MediaError):
            guard.prepare(name, path, SIZE, 4)


def test_a_webp_bomb_is_refused(tmp_path):
    """Small pictures on the largest canvas that the format can say, a gigabyte."""
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    data = bytearray(encoded(frames[0], "WEBP", save_all=True, append_images=frames[1:]))
    place = data.index(b"VP8X") + 12
    data[place : place + 6] = struct.pack("<I", 16_382)[:3] * 2
    path = tmp_path / "bomb.webp"
    path.write_bytes(data)
    with pytest.raises(MediaError, match="the picture"):
        guard.prepare("poster", path, SIZE, 0)


def test_a_clip_and_a_page_in_one_is_a_clip():
    """A `free` box, which players skip, that holds a page; and what follows the clip's end."""
    page = struct.pack(">I", 8 + len(SCRIPT)) + b"free" + SCRIPT
    whole = clip(frames=8)
    for both in (whole + page, whole + SCRIPT):
        for found, expected in zip(
            video.decode(both, 4, SIZE), video.decode(whole, 4, SIZE), strict=True
        ):
            np.testing.assert_array_equal(found, expected)


def test_nothing_of_a_poster_but_its_pixels_comes_into_a_page(tmp_path):
    comment = encoded(COLOURS, "JPEG", comment=SCRIPT, exif=b"Exif\0\0" + SCRIPT)
    assert comment.count(SCRIPT) == 2
    (tmp_path / "poster.jpg").write_bytes(comment + SCRIPT + ALIENS["archive"])
    shown = pictures.of(Film(title="a", poster="poster.jpg"), tmp_path, 0).poster
    assert shown is not None
    data = base64.b64decode(shown.uri.partition(",")[2])
    assert b"script" not in data
    assert not zipfile.is_zipfile(io.BytesIO(data))
