"""The fitted features: from training films only, the same in training and in use."""

from __future__ import annotations

import dataclasses
import json
import random

import numpy as np
import pytest
from conftest import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st

from mfp import config as configs
from mfp.config import Config, ConfigError
from mfp.data import features
from mfp.data.features import FeatureSpec
from mfp.data.fit import fit
from mfp.data.tabular import PADDING, UNKNOWN, fold
from mfp.dates import PartialDate
from mfp.film import Film, Outcome

NAMES = ("Ann", "Bob", "Cid", "Dan", "Eve", "Fay")


def config(*overrides: str) -> Config:
    return configs.load(ROOT / "configs" / "base.toml", overrides)


def random_films(seed: int, count: int = 40) -> list[tuple[Film, Outcome]]:
    """Films of which every field is missing now and then."""
    rng = random.Random(seed)
    maybe = lambda value, empty: value if rng.random() < 0.8 else empty  # noqa: E731
    names = lambda: maybe(tuple(rng.sample(NAMES, rng.randint(1, 4))), ())  # noqa: E731
    return [
        (
            Film(
                title=" ".join(rng.choices(["dark", "star", "love", "七人"], k=3)),
                id=f"{seed}-{i}",
                release_date=maybe(PartialDate(1950 + rng.randrange(50), rng.randint(1, 12)), None),
                runtime_minutes=maybe(rng.uniform(60, 200), None),
                budget_usd=maybe(10 ** rng.uniform(4, 8), None),
                genres=names(),
                directors=names(),
                cast=names(),
                companies=names(),
                certificate=maybe("PG", ""),
                plot=maybe(" ".join(rng.choices(["a", "man", "meets", "murder", "!"], k=9)), ""),
            ),
            Outcome(maybe(rng.uniform(1, 10), None), maybe(10 ** rng.uniform(3, 9), None)),
        )
        for i in range(count)
    ]


TRAINING = random_films(0)
CONFIG = config()
SPEC = fit(TRAINING, CONFIG)


def equal(one: features.Arrays, two: features.Arrays) -> bool:
    return one.keys() == two.keys() and all(np.array_equal(one[k], two[k]) for k in one)


def test_a_spec_survives_json_and_transforms_the_same():
    again = FeatureSpec.from_json(json.loads(json.dumps(SPEC.to_json())))
    assert again == SPEC
    again = again.with_table(SPEC.table)
    for film, _ in [*TRAINING, *random_films(1)]:
        assert equal(again.transform(film), SPEC.transform(film))


def test_a_fit_is_reproducible():
    assert fit(TRAINING, CONFIG) == SPEC


@pytest.mark.parametrize("values", [{}, {"numbers": 3}, {"numbers": {"a": {"knots": [1]}}}])
def test_what_is_no_spec_is_refused(values: dict):
    with pytest.raises(ValueError, match="not a feature spec"):
        FeatureSpec.from_json(values)


def test_every_array_has_the_shape_and_type_that_is_promised():
    shapes = SPEC.shapes()
    for film in (TRAINING[0][0], Film("x"), random_films(9, 1)[0][0]):
        arrays = SPEC.transform(film)
        assert arrays.keys() == shapes.keys()
        for name, (shape, dtype) in shapes.items():
            assert arrays[name].shape == shape, name
            assert arrays[name].dtype == dtype, name
            assert np.all(np.isfinite(arrays[name])), name


def test_stack_is_the_transform_of_each_film():
    films = [film for film, _ in TRAINING[:5]]
    stacked = SPEC.stack(films)
    for i, film in enumerate(films):
        assert equal({name: array[i] for name, array in stacked.items()}, SPEC.transform(film))


def test_a_missing_field_is_marked_and_not_filled_in():
    empty = SPEC.transform(Film("dark"))
    assert not empty["numbers/known"].any()
    assert not empty["numbers/values"].any()
    present = {name for name in empty if name.startswith("present/") and empty[name]}
    assert present == {"present/title"}
    assert not empty["sets/cast"].any()
    full = SPEC.transform(Film("dark", cast=("Ann",), runtime_minutes=100.0))
    assert full["present/people"] == full["present/numbers"] == 1
    assert full["present/content"] == 0
    assert full["numbers/known"].sum() == 2  # the runtime, and the number of its cast


def test_a_stranger_is_unknown_and_present():
    found = SPEC.transform(Film("zzz", directors=("Nobody Ever",)))
    assert found["sets/directors"].tolist()[0] == UNKNOWN
    assert set(found["texts/title"].tolist()) == {UNKNOWN, PADDING}
    assert found["present/people"] == found["present/title"] == 1


def test_people_share_one_vocabulary():
    film = Film("x", directors=("Ann",), cast=("Ann",))
    found = SPEC.transform(film)
    assert found["sets/directors"][0] == found["sets/cast"][0] > UNKNOWN


@settings(max_examples=30, deadline=None)
@given(st.permutations(NAMES))
def test_the_order_of_the_cast_matters_only_where_it_is_ordered(names: list[str]):
    one = SPEC.transform(Film("x", cast=NAMES))
    assert equal(one, SPEC.transform(Film("x", cast=tuple(names))))
    billed = dataclasses.replace(SPEC, ordered=frozenset({"cast"}))
    ids = billed.transform(Film("x", cast=tuple(names)))["sets/cast"].tolist()
    vocabulary = SPEC.vocabularies["people"].ids
    length = SPEC.lengths["cast"]
    assert ids == [vocabulary.get(fold(name), UNKNOWN) for name in names][:length]


def test_a_configured_field_that_no_film_has_is_left_out():
    assert "tagline" in SPEC.absent
    assert "keywords" in SPEC.absent
    assert not {"tagline", "keywords"} & set(SPEC.fields)
    with pytest.raises(ConfigError, match="no training film has any of tagline"):
        fit(
            TRAINING,
            config(
                "features.numbers=[]",
                'features.texts=["tagline"]',
                *(f"features.sets.{name}=[]" for name in ("people", "content", "origin")),
            ),
        )


def test_lengths_are_bounded_by_config_and_by_what_films_have():
    assert SPEC.lengths["cast"] == 4
    longest = max(len(film.plot.split()) for film, _ in TRAINING)
    assert SPEC.lengths["plot"] == longest == 9
    small = fit(TRAINING, config("features.max_members=2", "features.max_tokens=5"))
    assert small.lengths["cast"] == 2
    assert small.lengths["plot"] == 5


def test_a_name_of_too_few_films_is_unknown():
    films = [(Film("x", cast=("Ann", "Rare")), Outcome(5.0)), (Film("x", cast=("Ann",)), Outcome())]
    spec = fit(films, CONFIG)
    assert spec.vocabularies["people"].names == ("Ann",)
    twice = [*films, (Film("x", directors=("rare",)), Outcome())]
    assert len(fit(twice, CONFIG).vocabularies["people"].names) == 2


def test_post_release_numbers_enter_a_post_release_model():
    votes = [(dataclasses.replace(f, vote_count=float(i)), o) for i, (f, o) in enumerate(TRAINING)]
    after = config("as_of=post_release", 'features.numbers=["vote_count"]')
    spec = fit(votes, after)
    assert spec.transform(votes[-1][0])["numbers/values"][0] > 1


def test_only_training_films_are_fitted_on(dataset, debug_config: Config):
    """The films of the other splits may be anything: the loop passes them to no fit."""
    train = list(dataset.splits["train"])[:300]
    later = list(dataset.splits["validation"]) + list(dataset.splits["test"])
    spec = fit(train, debug_config)
    known = {fold(n) for f, _ in train for n in (*f.cast, *f.directors, *f.writers)}
    strange = {fold(n) for f, _ in later for n in (*f.cast, *f.directors, *f.writers)} - known
    assert strange  # or the test could not fail
    assert not strange & set(spec.vocabularies["people"].ids)
    ratings = [o.rating for _, o in train if o.rating is not None]
    assert spec.targets.mean["rating"] == pytest.approx(np.mean(ratings))
    # Transforming the later films changes nothing that was fitted.
    before = json.dumps(spec.to_json())
    spec.stack([film for film, _ in later[:50]])
    assert json.dumps(spec.to_json()) == before
