"""What a planner varies: every form of --vary, bounded, with errors that name the remedy."""

from __future__ import annotations

import pytest

from mfp.dates import PartialDate
from mfp.film import Film
from mfp.forecast import axes
from mfp.forecast.axes import Axis, PlanError


@pytest.mark.parametrize(
    ("text", "count", "first", "last"),
    [
        ("2015-01-01..2015-12-31/week", 53, "2015-01-01", "2015-12-31"),
        ("2015-01-01..2015-12-31", 53, "2015-01-01", "2015-12-31"),  # weeks
        ("2015-01..2015-12/week", 53, "2015-01-01", "2015-12-31"),
        ("2015-02-27..2015-03-02/day", 4, "2015-02-27", "2015-03-02"),
        ("2015-01-31..2015-04-30/month", 4, "2015-01-31", "2015-04-30"),
        ("2015-01-31..2015-04-29/month", 3, "2015-01-31", "2015-03-31"),
        ("2015-11..2016-02/month", 4, "2015-11", "2016-02"),
        ("2012-02-29..2016/year", 5, "2012-02-29", "2016-02-29"),
        ("2012..2015/year", 4, "2012", "2015"),
        ("2015-03,2015-05-01", 2, "2015-03", "2015-05-01"),
    ],
)
def test_dates(text, count, first, last):
    axis = axes.parse(f"release_date={text}")
    assert axis.field == "release_date"
    assert (len(axis.values), axis.labels[0], axis.labels[-1]) == (count, first, last)
    assert axis.ordered


def test_a_month_later_than_the_31st_is_the_last_day():
    found = axes.parse("release_date=2015-01-31..2015-03-31/month").values
    assert found[1] == PartialDate(2015, 2, 28)


def test_dollars_stand_at_equal_ratios_and_others_at_equal_steps():
    assert axes.parse("budget_usd=1e6..1e8/3").values == (1e6, 1e7, 1e8)
    assert axes.parse("budget=1M..100M/3").values == (1e6, 1e7, 1e8)  # an alias, and M
    assert len(axes.parse("budget_usd=1e7..1e8").values) == 10
    assert axes.parse("runtime_minutes=90..150/4").values == (90, 110, 130, 150)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("certificate=PG|PG-13", ("PG", "PG-13")),
        ("poster=a.jpg,b.jpg", ("a.jpg", "b.jpg")),
        ("poster=a,1.jpg|b.jpg", ("a,1.jpg", "b.jpg")),
        ("poster=a.jpg,", ("a.jpg", "")),
        ("budget_usd=10M,20M", (1e7, 2e7)),
        ("budget_usd=,20M", (None, 2e7)),
        ("directors=A. Coen;B. Coen|C. Mann", (("A. Coen", "B. Coen"), ("C. Mann",))),
        ("certificate=PG|PG", ("PG",)),
        ("plot=A war. In space..|A war", ("A war. In space..", "A war")),
    ],
)  # fmt: skip
def test_lists(text, values):
    assert axes.parse(text).values == values


def test_what_is_not_given_is_shown_so():
    assert axes.parse("poster=a.jpg,").labels == ("a.jpg", "(none)")
    assert axes.parse("budget_usd=1e7,").labels == ("10,000,000", "(none)")
    assert not axes.parse("budget_usd=1e7,").ordered
    assert not axes.parse("certificate=PG|R").ordered


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("budget_usd", "write FIELD=VALUES"),
        ("budgets=1", "FIELD is one of title, release_date"),
        ("rating=1..9/3", "write FIELD=VALUES"),
        ("vote_count=1,2", "known only after release"),
        ("release_date=2015-13-01..2016/week", "'2015-13-01' is not a day of the calendar"),
        ("release_date=2016..2015/week", "2016 is later than 2015"),
        ("release_date=2015..2016/fortnight", "'fortnight' is no step; write one of day, week"),
        ("release_date=1900..2015/day", "more than 1,000 steps"),
        ("release_date=soon,2015", "'soon' is not a date"),
        ("budget_usd=2e7..1e7/3", "2e7 is not below 1e7"),
        ("budget_usd=0..1e7/3", "0 is not below 1e7"),
        ("budget_usd=1e7..2e7/1", "'1' is no number of points; write 2 to 1,000"),
        ("budget_usd=1e7..2e7/few", "'few' is no number of points"),
        ("budget_usd=1e7..much", "'much' is not a number"),
        ("budget_usd=1,x", "'x' is not a number"),
        ("title=A||B", "a film needs a title"),
    ],
)
def test_what_cannot_be_varied_is_told(text, said):
    with pytest.raises(PlanError) as error:
        axes.parse(text)
    assert said in str(error.value)
    assert str(error.value).startswith(f"--vary {text}: ")
    assert "\n" not in str(error.value)


def test_the_product_has_the_last_axis_fastest():
    film = Film(title="x", certificate="R", runtime_minutes=80.0)
    found = list(axes.films(film, [axes.parse("certificate=PG|R"), axes.parse("runtime=90,100")]))
    assert [(f.certificate, f.runtime_minutes) for f in found] == [
        ("PG", 90),
        ("PG", 100),
        ("R", 90),
        ("R", 100),
    ]
    assert list(axes.films(film, [])) == [film]


def test_too_many_plans_and_a_field_twice_are_refused():
    days = axes.parse("release_date=2013..2014/day")
    budgets = Axis("budget_usd", tuple(float(i) for i in range(1, 101)))
    with pytest.raises(PlanError, match=r"730 x 100 makes 73,000 plans, at most 2,000; use larger"):
        list(axes.films(Film("x"), [days, budgets]))
    with pytest.raises(PlanError, match="release_date: is given twice"):
        list(axes.films(Film("x"), [days, days]))
    with pytest.raises(PlanError, match="1,001 values; at most 1,000"):
        axes.parse("runtime_minutes=" + ",".join(str(i) for i in range(1, 1002)))
