"""Tables for a terminal: the best in bold, film text as it is."""

from __future__ import annotations

import pytest
from rich.console import Console

from mfp.dates import PartialDate
from mfp.forecast.axes import Axis
from mfp.forecast.plan import Plan, Plans
from mfp.forecast.predict import Forecast
from mfp.report import tables

REPORT = {
    "test": {
        "rating": {"rmse": 1.0, "mae": 0.8, "r2": 0.4, "n": 3332},
        "hit": {"auc": 0.7, "log_loss": 0.6, "accuracy": 0.65, "n": 3000},
    },
    "baselines": {
        "mean": {"rating": {"rmse": 1.4, "mae": 1.1, "r2": 0.0, "n": 3332}},
        "ridge": {
            "rating": {"rmse": 1.2, "mae": 0.7, "r2": 0.2, "n": 3332},
            "hit": {"auc": 0.6, "log_loss": 0.65, "accuracy": 0.7, "n": 3000},
        },
    },
}


def render(table, width=120) -> str:
    console = Console(width=width, file=None, record=True, quiet=False, force_terminal=False)
    with console.capture() as captured:
        console.print(table)
    return captured.get()


def test_metrics_stand_beside_the_baselines():
    text = render(tables.metrics_table(REPORT))
    row = next(line for line in text.splitlines() if "R2" in line)
    assert row.split()[-4:] == ["0.400", "0.000", "0.200", "3,332"]
    auc = next(line for line in text.splitlines() if "AUC" in line)
    assert auc.split()[-4:] == ["0.700", "-", "0.600", "3,000"]
    assert "box office" not in text  # no film has it


def test_the_best_of_a_row_is_bold():
    table = tables.metrics_table(REPORT)
    rows = {str(label): i for i, label in enumerate(table.columns[0]._cells)}
    bold = {
        label: [c for c in (1, 2, 3) if "bold" in str(table.columns[c]._cells[i].style)]
        for label, i in rows.items()
    }
    found = {" ".join(label.split()[1:]): columns for label, columns in bold.items()}
    by_name = {label: columns for label, columns in found.items() if "MAE" in label}
    assert list(by_name.values()) == [[3]]  # less is better: ridge
    assert [columns for label, columns in found.items() if label.endswith("R2")] == [[1]]


def test_metrics_with_frozen_histories_are_said():
    frozen = {"rating": {"r2": 0.38, "n": 3332}, "hit": {"auc": 0.69, "n": 3000}}
    (said,) = tables.history_sentences(REPORT | {"test_with_frozen_histories": frozen})
    assert said.endswith("Frozen at the end of validation: rating R2 0.380, hit AUC 0.690.")
    assert tables.history_sentences(REPORT) == []


def test_a_lost_comparison_is_said():
    said = tables.verdict_on_baselines(REPORT)
    assert "A baseline beats the network on 2 metrics" in said
    assert "MAE (0-10) (ridge 0.700, ours 0.800)" in said
    assert "hit accuracy (ridge 0.700, ours 0.650)" in said
    won = {**REPORT, "baselines": {"mean": REPORT["baselines"]["mean"]}}
    assert tables.verdict_on_baselines(won).startswith("The network is ahead of every baseline")


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        (1.234e9, "$1.23B"),
        (999.9e6, "$1B"),
        (34e6, "$34M"),
        (560_000, "$560K"),
        (999_990, "$1M"),
        (900, "$900"),
        (0.4, "$0"),
    ],
)
def test_dollars(amount, shown):
    assert tables.dollars(amount) == shown


def test_film_text_is_shown_as_it_is():
    rows = [
        Forecast("", "[bold]x[/bold]", rating=6.25, revenue_usd=34e6, hit_probability=0.5),
        Forecast("", "<script>alert(1)</script> [/] [link=x]", release_date="2014", rating=5.0),
    ]
    text = render(tables.forecast_table(rows))
    assert "[bold]x[/bold]" in text
    assert "<script>alert(1)</script> [/] [link=x]" in text
    first, second = (next(x for x in text.splitlines() if t in x) for t in ("[bold]", "<script>"))
    assert first.split()[1:] == ["-", "6.2", "$34M", "50%"]
    assert second.split()[-4:] == ["2014", "5.0", "-", "-"]


def test_targets_that_are_not_predicted_have_no_column():
    text = render(tables.forecast_table([Forecast("", "Heat", verdict="hit")]))
    assert "verdict" in text
    assert "box office" not in text


def test_intervals_stand_beside_their_forecasts():
    bounds = {"rating_low": 4.0, "rating_high": 8.04, "revenue_usd_low": 1e6}
    row = Forecast(
        "", "Heat", rating=6.0, revenue_usd=1e7, revenue_usd_high=2e8, level=0.8, **bounds
    )
    text = render(tables.forecast_table([row, Forecast("", "Bare", rating=5.0)]))
    assert text.count("80% interval") == 2
    assert "4.0 to 8.0" in text
    assert "$1M to $200M" in text
    assert "- to -" in text  # an older row has none


def test_flags_are_lines_of_their_own():
    rows = [Forecast("", "[b]A", flags=("one", "two")), Forecast("", "B")]
    assert tables.flag_lines(rows) == ["[b]A: one", "[b]A: two"]


def test_plans_show_the_best_and_what_is_as_good():
    axes = (
        Axis("release_date", (PartialDate(2014), PartialDate(2015))),
        Axis("certificate", ("R",)),
    )
    forecast = Forecast("", "Heat", release_date="2014", rating=6.0)
    plans = (
        Plan({"release_date": "2014", "certificate": "[R]"}, forecast, (), False, True),
        Plan({"release_date": "2015", "certificate": "[R]"}, forecast, ("far",), True, True),
    )
    text = render(tables.plan_table(Plans(axes, "rating", plans, ())))
    first, second = (next(x for x in text.splitlines() if year in x) for year in ("2014", "2015"))
    assert first.split() == ["2014", "[R]", "6.0", "as", "good"]
    assert second.split() == ["2015", "[R]", "6.0", "best,", "extrapolates"]


SCORES = {"coverage": 0.88, "below": 0.07, "above": 0.05, "width": 3.5, "bias": -0.1, "n": 3332}
INTERVALS = {
    "level": 0.9,
    "rating": {
        "test": SCORES,
        "validation": SCORES | {"coverage": 0.9, "n": 1300},
        "by_year": {"2013": SCORES, "2014": SCORES},
        "by_budget": {"budget unknown": SCORES},
        "by_missing": {"without poster": SCORES},
        "by_hidden": {"without poster": SCORES | {"width": 4.25}},
        "drift": {"coverage": -0.02, "chance": 0.015, "bias": 0.1, "deviation_ratio": 1.08},
    },
    "hit": {"served": {"log_loss": 0.43}, "network": {"log_loss": 0.44}},
    "without": {"revenue": "only 5 calibration films know it, 20 are needed"},
}


def test_coverage_is_shown_overall_and_in_slices():
    (table,) = tables.coverage_tables(INTERVALS)
    text = render(table)
    assert "90% intervals: rating" in text
    rows = {line[:50].strip(): line.split() for line in text.splitlines() if "%" in line}
    assert rows["test"][-5:] == ["88.0%", "7.0%", "5.0%", "3.50", "3,332"]
    hidden = next(line for line in text.splitlines() if "parts hidden: without poster" in line)
    assert "4.25" in hidden
    assert "released: 2013" in text


def test_a_shift_over_time_is_said_with_what_chance_may_do():
    rating, hit, revenue = tables.coverage_sentences(INTERVALS)
    assert rating == (
        "rating: 90% intervals cover 88.0% of 3,332 test films; -2.0% against earlier films, "
        "more than chance (±1.5%): bias moved by +0.10, errors are 1.08 times as large."
    )
    assert "log loss 0.430 as served" in hit
    assert revenue == "revenue: no intervals; only 5 calibration films know it, 20 are needed."
    assert tables.coverage_sentences({"level": 0.9}) == []


def test_nothing_is_cut_where_no_terminal_tells_its_width(capsys):
    title = "A very long title " * 5
    tables.show(tables.forecast_table([Forecast("", title, rating=5.0)]))
    assert title.strip() in capsys.readouterr().out
