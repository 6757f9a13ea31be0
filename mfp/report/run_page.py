"""The page of a training run: how it learned, and how its forecasts fared on test films."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup

from mfp.data.targets import is_regression
from mfp.film import VERDICTS, Film, Outcome
from mfp.report import charts, page, plan_charts, rival_tables, tables
from mfp.report.plots import MAIN_METRIC, UNITS
from mfp.training import missing
from mfp.training.coverage import TIERS
from mfp.training.held_out import HeldOut

_MOST_POINTS = 300  # of a learning curve
_MOST_DOTS = 3000  # of a scatter plot
_MISSES = 10  # of each target
_BINS = 10
_LABELS = {"revenue": "box office", "hit": "chance of a hit"}


@dataclass(frozen=True)
class RunReport:
    """What the page tells of a run."""

    name: str
    facts: Sequence[tuple[str, str]]  # of the run, in words
    log: Sequence[Mapping[str, Any]]  # the lines of log.jsonl
    metrics: Mapping[str, Any]  # metrics.json
    held_out: HeldOut
    films: Sequence[tuple[Film, Outcome]]  # the test films, in the order of `held_out`
    missing: Sequence[dict[str, Any]] | None = None  # missing.json


def render(report: RunReport) -> str:
    """The page as HTML."""
    held_out, metrics = report.held_out, report.metrics
    intervals = metrics.get("intervals", {"level": held_out.level})
    return page.render(
        "run.html",
        title=report.name,
        facts=report.facts,
        comparison=_comparison(metrics.get("comparison")),
        verdict=tables.verdict_on_baselines(metrics),
        histories=tables.history_sentences(metrics),
        served=_served(metrics.get("served", {})),
        metrics=_metrics(metrics),
        curves=_curves(report.log),
        scatters=_scatters(held_out),
        reliability=_reliability(held_out),
        coverage_sentences=tables.coverage_sentences(intervals),
        coverage=_coverage(intervals),
        widths=_widths(intervals),
        residuals=_residuals(held_out),
        matrix=_matrix(report.missing) if report.missing else None,
        misses=_misses(held_out, report.films),
    )


def _metrics(report: Mapping[str, Any]) -> dict[str, Any]:
    """The network beside the baselines: rows of (label, [(value, whether best)], films)."""
    columns = tables.columns_of(report)
    rows = []
    for target, metric, label, more in tables.metric_rows(report["test"]):
        found = {n: c[target][metric] for n, c in columns.items() if metric in c.get(target, {})}
        if "network" in found:
            best = (max if more else min)(found.values())
            cells = [
                (f"{found[n]:.3f}" if n in found else "-", found.get(n) == best) for n in columns
            ]
            rows.append((label, cells, f"{report['test'][target]['n']:,}"))
    return {"columns": list(columns), "rows": rows}


def _comparison(comparison: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The sentence on the rivals, and network minus rival."""
    if comparison is None:
        return None
    return {
        "sentence": comparison["verdict"],
        "columns": ["network minus rival", *rival_tables.DIFFERENCE_COLUMNS],
        "rows": list(rival_tables.difference_rows(comparison)),
    }


def _served(served: Mapping[str, Any]) -> dict[str, Any]:
    """What people are served: sentences, the confusion of verdicts, and slices by target."""
    slices = [
        {
            "label": _LABELS.get(name, name),
            "columns": ["films", *(c for c, _ in rival_tables.slice_columns(name)), "number"],
            "rows": rival_tables.slice_rows(name, kinds),
        }
        for name, kinds in served.get("slices", {}).items()
    ]
    confusion = served.get("verdict", {}).get("confusion", {})
    return {
        "sentences": list(rival_tables.served_sentences(served)),
        "confusion": rival_tables.confusion_rows(confusion),
        "classes": ["true class", *(f"said {name}" for name in confusion)],
        "slices": slices,
    }


def _curves(log: Sequence[Mapping[str, Any]]) -> list[Markup]:
    """Loss while training and on validation films, in all and of each target."""
    training = [line for line in log if "loss" in line]
    validation = [line for line in log if "validation" in line]
    names = [n for n in (training[0] if training else {}) if n.startswith("loss")]
    found = []
    for name in names:
        x, y = _thinned([(r["step"], r[name]) for r in training if name in r])
        held = [(r["step"], r["validation"].get(name, np.nan)) for r in validation]
        series = [
            charts.Series("training", x, y),
            charts.Series(
                "validation", [float(s) for s, _ in held], [float(v) for _, v in held], colour=1
            ),
        ]
        target = name.removeprefix("loss").lstrip("_")
        label = f"loss of {_LABELS.get(target, target)}" if target else "loss"
        steps = charts.axis("step", [*series[0].x, *series[1].x], whole=True)
        losses = charts.axis(label, [*series[0].y, *series[1].y])
        found.append(charts.chart(f"{label} by step", steps, losses, series))
    return found


def _thinned(points: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    """Means of runs of neighbours, so that a long training still is a small page."""
    pieces = np.array_split(np.array(points, np.float64), min(len(points), _MOST_POINTS))
    return [float(p[:, 0].mean()) for p in pieces], [float(p[:, 1].mean()) for p in pieces]


def _scatters(found: HeldOut) -> list[dict[str, Any]]:
    """Predicted against actual, of the targets that are amounts."""
    shown = []
    for name in (n for n in UNITS if n in found.forecast):
        truth, forecast = found.truth[name], found.forecast[name]
        known = np.flatnonzero(np.isfinite(truth) & np.isfinite(forecast))
        if not len(known):
            continue
        chosen = known[:: -(-len(known) // _MOST_DOTS)]
        label = _LABELS.get(name, name)
        both = np.concatenate([truth[chosen], forecast[chosen]]).tolist()
        axis = plan_charts.dollar_axis if name == "revenue" else charts.axis
        dots = charts.Series("", forecast[chosen].tolist(), truth[chosen].tolist(), "dots")
        title = f"{label}: forecast and actual of {len(chosen):,} test films"
        picture = charts.chart(
            title, axis("forecast", both), axis("actual", both), [dots], diagonal=True
        )
        shown.append({"label": label, "picture": picture, "shown": len(chosen), "n": len(known)})
    return shown


def _reliability(found: HeldOut) -> list[dict[str, Any]]:
    """Of films that were given about the same probability, how many came true."""
    shown = []
    for name in (n for n in ("hit", "sentiment") if n in found.forecast):
        known = np.flatnonzero(np.isfinite(found.truth[name]))
        if not len(known):
            continue
        order = known[np.argsort(found.forecast[name][known], kind="stable")]
        bins = np.array_split(order, min(_BINS, len(order)))
        said = [float(found.forecast[name][b].mean()) for b in bins]
        true = [float(found.truth[name][b].mean()) for b in bins]
        chance = [
            2 * (share * (1 - share) / len(b)) ** 0.5 for share, b in zip(true, bins, strict=True)
        ]
        low = [max(t - c, 0.0) for t, c in zip(true, chance, strict=True)]
        high = [min(t + c, 1.0) for t, c in zip(true, chance, strict=True)]
        percent = "{:.0%}".format
        points = charts.Series("", said, true, "points", low, high)
        label = _LABELS.get(name, name)
        picture = charts.chart(
            f"{label}: share that came true, by the probability forecast",
            charts.axis("forecast", [0, 1], percent),
            charts.axis("came true", [0, 1], percent),
            [points],
            diagonal=True,
        )
        rows = [
            (f"{s:.1%}", [f"{t:.1%}", f"{len(b):,}"])
            for s, t, b in zip(said, true, bins, strict=True)
        ]
        shown.append({"label": label, "picture": picture, "rows": rows})
    return shown


def _coverage(intervals: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Coverage by year and budget; bars are two standard deviations of chance."""
    found = []
    level = intervals["level"]
    for name in (n for n in UNITS if n in intervals):
        for key, label in (("by_year", "year of release"), ("by_budget", "budget")):
            slices = {k: v for k, v in intervals[name].get(key, {}).items() if v["n"] >= 10}
            if not slices:
                continue
            covered = [v["coverage"] for v in slices.values()]
            counts = [v["n"] for v in slices.values()]
            chance = [2 * (c * (1 - c) / n) ** 0.5 for c, n in zip(covered, counts, strict=True)]
            low = [max(c - s, 0.0) for c, s in zip(covered, chance, strict=True)]
            high = [min(c + s, 1.0) for c, s in zip(covered, chance, strict=True)]
            places = [float(i) for i in range(len(slices))]
            title = f"{_LABELS.get(name, name)}: coverage of {level:.0%} intervals by {label}"
            down = charts.axis("coverage", [*low, *high, level], "{:.0%}".format, least=0.2)
            points = charts.Series("", places, covered, "points", low, high)
            across = charts.named_axis(label, list(slices))
            picture = charts.chart(title, across, down, [points], level=level)
            found.append({"title": title, "picture": picture})
    return found


def _widths(intervals: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Coverage and width of each target, by what is known of a film."""
    found = []
    for name in (n for n in UNITS if n in intervals):
        scores = {"all test films": intervals[name]["test"]}
        scores |= intervals[name].get("by_missing", {})
        rows = [
            (label, [f"{s['coverage']:.1%}", f"{s['width']:.2f}", f"{s['n']:,}"])
            for label, s in scores.items()
        ]
        found.append(
            {"label": _LABELS.get(name, name), "width": f"width ({UNITS[name]})", "rows": rows}
        )
    return found


def _residuals(found: HeldOut) -> list[dict[str, Any]]:
    """Actual minus forecast by year and by budget: means, with two standard errors."""
    years, budgets = found.facts["release_year"], found.facts["budget_usd"]
    by_year = {f"{year:.0f}": years == year for year in np.unique(years[np.isfinite(years)])}
    by_budget = {label: (budgets >= low) & (budgets < high) for label, low, high in TIERS}
    by_budget["budget unknown"] = np.isnan(budgets)
    shown = []
    for name in (n for n in UNITS if n in found.forecast):
        errors = found.truth[name] - found.forecast[name]
        for label, slices in (("year of release", by_year), ("budget", by_budget)):
            groups = {k: errors[rows & np.isfinite(errors)] for k, rows in slices.items()}
            groups = {k: e for k, e in groups.items() if len(e) >= 2}
            if not groups:
                continue
            means = [float(e.mean()) for e in groups.values()]
            doubt = [float(2 * e.std(ddof=1) / len(e) ** 0.5) for e in groups.values()]
            low = [m - d for m, d in zip(means, doubt, strict=True)]
            high = [m + d for m, d in zip(means, doubt, strict=True)]
            places = [float(i) for i in range(len(groups))]
            title = f"{_LABELS.get(name, name)}: actual minus forecast by {label}"
            picture = charts.chart(
                title,
                charts.named_axis(label, list(groups)),
                charts.axis(UNITS[name], [*low, *high, 0.0]),
                [charts.Series("", places, means, "points", low, high)],
                level=0.0,
            )
            rows = [
                (k, [f"{e.mean():+.2f}", f"{np.sqrt(np.mean(e**2)):.2f}", f"{len(e):,}"])
                for k, e in groups.items()
            ]
            shown.append({"title": title, "by": label, "picture": picture, "rows": rows})
    return shown


def _matrix(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """How good each modality is alone, and all but it: a row a modality."""
    modalities = rows[0]["present"]
    shown = {row["shown"]: row["metrics"] for row in missing.ablation(rows, modalities)}
    targets = [n for n in MAIN_METRIC if n in shown["everything"]]

    def cells(label: str) -> list[str]:
        found = [shown[label].get(n, {}).get(MAIN_METRIC[n]) for n in targets]
        return ["-" if value is None else f"{value:.3f}" for value in found]

    return {
        "targets": [f"{_LABELS.get(n, n)} {MAIN_METRIC[n].upper()}" for n in targets],
        "everything": cells("everything"),
        "rows": [(m, cells(f"{m} alone"), cells(f"all but {m}")) for m in modalities],
    }


def _misses(found: HeldOut, films: Sequence[tuple[Film, Outcome]]) -> list[dict[str, Any]]:
    """Of each target the films that were missed most."""
    shown = []
    for name, forecast in found.forecast.items():
        truth = found.truth[name]
        known = np.flatnonzero(np.isfinite(truth))
        error = _error(name, forecast[known], truth[known])
        worst = known[np.argsort(-error, kind="stable")[:_MISSES]]
        rows = [_miss(name, found, int(i), films[int(i)][0]) for i in worst]
        if rows:
            columns = ["released", "forecast", "interval", "actual"]
            if name not in found.low:
                columns.remove("interval")
            shown.append({"label": _LABELS.get(name, name), "columns": columns, "rows": rows})
    return shown


def _error(name: str, forecast: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """How wrong forecasts are: the absolute error, or how little was given to what came true."""
    if name == "verdict":
        return 1 - forecast[np.arange(len(truth)), truth.astype(int)]
    return np.abs(forecast - truth)


def _miss(name: str, found: HeldOut, i: int, film: Film) -> tuple[str, list[str]]:
    forecast, truth = found.forecast[name][i], found.truth[name][i]
    if name == "verdict":
        said, true = VERDICTS[int(np.argmax(forecast))], VERDICTS[int(truth)]
    elif is_regression(name):
        said, true = (_amount(name, float(value)) for value in (forecast, truth))
    else:
        said, true = f"{float(forecast):.0%}", "yes" if truth else "no"
    cells = [str(film.release_date or "-"), said]
    if name in found.low:
        cells.append(" to ".join(_amount(name, float(b[name][i])) for b in (found.low, found.high)))
    return _name(film), [*cells, true]


def _amount(name: str, value: float) -> str:
    if name == "revenue":
        return tables.dollars(10.0 ** min(max(value, 0.0), 12.0))
    return f"{min(max(value, 0.0), 10.0):.1f}" if name == "rating" else f"{value:.3g}"


def _name(film: Film) -> str:
    """The title; of a bare review its beginning."""
    text = film.reviews[0] if film.reviews and not film.title.strip() else film.title
    return text if len(text) <= 120 else text[:119] + "…"
