from __future__ import annotations

import pytest

from mfp import film, prices
from mfp.dates import PartialDate
from mfp.film import Film


def test_dollars_of_2000_by_the_index_of_the_year_before():
    # CPI-U: 1999 is 166.6, 2000 is 172.2, 1979 is 72.6.
    assert prices.constant_dollars(100.0, 2001) == pytest.approx(100.0)
    assert prices.constant_dollars(100.0, 1980) == pytest.approx(100 * 172.2 / 72.6)


def test_years_outside_the_table_take_its_nearest():
    assert prices.constant_dollars(1.0, 1900) == prices.constant_dollars(1.0, 1914)
    beyond = prices.LAST_YEAR + 1
    assert prices.constant_dollars(1.0, beyond + 30) == prices.constant_dollars(1.0, beyond)


def test_the_budget_in_constant_dollars_needs_budget_and_date():
    dated = Film("x", budget_usd=1e6, release_date=PartialDate(1980))
    assert film.number(dated, "budget_constant_usd") == pytest.approx(1e6 * 172.2 / 72.6)
    assert film.number(Film("x", budget_usd=1e6), "budget_constant_usd") is None
    assert film.number(Film("x", release_date=PartialDate(1980)), "budget_constant_usd") is None


@pytest.mark.parametrize(
    ("date", "season"),
    [
        (PartialDate(2014, 11, 25), 0.0),
        (PartialDate(2014, 11, 26), 1.0),  # the day before Thanksgiving 2014
        (PartialDate(2014, 12, 25), 1.0),
        (PartialDate(2015, 1, 1), 1.0),
        (PartialDate(2015, 1, 2), 0.0),
        (PartialDate(2014, 12), None),
    ],
)
def test_the_holiday_season(date: PartialDate, season: float | None):
    assert film.number(Film("x", release_date=date), "holiday_season") == season
