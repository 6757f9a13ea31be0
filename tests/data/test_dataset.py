"""A table with posters prepared as the TFDS dataset `movie_feedback`, once."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from conftest import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st

from mfp import config as configs
from mfp.config import DataConfig, SplitConfig
from mfp.data import dataset as datasets
from mfp.data.builder import records
from mfp.data.dataset import Dataset
from mfp.data.fit import fit
from mfp.dates import PartialDate
from mfp.film import Film, Outcome

SPLIT = SplitConfig("2000-12-31", "2005-12-31", "2010-12-31")

TABLE = """\
id,title,release_date,poster,revenue_usd,rating,cast,mood
t1,Heat,1995-12-15,heat.jpg,775398007,8.3,Al Pacino|Robert De Niro,dark
t2,Año 七人,2000,missing.jpg,2787965087.0,7.123456789012345,,
v1,Ronin,2000-12-31,,,,,
v2,Spy,2001-01-01,../secret.jpg,,6,,
v3,Late,2005,/etc/passwd,,6,,
x1,Someday,2010-12-31,out.jpg,,6,,
x2,Again,2006-02,deep/b.jpg,,6,,
t1,Double,1999,,,,,
n1,Dateless,,,,6,,
f1,Future,2011-01-01,,,6,,
f2,Far,2030,,,6,,
b1,Bad,13/45/95,,,6,,
"""

HEAT = (
    Film(
        "Heat",
        id="t1",
        release_date=PartialDate(1995, 12, 15),
        cast=("Al Pacino", "Robert De Niro"),
        poster="heat.jpg",
    ),
    Outcome(8.3, 775398007.0),
)


@pytest.fixture
def films(tmp_path: Path) -> DataConfig:
    """A user's folder: a table, posters of which some cannot be used, and a split."""
    (tmp_path / "films.csv").write_text(TABLE, encoding="utf-8")
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    media = tmp_path / "media"
    (media / "deep").mkdir(parents=True)
    paint(media / "heat.jpg", RED)
    paint(media / "deep" / "b.jpg", BLUE)
    (media / "out.jpg").symlink_to(tmp_path / "secret.jpg")
    return DataConfig(
        source="table",
        table=str(tmp_path / "films.csv"),
        media=str(media),
        prepared=str(tmp_path / "prepared"),
        split=SPLIT,
        image_size=8,
    )


RED, BLUE, GREEN = (255, 0, 0), (0, 0, 255), (0, 255, 0)


def paint(path: Path, color: tuple[int, int, int]) -> None:
    """A poster of one color."""
    PIL.Image.new("RGB", (32, 32), color).save(path)


def color(pixels: dict[str, bytes]) -> tuple[int, ...] | None:
    """The strongest color of a prepared poster, as RED, GREEN or BLUE; None without one."""
    if "poster" not in pixels:
        return None
    picture = np.frombuffer(pixels["poster"], np.uint8).reshape(8, 8, 3)
    return tuple((255 * (picture.mean((0, 1)) > 128)).tolist())


def prepare(config: DataConfig) -> Dataset:
    return datasets.prepare(config, warn=lambda message: None)


def edit(config: DataConfig, old: str, new: str) -> None:
    text = Path(config.table).read_text(encoding="utf-8")
    assert old in text
    Path(config.table).write_text(text.replace(old, new), encoding="utf-8")


def ids(dataset: Dataset) -> dict[str, list[str]]:
    return {name: [film.id for film, _ in split] for name, split in dataset.splits.items()}


def array_records(folder: Path) -> dict[str, int]:
    """The data files and when they were written, in nanoseconds."""
    found = {p.name: p.stat().st_mtime_ns for p in folder.rglob("*array_record*")}
    assert found
    return found


def test_a_table_is_prepared_split_and_read_back_exactly(films: DataConfig):
    told: list[str] = []
    written: list[None] = []
    dataset = datasets.prepare(films, told.append, lambda: written.append(None))
    # Order as in the table, every film in one split, by the last day that its date may mean.
    assert ids(dataset) == {
        "train": ["t1", "t2", "v1"],
        "validation": ["v2", "v3"],
        "test": ["x1", "x2"],
    }
    assert len(written) == 7
    heat, two, _ = dataset.splits["train"]
    assert heat == HEAT
    assert two == (
        Film("Año 七人", id="t2", release_date=PartialDate(2000)),
        Outcome(7.123456789012345, 2787965087.0),
    )
    assert [datasets.describe(reject) for reject in dataset.rejects] == [
        "films.csv, row 3 (t2), poster: 'missing.jpg' is not in the media folder; "
        "correct or empty it",
        "films.csv, row 9 (t1), id: is already the id of row 2; ids must differ",
        "films.csv, row 10 (n1), release_date: is missing; a film without a date belongs to no "
        "split",
        "films.csv, row 13 (b1), release_date: '13/45/95' is not a date; write YYYY-MM-DD, "
        "YYYY-MM or YYYY",
        "films.csv, row 5 (v2), poster: '../secret.jpg' leaves the media folder; "
        "use a path inside it",
        "films.csv, row 6 (v3), poster: '/etc/passwd' leaves the media folder; "
        "use a path inside it",
        "films.csv, row 7 (x1), poster: 'out.jpg' leaves the media folder; use a path inside it",
    ]
    assert sorted(told) == [
        "2 films released after data.split.test_until are left out",
        "films.csv: column 'mood' is not a field; ignored",
    ]


def test_posters_are_kept_as_pixels_of_their_film(films: DataConfig):
    dataset = prepare(films)
    colors = {
        film.id: color(split.pixels(i))
        for split in dataset.splits.values()
        for i, (film, _) in enumerate(split)
    }
    assert {key: found for key, found in colors.items() if found} == {"t1": RED, "x2": BLUE}


def test_a_poster_that_is_no_picture_is_left_out(films: DataConfig):
    (Path(films.media) / "heat.jpg").write_bytes(b"\xff\xd8 no picture")
    dataset = prepare(films)
    assert dataset.splits["train"][0][0] == dataclasses.replace(HEAT[0], poster="")
    assert dataset.splits["train"].pixels(0) == {}
    assert [r["field"] for r in dataset.rejects if r["id"] == "t1" and r["row"] == 2] == ["poster"]


def test_unchanged_films_are_not_prepared_anew(films: DataConfig):
    first = prepare(films)
    before = array_records(first.folder)
    told: list[str] = []
    again = datasets.prepare(films, told.append, lambda: pytest.fail("a film was written"))
    assert array_records(again.folder) == before
    assert (again.folder, again.fingerprint) == (first.folder, first.fingerprint)
    assert (ids(again), again.rejects) == (ids(first), first.rejects)


@pytest.mark.parametrize("what", ["table", "poster", "missing poster", "split", "no media"])
def test_changed_films_are_prepared_anew_beside_the_old(films: DataConfig, what: str):
    first = prepare(films)
    before = array_records(first.folder)
    config, media = films, Path(films.media)
    if what == "table":
        edit(films, "8.3", "8.4")
    elif what == "poster":
        paint(media / "heat.jpg", GREEN)
    elif what == "missing poster":
        paint(media / "missing.jpg", GREEN)
    elif what == "split":
        split = dataclasses.replace(SPLIT, validation_until="2006-12-31")
        config = dataclasses.replace(films, split=split)
    else:
        config = dataclasses.replace(films, media="")
    second = prepare(config)
    assert second.fingerprint != first.fingerprint
    assert second.folder != first.folder
    assert array_records(first.folder) == before
    assert prepare(config).fingerprint == second.fingerprint
    expected = {"poster": GREEN, "no media": None}.get(what, RED)
    assert color(second.splits["train"].pixels(0)) == expected


@pytest.mark.parametrize("lost", ["rejects.jsonl", "dataset_info.json", "array_record"])
def test_half_prepared_films_are_prepared_anew(films: DataConfig, lost: str):
    """A crash leaves no rejects.jsonl, which is written last, and maybe less."""
    first = prepare(films)
    for path in first.folder.iterdir():
        if path.name == "rejects.jsonl" or lost in path.name:
            path.unlink()
    (first.folder / "junk").write_text("of the crash")
    again = prepare(films)
    assert again.folder == first.folder
    assert (ids(again), again.rejects) == (ids(first), first.rejects)
    assert not (again.folder / "junk").exists()


@pytest.mark.parametrize("lost", ["dataset_info.json", "features.json", "array_record", "sizes"])
@pytest.mark.parametrize("damage", ["removed", "emptied", "cut short"])
def test_prepared_films_that_lost_files_are_prepared_anew(
    films: DataConfig, lost: str, damage: str
):
    first = prepare(films)
    path = next(p for p in sorted(first.folder.iterdir()) if lost in p.name)
    content = path.read_bytes()
    path.unlink()
    if damage != "removed":
        path.write_bytes(b"" if damage == "emptied" else content[: len(content) // 2])
    again = prepare(films)
    assert (ids(again), again.rejects) == (ids(first), first.rejects)
    if lost != "sizes" or damage != "removed":  # without them: of an older version
        assert path.stat().st_size == len(content)


def test_what_is_fitted_does_not_depend_on_later_films(films: DataConfig):
    config = configs.load(
        ROOT / "configs" / "base.toml", ["features.min_films=1", "features.min_word_films=1"]
    )
    first = fit(prepare(films).splits["train"], config)
    edit(films, "Spy,2001-01-01,../secret.jpg,,6,,", "Spy,2001-01-01,,999999,1,New Face|Al Pacino,")
    edit(films, "Again,2006-02,deep/b.jpg,,6,,", "Other Words,2006-02,,5,9,Robert De Niro,")
    changed = prepare(films)
    assert changed.splits["test"][1][0].cast == ("Robert De Niro",)
    assert fit(changed.splits["train"], config) == first
    edit(films, "Heat,1995", "Heat Wave,1995")  # a training film does matter
    assert fit(prepare(films).splits["train"], config) != first


def test_one_film_may_be_read_like_a_list(films: DataConfig):
    train = prepare(films).splits["train"]
    assert train[-1] == train[len(train) - 1] == train[0:][-1]
    assert [film.id for film, _ in train[1:]] == ["t2", "v1"]
    for index in (3, -4):
        with pytest.raises(IndexError):
            train[index]


@pytest.mark.parametrize(("kept", "decoded"), [(3, 3), (2, 6)])
def test_films_of_a_small_split_are_decoded_once(
    films: DataConfig, monkeypatch: pytest.MonkeyPatch, kept: int, decoded: int
):
    monkeypatch.setattr(datasets, "KEPT", kept)
    train, calls = prepare(films).splits["train"], []
    decode = records.decode
    monkeypatch.setattr(records, "decode", lambda record: calls.append(1) or decode(record))
    assert list(train) == train[:] == [decode(record) for record in train._records]
    assert len(calls) == decoded


TEXT = st.text(st.characters(codec="utf-8"), max_size=15)
FILMS = st.builds(
    Film,
    title=TEXT,
    id=TEXT,
    release_date=st.none() | st.builds(PartialDate, st.integers(1870, 2100)),
    runtime_minutes=st.none() | st.floats(0, 6000),
    cast=st.lists(TEXT, max_size=3).map(tuple),
    reviews=st.lists(TEXT, max_size=3).map(tuple),
    plot=TEXT,
    budget_usd=st.none() | st.floats(0, 1e10),
    numbers=st.just(()) | st.floats(allow_nan=False).map(lambda x: (("number:x", x),)),
)
OUTCOMES = st.builds(
    Outcome,
    rating=st.none() | st.floats(0, 10),
    revenue_usd=st.none() | st.floats(0, 1e11) | st.integers(0, 10**11).map(float),
    verdict=st.none() | st.sampled_from(["flop", "superhit"]),
    sentiment=st.none() | st.sampled_from([0.0, 1.0]),
)


@settings(max_examples=50, deadline=None)
@given(FILMS, OUTCOMES, st.binary(max_size=20))
def test_a_record_survives_tfds_exactly(film: Film, outcome: Outcome, poster: bytes):
    from tensorflow_datasets.core import example_parser, example_serializer

    info = records.features()
    encoded = info.encode_example(records.encode(film, outcome, {"poster": poster}))
    spec = info.get_serialized_info()
    stored = example_serializer.ExampleSerializer(spec).serialize_example(encoded)
    parser = example_parser.ExampleParserNp(spec)
    read = info.decode_example_np(parser.parse_example(stored))
    assert records.decode(read) == (film, outcome)
    assert read["poster_pixels"] == poster


def test_preparing_needs_no_tensorflow(films: DataConfig):
    code = (
        "import sys\n"
        "from mfp.config import DataConfig, SplitConfig\n"
        "from mfp.data import dataset\n"
        f"found = dataset.prepare({films!r}, warn=str)\n"
        "print([len(films) for films in found.splits.values()])\n"
        "print([n for n in ('tensorflow', 'jax', 'flax') if n in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["[3, 2, 2]", "[]"]
    shutil.rmtree(films.prepared)


def test_more_than_memory_may_hold_needs_no_tensorflow(films, tmp_path, monkeypatch):
    """TFDS holds a gigabyte of a split, here a byte: the rest goes through a file, in order."""
    from tensorflow_datasets.core import shuffle

    held = datasets.prepare(films)
    elsewhere = dataclasses.replace(films, prepared=str(tmp_path / "elsewhere"))
    monkeypatch.setattr(shuffle, "MAX_MEM_BUFFER_SIZE", 1)
    spilled = datasets.prepare(elsewhere)
    for name, split in held.splits.items():
        assert list(spilled.splits[name]) == list(split)
    assert not list(Path(elsewhere.prepared).rglob("*.tmp"))
