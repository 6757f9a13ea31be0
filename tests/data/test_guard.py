"""A decoder that crashes, hangs or hoards costs the file that it read, and nothing else."""

from __future__ import annotations

import io
import os
import re
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.test_video import clip
from mfp.data import guard, media
from mfp.data.guard import Decoders
from mfp.data.media import MediaError

SIZE = 16
# The decoding process with a picture decoder that has whatever bug the picture asks for.
BUGGY = """
import ctypes, os, sys, time
from mfp.data import decoder, image
def decode(data, size):
    if data == b"crash": ctypes.string_at(0)
    if data == b"exit": os._exit(7)
    if data == b"hang": time.sleep(60)
    if data == b"hoard": bytearray(3_000_000_000)
    if data == b"write": open(sys.argv[1], "w", buffering=1).write("x\\n")
    if data == b"chatter": print("hello")
    if data == b"lie": return image.np.zeros(10 ** 6, "u1")
    return image.np.full((size, size, 3), len(data), "u1")
image.decode = decode
decoder.SECONDS["poster"] = 1
decoder.main()
"""


def decoders_with(code: str, *arguments: str) -> Decoders:
    return Decoders((sys.executable, "-P", "-B", "-c", code, *arguments))


@pytest.fixture
def buggy(tmp_path: Path):
    decoders = decoders_with(BUGGY, str(tmp_path / "written"))
    yield decoders
    decoders.close()


@pytest.fixture
def ask(buggy: Decoders, tmp_path: Path) -> Callable[[bytes], int | str]:
    """The light of the pixels, or the reason why there are none."""

    def asked(content: bytes) -> int | str:
        path = tmp_path / "poster"
        path.write_bytes(content)
        try:
            return buggy.answer("poster", path, SIZE, 0, 3 * SIZE * SIZE)[0]
        except MediaError as error:
            return str(error)

    return asked


@pytest.mark.parametrize(
    ("bug", "reason"),
    [
        (b"crash", r"the picture ended its decoder \(SIGSEGV\); replace it"),
        (b"exit", r"the picture ended its decoder \(exit code 7\); replace it"),
        (b"hang", "the picture takes more than 30 s to decode; make it smaller"),
        (b"hoard", r"the picture ended its decoder \(exit code 1\)"),  # MemoryError of ours
        (b"write", r"the picture ended its decoder \(exit code 1\)"),
        (b"lie", r"the picture ended its decoder"),
    ],
)
def test_a_bug_of_a_decoder_costs_one_file(bug, reason, ask, tmp_path):
    assert ask(b"good") == 4
    began = time.monotonic()
    assert re.match(reason, str(ask(bug)))
    assert time.monotonic() - began < 20
    assert ask(b"good") == 4
    written = tmp_path / "written"
    assert not written.exists() or not written.stat().st_size


def test_what_a_library_prints_disturbs_no_answer(ask):
    assert ask(b"chatter") == 7
    assert ask(b"good") == 4


def test_a_process_serves_many_files_and_ends_with_its_owner(ask, buggy):
    for _ in range(5):
        ask(b"good")
    assert buggy._idle.qsize() == 1
    worker = buggy._idle.queue[0]
    assert worker.poll() is None
    worker.kill()  # by whom ever
    worker.wait()
    assert ask(b"good") == 4
    assert buggy._idle.queue[0] is not worker
    buggy.close()
    assert buggy._idle.empty()


def test_a_pipe_in_the_place_of_a_file_does_not_hang(buggy, tmp_path):
    """`media.locate` lets none through; here it was put there after it had looked."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(MediaError, match="takes more than"):
        buggy.answer("poster", tmp_path / "pipe", SIZE, 0, 3 * SIZE * SIZE)


def test_the_pixels_are_those_of_the_decoder_itself(tmp_path):
    poster, trailer = tmp_path / "ü \udcff.png", tmp_path / "clip.mp4"
    Image.effect_noise((30, 40), 90).save(os.fsencode(poster).decode("utf-8", "surrogateescape"))
    trailer.write_bytes(clip())
    for name, path in (("poster", poster), ("trailer", trailer)):
        found = guard.prepare(name, path, SIZE, 4)
        assert found == media.prepare(name, path, SIZE, 4)
    assert guard.upright_size(poster) == (30, 40)
    with pytest.raises(MediaError, match="the picture is not JPEG, PNG or WebP"):
        guard.prepare("poster", trailer, SIZE, 4)
    with pytest.raises(MediaError, match="cannot be read: No such file"):
        guard.prepare("poster", tmp_path / "none.png", SIZE, 4)


def test_no_module_is_taken_from_the_working_folder(tmp_path):
    (tmp_path / "numpy.py").write_text("raise SystemExit('not this one')")
    (tmp_path / "json.py").write_text("raise SystemExit('not this one')")
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    code = (
        "import sys; sys.path.remove('') if '' in sys.path else None\n"
        "from pathlib import Path; from mfp.data import guard\n"
        "import os; os.chdir(sys.argv[1])\n"
        "print(len(guard.prepare('poster', Path('a.png').absolute(), 8, 0)))"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, tmp_path], capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "192\n", done.stderr


def bomb(samples: int) -> bytes:
    """A clip of a few kilobytes whose header promises so many frames."""
    data = bytearray(clip())
    for box, skip, values in (
        (b"stsz", 4, (0, 1, samples)),
        (b"stts", 8, (1, samples, 1)),
        (b"stsc", 8, (1, 1, samples, 1)),
    ):
        content = struct.pack(f">{len(values)}I", *values)
        place = data.index(box) + skip
        data[place : place + len(content)] = content
    return bytes(data)


@pytest.mark.parametrize("samples", [2_000_000, 1_000_000_000, 2**32 - 1])
def test_a_clip_that_promises_a_billion_frames_is_refused_at_once(samples, tmp_path):
    path = tmp_path / "bomb.mp4"
    path.write_bytes(bomb(samples))
    assert path.stat().st_size < 20_000
    began = time.monotonic()
    with pytest.raises(MediaError):
        guard.prepare("trailer", path, SIZE, 4)
    assert time.monotonic() - began < 20


@pytest.mark.soak
def test_a_progressive_picture_of_endless_scans_is_ended(tmp_path):
    """Each scan of a few bytes makes libjpeg go through all pixels again (minutes, in all)."""
    out = io.BytesIO()
    Image.fromarray(np.zeros((7000, 7000, 3), np.uint8)).save(out, "JPEG", progressive=True)
    whole = out.getvalue()
    scan = whole[whole.rindex(b"\xff\xda") : -2]
    path = tmp_path / "scans.jpg"
    path.write_bytes(whole[:-2] + 20_000 * scan + whole[-2:])
    with pytest.raises(MediaError, match="takes more than 30 s to decode"):
        guard.prepare("poster", path, SIZE, 0)
