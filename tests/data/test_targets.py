"""Outcome to targets: the hit rule's three values, verdicts, scaling."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfp.config import (
    ConfigError,
    HitConfig,
    RatingConfig,
    RevenueConfig,
    TargetsConfig,
    VerdictConfig,
)
from mfp.data import targets
from mfp.data.targets import TargetSpec
from mfp.film import VERDICTS, Film, Outcome

ALL = TargetsConfig(verdict=VerdictConfig(loss_weight=1.0))


def hit(config: HitConfig, rating=None, revenue=None, budget=None) -> float | None:
    film, outcome = Film("x", budget_usd=budget), Outcome(rating, revenue)
    return targets.value("hit", film, outcome, TargetsConfig(hit=config))


def test_rating_and_revenue():
    outcome = Outcome(7.5, 1e8)
    assert targets.value("rating", Film("x"), outcome, ALL) == 7.5
    assert targets.value("revenue", Film("x"), outcome, ALL) == 8.0
    trusted = TargetsConfig(revenue=RevenueConfig(minimum_usd=1e4))
    assert targets.value("revenue", Film("x"), Outcome(revenue_usd=9999.0), trusted) is None
    assert targets.value("revenue", Film("x"), Outcome(revenue_usd=1e4), trusted) == 4.0
    for name in ("rating", "revenue", "hit", "verdict"):
        assert targets.value(name, Film("x"), Outcome(), ALL) is None


BOTH = HitConfig(rating_at_least=7.0, revenue_at_least_usd=1e6)


@pytest.mark.parametrize(
    ("rating", "revenue", "expected"),
    [
        (7.0, 1e6, 1.0),
        (7.0, 1.0, 1.0),
        (6.9, 1e6, 1.0),
        (6.9, 1.0, 0.0),
        # One rule that holds is enough; "no" needs every rule to be known.
        (7.0, None, 1.0),
        (None, 1e6, 1.0),
        (6.9, None, None),
        (None, 1.0, None),
        (None, None, None),
    ],
)
def test_the_hit_rule_has_three_values(rating, revenue, expected):
    assert hit(BOTH, rating, revenue) == expected


def test_a_rule_that_is_off_need_not_be_known():
    only_rating = HitConfig(rating_at_least=7.0)
    assert hit(only_rating, rating=6.0) == 0.0
    only_return = HitConfig(rating_at_least=0, revenue_over_budget=2.0)
    assert hit(only_return, rating=9.0, revenue=1e6) is None  # the budget is not known
    assert hit(only_return, revenue=2e6, budget=1e6) == 1.0
    assert hit(only_return, revenue=1.9e6, budget=1e6) == 0.0


KNOWN = st.none() | st.sampled_from([0.5, 1.0, 7.0, 9.0])
LIMIT = st.sampled_from([0.0, 1.0, 8.0])


@settings(max_examples=100)
@given(KNOWN, KNOWN, KNOWN, LIMIT, LIMIT, LIMIT)
def test_learning_more_never_changes_a_known_answer(rating, revenue, budget, a, b, c):
    config = HitConfig(rating_at_least=a, revenue_at_least_usd=b, revenue_over_budget=c)
    answer = hit(config, rating, revenue, budget)
    for filled in (0.5, 9.0):
        full = [filled if value is None else value for value in (rating, revenue, budget)]
        known = hit(config, *full)
        assert known is not None  # with everything known there is always an answer
        assert answer in (None, known)


def test_the_verdict_of_a_table_wins_over_the_thresholds():
    by_rating = TargetsConfig(verdict=VerdictConfig(1.0, "rating", (5.0, 6.5, 8.0)))
    verdict = lambda f, o, c=by_rating: targets.value("verdict", f, o, c)  # noqa: E731
    film = Film("x", budget_usd=1e6)
    found = [verdict(film, Outcome(r)) for r in (4.9, 5.0, 6.5, 8.0, 10.0)]
    assert found == [0, 1, 2, 3, 3]
    assert verdict(film, Outcome(4.0, verdict="superhit")) == VERDICTS.index("superhit") == 3
    by_return = TargetsConfig(verdict=VerdictConfig(1.0, "revenue_over_budget", (1.0, 2.0, 3.0)))
    assert verdict(film, Outcome(9.0, 2.5e6), by_return) == 2
    assert verdict(Film("x"), Outcome(9.0, 2.5e6), by_return) is None


def films(*outcomes: Outcome) -> list[tuple[Film, Outcome]]:
    return [(Film("x"), outcome) for outcome in outcomes]


def test_scales_are_those_of_the_known_training_values():
    spec = TargetSpec.fit(
        films(Outcome(4.0, 1e4), Outcome(8.0, 1e6), Outcome(revenue_usd=1e8)), TargetsConfig()
    )
    assert spec.names == ("rating", "revenue", "hit")
    assert spec.mean == {"rating": 6.0, "revenue": 6.0}
    assert spec.deviation == {"rating": 2.0, "revenue": pytest.approx(math.sqrt(8 / 3))}
    assert spec.scale("rating", 8.0) == 1.0
    assert spec.scale("hit", 1.0) == 1.0


def test_a_target_that_no_training_film_has_is_left_out():
    spec = TargetSpec.fit(films(Outcome(4.0), Outcome(8.0)), TargetsConfig())
    assert spec.names == ("rating", "hit")
    with pytest.raises(ConfigError, match="no training film has any of rating, revenue, hit"):
        TargetSpec.fit(films(Outcome()), TargetsConfig())
    off = TargetsConfig(rating=RatingConfig(0.0), hit=HitConfig(0.0))
    assert TargetSpec.fit(films(Outcome(4.0, 10.0)), off).names == ("revenue",)


@pytest.mark.parametrize("rating", [6.3, 7.1, 0.1, 5.0])
@pytest.mark.parametrize("count", [1, 3, 7, 10])
def test_equal_values_do_not_explode(rating: float, count: int):
    # Rounding leaves a deviation of 1e-16, by which another film's rating must not be divided.
    spec = TargetSpec.fit(films(*[Outcome(rating)] * count), TargetsConfig())
    assert abs(spec.scale("rating", rating + 1)) == pytest.approx(1)


def test_a_spec_survives_json():
    spec = TargetSpec.fit(films(Outcome(4.1, 1e4), Outcome(8.3, 3e6)), ALL)
    assert TargetSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec


def test_a_rating_of_few_votes_counts_less_in_the_loss_only():
    config = TargetsConfig(rating=RatingConfig(votes_half=20))
    films = [Film("x", vote_count=votes) for votes in (0.0, 20.0, 180.0)]
    assert [targets.weight("rating", film, config) for film in films] == [0.0, 0.5, 0.9]
    assert targets.weight("rating", Film("x"), config) == 1.0
    assert targets.weight("revenue", films[0], config) == 1.0
    assert targets.weight("rating", films[1], TargetsConfig()) == 1.0
    assert targets.value("rating", films[0], Outcome(rating=6.0), config) == 6.0


@pytest.mark.parametrize("names", [[[]], [None], [1], ["rating", {}]])
def test_names_that_are_no_texts_are_refused(names):
    with pytest.raises(ValueError, match="names of targets"):
        TargetSpec.from_json({"names": names, "mean": {}, "deviation": {}})
