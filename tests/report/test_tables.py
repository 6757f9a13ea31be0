"""Tables for a terminal: the best in bold, film text as it is."""

from __future__ import annotations

import pytest
from rich.console import Console

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


def test_nothing_is_cut_where_no_terminal_tells_its_width(capsys):
    title = "A very long title " * 5
    tables.show(tables.forecast_table([Forecast("", title, rating=5.0)]))
    assert title.strip() in capsys.readouterr().out
