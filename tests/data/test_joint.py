"""Effects estimated together: by hand, against least squares, and never from the future."""

from __future__ import annotations

import datetime
import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfp.config import HistoryConfig, TargetsConfig
from mfp.data import history, joint, track_record
from mfp.dates import PartialDate
from mfp.film import Film, Outcome

RULES = TargetsConfig()
FIELDS = ("directors", "cast", "genres", "countries")
PEOPLE = ("Ann", "Bob", "Cid", "Dee")


def film(date: str | None, rating: float | None = None, **fields) -> tuple[Film, Outcome]:
    known = None if date is None else PartialDate.parse(date)
    return Film(title="x", release_date=known, **fields), Outcome(rating)


def config(**keys) -> HistoryConfig:
    return HistoryConfig(
        **({"fields": FIELDS, "outcomes": ("rating",), "joint": 1.0, "delay_days": 0} | keys)
    )


def expected(collection, asked: list[Film]) -> np.ndarray:
    """What the members of films add and how unsure that is, [N, 2]."""
    cfg = config()
    table = history.build(collection, cfg, RULES)
    numbers = [n for n in track_record.numbers_of(cfg, frozenset()) if "together" in n.name]
    assert [n.name.split(": ")[1] for n in numbers] == ["rating expected", "rating unsure"]
    return track_record.statistics(asked, table, cfg)[:, [n.place for n in numbers]]


def test_one_outcome_is_shared_out_by_hand():
    past = [film("2000-01-01", 6.0), film("2000-01-02", 8.0, genres=("Drama",))]
    years = (datetime.date(2003, 1, 1) - datetime.date(2000, 1, 2)).days / 365.25
    asked = [film("2003-01-01", genres=("Drama",))[0], film("2003-01-01")[0]]
    found = expected(past, asked)
    level, drama = 4.8, 0.15  # priors; the first film told the level 6 and made it surer
    faded = 2.0 ** (-(1 / 365.25) / 480)
    level = 4.8 + (level - level**2 / (level + 1) - 4.8) * faded**2
    share = drama / (level + drama + 1)
    later = 2.0 ** (-years / 60)
    variance = drama + (drama - drama * share - drama) * later**2
    assert found[0] == pytest.approx([share * 2.0 * later, np.sqrt(variance)], rel=1e-6)
    assert found[1] == pytest.approx([0.0, 0.0])  # the level is not told


def test_credit_goes_to_whom_it_is_due():
    """Bob only ever plays beside Ann, who is good without him too."""
    past = []
    for year in range(1980, 2000):
        past.append(film(f"{year}-02-01", 8.0, cast=("Ann",)))
        past.append(film(f"{year}-03-01", 8.0, cast=("Ann", "Bob")))
        past.append(film(f"{year}-04-01", 5.0, cast=("Cid",)))
    asked = [film("2001", cast=(name,))[0] for name in ("Ann", "Bob", "Cid", "Dee")]
    ann, bob, cid, new = expected(past, asked)
    assert ann[0] > 0.5 > abs(bob[0])
    assert cid[0] < -0.5
    assert new[0] == 0  # nothing is known of Dee
    assert new[1] > bob[1] > ann[1]  # the more films, the surer


def test_effects_of_separate_members_are_those_of_ridge_regression():
    """With one member a film the diagonal is all there is: the exact posterior mean."""
    rng = np.random.default_rng(0)
    kinds = np.array([0, 0, 1, 2, 1, 0, 2, 2, 1])
    values = rng.normal(size=len(kinds))
    prior = 0.7
    members = joint.Members(
        keys=kinds.astype(np.uint64) + 10,
        factors=np.full(len(kinds), 0.5),
        priors=np.full(len(kinds), prior),
        rates=np.zeros(len(kinds)),
        counted=np.ones(len(kinds), bool),
        counts=np.ones(len(kinds), np.int64),
    )
    weights = rng.uniform(0.5, 2, len(kinds))
    ledger = joint.follow(members, np.arange(1, len(kinds) + 1), values, weights)
    last = np.full(3, 100)
    state, _ = ledger.before(np.arange(3, dtype=np.uint64) + 10, last)
    for k in range(3):
        x, w, y = 0.5, weights[kinds == k], values[kinds == k] - values[0]
        precision = 1 / prior + (w * x * x).sum()
        assert state["mean"][k] == pytest.approx((w * x * y).sum() / precision, rel=1e-5)
        assert state["variance"][k] == pytest.approx(1 / precision, rel=1e-5)


def some_films(seed: int, count: int = 30) -> list[tuple[Film, Outcome]]:
    rng = random.Random(seed)
    return [
        film(
            rng.choice(["1999", f"{rng.randint(1990, 2005)}-0{rng.randint(1, 9)}-11"]),
            rng.choice([None, *range(2, 10)]),
            directors=tuple(rng.sample(PEOPLE, rng.randint(0, 2))),
            cast=tuple(rng.sample(PEOPLE, rng.randint(0, 3))),
            genres=tuple(rng.sample(("Drama", "Crime", "War"), rng.randint(0, 2))),
            countries=tuple(rng.sample(("France", "Chile"), rng.randint(0, 1))),
            runtime_minutes=rng.choice([None, 20.0, 95.0, 600.0]),
        )
        for _ in range(count)
    ]


@given(seed=st.integers(0, 10**6), year=st.integers(1991, 2004))
@settings(max_examples=40, deadline=None)
def test_nothing_of_the_day_itself_or_later_is_told(seed: int, year: int):
    films = some_films(seed)
    day = PartialDate.parse(f"{year}-06-15")
    asked = [replace(f, release_date=day) for f, _ in films[:8]]
    past = [(f, o) for f, o in films if f.release_date.last_day() < day.first_day()]
    future = [(f, Outcome(10.0)) for f, _ in films if f.release_date.last_day() >= day.first_day()]
    np.testing.assert_array_equal(expected(past, asked), expected(past + future, asked))


@given(seed=st.integers(0, 10**6))
@settings(max_examples=20, deadline=None)
def test_the_order_of_films_and_of_names_does_not_matter(seed: int):
    films = some_films(seed)
    turned = [(replace(f, cast=f.cast[::-1], genres=f.genres[::-1]), o) for f, o in reversed(films)]
    asked = [replace(f, release_date=PartialDate.parse("2006")) for f, _ in films]
    again = [replace(f, cast=f.cast[::-1], genres=f.genres[::-1]) for f in asked]
    np.testing.assert_array_equal(expected(films, asked), expected(turned, again))


def test_within_a_day_values_do_not_pull_the_level_along():
    """Films of one year become known together: low ones must not be taken for the earlier."""
    rng = np.random.default_rng(1)
    past = [film("1990", 6.0, genres=("War",))]
    past += [
        film("2000", float(r), genres=("Drama",), directors=(f"d{i}",))
        for i, r in enumerate(rng.uniform(2, 10, 400))
    ]
    found = expected(past, [film("2005", genres=("Drama",))[0]])
    assert abs(found[0, 0]) < 0.6


def test_letter_case_does_not_matter():
    films = some_films(11)
    asked = [replace(f, release_date=PartialDate.parse("2006")) for f, _ in films]
    # "crime" stands after "Drama" where capitals come first
    mixed = [replace(f, genres=tuple(g.replace("C", "c") for g in f.genres)) for f in asked]
    found = expected(films, mixed)
    np.testing.assert_array_equal(expected(films, asked), found)


def test_films_of_many_members_and_none():
    crowd = tuple(f"g{i}" for i in range(300))
    films = [film("2000", 7.0, genres=crowd, countries=crowd), film("2001", 5.0), film(None, 9.0)]
    many = film("2003", genres=crowd, countries=crowd)[0]
    found = expected(films, [many, film("2003")[0], film(None, genres=crowd)[0]])
    assert np.isfinite(found[:2]).all()
    assert np.isnan(found[2]).all()  # of no date nothing can be told
    assert np.isnan(expected([], [films[0][0]])).all()


def test_a_film_without_people_is_told_nothing_where_they_are_an_input_of_their_own():
    films = some_films(7, 80)
    table = history.build(films, config(), RULES)
    groups = (("directors", "cast"), ("genres", "certificate"))
    record = track_record.TrackRecord.fit(
        [f for f, _ in films], table, config(), frozenset(), False, groups
    )
    at = list(record.numbers).index("all together: rating expected")
    day = PartialDate.parse("2006")
    asked = [replace(f, release_date=day) for f, _ in films]
    known = record.arrays(asked, table)["history/known"][:, at]
    whole = [bool((f.directors or f.cast) and f.genres) for f in asked]
    assert 0 < sum(whole) < len(whole)
    np.testing.assert_array_equal(known, whole)
    again = track_record.TrackRecord.from_json(record.to_json())
    np.testing.assert_array_equal(again.arrays(asked, table)["history/known"][:, at], whole)


def test_a_frozen_table_has_not_heard_of_what_came_later():
    films = some_films(3, 60)
    table = history.build(films, config(), RULES)
    until = datetime.date(1998, 12, 31)
    early = [(f, o) for f, o in films if f.release_date.last_day() <= until]
    asked = [replace(f, release_date=PartialDate.parse("2004-01-01")) for f, _ in films]
    told = track_record.statistics(asked, table.frozen(until), config())
    alone = track_record.statistics(asked, history.build(early, config(), RULES), config())
    np.testing.assert_allclose(told[:, -2:], alone[:, -2:], rtol=1e-6)


def test_effects_survive_their_files(tmp_path):
    films = some_films(5)
    table = history.build(films, config(), RULES)
    table.write(tmp_path / "t")
    again = history.HistoryTable.read(tmp_path / "t")
    asked = [replace(f, release_date=PartialDate.parse("2004")) for f, _ in films]
    one, other = (track_record.statistics(asked, t, config()) for t in (table, again))
    np.testing.assert_array_equal(one, other)
