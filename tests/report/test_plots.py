"""Plots are written as PNG, whatever film text stands in them."""

from __future__ import annotations

import subprocess
import sys

import pytest

from mfp.dates import PartialDate
from mfp.forecast.axes import Axis
from mfp.forecast.plan import Plan, Plans
from mfp.forecast.predict import Forecast
from mfp.report import plots
from mfp.training.tune import Trial


def plans(axes, title="Heat", **bounds):
    labels = [[]]
    for axis in axes:
        labels = [[*row, label] for row in labels for label in axis.labels]
    found = []
    for i, row in enumerate(labels):
        values = {axis.field: label for axis, label in zip(axes, row, strict=True)}
        forecast = Forecast(
            "", title, rating=5.0 + 0.1 * i, revenue_usd=10.0 ** (6 + 0.1 * i), **bounds
        )
        found.append(Plan(values, forecast, ("far",) if i % 2 else (), i == len(labels) - 1, None))
    return Plans(tuple(axes), "rating", tuple(found), ())


DATES = Axis("release_date", tuple(PartialDate(2014, month, 1) for month in range(1, 13)))
BUDGETS = Axis("budget_usd", (1e6, 1e7, 1e8))
NAMES = Axis("directors", (("A $x_1$ B",), ("$\\frac{",), ()))
INTERVALS = {
    "rating_low": 4.0,
    "rating_high": 8.0,
    "revenue_usd_low": 1e5,
    "revenue_usd_high": 1e9,
    "level": 0.9,
}


@pytest.mark.parametrize(
    "axes", [[DATES], [BUDGETS], [NAMES], [DATES, NAMES], [DATES, BUDGETS, NAMES], [NAMES, BUDGETS]]
)
@pytest.mark.parametrize("bounds", [INTERVALS, {}])
def test_plans_of_any_axes(axes, bounds, tmp_path):
    path = tmp_path / "plans.png"
    plots.plans(plans(axes, title="a $\\frac{ b", **bounds), path)
    assert path.read_bytes()[:4] == b"\x89PNG"
    assert path.stat().st_size > 10_000


def test_drawing_leaves_the_backend_of_a_notebook_alone(tmp_path):
    code = f"""
import matplotlib
from matplotlib import pyplot
matplotlib.use("svg")
pyplot.figure()
from mfp.report import plots
plots.importances({{"a": 0.4, "b": 0.6}}, {str(tmp_path / "shares.png")!r})
print(matplotlib.get_backend(), len(pyplot.get_fignums()))
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert found.stdout.split() == ["svg", "1"], found.stderr


def test_coverage_without_any_interval_draws_nothing(tmp_path):
    plots.coverage({"level": 0.9}, tmp_path / "coverage.png")
    assert not (tmp_path / "coverage.png").exists()


def trial(number, state, value):
    return Trial(number, state, value, 1, 1.0, {}, "")


@pytest.mark.parametrize("more", [True, False])
@pytest.mark.parametrize(
    "trials",
    [
        [],
        [trial(0, "failed", None)],
        [trial(0, "pruned", 3.0)],
        [trial(0, "complete", 3.0)],
        [trial(0, "complete", 3.0), trial(1, "pruned", 1e9), trial(2, "complete", 2.5)],
    ],
)
def test_the_history_of_any_study(trials, more, tmp_path):
    plots.study_history(trials, "loss", more, tmp_path / "history.png")
    assert (tmp_path / "history.png").read_bytes()[:4] == b"\x89PNG"


def test_importances_of_one_key_and_of_many(tmp_path):
    for count in (1, 30):
        path = tmp_path / f"{count}.png"
        plots.importances({f"model.key_{i}": i / 10 for i in range(count)}, path)
        assert path.read_bytes()[:4] == b"\x89PNG"


def test_a_plot_leaves_the_backend_of_the_caller(tmp_path):
    import matplotlib
    from matplotlib import pyplot

    before = matplotlib.get_backend()
    matplotlib.use("svg")  # as a notebook has its own
    try:
        plots.importances({"model.key": 1.0}, tmp_path / "one.png")
        plots.plans(plans([DATES]), tmp_path / "plans.png")
        assert matplotlib.get_backend() == "svg"
        assert pyplot.get_fignums() == []
    finally:
        matplotlib.use(before)
