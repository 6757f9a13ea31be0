"""Media files are found inside their folder only."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from mfp.data import media
from mfp.data.media import MediaError
from mfp.film import Film


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    inside = tmp_path / "media"
    (inside / "deep").mkdir(parents=True)
    (inside / "a.jpg").write_bytes(b"poster")
    (inside / "deep" / "ü b.jpg").write_bytes(b"deep poster")
    (inside / "empty.jpg").touch()
    (inside / "out.jpg").symlink_to(tmp_path / "secret.jpg")
    (inside / "outside").symlink_to(tmp_path)
    (inside / "in.jpg").symlink_to(inside / "a.jpg")
    (inside / "loop1").symlink_to(inside / "loop2")
    (inside / "loop2").symlink_to(inside / "loop1")
    os.mkfifo(inside / "pipe.jpg")
    return inside


@pytest.mark.parametrize(
    ("relative", "content"),
    [
        ("a.jpg", b"poster"),
        ("./a.jpg", b"poster"),
        ("deep/ü b.jpg", b"deep poster"),
        ("deep/../a.jpg", b"poster"),
        ("in.jpg", b"poster"),
    ],
)
def test_a_file_inside(folder: Path, relative: str, content: bytes):
    assert media.locate("poster", relative, folder).read_bytes() == content


@pytest.mark.parametrize(
    ("relative", "reason"),
    [
        ("../secret.jpg", "leaves the media folder; use a path inside it"),
        ("deep/../../secret.jpg", "leaves the media folder"),
        ("out.jpg", "leaves the media folder"),
        ("outside/secret.jpg", "leaves the media folder"),
        ("../media2/a.jpg", "leaves the media folder"),  # the folder's name is only its start
        ("/etc/passwd", "leaves the media folder"),
        ("none.jpg", "is not in the media folder; correct or empty it"),
        ("a.jpg/b", "is not in the media folder"),
        ("loop1", "is not in the media folder"),
        ("x" * 5000, "is not in the media folder"),
        ("a\0b", "is not in the media folder"),
        ("deep", "is not a file"),
        (".", "is not a file"),
        ("pipe.jpg", "is not a file"),  # opening it would wait for ever
        ("empty.jpg", "is an empty file"),
    ],
)
def test_anything_else_is_refused(folder: Path, relative: str, reason: str):
    with pytest.raises(MediaError, match=reason):
        media.locate("poster", relative, folder)


def test_an_absolute_path_outside_is_refused(folder: Path):
    with pytest.raises(MediaError, match="leaves the media folder"):
        media.locate("poster", str(folder.parent / "secret.jpg"), folder)


def test_a_huge_file_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(media.MAX_BYTES, "poster", 5)
    with pytest.raises(MediaError, match="is larger than"):
        media.locate("poster", "a.jpg", folder)


def test_paths_are_the_usable_files_of_a_film(folder: Path):
    film = Film("x", poster="a.jpg", trailer="../secret.jpg")
    assert list(media.paths(film, folder)) == [(folder / "a.jpg").resolve()]
    assert list(media.paths(Film("x"), folder)) == []


def test_a_folder_of_frames_is_a_trailer(tmp_path: Path):
    from PIL import Image

    frames = tmp_path / "frames"
    frames.mkdir()
    for i in range(4):
        Image.new("RGB", (32, 24), (60 * i, 0, 0)).save(frames / f"{i:03d}.png")
    folder = media.locate("trailer", "frames", tmp_path)
    packed = np.frombuffer(media.prepare("trailer", folder, 16, 4), np.uint8)
    assert packed[:4].tolist() == [1, 1, 1, 1]
    reds = packed[4:].reshape(4, 16, 16, 3)[..., 0].mean(axis=(1, 2))
    assert np.all(np.diff(reds) > 0)  # in the order of their names
    film = Film("x", trailer="frames")
    assert [path.name for path in media.paths(film, tmp_path)] == [f"{i:03d}.png" for i in range(4)]
    with pytest.raises(media.MediaError):
        media.locate("poster", "frames", tmp_path)
