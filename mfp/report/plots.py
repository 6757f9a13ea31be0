"""Plots as PNG files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

# The metric that a plot shows of each target; more is better for all of them.
MAIN_METRIC = {
    "rating": "r2",
    "revenue": "r2",
    "hit": "auc",
    "sentiment": "auc",
    "verdict": "accuracy",
}
# What the width of an interval is measured in.
UNITS = {"rating": "points of 0-10", "revenue": "powers of ten of dollars"}


def missing_modalities(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Each subset of modalities as a point: how much is shown against how good the forecast is."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    targets = [name for name in MAIN_METRIC if name in rows[0]["metrics"]]
    figure, axes = pyplot.subplots(
        1, len(targets), figsize=(5 * len(targets), 4.5), squeeze=False, layout="constrained"
    )
    for axis, name in zip(axes[0], targets, strict=True):
        metric = MAIN_METRIC[name]
        found = [row for row in rows if name in row["metrics"]]
        counts = [len(row["present"]) for row in found]
        values = [row["metrics"][name][metric] for row in found]
        axis.scatter(counts, values, s=14, alpha=0.6)
        for row, count, value in zip(found, counts, values, strict=True):
            if count == 1:
                axis.annotate(
                    f" {row['present'][0]}", (count, value), fontsize=8, verticalalignment="center"
                )
        axis.set_xlabel("modalities shown")
        axis.set_ylabel(f"{name}: test {metric.upper()}")
        axis.set_xticks(range(max(counts) + 1))
        axis.grid(alpha=0.3)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def coverage(report: Mapping[str, Any], path: Path) -> None:
    """The `intervals` of metrics.json: coverage by year and budget, width by what is hidden.

    Bars of two binomial standard deviations show what chance alone may do.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    level = report["level"]
    targets = [name for name in UNITS if name in report]
    if not targets:
        return
    figure, axes = pyplot.subplots(
        len(targets), 3, figsize=(15, 4 * len(targets)), squeeze=False, layout="constrained"
    )
    for row, name in zip(axes, targets, strict=True):
        found = report[name]
        slices = (("by_year", "year of release"), ("by_budget", "budget"))
        for axis, (key, label) in zip(row, slices, strict=False):
            shares = {k: v for k, v in found[key].items() if v["n"] >= 10}
            covered = [v["coverage"] for v in shares.values()]
            chance = [
                2 * (v["coverage"] * (1 - v["coverage"]) / v["n"]) ** 0.5 for v in shares.values()
            ]
            axis.errorbar(range(len(shares)), covered, yerr=chance, fmt="o", capsize=3)
            axis.axhline(level, color="black", linewidth=1, linestyle="--")
            axis.set_xticks(range(len(shares)), list(shares), rotation=20, fontsize=8)
            axis.set_xlabel(label)
            axis.set_ylabel(f"{name}: coverage of {level:.0%} intervals")
            axis.set_ylim(top=1.01)
            axis.grid(alpha=0.3)
        hidden = found.get("by_hidden") or found["by_missing"]
        widths = [v["width"] for v in hidden.values()]
        row[2].barh(range(len(hidden)), widths)
        row[2].set_yticks(range(len(hidden)), list(hidden), fontsize=8)
        row[2].invert_yaxis()
        row[2].set_xlabel(f"{name}: mean width, {UNITS[name]}")
        row[2].grid(alpha=0.3, axis="x")
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
