"""The numbers of a film's track record: by hand, the same one by one and many at once."""

from __future__ import annotations

import dataclasses
import json
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.test_features import NAMES, TRAINING, config, random_films
from mfp.config import ConfigError, HistoryConfig, TargetsConfig
from mfp.data import features, history, track_record
from mfp.data.fit import fit
from mfp.data.track_record import TrackRecord
from mfp.dates import PartialDate
from mfp.film import Film, Outcome

RULES = TargetsConfig()
FIELDS = ("directors", "cast", "genres")


def film(date: str | None, rating: float | None = None, **fields) -> tuple[Film, Outcome]:
    known = None if date is None else PartialDate.parse(date)
    return Film(title="x", release_date=known, **fields), Outcome(rating)


def told(collection, asked: Film, ordered: frozenset[str] = frozenset(), **keys):
    """{number: value} of a film, of those that are known, unscaled."""
    cfg = HistoryConfig(
        **({"fields": FIELDS, "outcomes": ("rating",), "any_role": True, "delay_days": 0} | keys)
    )
    table = history.build(collection, cfg, RULES)
    row = track_record.statistics([asked], table, cfg)[0]
    numbers = track_record.numbers_of(cfg, ordered)
    return {n.name: row[n.place] for n in numbers if not np.isnan(row[n.place])}


PAST = [
    film("2000", 6.0, genres=("Drama",)),  # before any is known: only what films are like
    film("2001", 8.0, directors=("Ann",), genres=("Drama",)),  # 2.0 above
    film("2001", 5.0, directors=("Bob",), cast=("Ann",), genres=("Crime",)),  # 1.0 below
    film("2004", 9.0, cast=("Cid",)),
]
ASKED = film("2003-01-01", directors=("Ann", "Bob", "New"), cast=("Bob",), genres=("Drama",))[0]


def test_a_track_record_by_hand():
    found = told(PAST, ASKED, half_life_years=0.0, shrinkage=3.0)
    means = [2 / 4, -1 / 4, 0.0]  # one film each and three average ones; nothing of New
    assert found["directors: rating mean"] == pytest.approx(np.mean(means))
    assert found["directors: rating highest"] == pytest.approx(0.5)
    assert found["directors: rating best"] == pytest.approx(2.0)
    assert found["directors: rating last"] == pytest.approx(0.5)
    assert found["directors: rating known"] == pytest.approx(np.log(3))
    assert found["directors: films"] == pytest.approx(np.log(3))
    assert found["directors: new"] == pytest.approx(1 / 3)
    assert found["directors: recency"] == pytest.approx(730 / 365.25)
    # Ann has played as well: 2 - 1 over two films.
    assert found["directors in any role: rating mean"] == pytest.approx(
        np.mean([1 / 5, -1 / 4, 0.0])
    )
    assert found["directors in any role: rating spread"] == pytest.approx(1.5)
    assert "directors: rating spread" not in found  # of one film each there is none
    # Bob has never played; that he has not is known, and nothing else.
    assert {n for n in found if n.startswith("cast:")} == {
        "cast: rating known", "cast: films", "cast: new"
    }  # fmt: skip
    assert found["cast: new"] == 1
    assert found["genres: rating mean"] == pytest.approx(2 / 4)
    assert {n for n in found if n.startswith("genres")} == {"genres: rating mean"}


def test_raw_outcomes_are_shrunk_to_the_mean_known_on_the_day():
    found = told(PAST, ASKED, half_life_years=0.0, shrinkage=1.0, stationary=False)
    everything = (6 + 8 + 5) / 3
    means = [(8 + everything) / 2, (5 + everything) / 2, everything]
    assert found["directors: rating mean"] == pytest.approx(np.mean(means), rel=1e-6)
    assert found["directors: rating best"] == 8
    assert found["directors: rating last"] == 6.5


def test_billing_counts_where_the_order_means_something():
    cast = ("Cid", "Ann", "Dan", "Bob", "Eve")
    asked = film("2006", cast=cast)[0]
    past = [film("1999", 5.0), *(film("2001", 5.0 + i, cast=(n,)) for i, n in enumerate(cast))]
    found = told(past, asked, frozenset({"cast"}), half_life_years=0.0, shrinkage=0.0)
    assert found["cast: rating first"] == pytest.approx(0.0, abs=1e-6)
    assert found["cast: rating leading"] == pytest.approx(1.0)
    assert found["cast: rating mean"] == pytest.approx(2.0)
    assert "cast: rating first" not in told(past, asked)


def test_a_name_given_twice_counts_once():
    twice = dataclasses.replace(ASKED, directors=("Ann", "ann", "Bob", "New", " Bob"))
    assert told(PAST, twice) == told(PAST, ASKED)


def test_without_a_date_or_members_nothing_is_told():
    assert told(PAST, dataclasses.replace(ASKED, release_date=None)) == {}
    assert told(PAST, film("2003")[0]) == {}


def test_roles_are_joined_only_where_asked_for():
    found = told(PAST, ASKED, any_role=False)
    assert not any("any role" in name for name in found)
    assert found == {n: v for n, v in told(PAST, ASKED).items() if "any role" not in n}


def test_a_date_to_the_year_is_asked_for_at_its_beginning():
    early, late = (film(date, directors=("Ann",))[0] for date in ("2001", "2002"))
    assert "directors: rating mean" not in told(PAST, early)
    assert told(PAST, late)["directors: rating mean"] > 0


CONFIG = config(
    'features.history.fields=["directors", "cast", "companies", "genres"]',
    'features.ordered=["cast"]',
)
SPEC = fit(TRAINING, CONFIG)


def test_many_films_at_once_are_told_what_each_is():
    films = [film for film, _ in [*TRAINING, *random_films(3)]]
    together = SPEC.histories(films)
    for i, one in enumerate(films):
        alone = SPEC.histories([one])
        for name, array in together.items():
            np.testing.assert_array_equal(array[i], alone[name][0], err_msg=name)
            np.testing.assert_array_equal(array[i], SPEC.transform(one)[name], err_msg=name)


@settings(max_examples=30, deadline=None)
@given(st.permutations(NAMES))
def test_the_order_of_names_matters_only_where_it_is_billing(names: list[str]):
    date = PartialDate(1990)
    one, two = (
        SPEC.transform(Film("x", release_date=date, directors=tuple(n))) for n in (NAMES, names)
    )
    for name in one:
        np.testing.assert_array_equal(one[name], two[name])


def test_a_record_is_about_normal_and_missing_is_marked():
    arrays = SPEC.stack([film for film, _ in TRAINING])
    values, known = arrays["history/values"], arrays["history/known"]
    assert np.isfinite(values).all()
    assert not values[known == 0].any()
    assert np.abs(values).max() <= 3
    for column in range(values.shape[1]):
        assert abs(values[known[:, column] == 1, column].mean()) < 0.5
    np.testing.assert_array_equal(arrays["present/history"], known.max(axis=1))


def test_a_spec_looks_histories_up_in_its_table_only():
    again = features.FeatureSpec.from_json(json.loads(json.dumps(SPEC.to_json())))
    with pytest.raises(ValueError, match="with_table"):
        again.transform(TRAINING[0][0])


def test_no_record_is_read_where_the_config_names_no_field():
    spec = fit(TRAINING, config("features.history.fields=[]"))
    assert spec.history is None
    assert "history" not in spec.modalities
    assert "history" not in spec.to_json()
    assert not any("history" in name for name in spec.shapes())


def test_what_no_training_film_has_is_not_read():
    numbers = fit(TRAINING, config()).history.numbers  # which asks for keywords, too
    assert any("companies" in name for name in numbers)
    assert not any("keywords" in name for name in numbers)
    undated = [(dataclasses.replace(f, release_date=None), o) for f, o in TRAINING]
    assert fit(undated, CONFIG).history is None


def test_the_fit_sees_training_films_only():
    later = [
        (dataclasses.replace(f, release_date=PartialDate(2050)), Outcome(10.0, 1e9))
        for f, _ in random_films(5)
    ]
    past = CONFIG.features.history
    one = history.build(TRAINING, past, CONFIG.targets)
    two = history.build([*TRAINING, *later], past, CONFIG.targets)
    assert fit(TRAINING, CONFIG, one) == fit(TRAINING, CONFIG, two)


def test_transforms_at_once_are_those_one_by_one():
    from mfp.data.tabular import NumberTransform, NumberTransforms

    rng = random.Random(0)
    columns = [[rng.gauss(0, 1) for _ in range(50)], [1.0] * 5, [0.0, 0.0, 3.0], [2.0, 5.0]]
    transforms = [NumberTransform.fit(c, linear) for c in columns for linear in (False, True)]
    values = np.array([[rng.uniform(-9, 9) for _ in transforms] for _ in range(40)])
    found = NumberTransforms(transforms)(values)
    expected = [[t(v) for t, v in zip(transforms, row, strict=True)] for row in values]
    np.testing.assert_allclose(found, expected, atol=2e-9)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ('features.history.fields=["plot"]', "'plot' cannot be used here"),
        ('features.history.outcomes=["ratings"]', "did you mean 'rating'"),
        ("features.history.outcomes=[]", "name rating or revenue"),
        ('features.history.clocks=["genre"]', "did you mean 'genres'"),
        ('features.history.fields=["cast", "cast"]', "twice"),
        ("features.history.half_life_years=0.1", "at least 0.5"),
        ("features.history.shrinkage=-1", "at least 0"),
    ],
)
def test_a_wrong_key_is_told(override: str, message: str):
    with pytest.raises(ConfigError, match=message):
        config(override)


def test_what_is_no_track_record_is_refused():
    values = SPEC.to_json()
    values["history"] = {"config": {"fields": "cast"}}
    with pytest.raises(ValueError, match="cast"):
        features.FeatureSpec.from_json(values)
    assert TrackRecord.from_json(SPEC.to_json()["history"]) == SPEC.history
