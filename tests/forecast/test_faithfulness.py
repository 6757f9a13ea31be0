"""Deletion: what is important moves the forecast more than as much at random."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from mfp.film import Film
from mfp.forecast import faithfulness
from mfp.forecast.faithfulness import Faithfulness, measure


def rows_of(found: list[Faithfulness]) -> dict[tuple[str, str], Faithfulness]:
    return {(row.kind, row.target): row for row in found}


@pytest.fixture(scope="module")
def planted(forecaster):
    """The rating is the number of known Westerns' genres; nothing else matters."""
    western = forecaster.bundle.spec.vocabularies["genres"].ids["western"]

    def run(inputs):
        shown = inputs["present/content"]
        rating = 5 + 2.0 * (inputs["sets/genres"] == western).any(axis=1) * shown
        still = np.full(len(shown), 0.5)
        outputs = {"rating": rating, "revenue": still, "hit": still}
        return {"outputs": outputs, "embedding": np.zeros((len(shown), 2))}

    return dataclasses.replace(forecaster.bundle, run=run)


FILMS = [
    (Film(title="x", genres=("Drama", "Western", "War"), cast=("A", "B", "C", "D", "E", name)), {})
    for name in "FGHIJKLMNO"
]


def test_a_planted_signal_is_found(planted):
    """One of nine members matters. It is always among the two that are important, and among
    two drawn with probability 2/9; as a modality it is one of three."""
    found = rows_of(measure(planted, FILMS, seed=0))
    member = found["member", "rating"]
    assert (member.films, member.hidden) == (10, 2)
    assert member.important == 2.0
    assert member.random == pytest.approx(2 * 2 / 9, abs=0.25)
    assert member.ratio == pytest.approx(member.important / member.random)
    assert member.low < member.ratio < member.high
    modality = found["modality", "rating"]
    assert modality.important == 2.0
    assert modality.random == pytest.approx(2 / 4)  # numbers, people, content, title
    assert found["member", "hit"].important == found["member", "hit"].random == 0


def test_what_pushes_one_way_goes_together():
    changes = np.array([0.5, -0.6, 0.4, 0.0, -0.1])
    assert faithfulness._pushing(changes, 2).tolist() == [0, 2]
    assert sorted(faithfulness._pushing(-changes, 2)) == [0, 2]
    assert sorted(faithfulness._pushing(np.array([0.5, -0.6, -0.4]), 2)) == [1, 2]


def test_the_same_seed_the_same_figures(planted):
    assert measure(planted, FILMS, seed=3) == measure(planted, FILMS, seed=3)
    assert measure(planted, FILMS, seed=3) != measure(planted, FILMS, seed=4)


def test_a_kind_with_too_few_parts_is_left_out(planted):
    few = [(Film(title="x", genres=("Drama", "Western", "War")), {})]
    assert {kind for kind, _ in rows_of(measure(planted, few, seed=0))} == {"modality"}
    nothing = [(Film(title=""), {})]
    assert measure(planted, nothing, seed=0) == []


def test_a_sample_is_seeded_distinct_and_bounded():
    chosen = faithfulness.sample(1000, seed=1)
    assert chosen == faithfulness.sample(1000, seed=1) != faithfulness.sample(1000, seed=2)
    assert len(set(chosen)) == faithfulness.FILMS
    assert chosen == sorted(chosen)
    assert faithfulness.sample(3, seed=1) == [0, 1, 2]


def test_the_explanations_of_a_real_bundle_are_faithful(forecaster, run):
    films = [(film, {}) for film, _ in run.films["validation"][:60]]
    told = []
    found = rows_of(measure(forecaster.bundle, films, seed=0, advance=lambda: told.append(1)))
    assert len(told) == 60
    for target in ("rating", "revenue", "hit"):
        assert found["modality", target].low > 1
        assert found["member", target].low > 1
