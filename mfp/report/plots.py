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
