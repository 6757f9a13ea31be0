"""What the comparison says: losses first, then what chance could do, then wins."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from mfp.training import compare
from mfp.training.rivals import Rival

RNG = np.random.default_rng(0)
TRUTH = RNG.normal(6, 1, 500)
GOOD, POOR = (TRUTH + RNG.normal(0, s, 500) for s in (0.5, 0.9))
FAIR = TRUTH + RNG.permutation(GOOD - TRUTH)  # as good as GOOD, on other films


def said(network, **rivals):
    predictions = {name: {"rating": p} for name, p in rivals.items()}
    found = compare.differences({"rating": TRUTH}, {"rating": network}, predictions)
    return compare.sentence(found)


def test_a_loss_is_said_first():
    text = said(POOR, mean=np.full(500, 6.0), lightgbm=GOOD)
    assert text.startswith("The network loses: rating R2 0.")
    assert "against lightgbm's 0." in text
    assert "mean" not in text


def test_an_interval_that_includes_0_is_said():
    text = said(GOOD, ridge=POOR, lightgbm=FAIR)
    assert text.startswith("No difference is shown (the interval includes 0): rating R2 0.")
    assert "lightgbm" in text
    assert "ridge" not in text


def test_a_win_names_the_nearest_rival():
    text = said(GOOD, mean=np.full(500, 6.0), ridge=POOR)
    assert text.startswith("The network wins: rating R2 0.")
    assert "ridge" in text
    assert "mean" not in text


def test_the_order_is_that_of_the_sentence_whatever_that_of_the_targets():
    truth = {"rating": TRUTH, "revenue": TRUTH}
    network = {"rating": GOOD, "revenue": POOR}
    found = compare.differences(truth, network, {"ridge": {"rating": POOR, "revenue": GOOD}})
    text = compare.sentence(found)
    assert text.index("The network loses: log10 box office R2") == 0
    assert text.index("The network wins: rating R2") > 0
    assert compare.sentence({}) == "There is nothing to compare the network with."


def test_differences_are_of_the_films_whose_truth_is_known():
    truth = TRUTH.copy()
    truth[100:] = np.nan
    found = compare.differences({"rating": truth}, {"rating": GOOD}, {"r": {"rating": POOR}}, 50)
    only = compare.differences(
        {"rating": TRUTH[:100]}, {"rating": GOOD[:100]}, {"r": {"rating": POOR[:100]}}, 50
    )
    assert found == only
    scores = found["rating"]["r"]
    assert set(scores) == {"r2", "rmse", "r2_without_bias", "rmse_without_bias"}
    assert scores["r2"]["difference"] == pytest.approx(
        scores["r2"]["network"] - scores["r2"]["rival"]
    )


def test_the_sentence_is_the_first_of_the_report(still):
    test = dataclasses.replace(still.splits["test"], truth={"rating": TRUTH})
    rivals = {"ridge": Rival({"rating": POOR}, {"rating": {"penalty": 3.0}})}
    found = compare.report(test, {"rating": GOOD}, rivals, refit=True)
    assert next(iter(found)) == "comparison"
    assert next(iter(found["comparison"])) == "verdict"
    assert found["comparison"]["verdict"].startswith("The network wins")
    assert found["comparison"]["chosen"] == {"ridge": {"rating": {"penalty": 3.0}}}
    assert found["comparison"]["refit"]
    assert found["baselines"]["ridge"]["rating"]["n"] == 500
