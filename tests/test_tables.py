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
from mfp.rows import _AMBIGUOUS
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


def test_a_column_may_name_each_row_s_split(tmp_path: Path):
    path = tmp_path / "patients.csv"
    path.write_text("title,fold\nA,Train\nB,test\nC,\nD,holdout\n", encoding="utf-8")
    found = list(tables.read(path, warn=unexpected, split_column="fold"))
    splits = {row.film.title: row.split for row in found if isinstance(row, Record)}
    assert splits == {"A": "train", "B": "test"}
    assert rejects(found) == [
        "patients.csv, row 4, fold: is missing; write one of train, validation, test",
        "patients.csv, row 5, fold: 'holdout' is not one of train, validation, test",
    ]


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


def test_windows_1252_is_read_and_told_of_once(tmp_path: Path):
    told: list[str] = []
    rows = b"title,id\nHeat,1\nAm\xe9lie,2\nR\xc3\xa9mi,3\n\x93So\x94,4\n"
    found = read(tmp_path / "films.csv", rows, told.append)
    assert titles(found) == ["Heat", "Amélie", "Rémi", "“So”"]
    assert told == ["films.csv: row 3 is not UTF-8; read as Windows-1252, as are others like it"]
    told.clear()
    lines = b'{"title":"Heat"}\n{"title":"Am\xe9lie"}\n{"title":"R\xe9mi"}\n'
    found = read(tmp_path / "films.jsonl", lines, told.append)
    assert titles(found) == ["Heat", "Amélie", "Rémi"]
    assert told == ["films.jsonl: row 2 is not UTF-8; read as Windows-1252, as are others like it"]


def test_bytes_of_no_known_encoding_are_rejected_and_the_others_served(tmp_path: Path):
    found = read(tmp_path / "films.csv", b"title,id\nHeat,1\nA\x81,2\nRonin,3\n")
    assert titles(found) == ["Heat", "Ronin"]
    assert rejects(found) == ["films.csv, row 3: is not UTF-8; save the file as UTF-8"]
    found = read(tmp_path / "films.jsonl", b'{"title":"Heat"}\n{"title":"\x81"}\n')
    assert rejects(found) == ["films.jsonl, row 2: is not UTF-8; save the file as UTF-8"]


def test_a_quote_that_is_never_closed_costs_its_own_row_only(tmp_path: Path):
    content = 'title,id\nHeat,1\n"Ronin,2\nSpy,3\n"An ""odd"" one",4\nEnd,5\n'
    found = read(tmp_path / "films.csv", content)
    assert titles(found) == ["Heat", "Spy", 'An "odd" one', "End"]
    (reject,) = [row for row in found if isinstance(row, Reject)]
    assert reject.place.row == 3
    assert [r.place.row for r in found if isinstance(r, Record)] == [2, 4, 5, 6]
    found = read(tmp_path / "films.csv", 'title,id\nHeat,1\n"Ronin,2\nSpy,3\n')
    assert titles(found) == ["Heat", "Spy"]
    assert rejects(found) == [
        "films.csv, row 3: cannot be read as CSV: a quote that opens here is never closed; close it"
    ]


def test_many_open_quotes_take_no_longer_than_they_must(tmp_path: Path):
    """Each would have the rest of the file read once more."""
    content = "title,id\n" + '"x,1\n,"\n' * 20_000
    found = read(tmp_path / "films.csv", content)
    assert len(found) > 10_000


def test_a_cell_of_several_lines_is_one_row(tmp_path: Path):
    found = read(tmp_path / "films.csv", 'title,plot\nHeat,"One.\nTwo."\nSpy,x\n')
    assert [(r.film.title, r.film.plot) for r in found] == [("Heat", "One. Two."), ("Spy", "x")]


def test_a_spreadsheet_of_american_dates(tmp_path: Path):
    content = "Title,Rated,Release Date\nHeat,R,12/25/2010\nSpy,PG,05/06/2010\n"
    found = read(tmp_path / "films.csv", content)
    (record,) = [row for row in found if isinstance(row, Record)]
    assert (str(record.film.release_date), record.film.certificate) == ("2010-12-25", "R")
    assert rejects(found) == [
        "films.csv, row 3, release_date: '05/06/2010' may be day or month first; write YYYY-MM-DD"
    ]


def test_a_title_is_read_from_its_original_title_where_it_has_no_other(tmp_path: Path):
    assert titles(read(tmp_path / "a.csv", "Original Title\nHeat\n")) == ["Heat"]
    content = "original_title,title\nLe Fabuleux,Amelie\nHeat,\n"
    assert titles(read(tmp_path / "b.csv", content)) == ["Amelie", "Heat"]


def test_a_text_may_mean_thousands_and_a_number_says_what_it_is(tmp_path: Path):
    """The one value that CSV and JSON do not read alike: '1.875', and 1.875 in JSON."""
    for name, content in (
        ("a.csv", "title,budget\nHeat,1.875\n"),
        ("a.json", '[{"title": "Heat", "budget": "1.875"}]'),
    ):
        (reject,) = rejects(read(tmp_path / name, content))
        assert "may mean dollars or thousands; write digits" in reject
    (found,) = read(tmp_path / "b.json", '[{"title": "Heat", "budget": 1.875}]')
    assert isinstance(found, Record)
    assert found.film.budget_usd == 1.875


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
        "budget_usd": st.floats(1, 1e10).filter(lambda y: not _AMBIGUOUS.fullmatch(repr(y))),
        "rating": st.floats(0, 10),
        "release_date": st.dates(datetime.date(1900, 1, 1), datetime.date(2100, 1, 1)).map(str),
    }
)


@settings(max_examples=50, deadline=None)
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
