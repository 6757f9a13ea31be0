"""Which film falls into which split: by date, by a column, and as one for a final fit."""

from __future__ import annotations

import dataclasses
import datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfp.config import ConfigError, DataConfig, SplitConfig, TrainConfig
from mfp.data import dataset as datasets
from mfp.data.builder import movie_feedback
from mfp.data.dataset import Dataset
from mfp.dates import PartialDate
from mfp.film import Film, Outcome

from .test_dataset import SPLIT, films, ids, prepare  # noqa: F401 - a fixture


def test_an_empty_split_is_told_and_the_remedy_works(films: DataConfig):  # noqa: F811
    config = dataclasses.replace(films, split=SplitConfig("1980-12-31", "1981-12-31", "2040"))
    for _ in range(2):  # the failure leaves nothing that a second try would trust
        with pytest.raises(ConfigError, match=r"data\.split: no film falls into train") as caught:
            prepare(config)
    words = str(caught.value).split()
    ends = dict(word.split("=") for word in words if word.startswith("data.split."))
    split = SplitConfig(**{key.removeprefix("data.split."): end for key, end in ends.items()})
    assert all(ids(prepare(dataclasses.replace(films, split=split))).values())


YEARS = st.lists(st.integers(1900, 2030), min_size=1, max_size=12)


@settings(max_examples=50, deadline=None)
@given(YEARS)
def test_the_suggested_split_leaves_no_split_empty(years: list[int]):
    class Years:
        def records(self):
            from mfp.tables import Place, Record

            for i, year in enumerate(years):
                film = Film("x", release_date=PartialDate(year))
                yield Record(Place("x", i), film, Outcome())

    text = datasets._suggestion(Years())  # type: ignore[arg-type]
    if len(set(years)) < 3:
        assert "at least three years" in text
        return
    ends = [word.split("=")[1] for word in text.split() if word.startswith("data.split.")]
    split = SplitConfig(*ends)
    found = {movie_feedback.split_of(PartialDate(year), split) for year in years}
    assert found == {"train", "validation", "test"}


def test_rows_that_are_no_films_are_split_by_a_column(tmp_path: Path):
    rows = [("train", 1.5), ("validation", -2), ("test", 3e-7), ("train", "")]
    lines = [f"p{i},P{i},{fold},{x},{i}\n" for i, (fold, x) in enumerate(rows)]
    (tmp_path / "p.csv").write_text("id,title,fold,number:x,rating\n" + "".join(lines))
    config = DataConfig(
        source="table",
        table=str(tmp_path / "p.csv"),
        prepared=str(tmp_path / "prepared"),
        split=SplitConfig(column="fold"),
    )
    found = prepare(config)
    assert ids(found) == {"train": ["p0", "p3"], "validation": ["p1"], "test": ["p2"]}
    rows_read = [film for split in found.splits.values() for film, _ in split]
    assert {film.id: dict(film.numbers).get("number:x") for film in rows_read} == {
        "p0": 1.5,
        "p1": -2.0,
        "p2": 3e-7,
        "p3": None,
    }
    (tmp_path / "p.csv").write_text("id,title,fold\np0,P0,train\n")
    with pytest.raises(ConfigError, match=r"into validation; no row .* column 'fold'"):
        prepare(config)


@pytest.mark.parametrize(
    ("date", "expected"),
    [
        (PartialDate(2000, 12, 31), "train"),
        (PartialDate(2001, 1, 1), "validation"),
        (PartialDate(2000, 12), "train"),
        (PartialDate(2000), "train"),
        # Known only to the year: it may have opened on its last day.
        (PartialDate(2005), "validation"),
        (PartialDate(2010, 12, 31), "test"),
        (PartialDate(2011, 1, 1), None),
        (None, None),
    ],
)
def test_split_of(date: PartialDate | None, expected: str | None):
    assert movie_feedback.split_of(date, SPLIT) == expected


def test_a_year_in_the_middle_of_which_a_split_ends_falls_behind_it():
    middle = SplitConfig("2000-06-30", "2005-06-30", "2010-06-30")
    assert movie_feedback.split_of(PartialDate(2000), middle) == "validation"
    assert movie_feedback.split_of(PartialDate(2000, 6), middle) == "train"
    assert movie_feedback.split_of(PartialDate(2010), middle) is None


def test_no_film_stands_in_two_splits(dataset: Dataset):
    seen = [film.id for split in dataset.splits.values() for film, _ in split]
    assert len(set(seen)) == len(seen) > 800
    newest = {
        name: max(film.release_date.last_day() for film, _ in split)
        for name, split in dataset.splits.items()
    }
    oldest = {
        name: min(film.release_date.last_day() for film, _ in split)
        for name, split in dataset.splits.items()
    }
    assert newest["train"] <= datetime.date(1949, 12, 31) < oldest["validation"]
    assert newest["validation"] <= datetime.date(1952, 12, 31) < oldest["test"]


def test_the_splits_of_a_final_fit_are_train_and_validation_as_one():
    all_films = [(Film(str(i)), Outcome()) for i in range(5)]
    splits = {"train": all_films[:2], "validation": all_films[2:4], "test": all_films[4:]}
    dataset = Dataset(Path(), "", splits, [])
    assert dataset.of_run(TrainConfig()) is dataset
    final = dataset.of_run(TrainConfig(final_epochs=2))
    assert set(final.splits) == {"train", "test"}
    both = final.splits["train"]
    assert len(both) == 4 == final.count - 1
    assert list(both) == both[:] == [both[i] for i in range(4)] == all_films[:4]
    assert both[-1] == all_films[3]
    assert both[1:3] == all_films[1:3]
    assert both.pixels(3) == {}
    with pytest.raises(IndexError):
        both[4]
    assert final.of_run(TrainConfig(final_epochs=2)) is final
