"""What is fuzzed: each target takes any bytes, and lets only undocumented errors out."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable
from pathlib import Path

from mfp import manifest, rows, tables, typed_toml
from mfp.config import Config
from mfp.data import image, video
from mfp.data.features import FeatureSpec
from mfp.data.media import MediaError
from mfp.data.text import TextTransform
from mfp.manifest import BundleError
from mfp.tables import TableError
from mfp.typed_toml import ConfigError

# Pieces of valid input, so that chance gets past the first check.
FRAGMENTS = [
    b"title,rating,budget_usd,release_date,cast\n",
    b'"',
    b",",
    b"\n",
    b"\r",
    b"|",
    b"\0",
    b"[",
    b"]",
    b"{",
    b"}",
    b":",
    b'{"title":"a"}',
    b'{"films":[',
    b"\xef\xbb\xbf",
    b"\xff\xfe",
    b"\xed\xa0\x80",
    "\u202e\u0301\u0000".encode(),
    b"\\ud800",
    b"NaN",
    b"Infinity",
    b"1e308",
    b"-1",
    b"1e999",
    b"9" * 50,
    b"0000-00-00",
    b"9999-12-31",
    b"0000",
    b"=HYPERLINK(1)",
    b"../",
    b"train.epochs",
    b"=",
    b"0x",
    b"[data]",
    b"extends",
    b"seed=",
    b'"a"."b"',
    b"'''",
    b"true",
    b"1979-05-27",
    b'"targets":[]',
    b'"format":"mfp-bundle"',
    b'"numbers":{}',
    b'"texts":{"plot":{}}',
    b'"lengths":{}',
    b'"model":{"type":"WordLevel"}',
    b'"vocab":{}',
    b"\x89PNG\r\n\x1a\n",
    b"IHDR",
    b"\xff\xd8\xff\xe0",
    b"\xff\xda",
    b"RIFF",
    b"WEBP",
    b"VP8X",
    b"GIF89a",
    b"\0\0\0\x18ftypisom",
    b"moov",
    b"mdat",
    b"\x1a\x45\xdf\xa3",
    b"#EXTM3U\n",
]


def table(data: bytes) -> None:
    """CSV, JSON and JSON Lines, as the bytes themselves say."""
    with contextlib.suppress(TableError):
        for row in tables.read(tables.STANDARD_INPUT, io.BytesIO(data), lambda _: None):
            assert "\n" not in str(row)


def csv_cells(data: bytes) -> None:
    table(b"title,rating,release_date,budget_usd,cast,plot\n" + data)


def json_lines(data: bytes) -> None:
    table(b'{"title":"x"}\n' + data)


def config(data: bytes, folder: Path) -> None:
    path = folder / "fuzz.toml"
    path.write_bytes(data)
    with contextlib.suppress(ConfigError):
        typed_toml.read(Config, path)


def override(data: bytes, folder: Path) -> None:
    path = folder / "empty.toml"
    path.touch()
    with contextlib.suppress(ConfigError):
        typed_toml.read(Config, path, [data.decode("utf-8", "replace")])


def a_manifest(data: bytes, folder: Path) -> None:
    (folder / manifest.MANIFEST).write_bytes(data)
    with contextlib.suppress(BundleError):
        manifest.read(folder, verify=False)


def _json(data: bytes) -> object:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return {"numbers": {}, "sets": {"a": [data.decode("latin-1")]}}


def feature_spec(data: bytes) -> None:
    with contextlib.suppress(ValueError):
        FeatureSpec.from_json(_json(data))  # type: ignore[arg-type]


def tokens(data: bytes) -> None:
    """The tokenizer of a spec."""
    values = {"config": {}, "stop_words": [], "ngrams": [], "tokenizer": _json(data)}
    with contextlib.suppress(ValueError):
        TextTransform.from_json(values)


def text(data: bytes) -> None:
    """A whole row of one text."""
    row = {"title": data.decode("utf-8", "replace"), "plot": data.decode("latin-1")}
    with contextlib.suppress(rows.FieldError):
        rows.parse(row)


def picture(data: bytes) -> None:
    with contextlib.suppress(MediaError):
        image.decode(data, 8)


def a_clip(data: bytes) -> None:
    with contextlib.suppress(MediaError):
        video.decode(data, 2, 8)


def targets(folder: Path) -> dict[str, Callable[[bytes], None]]:
    """Every target by its name; `folder` is theirs to write into."""
    return {
        "table": table,
        "csv": csv_cells,
        "jsonl": json_lines,
        "config": lambda data: config(data, folder),
        "override": lambda data: override(data, folder),
        "manifest": lambda data: a_manifest(data, folder),
        "spec": feature_spec,
        "tokens": tokens,
        "text": text,
        "picture": picture,
        "clip": a_clip,
    }
