"""Encoded pictures to small square arrays. Bytes come from outside: bounded, and never trusted."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, UnidentifiedImageError

from mfp.data.media import MediaError

FORMATS = ("JPEG", "PNG", "WEBP")
# Largest width times height. Checked in the header: a few kilobytes can unpack to gigabytes.
MAX_PIXELS = 50_000_000

ORIENTATION_TAG = 0x0112  # EXIF: how the camera was held
TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def decode(data: bytes, size: int) -> np.ndarray:
    """The whole picture as uint8 [size, size, 3]: upright, RGB, on white, antialiased.

    Of an animation the first picture is taken.

    Raises:
      MediaError: not a JPEG, PNG or WebP picture, damaged, or too large.
    """
    try:
        return _decode(data, size)
    except MediaError:
        raise
    except UnidentifiedImageError:
        raise MediaError(
            "the picture is not JPEG, PNG or WebP; convert it or empty the field"
        ) from None
    except Image.DecompressionBombError:  # Pillow's own bound, far above ours
        raise MediaError(_too_large()) from None
    except MemoryError:
        raise MediaError("the picture needs too much memory; make it smaller") from None
    except Exception as error:  # Pillow's parsers raise nearly anything on hostile bytes
        reason = " ".join(str(error).split())[:100] or type(error).__name__
        raise MediaError(
            f"the picture is damaged ({reason}); replace it or empty the field"
        ) from None


def upright_size(data: bytes) -> tuple[int, int]:
    """Width and height of a picture that `decode` takes, as it is to be looked at."""
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        lies = _orientation(image) >= 5
        return (image.height, image.width) if lies else (image.width, image.height)


def _decode(data: bytes, size: int) -> np.ndarray:
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        if image.width * image.height > MAX_PIXELS:
            raise MediaError(_too_large())
        # A JPEG can be unpacked at 1/2, 1/4 or 1/8 of its size, much faster. Twice the size
        # wanted leaves the quality to the resizing.
        image.draft(None, (2 * size, 2 * size))
        image.load()
        # Resized first, turned and laid on white after: the same picture for a square size (a
        # resize is separable, and Pillow weighs colours by alpha) at a fraction of the work.
        small = _plain_mode(image).resize((size, size), Image.Resampling.BICUBIC)
        turn = TRANSPOSE.get(_orientation(image))
    if turn is not None:
        small = small.transpose(turn)
    if small.mode == "RGBA":
        small = Image.alpha_composite(Image.new("RGBA", small.size, "white"), small)
    return np.array(small.convert("RGB"))


def _plain_mode(image: Image.Image) -> Image.Image:
    """The picture as RGBA where it has transparency, else as RGB, 8 bits a channel."""
    if image.mode.startswith("I"):  # 16-bit grey, which convert() would clip at 255
        grey16 = np.asarray(image)
        grey = Image.fromarray(((grey16.astype(np.uint32) + 128) // 257).astype(np.uint8))
        clear = image.info.get("transparency")  # the one grey value that is transparent
        if clear is None:
            return grey.convert("RGB")
        alpha = Image.fromarray(np.where(grey16 == clear, 0, 255).astype(np.uint8))
        return Image.merge("LA", (grey, alpha)).convert("RGBA")
    return image.convert("RGBA" if image.has_transparency_data else "RGB")


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 (upright) where there is none or it cannot be read."""
    try:
        return int(image.getexif().get(ORIENTATION_TAG, 1))
    except Exception:  # the pixels are good; only the note about them is not
        return 1


def _too_large() -> str:
    return f"the picture has more than {MAX_PIXELS // 1_000_000} million pixels; make it smaller"
