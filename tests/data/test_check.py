"""Planted leaks, twins, impossible values and shift are found and named; real films pass."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
from conftest import SHARED_FILMS, needs_shared_films

from mfp.config import HistoryConfig, TargetsConfig
from mfp.data import check, history, targets
from mfp.data.builder.movie_feedback import split_of
from mfp.data.check import Finding
from mfp.data.sources import FilmTable
from mfp.dates import PartialDate
from mfp.film import Film, Outcome
from mfp.schema import SplitConfig
from mfp.tables import Record

Splits = dict[str, list[tuple[Film, Outcome]]]
PAST = HistoryConfig(fields=("directors", "cast"))


@pytest.fixture(scope="module")
def real(dataset) -> Splits:
    return {name: list(films) for name, films in dataset.splits.items()}


def grave(splits: Splits) -> list[Finding]:
    return [found for found in check.check(splits, PAST, None, TargetsConfig()) if found.grave]


def planted(splits: Splits, change: Callable[[Film, Outcome], dict]) -> Splits:
    """The films with some fields replaced."""
    return {
        name: [(dataclasses.replace(f, **change(f, o)), o) for f, o in pairs]
        for name, pairs in splits.items()
    }


def own(value: float | None) -> dict:
    return {"numbers": () if value is None else (("number:x", value),)}


def hit(film: Film, outcome: Outcome) -> float | None:
    return targets.value("hit", film, outcome, TargetsConfig())


def test_the_bundled_films_pass(real):
    assert grave(real) == []
    pairs = [pair for split in real.values() for pair in split]
    table = history.build(pairs, PAST, TargetsConfig())
    assert list(check.futures(pairs, PAST, table)) == []


@needs_shared_films
def test_the_real_table_passes_and_its_small_budgets_are_told():
    config = SplitConfig("2009-12-31", "2011-12-31", "2013-12-31")
    splits: Splits = {"train": [], "validation": [], "test": []}
    for record in FilmTable(SHARED_FILMS / "films.csv", None, lambda _: None).records():
        assert isinstance(record, Record)
        split = split_of(record.film.release_date, config)
        if split:
            splits[split].append((record.film, record.outcome))
    found = check.check(splits, PAST, None, TargetsConfig())
    assert not any(finding.grave for finding in found)
    assert any("budget_usd is outside 1,000" in str(finding) for finding in found)
    # A number known only after release, as the budget: told by the column that it is.
    leaky = planted(splits, lambda film, _: {"budget_usd": film.vote_count or None})
    messages = [finding.message for finding in grave(leaky)]
    assert any(
        m.startswith("budget_usd is vote_count, which is known only after") for m in messages
    )
    # The same where that column was removed, not only renamed: told by its values.
    leaky = planted(leaky, lambda film, _: {"vote_count": None})
    messages = [finding.message for finding in grave(leaky)]
    assert any("budget_usd is outside 1,000" in m and "which column is it?" in m for m in messages)


@pytest.mark.parametrize(
    ("plant", "named"),
    [
        (lambda f, o: {"runtime_minutes": o.rating and 10 * o.rating}, "runtime_minutes alone"),
        (lambda f, o: {"runtime_minutes": o.rating and 100 - o.rating}, "runtime_minutes alone"),
        (lambda f, o: {"keywords": (f"score {o.rating}",)}, "keywords alone tells"),
        (lambda f, o: {"plot": f"A film. {o.rating}/10"}, "rating stands in plot"),
        (lambda f, o: {"certificate": str(o.rating)}, "certificate holds numbers"),
        (lambda f, o: {"companies": (f"grade{o.rating}", "Fox")}, "companies alone tells"),
        # A number of the table's own, as it is, rounded to a class, or there for some films only.
        (lambda f, o: own(o.rating), "number:x is rating, which is known only after release"),
        (lambda f, o: own(o.revenue_usd), "number:x is revenue_usd"),
        (lambda f, o: own(hit(f, o)), "number:x alone tells 100% of the variance of hit"),
        (lambda f, o: own(hit(f, o) or None), "whether number:x is there alone tells 100%"),
        # A name among others, a word in a text.
        (lambda f, o: {"cast": f.cast + ("Oscar",) * bool(hit(f, o))}, "cast alone tells"),
        (lambda f, o: {"title": f"{f.title} {'acclaimed' if hit(f, o) else ''}"}, "title alone"),
        (
            lambda f, o: {"tagline": f"{(o.revenue_usd or 0) / 1e6:.0f} million"},
            "revenue_usd stands",
        ),
    ],
)
def test_a_copy_of_an_outcome_is_found_and_named(real, plant, named):
    found = grave(planted(real, plant))
    assert any(finding.kind == "leak" and named in finding.message for finding in found)


def test_a_post_release_number_under_another_name_is_found(real):
    leaky = planted(real, lambda f, o: {"runtime_minutes": f.vote_count and 60 + f.vote_count})
    assert any("runtime_minutes is vote_count" in finding.message for finding in grave(leaky))


@pytest.mark.parametrize(("noise", "found"), [(0.3, True), (3.0, False)])
def test_a_noisy_copy_is_found_and_a_weak_one_is_not(real, noise, found):
    """As far as it tells more than anything known before release can."""
    rng = np.random.default_rng(0)
    leaky = planted(real, lambda f, o: own(o.rating and o.rating + rng.normal(0, noise)))
    said = "number:x alone tells"
    assert any(m.message.startswith(said) for m in grave(leaky)) == found


def test_a_name_that_speaks_of_later_is_told(real):
    named = planted(real, lambda f, o: {"numbers": (("number:opening_weekend", 1.0),)})
    (found,) = [f for f in check.check(named, PAST, None, TargetsConfig()) if f.kind == "leak"]
    assert not found.grave
    assert "number:opening_weekend is named like a thing" in found.message
    assert "(opening, weekend)" in found.message


def test_a_later_film_in_a_track_record_is_found_and_named(real):
    pairs = [pair for split in real.values() for pair in split]
    last, outcome = max(
        (p for p in pairs if p[0].directors and p[1].rating is not None),
        key=lambda pair: str(pair[0].release_date),
    )
    director = last.directors[0]
    early = Film("Debut", release_date=PartialDate(1948, 6, 1), directors=(director,))
    everyone = [*pairs, (early, Outcome(rating=6.0))]
    honest = history.build(everyone, PAST, TargetsConfig())
    assert list(check.futures(everyone, PAST, honest)) == []
    moved = (dataclasses.replace(last, release_date=PartialDate(1945)), outcome)
    leaky = history.build([*everyone, moved], PAST, TargetsConfig())
    found = list(check.futures(everyone, PAST, leaky))
    assert found
    assert all(finding.grave for finding in found)
    assert "the rating of a later film is in the track record" in found[0].message


def test_twins_in_two_splits_are_found(real):
    film, outcome = real["train"][0]
    copied = real | {"test": [*real["test"], (film, outcome)]}
    assert any("ids stand in two splits" in finding.message for finding in grave(copied))
    named = [pair for pair in real["train"] if pair[0].directors][:40]
    renamed = [(dataclasses.replace(f, id=f"new{i}"), o) for i, (f, o) in enumerate(named)]
    found = grave(real | {"test": [*real["test"], *renamed]})
    assert any("with the same outcome" in finding.message for finding in found)
    one = list(check.twins(real | {"test": [*real["test"], renamed[0]]}))
    assert [finding.grave for finding in one] == [False]


def test_impossible_values_are_told_with_examples():
    pairs = [(Film(f"film {i}", budget_usd=75.0 if i < 5 else 1e6), Outcome()) for i in range(100)]
    (found,) = check.impossible(pairs)
    assert not found.grave
    assert "in 5 of 100 films ('film 0' 75; 'film 1' 75; 'film 2' 75; 2 more)" in found.message


def test_shift_is_told():
    rng = np.random.default_rng(0)

    def films(runtime: float) -> list[tuple[Film, Outcome]]:
        return [(Film("x", runtime_minutes=rng.normal(runtime, 9)), Outcome()) for _ in range(500)]

    assert list(check.shifts(films(100), films(100))) == []
    (found,) = check.shifts(films(100), films(115))
    assert found.message.startswith("runtime_minutes differs between train and test")
    (found,) = check.shifts(films(100), [(Film("x"), Outcome())] * 500)
    assert found.message == "runtime_minutes is missing in 0% of train, 100% of test"


def test_stability_by_hand():
    before, after = np.arange(1000.0), np.concatenate([np.arange(500.0)] * 2)
    # Tenths 0-4 hold 0.2 instead of 0.1, the others nothing (0.5 of a film).
    p, q, nothing = 100.5 / 1005, 200.5 / 1005, 0.5 / 1005
    expected = 5 * (q - p) * np.log(q / p) + 5 * (nothing - p) * np.log(nothing / p)
    assert check.stability(before, after) == pytest.approx(expected, rel=0.02)
