"""Clips: the right frames by seeking, and a reason for whatever cannot be read."""

from __future__ import annotations

import io
from pathlib import Path

import av
import numpy as np
import pytest
from conftest import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mfp.data import video
from mfp.data.media import MediaError

SIZE = 16
CODECS = {"mp4": "libx264", "matroska": "mpeg4", "webm": "libvpx-vp9", "avi": "mpeg4"}
CODECS |= {"mpegts": "mpeg2video"}
CLIPS = ROOT.parent / "shared" / "data" / "video"
REAL = ("big-buck-bunny-480p-30sec.mp4", "bigbuckbunny_720p_5s.mp4", "bikes_640x272_10s.mp4")


def clip(
    form: str = "mp4", frames: int = 40, keys: int = 10, rotation: int = 0, **options
) -> bytes:
    """Ten frames a second, each brighter than the one before; left of the middle is black."""
    out = io.BytesIO()
    with av.open(out, "w", format=form, container_options=options) as container:
        stream = container.add_stream(CODECS[form], rate=10)
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = 64, 48, "yuv420p", keys
        if rotation:
            stream.set_display_rotation(rotation)
        for i in range(frames):
            pixels = np.zeros((48, 64, 3), np.uint8)
            pixels[:, 32:] = 40 + 200 * i // frames
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
    return out.getvalue()


def shown(pixels_FxHxWxC: np.ndarray, frames: int = 40) -> list[int]:
    """Which frame of `clip` each one is, by its brightness."""
    light = pixels_FxHxWxC[:, 4:-4, -4:].astype(float).mean(axis=(1, 2, 3))
    return [round((value - 40) * frames / 200) for value in light]


@pytest.fixture
def decoded(monkeypatch):
    """A list that grows by each frame that is decoded."""
    frames = []
    original = video._Reader._decoded

    def counted(self):
        for frame in original(self):
            frames.append(frame.pts)
            yield frame

    monkeypatch.setattr(video._Reader, "_decoded", counted)
    return frames


@pytest.mark.parametrize("form", CODECS)
def test_frames_are_the_middles_of_equal_parts(form, tmp_path):
    path = tmp_path / "clip"
    path.write_bytes(clip(form))
    pixels, read = video.decode(path, 4, SIZE)
    np.testing.assert_array_equal(video.decode(path.read_bytes(), 4, SIZE)[0], pixels)
    assert pixels.shape == (4, SIZE, SIZE, 3)
    assert pixels.dtype == np.uint8
    assert read.all()
    np.testing.assert_allclose(shown(pixels), [5, 15, 25, 35], atol=1)  # of lossy light


@pytest.mark.parametrize("form", ["mp4", "matroska", "mpegts"])
def test_seeking_decodes_only_what_it_must(form, decoded):
    pixels, read = video.decode(clip(form, frames=400), 4, SIZE)
    assert read.all()
    np.testing.assert_allclose(shown(pixels, 400), [50, 150, 250, 350], atol=6)
    assert len(decoded) <= 4 * 13  # at most a group of pictures each


def test_a_clip_with_one_key_frame_is_decoded_once(decoded):
    video.decode(clip(keys=1000), 8, SIZE)
    assert len(decoded) == len(set(decoded)) <= 40


@pytest.mark.parametrize("form", ["mp4", "matroska"])
def test_half_a_clip_gives_the_frames_of_that_half(form):
    data = clip(form, frames=200, keys=20)
    index = data.index(b"moov") - 4 if form == "mp4" else len(data)
    half = data[: index // 2]
    if form == "mp4":  # its index comes last, and without it there is no frame at all
        with pytest.raises(MediaError, match=r"cannot be decoded \(Invalid data .*; use a whole"):
            video.decode(half, 8, SIZE)
        half += bytes(index - len(half)) + data[index:]
    pixels, read = video.decode(half, 8, SIZE)
    count = read.sum()
    assert 2 <= count <= 6
    assert read[:count].all()
    assert not pixels[count:].any()
    # The last of them may stand in for a lost neighbour.
    np.testing.assert_allclose(pixels[:count], video.decode(data, 8, SIZE)[0][:count], atol=1)


def test_fewer_frames_than_wanted_are_not_repeated():
    pixels, read = video.decode(clip(frames=3), 9, SIZE)
    assert read.sum() == 3
    assert not pixels[~read].any()
    assert shown(pixels[read], 3) == [0, 1, 2]


def test_a_turned_clip_is_upright():
    plain, _ = video.decode(clip(), 1, SIZE)
    turned, _ = video.decode(clip(rotation=90), 1, SIZE)
    np.testing.assert_allclose(turned[0], np.rot90(plain[0]), atol=1)


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("MAX_SECONDS", 3.9, "longer than"),
        ("MAX_PIXELS", 64 * 48 - 1, "64 x 48 pixels; scale it"),
        ("MAX_BYTES", 1000, "larger than"),
        ("DECODE_SECONDS", 0, "to decode; shorten it"),
    ],
)
def test_bounds(name, value, reason, monkeypatch):
    data = clip()
    monkeypatch.setattr(video, name, value)
    with pytest.raises(MediaError, match=reason):
        video.decode(data, 4, SIZE)


def test_sound_alone_is_refused():
    out = io.BytesIO()
    with av.open(out, "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(MediaError, match="no video"):
        video.decode(out.getvalue(), 4, SIZE)


def test_a_playlist_opens_no_other_file(tmp_path):
    target = tmp_path / "secret.mp4"
    target.write_bytes(clip())
    for text in (
        f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:4,\n{target}\n#EXT-X-ENDLIST\n",
        f"ffconcat version 1.0\nfile {target}\n",
    ):
        for name in ("list.m3u8", "list.mp4"):
            (tmp_path / name).write_text(text)
            with pytest.raises(MediaError):
                video.decode(tmp_path / name, 4, SIZE)
        with pytest.raises(MediaError):
            video.decode(text.encode(), 4, SIZE)


def picture(path: Path, light: int) -> None:
    Image.new("L", (20, 30), light).save(path)


def test_the_pictures_of_a_folder_are_frames(tmp_path):
    for i in range(12):
        picture(tmp_path / f"frame{i:02}.png", 10 * i)
    pixels, read = video.decode(tmp_path, 4, SIZE)
    assert read.all()
    assert pixels[:, 0, 0, 0].tolist() == [10, 40, 70, 100]
    (tmp_path / "frame04.png").write_bytes(b"damaged")
    pixels, read = video.decode(tmp_path, 4, SIZE)
    assert read.tolist() == [True, False, True, True]


def test_a_folder_with_few_pictures_repeats_none(tmp_path):
    for i in range(2):
        picture(tmp_path / f"{i}.png", 100 + i)
    pixels, read = video.decode(tmp_path, 6, SIZE)
    assert pixels[read][:, 0, 0, 0].tolist() == [100, 101]


def test_a_folder_that_is_missing_or_unreadable_is_refused(tmp_path):
    with pytest.raises(MediaError, match="No such file"):
        video.decode(tmp_path / "none", 4, SIZE)
    with pytest.raises(MediaError, match="has no JPEG, PNG or WebP pictures"):
        video.decode(tmp_path, 4, SIZE)
    (tmp_path / "a.jpg").write_bytes(b"damaged")
    with pytest.raises(MediaError, match=r"\('a.jpg': the picture is not JPEG"):
        video.decode(tmp_path, 4, SIZE)
    (tmp_path / "a.jpg").unlink()
    picture(tmp_path.parent / "outside.png", 9)
    (tmp_path / "a.png").symlink_to(tmp_path.parent / "outside.png")
    with pytest.raises(MediaError, match="leaves the media folder"):
        video.decode(tmp_path, 4, SIZE)


def decodes_or_is_refused(data: bytes) -> None:
    try:
        count, reason = video.decode(data, 3, 8)[1].sum(), ""
    except MediaError as error:
        count, reason = 0, str(error)
    assert (count > 0) != reason.startswith("the clip")
    assert "\n" not in reason


@settings(max_examples=60, deadline=None)
@given(
    start=st.sampled_from([b"", b"\0\0\0\x18ftypisom", b"\x1a\x45\xdf\xa3", b"RIFF\0\0\0\0AVI "]),
    rest=st.binary(max_size=200),
)
def test_any_bytes_are_refused_in_one_way(start, rest):
    decodes_or_is_refused(start + rest)


VALID = [clip(form, frames=8, keys=4) for form in ("mp4", "matroska", "avi")]


@settings(max_examples=150, deadline=None)
@given(
    valid=st.sampled_from(VALID),
    changes=st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), min_size=1, max_size=20),
)
def test_damaged_clips_are_refused_in_one_way(valid, changes):
    data = bytearray(valid)
    for place, value in changes:
        data[int(place * len(data))] = value
    decodes_or_is_refused(bytes(data))


@pytest.mark.skipif(not CLIPS.is_dir(), reason="the clips in ../shared/data/video are not here")
@pytest.mark.parametrize("name", REAL)
def test_real_clips_give_the_frames_of_a_full_decoding(name, decoded):
    frames = 4
    pixels, read = video.decode(CLIPS / name, frames, SIZE)
    assert read.all()
    assert len({frame.tobytes() for frame in pixels}) == frames
    used = len(decoded)
    with av.open(str(CLIPS / name)) as container:
        stream = container.streams.video[0]
        whole = list(container.decode(stream))
        for i in range(frames):
            when = stream.duration * (2 * i + 1) // (2 * frames)
            on_screen = [frame for frame in whole if frame.pts <= when][-1]
            np.testing.assert_array_equal(pixels[i], video._square(on_screen, SIZE))
    assert used < 0.9 * len(whole)  # key frames are seconds apart in these clips
