"""Rivals and what is served, for a terminal."""

from __future__ import annotations

from rich.console import Console

from mfp.report import rival_tables


def difference(outcome: str, value: float) -> dict:
    low, high = value - 0.02, value + 0.02
    return {"network": 0.3, "rival": 0.3 - value, "difference": value, "low": low, "high": high,
            "outcome": outcome}  # fmt: skip


COMPARISON = {
    "refit": True,
    "differences": {
        "rating": {
            "lightgbm": {
                "r2": difference("loses", -0.05),
                "r2_without_bias": difference("includes 0", 0.01),
                "rmse": difference("loses", 0.04),
            }
        },
        "hit": {"logistic": {"auc": difference("wins", 0.03)}},
    },
}


def test_a_row_for_each_metric_with_its_interval_and_without_bias():
    rows = dict(rival_tables.difference_rows(COMPARISON))
    assert list(rows) == ["rating R2, lightgbm", "rating RMSE, lightgbm", "hit AUC, logistic"]
    r2 = rows["rating R2, lightgbm"]
    assert r2 == [
        "0.300",
        "0.350",
        "-0.050",
        "-0.070 to -0.030",
        "+0.010, -0.010 to +0.030",
        "loses",
    ]
    assert rows["hit AUC, logistic"][-2:] == ["-", "wins"]
    console = Console(width=140)
    with console.capture() as captured:
        console.print(rival_tables.differences_table(COMPARISON))
    assert "fitted on training and validation films" in captured.get()


def test_what_is_served_is_said_in_a_line_a_target():
    hit = {
        "base_rate": 0.2,
        "at_half": {"threshold": 0.5, "recall": 0.0},
        "at_base_rate": {"threshold": 0.2, "precision": 0.4, "recall": 0.75},
    }
    (said,) = rival_tables.served_sentences({"hit": hit, "slices": {}})
    assert said == (
        "hit: said from 50% on, no precision and recall 0.00; said from 20% on, precision 0.40 and "
        "recall 0.75 (the share of hits among training films)."
    )
    (bare,) = rival_tables.served_sentences({"revenue": {"total_by_medians": 0.61, "n": 12}})
    assert bare == "box office of all 12 test films: medians add up to 0.61 of what they earned."


def test_slices_have_the_columns_of_their_target():
    scores = {"auc": 0.71234, "log_loss": 0.4, "mean": 0.25, "bias": -0.031, "n": 1030}
    rows = rival_tables.slice_rows("hit", {"year": {"2013": scores}})
    assert rows == [("year: 2013", ["0.712", "0.400", "0.250", "-0.03", "1,030"])]
    assert len(rows[0][1]) == len(rival_tables.SLICE_COLUMNS["hit"]) + 1
