"""Parts of a film: found missing as they would be if the film lacked the field, and hidden so."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from mfp.calibration import patterns
from mfp.calibration.patterns import Parts
from mfp.data.fit import fit


@pytest.fixture(scope="module")
def spec(dataset, debug_config):
    return fit(dataset.splits["train"][:300], debug_config)


@pytest.fixture(scope="module")
def films(dataset):
    found = [film for film, _ in dataset.splits["validation"][:100]]
    return [film for film in found if film.runtime_minutes and film.directors and film.genres]


def test_parts_are_numbers_and_modalities(spec):
    parts = Parts.of(spec)
    assert parts.names == (
        "runtime_minutes",
        "release_date",
        "history",
        "people",
        "content",
        "origin",
        "title",
    )
    names = [*spec.numbers, *spec.history.numbers]
    assert [names[i] for i in parts.columns["runtime_minutes"]] == ["runtime_minutes"]
    of_people = {names[i] for i in parts.columns["people"]}
    assert {"directors_count", "writers_count", "cast_count"} <= of_people
    assert "directors: rating mean" in of_people
    own = ("directors", "writers", "cast", "all together")
    assert all(name.startswith(own) for name in of_people)
    assert set(spec.history.numbers) <= {names[i] for i in parts.columns["release_date"]}
    assert "season_sin" in {names[i] for i in parts.columns["release_date"]}


def test_each_number_of_the_table_s_own_is_a_part(spec):
    line = spec.numbers["runtime_minutes"]
    own = dataclasses.replace(spec, numbers={"number:bmi": line, "release_year": line})
    parts = Parts.of(own)
    assert parts.names[:2] == ("number:bmi", "release_date")
    assert parts.columns["number:bmi"] == (0,)


@pytest.mark.parametrize(
    ("part", "without"),
    [
        ("runtime_minutes", {"runtime_minutes": None}),
        ("release_date", {"release_date": None}),
        ("people", {"directors": (), "writers": (), "cast": ()}),
        ("content", {"genres": (), "certificate": "", "keywords": ()}),
    ],
)
def test_hiding_a_part_is_what_a_film_without_it_looks_like(spec, films, part, without):
    """Everything that the network reads of the rest is the same."""
    parts = Parts.of(spec)
    inputs = spec.stack(films)
    hidden = np.array([name == part for name in parts.names])
    found = parts.hide(inputs, hidden.astype(np.float32), parts.numbers_shown(hidden[None])[0])
    lacking = spec.stack([dataclasses.replace(film, **without) for film in films])
    for name, expected in lacking.items():
        if not name.startswith(("sets/", "texts/")):  # masked by their modality's presence
            np.testing.assert_array_equal(found[name], expected, err_msg=name)
    before, after = parts.missing(inputs), parts.missing(lacking)
    if part == "release_date":  # and with it what was known of people on that day
        hidden[parts.names.index("history")] = True
    np.testing.assert_array_equal(after, before | hidden)
    np.testing.assert_array_equal(parts.missing(found), after)


def test_key_parts_are_hidden_in_every_combination():
    found = patterns.combinations(5, (1, 3))
    assert found[:, [1, 3]].tolist() == [[False, False], [False, True], [True, False], [True, True]]
    assert not found[:, [0, 2, 4]].any()
    assert patterns.combinations(3, ()).tolist() == [[False] * 3]


def test_a_pattern_without_a_group_takes_the_nearest_that_misses_more():
    rows = np.array([[1, 0, 0], [1, 1, 0], [1, 1, 1]], bool)
    assert patterns.cover(rows, np.array([0, 0, 0], bool)) == 0
    assert patterns.cover(rows, np.array([0, 1, 0], bool)) == 1
    assert patterns.cover(rows, np.array([0, 0, 1], bool)) == 2


def test_a_pattern_in_words():
    assert patterns.label(["poster", "budget_usd"], np.array([True, True])) == (
        "without poster, budget_usd"
    )
    assert patterns.label(["poster"], np.array([False])) == "nothing missing"
