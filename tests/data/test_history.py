"""What was known on a day: by hand, against the definition, and never from the future."""

from __future__ import annotations

import datetime
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfp.config import HistoryConfig, RatingConfig, RevenueConfig, TargetsConfig
from mfp.data import history, targets
from mfp.data.history import FILMS, HistoryTable
from mfp.data.ledger import Ledger, _running, member_key
from mfp.dates import PartialDate
from mfp.film import Film, Outcome

FIELDS = ("directors", "cast", "genres")
RULES = TargetsConfig(revenue=RevenueConfig(minimum_usd=100.0))
PEOPLE = ("Ann", "Bob", "Cid")
PLACES = [*(("directors", p) for p in PEOPLE), *(("people", p) for p in PEOPLE),
          *(("genres", g) for g in ("Crime", "Drama"))]  # fmt: skip


def config(**keys) -> HistoryConfig:
    return HistoryConfig(**({"fields": FIELDS, "delay_days": 30, "any_role": True} | keys))


def film(date: str | None, rating: float | None = None, revenue: float | None = None, **fields):
    known = None if date is None else PartialDate.parse(date)
    return Film(title="x", release_date=known, **fields), Outcome(rating, revenue)


def asked(table: HistoryTable, outcome: str, space: str, name: str, date: str | PartialDate):
    """What is told of a member to a film of a date."""
    date = PartialDate.parse(date) if isinstance(date, str) else date
    key = np.array([member_key(space, name)], np.uint64)
    return table.known(outcome, key, np.array([history.asked_on(date)]))


def made(table: HistoryTable, director: str, date: str) -> int:
    key = np.array([member_key("directors", director)], np.uint64)
    count, _ = table.made(key, np.array([history.asked_on(PartialDate.parse(date))]))
    return int(count[0])


def test_a_record_by_hand():
    films = [
        film("2000-01-01", 6.0, directors=("Ann",)),
        film("2001-01-01", 8.0, directors=("Ann",), cast=("Bob",)),
        film("2002-01-01", 4.0, cast=("Ann",)),
    ]
    year = 365.25
    raw = history.build(films, config(stationary=False, half_life_years=1.0, delay_days=0), RULES)
    found = asked(raw, "rating", "directors", "ann ", "2003-01-01")
    days = np.array(
        [(datetime.date(2003, 1, 1) - datetime.date(y, 1, 1)).days for y in (2000, 2001)]
    )
    weights = 2.0 ** (-days / year)
    mean = (weights @ [6, 8]) / weights.sum()
    assert found.count == 2
    assert found.weight == pytest.approx(weights.sum(), rel=1e-6)
    assert found.mean == pytest.approx(mean, rel=1e-6)
    spread = math.sqrt(weights @ (np.array([6, 8]) - mean) ** 2 / weights.sum())
    assert found.spread == pytest.approx(spread, rel=1e-5)
    assert (found.best, found.last) == (8, 8)
    assert found.released == datetime.date(2001, 1, 1).toordinal()
    in_any_role = asked(raw, "rating", "people", "Ann", "2003-01-01")
    assert (in_any_role.count, in_any_role.best, in_any_role.last) == (3, 8, 4)
    assert asked(raw, "rating", "cast", "Bob", "2003-01-01").mean == 8
    assert asked(raw, "rating", "directors", "Bob", "2003-01-01").count == 0
    assert asked(raw, "revenue", "directors", "Ann", "2003-01-01").count == 0
    assert made(raw, "Ann", "2001-01-01") == 1


def test_a_stationary_outcome_is_a_difference_from_what_films_had_been_like():
    films = [
        film("2000-01-01", 6.0, directors=("Ann",)),  # nothing known before: it does not enter
        film("2001-01-01", 8.0, directors=("Ann",)),
        film("2002-01-01", 4.0, directors=("Ann",)),
    ]
    table = history.build(films, config(half_life_years=0.0), RULES)
    found = asked(table, "rating", "directors", "Ann", "2003")
    assert found.count == 2
    assert found.best == 2.0  # 8 - 6
    assert found.last == -3.0  # 4 - (6 + 8) / 2
    assert found.weight == 2
    assert found.mean == -0.5
    day = np.array([history.asked_on(PartialDate(2003))])
    assert table.mean_of_all("rating", day) == pytest.approx(6.0)
    assert np.isnan(table.mean_of_all("rating", np.array([history.asked_on(PartialDate(1999))])))


@pytest.mark.parametrize(
    ("released", "by", "known"),
    [
        ("2000-06-10", "2000-07-10", False),  # known on that day, not before
        ("2000-06-10", "2000-07-11", True),
        ("2000-06", "2000-07-01", False),  # may have opened on 30 June
        ("2000-06", "2000-07-30", False),
        ("2000-06", "2000-07-31", True),
        ("2000", "2000-12-31", False),
        ("2000", "2001", False),  # asked on 1 January, known on 30 January
        ("2000", "2001-01-30", False),
        ("2000", "2001-01-31", True),
        ("2000", "2002", True),
        ("2000", "2000", False),
        ("2000-12-01", "2001", True),  # 30 days later is 31 December
        ("2000-12-02", "2001", False),
        ("2001-01", "2001", False),
        ("2000-12-31", "2001-01", False),
    ],
)
def test_a_date_is_asked_for_at_its_beginning_and_known_after_its_end(released, by, known):
    films = [film(released, 7.0, directors=("Ann",))]
    table = history.build(films, config(stationary=False), RULES)
    assert asked(table, "rating", "directors", "Ann", by).count == known


def test_without_a_delay_an_outcome_is_known_the_day_after():
    films = [film("2000-06-10", 7.0, directors=("Ann",))]
    table = history.build(films, config(stationary=False, delay_days=0), RULES)
    assert asked(table, "rating", "directors", "Ann", "2000-06-10").count == 0
    assert asked(table, "rating", "directors", "Ann", "2000-06-11").count == 1


def test_a_film_without_a_date_enters_nowhere():
    films = [film("2000", 5.0, directors=("Ann",))]
    more = [*films, film(None, 9.0, directors=("Ann",))]
    one, two = (history.build(f, config(stationary=False), RULES) for f in (films, more))
    for outcome in (*config().outcomes, FILMS):
        for part in ("keys", "days", "states"):
            one_part, two_part = (getattr(t.ledgers[outcome], part) for t in (one, two))
            np.testing.assert_array_equal(one_part, two_part)


def test_an_untrusted_revenue_is_no_record():
    films = [film("2000", revenue=99.0, directors=("Ann",)),
             film("2000", revenue=1000.0, directors=("Ann",))]  # fmt: skip
    table = history.build(films, config(stationary=False), RULES)
    found = asked(table, "revenue", "directors", "Ann", "2002")
    assert (found.count, found.mean) == (1, 3.0)


def test_votes_weigh_a_rating_as_in_the_loss():
    rules = TargetsConfig(rating=RatingConfig(votes_half=10.0))
    films = [film("2000", 4.0, directors=("Ann",), vote_count=10.0),
             film("2000", 8.0, directors=("Ann",), vote_count=0.0)]  # fmt: skip
    table = history.build(films, config(stationary=False, half_life_years=0.0), rules)
    found = asked(table, "rating", "directors", "Ann", "2002")
    assert (found.count, found.weight, found.mean) == (1, 0.5, 4.0)


DATES = st.one_of(
    st.builds(PartialDate, st.integers(1999, 2003)),
    st.builds(PartialDate, st.integers(1999, 2003), st.integers(1, 12)),
    st.builds(PartialDate, st.integers(1999, 2003), st.integers(1, 12), st.integers(1, 28)),
)
MAYBE_DATE = st.one_of(st.none(), DATES)
NAMES = st.lists(st.sampled_from(PEOPLE), max_size=3).map(tuple)
RATING = st.one_of(st.none(), st.floats(0, 10).map(lambda x: round(x, 1)))
REVENUE = st.one_of(st.none(), st.floats(1, 9).map(lambda x: 10.0 ** round(x, 1)))


def pair(date, directors, cast, genres, rating, revenue):
    made = Film("x", release_date=date, directors=directors, cast=cast, genres=genres)
    return made, Outcome(rating, revenue)


FILM = st.builds(
    pair, MAYBE_DATE, NAMES, NAMES, st.sampled_from([(), ("Crime",), ("Drama", "Crime")]),
    RATING, REVENUE,
)  # fmt: skip
COLLECTION = st.lists(FILM, max_size=14)
CONFIGS = st.builds(
    config,
    stationary=st.booleans(),
    half_life_years=st.sampled_from([0.0, 0.5, 6.0]),
    delay_days=st.sampled_from([0, 30, 400]),
)


def events(collection, outcome, cfg, space, name, day):
    """(film, value) of what was known before a day, by the definition: O(n) a call."""
    found = []
    for made, result in collection:
        if made.release_date is None:
            continue
        date = made.release_date
        known_on = date.last_day().toordinal() + cfg.delay_days
        value = targets.value(outcome, made, result, RULES)
        fields = ("directors", "cast") if space == "people" else (space,)
        member = space == "all" or any(name in getattr(made, field) for field in fields)
        if value is not None and member and known_on < day:
            found.append((known_on, date.first_day().toordinal(), value))
    return found


def weighted(found, day, cfg):
    life = cfg.half_life_years * 365.25
    return np.array([2 ** ((known - day) / life) if life else 1.0 for known, _, _ in found])


def by_definition(collection, outcome, cfg, space, name, day):
    """count, weight, mean, spread, best, last, released: O(n^2)."""
    found = []
    for known_on, opened, value in events(collection, outcome, cfg, space, name, day):
        if cfg.stationary:
            before = events(collection, outcome, cfg, "all", "", opened)
            if not before:
                continue
            weights = weighted(before, opened, cfg)
            value -= weights @ [v for *_, v in before] / weights.sum()
        found.append((known_on, opened, value))
    if not found:
        return (0, 0, 0, 0, 0, 0, 0)
    weights, values = weighted(found, day, cfg), np.array([v for *_, v in found])
    mean = weights @ values / weights.sum()
    latest = max(known_on for known_on, *_ in found)
    return (
        len(found),
        weights.sum(),
        mean,
        math.sqrt(weights @ (values - mean) ** 2 / weights.sum()),
        values.max(),
        np.mean([v for known_on, _, v in found if known_on == latest]),
        max(opened for _, opened, _ in found),
    )


@settings(max_examples=30, deadline=None)
@given(COLLECTION, CONFIGS, DATES)
def test_a_table_tells_what_the_definition_says(collection, cfg, date):
    table = history.build(collection, cfg, RULES)
    day = history.asked_on(date)
    for outcome in cfg.outcomes:
        for space, name in PLACES:
            found = asked(table, outcome, space, name, date)
            expected = by_definition(collection, outcome, cfg, space, name, day)
            told = (found.count, found.weight, found.mean, found.spread, found.best, found.last,
                    found.released)  # fmt: skip
            told = [float(value[0]) for value in told]
            # A spread is a difference of squares in 32 bits: good to the root of that.
            assert told == pytest.approx(expected, rel=1e-4, abs=5e-3), (outcome, space, name)


def told_of(table: HistoryTable, date: PartialDate, cfg: HistoryConfig) -> list[bytes]:
    """Everything that a table tells to a film of a date, as bits."""
    days = np.full(len(PLACES), history.asked_on(date))
    keys = np.array([member_key(*place) for place in PLACES], np.uint64)
    told = []
    for outcome in cfg.outcomes:
        known = table.known(outcome, keys, days)
        told += [getattr(known, name).tobytes() for name in vars(known)]
    told += [array.tobytes() for array in table.made(keys, days)]
    return told + [table.mean_of_all(outcome, days).tobytes() for outcome in cfg.outcomes]


@settings(max_examples=30, deadline=None)
@given(COLLECTION, CONFIGS, DATES, st.data())
def test_nothing_of_the_day_itself_or_later_is_told(collection, cfg, date, data):
    """A planted film that opens when the film does, later, or is not known yet: not one bit."""
    first = date.first_day()
    later = PartialDate.parse(str(first + datetime.timedelta(days=data.draw(st.integers(0, 900)))))
    planted = [
        pair(later, PEOPLE, PEOPLE, ("Crime", "Drama"), 10.0, 1e9),
        pair(date, PEOPLE, PEOPLE, ("Crime", "Drama"), 0.0, 1e9),
        pair(PartialDate(first.year), PEOPLE, PEOPLE, ("Crime",), 10.0, 1e9),
        pair(PartialDate(first.year, first.month), PEOPLE, PEOPLE, ("Crime",), 10.0, 1e9),
    ]
    before = told_of(history.build(collection, cfg, RULES), date, cfg)
    for film_ in planted:
        position = data.draw(st.integers(0, len(collection)))
        with_it = [*collection[:position], film_, *collection[position:]]
        assert told_of(history.build(with_it, cfg, RULES), date, cfg) == before


def test_an_outcome_not_known_yet_is_not_told():
    """The film is: that she made one is known on the day after it opened."""
    films = [film("2000-06-10", 9.0, directors=("Ann",))]
    table = history.build(films, config(stationary=False), RULES)
    for date, count, known in [("2000-06-10", 0, 0), ("2000-06-11", 1, 0), ("2000-07-11", 1, 1)]:
        assert made(table, "Ann", date) == count
        assert asked(table, "rating", "directors", "Ann", date).count == known


@settings(max_examples=40, deadline=None)
@given(COLLECTION, CONFIGS, DATES)
def test_the_past_is_not_rewritten_when_later_films_are_added(collection, cfg, date):
    """Prefix property: with all films or only those released before, the same bits."""
    earlier = [
        (made, result)
        for made, result in collection
        if made.release_date is not None and made.release_date.first_day() < date.first_day()
    ]
    every, some = (history.build(films, cfg, RULES) for films in (collection, earlier))
    assert told_of(every, date, cfg) == told_of(some, date, cfg)


@settings(max_examples=40, deadline=None)
@given(COLLECTION, CONFIGS, st.randoms())
def test_the_order_of_the_films_does_not_matter(collection, cfg, random):
    shuffled = random.sample(collection, len(collection))
    one, two = (history.build(films, cfg, RULES) for films in (collection, shuffled))
    for outcome, ledger in one.ledgers.items():
        for part in ("keys", "days", "states"):
            np.testing.assert_array_equal(
                getattr(ledger, part), getattr(two.ledgers[outcome], part)
            )


@settings(max_examples=40, deadline=None)
@given(COLLECTION, CONFIGS, DATES, st.dates(datetime.date(1999, 1, 1), datetime.date(2003, 1, 1)))
def test_a_frozen_table_has_not_heard_of_what_came_later(collection, cfg, date, until):
    heard = [
        (made, result)
        for made, result in collection
        if made.release_date is not None
        and history.known_on(made.release_date, cfg.delay_days) <= until.toordinal()
    ]
    keys = np.array([member_key(*place) for place in PLACES], np.uint64)
    days = np.full(len(keys), history.asked_on(date))
    whole, part = (history.build(films, cfg, RULES) for films in (collection, heard))
    for outcome in cfg.outcomes:
        frozen = whole.frozen(until).known(outcome, keys, days)
        expected = part.known(outcome, keys, days)
        for name in vars(frozen):
            np.testing.assert_array_equal(getattr(frozen, name), getattr(expected, name))


def test_a_table_is_frozen_at_the_end_of_a_day():
    """Of films known on 31 January and on 1 February of 2000."""
    films = [film(date, 6.0, directors=("Ann",)) for date in ("2000-01-01", "2000-01-02")]
    table = history.build(films, config(delay_days=30, stationary=False), RULES)
    for day, count in ((30, 0), (31, 1)):
        frozen = table.frozen(datetime.date(2000, 1, day))
        assert asked(frozen, "rating", "directors", "Ann", "2003").count == count


def test_what_does_not_weigh_anything_is_no_mean_of_all():
    rules = TargetsConfig(rating=RatingConfig(votes_half=10.0))
    table = history.build([film("2000", 8.0, vote_count=0.0)], config(), rules)
    assert np.isnan(table.mean_of_all("rating", np.array([800_000])))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 150), min_size=1, max_size=6), st.integers(0, 2**32 - 1))
def test_running_sums_of_groups_short_and_long(lengths, seed):
    values = np.random.default_rng(seed).normal(size=sum(lengths))
    first = np.cumsum([0, *lengths[:-1]])
    found = _running(np.add, values, first)
    expected = [np.cumsum(group) for group in np.split(values, first[1:])]
    np.testing.assert_allclose(found, np.concatenate(expected))


def test_weights_of_a_century_stay_finite():
    dates = [f"{year}-06-01" for year in range(1870, 2101, 10)]
    films = [film(date, 7.0, directors=("Ann",)) for date in dates]
    table = history.build(films, config(stationary=False, half_life_years=0.5), RULES)
    found = asked(table, "rating", "directors", "Ann", "2100-12-01")
    assert found.mean == pytest.approx(7)
    assert found.weight == pytest.approx(2 ** -((183 - 30) / 365.25 / 0.5), rel=1e-5)


def test_no_films_tell_nothing():
    table = history.build([], config(), RULES)
    assert asked(table, "rating", "directors", "Ann", "2000").count == 0
    assert np.isnan(table.mean_of_all("rating", np.array([700_000])))


def test_an_empty_ledger_can_be_asked():
    empty = np.zeros(0)
    ledger = Ledger.build(empty.astype(np.uint64), empty.astype(int), empty, empty, empty, 0.0)
    states, since = ledger.before(np.array([1], np.uint64), np.array([5]))
    assert not states["count"].any()
    assert not since.any()
