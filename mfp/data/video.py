"""Encoded clips, or folders of pictures, to a few small frames spread evenly over time."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import av
import numpy as np
from av.video.reformatter import Interpolation

from mfp.data import image, media
from mfp.data.media import MediaError

MAX_BYTES = media.MAX_BYTES["trailer"]
MAX_SECONDS = 1200.0  # of the clip
MAX_PIXELS = 10_000_000  # of a frame; 4K has 8.8 million
MAX_FRAMES = 300_000  # 20 minutes at 240 a second; a kilobyte can promise millions
DECODE_SECONDS = 60.0  # of our time; passing it is an error, so that no result depends on speed

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")

# FFmpeg guesses the format from the bytes. A playlist (HLS, DASH, concat) would make it open any
# file or address that the clip names, so only real containers are allowed, and no protocol.
_OPTIONS = {
    "format_whitelist": "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts",
    "protocol_whitelist": "none",
}
# Exact arithmetic: the same pixels on every processor.
_SCALER = int(Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.BITEXACT)


def decode(source: bytes | Path, frames: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Frames at the middles of `frames` equal parts of a clip, or of a folder of pictures.

    A frame that cannot be read, or is the one before again (a clip with fewer pictures than
    wanted), is zero and not marked as read.

    Returns:
      uint8 [F, size, size, 3] and bool [F], which were read.

    Raises:
      MediaError: no frame can be read, or a bound of this module is passed.
    """
    try:
        if isinstance(source, Path):
            if source.is_dir():
                return _decode_folder(source, frames, size)
            _check_size(source.stat().st_size)
            with source.open("rb") as file:
                return _decode_clip(file, frames, size)
        _check_size(len(source))
        return _decode_clip(io.BytesIO(source), frames, size)
    except MediaError:
        raise
    except MemoryError:
        raise MediaError("the clip needs too much memory; make it smaller") from None
    except Exception as error:  # FFmpeg's errors derive from many built-in ones
        # The text without FFmpeg's number and file name ("[Errno 1094995529] ...: '<none>'").
        text = getattr(error, "strerror", None) or str(error)
        reason = " ".join(text.split())[:100] or type(error).__name__
        raise MediaError(
            f"the clip cannot be decoded ({reason}); use a whole MP4, MOV, MKV, WebM, AVI or TS "
            "file, or empty the field"
        ) from None


def _check_size(size: int) -> None:
    if size > MAX_BYTES:
        raise MediaError(f"the clip is larger than {MAX_BYTES // 1_000_000} MB; shorten it")


def _decode_clip(file: BinaryIO, frames: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    pixels = np.zeros((frames, size, size, 3), np.uint8)
    read = np.zeros(frames, bool)
    # A file object, never a name: FFmpeg reads protocols and lists of files into names.
    with av.open(file, mode="r", container_options=_OPTIONS, timeout=DECODE_SECONDS) as container:
        stream = container.streams.best("video")
        if not isinstance(stream, av.VideoStream) or stream.time_base is None:
            raise MediaError("the clip has no video; replace it or empty the field")
        start, length = _extent(container, stream)
        reader = _Reader(container, stream)
        last = None
        for i in range(frames):
            frame = reader.frame_at(start + length * (2 * i + 1) // (2 * frames))
            if frame is None or frame.pts == last:
                continue
            last = frame.pts
            pixels[i] = _square(frame, size)
            read[i] = True
    if not read.any():
        raise MediaError("the clip has no readable frame; replace it or empty the field")
    return pixels, read


def _extent(container: av.container.InputContainer, stream: av.VideoStream) -> tuple[int, int]:
    """Start and length of a stream in its own unit of time, after the bounds were checked."""
    if stream.width * stream.height > MAX_PIXELS:
        raise MediaError(f"the clip is {stream.width} x {stream.height} pixels; scale it to 1080p")
    if stream.frames > MAX_FRAMES:
        raise MediaError(f"the clip has {stream.frames} frames; shorten it")
    assert stream.time_base is not None
    if stream.duration is not None:
        length = stream.duration
    elif container.duration is not None:
        length = int(container.duration / av.time_base / stream.time_base)
    else:
        raise MediaError("the clip does not say how long it is; remux it (ffmpeg -c copy)")
    if length <= 0:
        raise MediaError("the clip is 0 seconds long; replace it or empty the field")
    if length * stream.time_base > MAX_SECONDS:
        raise MediaError(f"the clip is longer than {MAX_SECONDS / 60:.0f} minutes; shorten it")
    return stream.start_time or 0, length


def _square(frame: av.VideoFrame, size: int) -> np.ndarray:
    """The whole frame, upright, as uint8 [size, size, 3]."""
    small = frame.reformat(width=size, height=size, format="rgb24", interpolation=_SCALER)
    # Quarter turns only: phones write no other, and a square stays one.
    return np.rot90(small.to_ndarray(), round(frame.rotation / 90))


class _Reader:
    """A clip read forward: times are asked for in rising order, in the stream's unit."""

    def __init__(self, container: av.container.InputContainer, stream: av.VideoStream) -> None:
        self._container = container
        self._stream = stream
        self._indexed = container.format.name != "mpegts"
        self._deadline = time.monotonic() + DECODE_SECONDS
        # A frame is on screen until the next one, so both are kept.
        self._shown: av.VideoFrame | None = None
        self._next: av.VideoFrame | None = None
        self._frames: Iterator[av.VideoFrame] = iter(())
        # The decoder refuses a larger frame in the middle of the clip too.
        stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}
        # One thread: what is made of damaged data should not depend on timing.
        stream.codec_context.thread_count = 1

    def frame_at(self, when: int) -> av.VideoFrame | None:
        """The frame on screen at a time, None where the clip cannot be read."""
        try:
            if self._seek_helps(when):
                self._seek(when)
            while self._next is None or _time(self._next) <= when:
                frame = next(self._frames, None)
                if frame is None:  # the end: the last frame stays for its own duration only
                    return self._next if self._covers(self._next, when) else None
                self._shown, self._next = self._next, frame
        except av.FFmpegError:
            self._check_deadline()  # FFmpeg gives up at the same time, and that is no bad frame
            self._shown = self._next = None
            return None
        return self._shown or self._next

    def _seek(self, when: int) -> None:
        """To a key frame at or before a time."""
        start, back = self._stream.start_time or 0, 0
        second = int(1 / (self._stream.time_base or 1))
        while True:
            target = max(when - back, start)
            self._container.seek(target, stream=self._stream)
            self._frames = self._decoded()
            self._shown, self._next = None, next(self._frames, None)
            # Without an index FFmpeg guesses, and may land after the time.
            late = self._next is None or _time(self._next) > when
            if self._indexed or not late or target == start:
                return
            back = max(2 * back, second)

    def _seek_helps(self, when: int) -> bool:
        """Whether a key frame lies between where we are and the time, as far as is known."""
        if self._next is None:
            return True
        if _time(self._next) > when:
            return False
        if not self._indexed:
            return True
        entries = self._stream.index_entries
        nearest = entries.search_timestamp(when)
        return nearest >= 0 and entries[nearest].timestamp > _time(self._next)

    def _decoded(self) -> Iterator[av.VideoFrame]:
        """Sound frames from the present position on."""
        for packet in self._container.demux(self._stream):
            self._check_deadline()
            try:
                frames = packet.decode()
            except av.InvalidDataError:
                continue  # one damaged packet; the frames after it may be sound
            for frame in frames:
                if isinstance(frame, av.VideoFrame) and frame.pts is not None:
                    if frame.is_corrupt:
                        continue
                    yield frame

    def _check_deadline(self) -> None:
        if time.monotonic() > self._deadline:
            raise MediaError(
                f"the clip takes more than {DECODE_SECONDS:.0f} s to decode; shorten it, or scale "
                "it to 720p"
            )

    def _covers(self, frame: av.VideoFrame | None, when: int) -> bool:
        if frame is None:
            return False
        duration = frame.duration
        rate, unit = self._stream.average_rate, self._stream.time_base
        if not duration and rate and unit:
            duration = int(1 / (rate * unit))
        return when <= _time(frame) + 1.5 * duration  # half a frame for rounded durations


def _time(frame: av.VideoFrame) -> int:
    assert frame.pts is not None  # _decoded passes no other
    return frame.pts


def _decode_folder(folder: Path, frames: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Frames from picture files in the order of their names (number them with leading zeros)."""
    names = sorted(p.name for p in folder.iterdir() if p.suffix.lower() in PICTURE_SUFFIXES)
    if not names:
        raise MediaError(f"the folder '{folder.name}' has no JPEG, PNG or WebP pictures")
    pixels = np.zeros((frames, size, size, 3), np.uint8)
    read = np.zeros(frames, bool)
    failure = None
    for i in range(frames):
        chosen, before = (len(names) * (2 * j + 1) // (2 * frames) for j in (i, i - 1))
        if i and chosen == before:
            continue
        try:
            path = media.locate("poster", names[chosen], folder)
            pixels[i] = image.decode(path.read_bytes(), size)
            read[i] = True
        except (MediaError, OSError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            failure = failure or f"'{names[chosen]}': {reason}"
    if not read.any():
        raise MediaError(f"no picture in the folder '{folder.name}' can be read ({failure})")
    return pixels, read
