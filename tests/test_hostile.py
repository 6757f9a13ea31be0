"""Files made to exhaust: each hung, filled memory or crashed before it was bounded."""

from __future__ import annotations

import csv
import io
import json
import resource
import time
from collections.abc import Iterator

import pytest

from mfp import manifest, rows, tables, typed_toml
from mfp.cli_forecasts import Sink, write
from mfp.config import Config
from mfp.film import MAX_NAME, MAX_TEXT
from mfp.forecast.predict import Forecast
from mfp.tables import Record, Reject, TableError
from mfp.typed_toml import ConfigError


def stream(content: bytes, told: list[str] | None = None) -> Iterator[Record | Reject]:
    warn = (told if told is not None else []).append
    return tables.read(tables.STANDARD_INPUT, io.BytesIO(content), warn)


def shown(content: bytes) -> list[str]:
    return [r.film.title if isinstance(r, Record) else str(r) for r in stream(content)]


@pytest.fixture(autouse=True)
def bounded() -> Iterator[None]:
    """Each test within 20 seconds of processor time and 400 MB more than before."""
    began, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert time.process_time() - began < 20
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 400_000


class Endless(io.RawIOBase):
    """A stream of so many bytes, never all in memory."""

    def __init__(self, start: bytes, unit: bytes, size: int, end: bytes):
        self._parts = iter((start, *(unit for _ in range(size // len(unit))), end))
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:  # type: ignore[no-untyped-def]
        while not self._rest and (part := next(self._parts, None)) is not None:
            self._rest = part
        count = min(len(buffer), len(self._rest))
        buffer[:count], self._rest = self._rest[:count], self._rest[count:]
        return count


@pytest.mark.parametrize("size", [100_000_000, pytest.param(3_000_000_000, marks=pytest.mark.soak)])
def test_a_cell_of_a_hundred_megabytes(size):
    raw = Endless(b"title,id\nHeat,1\n", b"x" * 1_000_000, size, b",2\nRonin,3\n")
    found = list(tables.read(tables.STANDARD_INPUT, io.BufferedReader(raw), print))
    assert [str(r.film.title) for r in found if isinstance(r, Record)] == ["Heat", "Ronin"]
    (reject,) = [r for r in found if isinstance(r, Reject)]
    assert reject.place.row == 3
    assert f"is longer than {tables.MAX_ROW} characters" in reject.reason


def test_a_row_of_endless_quoted_cells():
    content = b"title,id\nHeat,1\n" + b'"a\n",' * 6_000_000 + b"2\n"
    found = stream(content)
    assert isinstance(next(found), Record)
    assert "is longer than" in str(next(found))


def test_a_header_of_too_many_columns():
    with pytest.raises(TableError, match="has 200001 columns; at most 10000 are read"):
        shown(b"title," + b",".join(b"c%d" % i for i in range(200_000)) + b"\n")


def test_unknown_keys_are_told_of_a_few_times_and_long_ones_kept_by_none():
    told: list[str] = []
    lines = (json.dumps({"title": "a", f"{i}" * 5_000: 1, f"k{i}": 2}) for i in range(500))
    assert len(list(stream("\n".join(lines).encode(), told))) == 500
    assert len(told) == tables.MAX_WARNINGS + 1
    assert told[-1] == "<stdin>: more columns are not fields; ignored"
    assert all(len(message) < 200 for message in told)


def test_a_json_file_is_bounded(tmp_path):
    path = tmp_path / "films.json"
    with path.open("wb") as file:
        file.truncate(tables.MAX_JSON + 1)  # sparse
    with pytest.raises(TableError, match="write JSON Lines instead"):
        list(tables.read(path))


def test_a_first_line_nested_without_end():
    with pytest.raises(TableError, match="is not JSON"):
        shown(b'{"a":' + b"[" * 90_000)


def test_thousands_of_marks_on_one_letter():
    film, _ = rows.parse({"title": "x", "plot": "a" + "\u0315\u0300" * 1_000_000})
    assert 1 < len(film.plot) <= 31
    assert rows.clean("e\u0301") == "\u00e9"


def test_names_and_texts_are_bounded():
    film, _ = rows.parse({"title": "x" * 10**6, "cast": ["y" * 10**5]})
    assert (len(film.title), len(film.cast[0])) == (MAX_TEXT, MAX_NAME)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("budget_usd", -1), ("budget_usd", "-1"), ("budget_usd", 1e308), ("budget_usd", "1e308"),
        ("budget_usd", "9" * 5000), ("release_date", "0000-01-01"), ("release_date", "9999-12-31"),
        ("release_date", "0000"), ("runtime_minutes", "inf"),
    ],
)  # fmt: skip
def test_impossible_values_are_refused_with_row_and_reason(field, value):
    lines = [{"title": "Heat"}, {"title": "x", field: value}, {"title": "Ronin"}]
    found = shown("\n".join(map(json.dumps, lines)).encode())
    assert found[::2] == ["Heat", "Ronin"]
    assert found[1].startswith(f"<stdin>, row 2, {field}: ")


def test_what_a_terminal_would_obey_is_not_shown():
    (line,) = shown(b'{"title": "", "id": "\\u001b]0;x\\u0007\\u202e1"}')
    assert line.isprintable()
    (_, line) = shown(b'{"title": "a"}\n{"title": "b", "rating": "\\u001b[2J"}')
    assert line.isprintable()


@pytest.mark.parametrize(
    ("override", "reason"),
    [
        (".".join("a" * 5000) + "=1", "nested too deeply|unknown key"),
        ("a=" + "[" * 5000, "unknown key"),
        ("seed=0x" + "f" * 5000, "seed: has more than 64 bits"),
        ("optimizer.name=0x" + "f" * 5000, "has more than 64 bits"),
        ("train.epochs=0x" + "f" * 5000, "has more than 64 bits"),
    ],
)
def test_overrides_without_end(override, reason, tmp_path):
    (tmp_path / "a.toml").touch()
    with pytest.raises(ConfigError, match=reason):
        typed_toml.read(Config, tmp_path / "a.toml", [override])


def test_configs_without_end(tmp_path):
    path = tmp_path / "0.toml"
    path.write_text('extends = "/dev/zero"')
    with pytest.raises(ConfigError, match="/dev/zero is not a file"):
        typed_toml.read(Config, path)
    path.write_bytes(b"#" * (typed_toml.MAX_BYTES + 1))
    with pytest.raises(ConfigError, match="is larger than"):
        typed_toml.read(Config, path)
    for i in range(1200):
        (tmp_path / f"{i}.toml").write_text(f'extends = "{i + 1}.toml"')
    with pytest.raises(ConfigError, match="nested too deeply"):
        typed_toml.read(Config, path)


@pytest.mark.parametrize("depth", [100, 500, 900, 2000, 100_000])
def test_a_manifest_nested_without_end(depth, tmp_path):
    start = '{"format":"mfp-bundle","format_version":3,"targets":[],"data":'
    (tmp_path / "manifest.json").write_text(start + "[" * depth + "]" * depth + "}")
    with pytest.raises(manifest.BundleError):
        manifest.read(tmp_path)


@pytest.mark.parametrize(
    "title",
    ['=HYPERLINK("http://x","y")', "+1", "-1.5", "@SUM(1)", "＝1+1", "＠x", " =1"],
)
def test_a_csv_holds_no_formula_and_its_numbers_stay_numbers(title, capsys):
    film = Forecast("=1", title, rating=1.5, revenue_usd=-3.0, flags=("=cmd|'/c calc'!A0",))
    write(iter([film]), "csv", Sink())
    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert row["title"] == f"'{title}"
    assert row["id"] == "'=1"
    assert row["flags"].startswith("'=")
    assert (row["rating"], row["revenue_usd"]) == ("1.5", "-3")
