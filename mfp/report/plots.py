"""Plots as PNG files.

Each is a figure of its own, not pyplot's: a notebook that calls them keeps its backend.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mfp.film import FIELDS
from mfp.forecast.axes import Axis
from mfp.forecast.plan import Plan, Plans

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
    from matplotlib.figure import Figure

    targets = [name for name in MAIN_METRIC if name in rows[0]["metrics"]]
    figure = Figure(figsize=(5 * len(targets), 4.5), layout="constrained")
    axes = figure.subplots(1, len(targets), squeeze=False)
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


def coverage(report: Mapping[str, Any], path: Path) -> None:
    """The `intervals` of metrics.json: coverage by year and budget, width by what is hidden.

    Bars of two binomial standard deviations show what chance alone may do.
    """
    from matplotlib.figure import Figure

    level = report["level"]
    targets = [name for name in UNITS if name in report]
    if not targets:
        return
    figure = Figure(figsize=(15, 4 * len(targets)), layout="constrained")
    axes = figure.subplots(len(targets), 3, squeeze=False)
    for row, name in zip(axes, targets, strict=True):
        found = report[name]
        slices = (("by_year", "year of release"), ("by_budget", "budget"))
        for axis, (key, label) in zip(row, slices, strict=False):
            shares = {k: v for k, v in found[key].items() if v["n"] >= 10}
            if not shares:
                axis.set_axis_off()
                continue
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


# Targets of a forecast as a plan's curves: field, label, logarithmic.
_CURVES = (
    ("rating", "rating (0-10)", False),
    ("revenue_usd", "box office (US dollars)", True),
    ("hit_probability", "chance of a hit", False),
)
_MOST_LINES = 8


def plans(plans: Plans, path: Path) -> None:
    """The plans of a film as curves with intervals over the longest axis that lies on a line.

    A line for each combination of the other axes (the best ones, where there are many); the best
    plan is a star, plans beyond what the network was trained on are hollow.
    """
    from matplotlib.figure import Figure

    first = max(plans.axes, key=lambda axis: (axis.ordered, len(axis.values)))
    others = [axis for axis in plans.axes if axis is not first]
    lines: dict[tuple[str, ...], list[int]] = {}
    for i, plan in enumerate(plans.plans):
        lines.setdefault(tuple(plan.values[axis.field] for axis in others), []).append(i)
    amounts = plans.goals()
    ranked = sorted(lines, key=lambda key: -amounts[lines[key]].max())[:_MOST_LINES]
    forecasts = [plan.forecast for plan in plans.plans]
    curves = [curve for curve in _CURVES if getattr(forecasts[0], curve[0]) is not None]
    figure = Figure(figsize=(10, 3.4 * len(curves)), layout="constrained")
    axes = figure.subplots(len(curves), 1, squeeze=False)
    places, names = _places(first)
    for axis, (name, label, logarithmic) in zip(axes[:, 0], curves, strict=True):
        for number, key in enumerate(ranked):
            chosen = [plans.plans[i] for i in lines[key]]
            _draw(axis, chosen, places, name, ", ".join(key), f"C{number}", first.ordered)
        axis.set_ylabel(label)
        if logarithmic:
            axis.set_yscale("log")
        if first.ordered and FIELDS[first.field].unit == "US dollars":
            axis.set_xscale("log")
        if names:
            axis.set_xticks(places, names, rotation=20, fontsize=8, parse_math=False)
        axis.grid(alpha=0.3)
    if others:
        of = " x ".join(axis.field for axis in others)
        more = f" (the best {len(ranked)} of {len(lines)})" if len(lines) > len(ranked) else ""
        legend = axes[0, 0].legend(title=of + more, fontsize=8, loc="upper left")
        for text in legend.get_texts():
            text.set_parse_math(False)
    axes[-1, 0].set_xlabel(first.field)
    level = forecasts[0].level
    title = forecasts[0].title[:80] + (f", {100 * level:.4g}% intervals" if level else "")
    figure.suptitle(title, parse_math=False)
    figure.savefig(path, dpi=120, format="png")


def _places(axis: Axis) -> tuple[list[Any], list[str]]:
    """Where the values of an axis stand, and their names where they are not on a line."""
    if not axis.ordered:
        return list(range(len(axis.values))), [label[:30] for label in axis.labels]
    if FIELDS[axis.field].kind == "date":
        return [date.first_day() for date in axis.values], []
    return list(axis.values), []


def _draw(
    axis: Any,
    plans: Sequence[Plan],
    places: Sequence[Any],
    name: str,
    label: str,
    colour: str,
    joined: bool,
) -> None:
    """One line of plans: points, intervals, the best one, and those that extrapolate."""
    values = [getattr(plan.forecast, name) for plan in plans]
    low, high = (
        [getattr(plan.forecast, f"{name}_{end}", None) for plan in plans] for end in ("low", "high")
    )
    axis.plot(places, values, "-" if joined else "", color=colour, label=label or None)
    if None not in (*low, *high):
        if joined:
            axis.fill_between(places, low, high, color=colour, alpha=0.12, linewidth=0)
        else:
            axis.vlines(places, low, high, color=colour, alpha=0.4)
    for place, value, plan in zip(places, values, plans, strict=True):
        face = "white" if plan.extrapolates else colour
        mark, size = ("*", 16) if plan.best else ("o", 4)
        axis.plot([place], [value], mark, markersize=size, color=colour, markerfacecolor=face)


def study_history(trials: Sequence[Any], goal: str, more: bool, path: Path) -> None:
    """Each `training.tune.Trial` with a result as a point, and the best so far as a line.

    Trials that were ended early are hollow. The axis shows what lies near the better half: one
    that went astray would flatten the others.
    """
    import numpy as np
    from matplotlib.figure import Figure

    told = [trial for trial in trials if trial.value is not None]
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axis = figure.subplots()
    for state, face, label in (("complete", "C0", "to its end"), ("pruned", "none", "ended early")):
        found = [trial for trial in told if trial.state == state]
        places, values = [t.number for t in found], [t.value for t in found]
        axis.scatter(places, values, s=22, facecolors=face, edgecolors="C0", label=label)
    complete = [trial for trial in told if trial.state == "complete"]
    if complete:
        better = np.maximum if more else np.minimum
        best = better.accumulate([trial.value for trial in complete])
        places, last = [t.number for t in complete], max(t.number for t in told)
        steps = (*places, last), (*best, best[-1])
        axis.step(*steps, where="post", color="C1", label="best so far")
        all_values = np.array([trial.value for trial in told])
        reach = 3 * abs(np.median(all_values) - best[-1])
        if reach > 0:
            low, high = all_values.min(), all_values.max()
            far = best[-1] - reach if more else best[-1] + reach
            margin = reach / 10
            ends = (max(low, far), high) if more else (low, min(high, far))
            axis.set_ylim(ends[0] - margin, ends[1] + margin)
    axis.set_xlabel("trial")
    axis.set_ylabel(f"validation {goal}")
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8)
    figure.savefig(path, dpi=120)


def importances(shares: Mapping[str, float], path: Path) -> None:
    """Which keys of a search mattered, as bars of shares of 1, the largest on top."""
    from matplotlib.figure import Figure

    names = sorted(shares, key=lambda name: shares[name])
    height = 1.2 + 0.3 * len(names)
    figure = Figure(figsize=(8, height), layout="constrained")
    axis = figure.subplots()
    axis.barh(names, [shares[name] for name in names])
    axis.set_xlabel("importance")
    axis.grid(alpha=0.3, axis="x")
    figure.savefig(path, dpi=120)
