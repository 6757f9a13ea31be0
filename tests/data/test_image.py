"""Pictures from bytes: every supported form is the same picture, nothing hostile gets through."""

from __future__ import annotations

import io
import random
import struct
import zlib

import numpy as np
import pytest
from conftest import SHARED_FILMS
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile, ImageOps

from mfp.data import image
from mfp.data.media import MediaError

SIZE = 24


def encoded(picture: Image.Image, form: str = "PNG", **options) -> bytes:
    out = io.BytesIO()
    picture.save(out, form, **options)
    return out.getvalue()


def png(width: int, height: int, depth: int, colour: int, rows: bytes) -> bytes:
    """A PNG file written by hand; `rows` are the filtered scan lines."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    parts = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def colours(width: int = 120, height: int = 180) -> Image.Image:
    """A smooth picture without any symmetry, of the proportions of a poster."""
    y, x = np.mgrid[0:height, 0:width]
    channels = 255 * x / width, 255 * y / height, 128 + 60 * np.sin(x / 30)
    return Image.fromarray(np.stack(channels, axis=-1).astype(np.uint8))


COLOURS = colours()
GREY = COLOURS.convert("L")
GREY16 = np.asarray(GREY).astype(np.uint16) * 257  # the same shades on the scale 0..65535


def rgb16(picture: Image.Image) -> bytes:
    rows = np.asarray(picture).astype(">u2") * 257
    return b"".join(b"\0" + row.astype(">u2").tobytes() for row in rows)


@pytest.mark.parametrize(
    ("data", "tolerance"),
    [
        (encoded(COLOURS, "JPEG", quality=95), 6),
        (encoded(COLOURS, "JPEG", quality=95, progressive=True), 6),
        (encoded(COLOURS.convert("CMYK"), "JPEG", quality=95), 8),
        (encoded(COLOURS, "WEBP", lossless=True), 0),
        (encoded(COLOURS, "WEBP", quality=95), 8),
        (encoded(COLOURS.convert("RGBA")), 1),
        (encoded(COLOURS.quantize(256)), 20),
        (png(*COLOURS.size, 16, 2, rgb16(COLOURS)), 1),
    ],
    ids=["jpeg", "progressive", "cmyk", "webp", "lossy webp", "rgba", "palette", "16 bit rgb"],
)
def test_forms_of_a_colour_picture_agree(data, tolerance):
    expected = image.decode(encoded(COLOURS), SIZE)
    assert expected.shape == (SIZE, SIZE, 3)
    assert expected.dtype == np.uint8
    found = image.decode(data, SIZE)
    assert np.abs(found.astype(int) - expected).max() <= tolerance


@pytest.mark.parametrize(
    ("data", "tolerance"),
    [
        (encoded(GREY.convert("RGB")), 0),
        (encoded(GREY, "JPEG", quality=95), 4),
        (encoded(GREY.convert("LA")), 1),
        (encoded(Image.fromarray(GREY16)), 0),
        (encoded(GREY.convert("P")), 0),
    ],
    ids=["rgb", "jpeg", "alpha", "16 bit", "palette"],
)
def test_forms_of_a_grey_picture_agree(data, tolerance):
    found = image.decode(data, SIZE).astype(int)
    assert np.abs(found - image.decode(encoded(GREY), SIZE)).max() <= tolerance
    assert found.std() > 20  # not clipped to white


def test_a_bilevel_picture_is_black_and_white():
    picture = Image.new("1", (40, 40), 1)
    picture.paste(0, (0, 0, 20, 40))
    found = image.decode(encoded(picture), 4)
    np.testing.assert_array_equal(found[:, 0], 0)
    np.testing.assert_array_equal(found[:, -1], 255)


def test_the_whole_picture_is_resized_with_antialiasing():
    stripes = np.zeros((256, 512, 3), np.uint8)
    stripes[:, ::2] = 255
    for data in encoded(Image.fromarray(stripes)), encoded(Image.fromarray(stripes), "JPEG"):
        found = image.decode(data, 16).astype(int)
        assert np.abs(found - 127).max() <= 4  # sampled without averaging: 0 or 255


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(form, orientation):
    exif = Image.Exif()
    exif[image.ORIENTATION_TAG] = orientation
    data = encoded(COLOURS, form, exif=exif, quality=95)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    expected = image.decode(encoded(upright), SIZE).astype(int)
    assert np.abs(image.decode(data, SIZE) - expected).max() <= 4


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_damaged_exif_does_not_cost_the_picture():
    data = encoded(COLOURS, "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert image.decode(data, SIZE).std() > 20


def test_transparency_becomes_white():
    red = Image.new("RGBA", (8, 8), (255, 0, 0, 0))
    half = Image.new("RGBA", (8, 8), (255, 0, 0, 128))
    np.testing.assert_array_equal(image.decode(encoded(red), 4), 255)
    np.testing.assert_allclose(image.decode(encoded(half), 4)[0, 0], [255, 127, 127], atol=1)
    np.testing.assert_array_equal(image.decode(encoded(red, "WEBP", lossless=True), 4), 255)
    palette = encoded(Image.new("P", (8, 8), 0), transparency=0)
    np.testing.assert_array_equal(image.decode(palette, 4), 255)


def test_the_transparent_shade_of_a_16_bit_picture_becomes_white():
    shades = np.full((8, 8), 1000, np.uint16)
    shades[:, 4:] = 30_000
    found = image.decode(encoded(Image.fromarray(shades), transparency=1000), 8)
    np.testing.assert_array_equal(found[:, 0], 255)
    np.testing.assert_allclose(found[:, -1], 30_000 / 257, atol=2)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize(("width", "height"), [(10_000, 5_001), (9_500, 9_500), (200_000, 200_000)])
def test_a_bomb_is_refused_by_its_header(width, height, monkeypatch):
    def load(self):
        pytest.fail("pixels were decoded")

    monkeypatch.setattr(ImageFile.ImageFile, "load", load)
    with pytest.raises(MediaError, match="more than 50 million pixels; make it smaller"):
        image.decode(png(width, height, 8, 2, b""), SIZE)
    if width < 65_536:
        jpeg = bytearray(encoded(COLOURS, "JPEG"))
        at = jpeg.index(b"\xff\xc0") + 5  # the size in the frame header
        jpeg[at : at + 4] = struct.pack(">HH", height, width)
        with pytest.raises(MediaError, match="million pixels"):
            image.decode(bytes(jpeg), SIZE)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.6, 0.9])
def test_a_truncated_file_is_refused(form, share):
    data = encoded(COLOURS, form)
    with pytest.raises(MediaError, match="picture"):
        image.decode(data[: int(share * len(data))], SIZE)


@pytest.mark.parametrize("form", ["GIF", "BMP", "TIFF", "ICO", "PPM"])
def test_other_formats_are_refused(form):
    with pytest.raises(MediaError, match="not JPEG, PNG or WebP; convert it"):
        image.decode(encoded(COLOURS, form), SIZE)


STARTS = (b"", b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"RIFF\x40\0\0\0WEBPVP8 ")


def decodes_or_is_refused(data: bytes) -> None:
    try:
        shape, reason = image.decode(data, SIZE).shape, ""
    except MediaError as error:
        shape, reason = (), str(error)
    assert (shape == (SIZE, SIZE, 3)) != (reason.startswith("the picture"))
    assert "\n" not in reason


@settings(max_examples=150, deadline=None)
@given(start=st.sampled_from(STARTS), rest=st.binary(max_size=300))
def test_any_bytes_are_refused_in_one_way(start, rest):
    decodes_or_is_refused(start + rest)


SMALL = colours(20, 30)
VALID = [encoded(SMALL, form) for form in ("JPEG", "PNG", "WEBP")]


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning", "ignore::UserWarning")
@settings(max_examples=300, deadline=None)
@given(
    valid=st.sampled_from(VALID),
    changes=st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), min_size=1, max_size=8),
)
def test_damaged_files_are_refused_in_one_way(valid, changes):
    data = bytearray(valid)
    for place, value in changes:
        data[int(place * len(data))] = value
    decodes_or_is_refused(bytes(data))


@pytest.mark.skipif(
    not (SHARED_FILMS / "posters").is_dir(), reason="the posters in ../shared/data are not here"
)
def test_real_posters_decode():
    paths = sorted((SHARED_FILMS / "posters").glob("*.jpg"))
    pictures = [image.decode(path.read_bytes(), 64) for path in random.Random(0).sample(paths, 200)]
    assert len({picture.tobytes() for picture in pictures}) > 195
    assert np.mean([picture.std() for picture in pictures]) > 40
