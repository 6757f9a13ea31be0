"""Files of films: every row comes out as a record or as a reject that names place and remedy."""

from __future__ import annotations

import contextlib
import csv
import datetime
import io
import json
from pathlib import Path

import pytest
from conftest import SHARED_FILMS, needs_shared_films
from hypothesis import given, settings
from hypothesis import strategies as st

from mfp import film as films
from mfp import tables
from mfp.film import Film, Outcome
from mfp.tables import Record, Reject, TableError


def unexpected(message: str) -> None:
    raise AssertionError(message)


def read(path: Path, content: bytes | str | None = None, warn=unexpected) -> list[Record | Reject]:
    if content is not None:
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return list(tables.read(path, warn=warn))


def titles(found: list[Record | Reject]) -> list[str]:
    return [row.film.title for row in found if isinstance(row, Record)]


def rejects(found: list[Record | Reject]) -> list[str]:
    return [str(row) for row in found if isinstance(row, Reject)]


def test_a_reject_names_file_row_id_field_and_remedy(tmp_path: Path):
    found = read(
        tmp_path / "films.csv",
        "id,title,release_date,rating\n"
        "tt1,Heat,1995,8.3\n"
        "tt0113277,Ronin,13/45/95,7\n"
        "tt3,,1998,7\n"
        "tt4,Spy,1998,70\n",
    )
    assert titles(found) == ["Heat"]
    assert rejects(found) == [
        "films.csv, row 3 (tt0113277), release_date: '13/45/95' is not a date; "
        "write YYYY-MM-DD, YYYY-MM or YYYY",
        "films.csv, row 4 (tt3), title: is missing; every film needs a title",
        "films.csv, row 5 (tt4), rating: '70' is impossible; write 0 to 10, or leave empty",
    ]
    assert found[1].to_json() == {
        "file": str(tmp_path / "films.csv"),
        "row": 3,
        "id": "tt0113277",
        "field": "release_date",
        "reason": "'13/45/95' is not a date; write YYYY-MM-DD, YYYY-MM or YYYY",
    }


def test_a_latin1_row_is_rejected_and_the_others_are_served(tmp_path: Path):
    found = read(tmp_path / "films.csv", b"title,id\nHeat,1\nAm\xe9lie,2\nR\xc3\xa9mi,3\n")
    assert titles(found) == ["Heat", "Rémi"]
    assert rejects(found) == ["films.csv, row 3: is not UTF-8; save the file as UTF-8"]
    lines = b'{"title":"Heat"}\n{"title":"Am\xe9lie"}\n{"title":"Ronin"}\n'
    found = read(tmp_path / "films.jsonl", lines)
    assert titles(found) == ["Heat", "Ronin"]
    assert rejects(found) == ["films.jsonl, row 2: is not UTF-8; save the file as UTF-8"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_what_spreadsheets_save_is_read(tmp_path: Path, encoding: str, newline: str):
    text = newline.join(["title;cast", "Amélie;A|B", '"x;""y""";', ""])
    found = read(tmp_path / "films.csv", text.encode(encoding))
    assert [(r.film.title, r.film.cast) for r in found] == [("Amélie", ("A", "B")), ('x;"y"', ())]


@pytest.mark.parametrize("end", [b"\n", b"\x00\xd8"])
def test_damaged_utf16_is_told(tmp_path: Path, end: bytes):
    content = "title\nHeat\n".encode("utf-16") + end
    with pytest.raises(TableError, match=r"films\.csv: is damaged UTF-16.*save the file as UTF-8"):
        read(tmp_path / "films.csv", content)


def test_tabs_separate_too(tmp_path: Path):
    assert titles(read(tmp_path / "films.tsv", "title\tcast\nHeat, again\tA, B\n")) == [
        "Heat, again"
    ]


def test_nul_bytes(tmp_path: Path):
    with pytest.raises(TableError, match="is a binary file"):
        read(tmp_path / "films.csv", b"title\nHe\0at\n")
    # Far from the start of a file they stand for nothing in a text and are refused in a path.
    rows = b"title,poster\n" + b"x,\n" * 3000 + b"He\0at,\nSpy,a\0b\nRonin,\n"
    found = read(tmp_path / "films.csv", rows)
    assert titles(found)[-2:] == ["Heat", "Ronin"]
    assert rejects(found) == ["films.csv, row 3003, poster: 'a\\x00b' is not a file path"]


def test_too_many_and_too_few_cells(tmp_path: Path):
    found = read(tmp_path / "films.csv", "title,id\nHeat,1,2\nSpy\nRonin,3\n")
    assert titles(found) == ["Ronin"]
    assert rejects(found) == [
        "films.csv, row 2: has 3 cells, the header has 2",
        "films.csv, row 3: has 1 cells, the header has 2",
    ]


@pytest.mark.parametrize("quote", ["", '"'])
def test_a_huge_cell_is_rejected_and_the_others_are_served(tmp_path: Path, quote: str):
    huge = quote + "x" * (tables.MAX_CELL + 1) + quote
    found = read(tmp_path / "films.csv", f"title,id\nHeat,1\n{huge},2\nRonin,3\n")
    assert titles(found) == ["Heat", "Ronin"]
    assert [r.place.row for r in found if isinstance(r, Reject)] == [3]


def test_a_huge_line_is_rejected_and_the_others_are_served(tmp_path: Path):
    huge = json.dumps({"title": "x" * (2 * tables.MAX_CELL)})
    found = read(tmp_path / "films.jsonl", f'{{"title":"Heat"}}\n{huge}\n{{"title":"Ronin"}}\n')
    assert titles(found) == ["Heat", "Ronin"]
    assert rejects(found) == [f"films.jsonl, row 2: is longer than {tables.MAX_CELL} characters"]


def test_a_huge_json_file_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tables, "MAX_JSON", 10)
    with pytest.raises(TableError, match="write JSON Lines instead"):
        read(tmp_path / "films.json", '[{"title": "Heat"}]')


def test_json_that_is_no_film(tmp_path: Path):
    found = read(tmp_path / "films.jsonl", '{bad\n[]\n"x"\n\n{"title":"Heat"}\n' + "[" * 99_999)
    assert titles(found) == ["Heat"]
    assert [(r.place.row, r.reason[:11]) for r in found if isinstance(r, Reject)] == [
        (1, "is not JSON"),
        (2, "[] is not a"),
        (3, "'x' is not "),
        (6, "is not JSON"),
    ]
    found = read(tmp_path / "films.json", '[{"title":"Heat"}, 3]')
    assert rejects(found) == ["films.json, row 2: 3 is not a JSON object"]
    with pytest.raises(TableError, match=r"films\.json: is not JSON"):
        read(tmp_path / "films.json", '[{"title":"Heat"},')
    with pytest.raises(TableError, match="holds no films"):
        read(tmp_path / "films.json", "[]")


def test_an_unknown_column_is_warned_of_once(tmp_path: Path):
    told: list[str] = []
    read(tmp_path / "films.csv", "title,metascore,mood\nA,1,2\nB,3,4\n", told.append)
    assert told == [
        "films.csv: column 'metascore' is not a field; ignored",
        "films.csv: column 'mood' is not a field; ignored",
    ]
    told.clear()
    read(tmp_path / "films.jsonl", '{"title":"A","mood":1}\n{"title":"B","mood":1}\n', told.append)
    assert told == ["films.jsonl: column 'mood' is not a field; ignored"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        ("  \n\n", "is empty"),
        ("name_of_film,year\nHeat,1995\n", r"no 'title' column.*\(found: 'name_of_film', 'year'\)"),
        ("title,title\nHeat,Heat\n", "column 'title' stands twice in the header"),
        (b"\x89PNG\r\n\x1a\n\0\0", "is a binary file"),
    ],
)
def test_a_file_that_is_no_table(tmp_path: Path, content: str | bytes, message: str):
    with pytest.raises(TableError, match=rf"films\.csv: .*{message}"):
        read(tmp_path / "films.csv", content)


def test_no_file(tmp_path: Path):
    with pytest.raises(TableError, match=r"none\.csv: no such file"):
        read(tmp_path / "none.csv")
    with pytest.raises(TableError, match="is a folder; name a"):
        read(tmp_path)


def test_empty_lines_are_skipped_and_rows_are_counted_on(tmp_path: Path):
    found = read(tmp_path / "films.csv", "title,id\nHeat,1\n\n , \nRonin,2\n,3\n")
    assert titles(found) == ["Heat", "Ronin"]
    assert rejects(found) == ["films.csv, row 6 (3), title: is missing; every film needs a title"]


@pytest.mark.parametrize(
    "content",
    [
        "title,id\nHeat,1\n",
        '{"title": "Heat", "id": 1}\n{"title": "Heat", "id": "1"}\n',
        '[{"title": "Heat", "id": "1"}]',
        '{\n "title": "Heat",\n "id": "1"\n}',
        '\ufeff[{"title": "Heat", "id": "1"}]',
    ],
)
def test_the_format_of_a_stream_follows_from_its_start(content: str):
    stream = io.BytesIO(content.encode())
    found = list(tables.read(tables.STANDARD_INPUT, stream, unexpected))
    assert {r.film for r in found} == {Film("Heat", id="1")}
    assert found[0].place.file == "<stdin>"


# Values that CSV can hold: a cell is stripped, and a list cell is separated by bars.
WORD = st.text(st.characters(codec="utf-8", categories=("L", "N", "P")), min_size=1).filter(
    lambda s: not set(s) & {"|", ";"} and s not in ("-",) and s.lower() not in ("nan", "na")
)
FILM_ROWS = st.fixed_dictionaries(
    {
        "title": WORD,
        "cast": st.lists(WORD, min_size=2, max_size=3, unique=True),
        "plot": WORD,
        "budget_usd": st.floats(1, 1e10),
        "rating": st.floats(0, 10),
        "release_date": st.dates(datetime.date(1900, 1, 1), datetime.date(2100, 1, 1)).map(str),
    }
)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.lists(FILM_ROWS, min_size=1, max_size=3))
def test_csv_json_lines_and_json_give_the_same_films(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict]
):
    folder = tmp_path_factory.mktemp("formats")
    with (folder / "a.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(row | {"cast": "|".join(row["cast"])} for row in rows)
    (folder / "a.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    (folder / "a.json").write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")
    one, two, three = (
        [(r.film, r.outcome) for r in read(folder / name)]
        for name in ("a.csv", "a.jsonl", "a.json")
    )
    assert one == two == three
    assert len(one) == len(rows)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300), st.sampled_from(["csv", "jsonl", "json", "txt"]))
def test_any_bytes_are_rows_or_a_table_error(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, suffix: str
):
    path = tmp_path_factory.mktemp("fuzz") / f"films.{suffix}"
    for head in (b"", b"title,rating\n", b'{"title":"a"}\n', b"\xff\xfet\0i\0t\0l\0e\0\n\0"):
        with contextlib.suppress(TableError):  # any other error fails the test
            found = read(path, head + content, warn=lambda _: None)
            assert all(isinstance(row, Record | Reject) for row in found)


@needs_shared_films
def test_a_real_table_is_read_whole():
    found = read(SHARED_FILMS / "films.csv")
    assert rejects(found) == []
    assert len(found) == 9528
    first = found[0]
    assert (first.film.title, first.film.release_date.year) == ("Star Wars", 1977)
    assert first.film.directors == ("George Lucas",)
    assert first.outcome == Outcome(rating=7.9, revenue_usd=775398007.0)
    filled = {name for row in found for name in films.to_json(row.film)}
    assert {"plot", "tagline", "keywords", "poster", "budget_usd", "vote_count"} <= filled
