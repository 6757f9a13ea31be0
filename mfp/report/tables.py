"""Tables for a terminal: metrics beside baselines, and forecasts."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mfp.report.language import ENGLISH, Language
from mfp.report.plots import MAIN_METRIC, UNITS

if TYPE_CHECKING:
    from mfp.forecast.plan import Plans
    from mfp.forecast.predict import Forecast

# (target, metric, label, whether more is better)
METRICS = (
    ("rating", "r2", "rating  R2", True),
    ("rating", "rmse", "rating  RMSE (0-10)", False),
    ("rating", "mae", "rating  MAE (0-10)", False),
    ("revenue", "r2", "log10 box office  R2", True),
    ("revenue", "rmse", "log10 box office  RMSE", False),
    ("revenue", "mae", "log10 box office  MAE", False),
    ("revenue", "median_relative_error", "box office  median relative error", False),
    ("revenue", "rmsle", "box office  RMSLE", False),
    ("revenue", "within_factor_two", "box office  within a factor of two", True),
    ("hit", "auc", "hit  AUC", True),
    ("hit", "log_loss", "hit  log loss", False),
    ("hit", "accuracy", "hit  accuracy", True),
    ("sentiment", "accuracy", "sentiment  accuracy", True),
    ("sentiment", "auc", "sentiment  AUC", True),
    ("sentiment", "log_loss", "sentiment  log loss", False),
    ("verdict", "log_loss", "verdict  log loss", False),
    ("verdict", "accuracy", "verdict  accuracy", True),
)


def metric_rows(targets: Iterable[str]) -> list[tuple[str, str, str, bool]]:
    """`METRICS`, and those of the targets that another package adds, which are numbers."""
    added = [name for name in targets if name not in {target for target, *_ in METRICS}]
    numbers = (("r2", "R2", True), ("rmse", "RMSE", False), ("mae", "MAE", False))
    more = [(n, metric, f"{n}  {label}", up) for n in added for metric, label, up in numbers]
    return [*METRICS, *more]


def metrics_table(report: Mapping[str, Any]) -> Table:
    """Test metrics of the network beside the baselines, the best of each row in bold."""
    columns = columns_of(report)
    table = Table(title="held-out test films", title_justify="left", box=SIMPLE_HEAD)
    table.add_column("")
    for name in columns:
        table.add_column(name, justify="right")
    table.add_column("films", justify="right")
    for target, metric, label, more in metric_rows(report["test"]):
        found = {n: c[target][metric] for n, c in columns.items() if metric in c.get(target, {})}
        if "network" not in found:
            continue
        best = (max if more else min)(found.values())
        cells = []
        for name in columns:
            text = f"{found[name]:.3f}" if name in found else "-"
            cells.append(Text(text, style="bold" if found.get(name) == best else ""))
        table.add_row(label, *cells, f"{report['test'][target]['n']:,}")
    return table


def columns_of(report: Mapping[str, Any]) -> dict[str, Any]:
    """Metrics of the network, of what it was before a final fit, and of the baselines."""
    first = {"before refit": report["first"]["test"]} if "first" in report else {}
    return {"network": report["test"], **first, **report["baselines"]}


def missing_table(title: str, rows: Sequence[tuple[str, Mapping[str, Any]]]) -> Table:
    """The main metric of every target, a row per set of modalities shown."""
    targets = [name for name in MAIN_METRIC if name in rows[0][1]]
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    table.add_column("shown", overflow="fold")
    for name in targets:
        table.add_column(f"{name} {MAIN_METRIC[name].upper()}", justify="right")
    for shown, metrics in rows:
        cells = [f"{metrics[n][MAIN_METRIC[n]]:.3f}" if n in metrics else "-" for n in targets]
        table.add_row(Text(shown), *cells)
    return table


def coverage_tables(intervals: Mapping[str, Any]) -> list[Table]:
    """Coverage and mean width of each target: overall, by year, budget and what is missing."""
    found = []
    kinds = (
        ("by_year", "released"),
        ("by_budget", "budget"),
        ("by_missing", "test films as they are"),
        ("by_hidden", "validation films, parts hidden"),
    )
    for name in (n for n in UNITS if n in intervals):
        scores = intervals[name]
        title = f"{intervals['level']:.0%} intervals: {name}"
        table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
        table.add_column("")
        for label in ("covered", "below", "above", f"width ({UNITS[name]})", "films"):
            table.add_column(label, justify="right")
        _coverage_row(table, "test", scores["test"])
        if "validation" in scores:
            _coverage_row(table, "validation, films not fitted on", scores["validation"])
        for key, label in kinds:
            for slice_name, slice_scores in scores.get(key, {}).items():
                _coverage_row(table, f"{label}: {slice_name}", slice_scores)
        found.append(table)
    return found


def _coverage_row(table: Table, label: str, scores: Mapping[str, float]) -> None:
    shares = (f"{scores[key]:.1%}" for key in ("coverage", "below", "above"))
    table.add_row(Text(label), *shares, f"{scores['width']:.2f}", f"{scores['n']:,}")


def coverage_sentences(intervals: Mapping[str, Any]) -> list[str]:
    """What the intervals hold on test films, and how far a shift over time has moved them."""
    level = intervals["level"]
    found = []
    for name in (n for n in UNITS if n in intervals):
        scores = intervals[name]
        covered, n = scores["test"]["coverage"], scores["test"]["n"]
        said = f"{name}: {level:.0%} intervals cover {covered:.1%} of {n:,} test films"
        drift = scores.get("drift")
        if drift:
            beyond = abs(drift["coverage"]) > drift["chance"]
            said += (
                f"; {drift['coverage']:+.1%} against earlier films, "
                f"{'more than' if beyond else 'within'} chance (±{drift['chance']:.1%}): "
                f"bias moved by {drift['bias']:+.2f}, errors are {drift['deviation_ratio']:.2f} "
                f"times as large"
            )
        found.append(f"{said}.")
    hit = intervals.get("hit")
    if hit and hit["served"] and hit["network"]:
        found.append(
            f"hit: log loss {hit['served'].get('log_loss', 0):.3f} as served, within the bounds of "
            f"the intervals; {hit['network'].get('log_loss', 0):.3f} as the network says it."
        )
    if intervals.get("calibrated_by") == "first":
        found.append(
            "The intervals are calibrated by the errors that the network had on validation films "
            "before the final fit; what they cover is that of the refitted network on test films."
        )
    for name, reason in intervals.get("without", {}).items():
        found.append(f"{name}: no intervals; {reason}.")
    return found


def history_sentences(report: Mapping[str, Any]) -> list[str]:
    """How test films were told of track records, and the metrics without news of test years."""
    frozen = report.get("test_with_frozen_histories")
    if not frozen:
        return []
    found = [
        f"{name} {MAIN_METRIC[name].upper()} {frozen[name][MAIN_METRIC[name]]:.3f}"
        for name in MAIN_METRIC
        if name in frozen and name in report["test"]
    ]
    return [
        "track records go on through the test years, as in use: each film is told what was known "
        f"before its release. Frozen at the end of validation: {', '.join(found)}."
    ]


def verdict_on_baselines(report: Mapping[str, Any]) -> str:
    """One sentence: where a baseline beats the network, or that none does."""
    lost = []
    for target, metric, label, more in metric_rows(report["test"]):
        ours = report["test"].get(target, {}).get(metric)
        sign = 1 if more else -1
        rivals = {
            name: columns[target][metric]
            for name, columns in report["baselines"].items()
            if metric in columns.get(target, {})
        }
        if ours is None or not rivals:
            continue
        best = max(rivals, key=lambda name: sign * rivals[name])
        # What is equal in the digits shown is no defeat.
        if sign * round(rivals[best], 3) > sign * round(ours, 3):
            lost.append(f"{' '.join(label.split())} ({best} {rivals[best]:.3f}, ours {ours:.3f})")
    if not lost:
        return "The network is ahead of every baseline on every metric."
    metrics = f"{len(lost)} metric{'s' if len(lost) > 1 else ''}"
    return f"A baseline beats the network on {metrics}: {'; '.join(lost)}."


def forecast_table(forecasts: Iterable[Forecast], language: Language = ENGLISH) -> Table:
    """Forecasts as a table; film text is shown as it is, never read as markup."""
    rows = list(forecasts)
    table = Table(box=SIMPLE_HEAD)
    table.add_column(language("title"), overflow="fold")
    used = _columns(rows, language)
    for label, _ in used:
        table.add_column(label, justify="right")
    for row in rows:
        table.add_row(Text(row.title), *(Text(show(row)) for _, show in used))
    return table


def flag_lines(forecasts: Iterable[Forecast], language: Language = ENGLISH) -> list[str]:
    """What is unusual of each film, a line each."""
    return [
        language("{title}: {said}", title=row.title, said=language.sentence(flag))
        for row in forecasts
        for flag in row.flags
    ]


def plan_table(plans: Plans, language: Language = ENGLISH) -> Table:
    """Plans of one film in their order; the best is marked, and what is as good as it."""
    forecasts = [plan.forecast for plan in plans.plans]
    table = Table(box=SIMPLE_HEAD)
    for axis in plans.axes:
        name = axis.field if language is ENGLISH else language.name_of(axis.field)
        table.add_column(name, justify="right", overflow="fold")
    varied = [axis.field for axis in plans.axes]
    release = language("release")
    used = _columns(forecasts, language)
    used = [c for c in used if not (c[0] == release and "release_date" in varied)]
    for label, _ in used:
        table.add_column(label, justify="right")
    table.add_column("")
    for plan in plans.plans:
        marks = ["best"] if plan.best else ["as good"] if plan.as_good else []
        marks += ["extrapolates"] if plan.extrapolates else []
        values = [language.sentence(value) for value in plan.values.values()]
        cells = [*values, *(show(plan.forecast) for _, show in used)]
        style = "bold" if plan.best else ""
        marked = Text(", ".join(map(language, marks)))
        table.add_row(*(Text(cell) for cell in cells), marked, style=style)
    return table


def _columns(
    rows: Sequence[Forecast], language: Language
) -> list[tuple[str, Callable[[Forecast], str]]]:
    """Label and text of each column that any forecast fills."""
    level = next((row.level for row in rows if row.level is not None), 0.0)
    points: list[tuple[str, str, Callable[[Any], str]]] = [
        ("release_date", "release", str),
        ("rating", "rating", lambda v: f"{v:.1f}"),
        ("revenue_usd", "box office", language.dollars),
        ("revenue_mean_usd", "mean", language.dollars),
        ("hit_probability", "hit", lambda v: f"{v:.0%}"),
        ("verdict", "verdict", lambda v: language.word("verdict", v)),
        ("sentiment", "sentiment", lambda v: language("{share} praise", share=f"{v:.0%}")),
    ]

    def value(name: str, show: Callable[[Any], str]) -> Callable[[Forecast], str]:
        return lambda row: "-" if getattr(row, name) is None else show(getattr(row, name))

    def between(name: str, show: Callable[[Any], str]) -> Callable[[Forecast], str]:
        low, high = value(f"{name}_low", show), value(f"{name}_high", show)
        return lambda row: language("{low} to {high}", low=low(row), high=high(row))

    def of_added(name: str) -> Callable[[Forecast], str]:
        return lambda row: f"{row.added[name]:.3g}" if row.added else "-"

    found: list[tuple[str, Callable[[Forecast], str]]] = []
    for name, label, show in points:
        if any(getattr(row, name) is not None for row in rows):
            found.append((language(label), value(name, show)))
        if any(getattr(row, f"{name}_low", None) is not None for row in rows):
            label = language("{level} interval", level=f"{100 * level:.4g}%")
            found.append((label, between(name, show)))
    added = dict.fromkeys(name for row in rows for name in row.added or ())
    return [*found, *((name, of_added(name)) for name in added)]


def resume_table(interruptions: Sequence[Any]) -> Table:
    """A row for each `training.verify.Interruption`."""
    table = Table(title="killed and resumed", title_justify="left", box=SIMPLE_HEAD)
    for name in ("signal", "after step", "went on from", "steps lost", "allowed", ""):
        table.add_column(name, justify="left" if name in ("signal", "") else "right")
    for row in interruptions:
        allowed = "any" if row.allowed is None else str(row.allowed)
        verdict = "ok" if row.good else "TOO MANY"
        cells = (row.signal, str(row.killed), str(row.resumed), str(row.lost), allowed, verdict)
        table.add_row(*cells)
    return table


def comparison_table(comparisons: Sequence[Any]) -> Table:
    """A row for each `training.verify.Comparison`."""
    table = Table(title="beside the undisturbed run", title_justify="left", box=SIMPLE_HEAD)
    for name in ("", "compared", "different"):
        table.add_column(name, justify="right" if name else "left")
    for row in comparisons:
        table.add_row(row.what, f"{row.count:,}", f"{row.different:,}")
    return table


def space_table(rows: Sequence[tuple[str, Any, Any]]) -> Table:
    """A row for each key that is searched: its value now, and where it is searched."""
    table = Table(title="what is searched", title_justify="left", box=SIMPLE_HEAD)
    for name in ("key", "now", "range or choices"):
        table.add_column(name, overflow="fold")
    for key, now, searched in rows:
        table.add_row(key, Text(str(now)), Text(str(searched)))
    return table


_TRIALS_SHOWN = 5


def trials_table(trials: Sequence[Any], goal: str, more: bool) -> Table:
    """The best complete `training.tune.Trial`s, a column each; a row for each key."""
    complete = [trial for trial in trials if trial.state == "complete"]
    best = sorted(complete, key=lambda t: -t.value if more else t.value)[:_TRIALS_SHOWN]
    table = Table(title="the best trials", title_justify="left", box=SIMPLE_HEAD)
    table.add_column("")
    for trial in best:
        table.add_column(f"trial {trial.number}", justify="right")
    table.add_row(f"validation {goal}", *(f"{trial.value:.4f}" for trial in best))
    table.add_row("epochs", *(str(trial.epochs) for trial in best))
    for key in best[0].values if best else ():
        table.add_row(key, *(Text(_short(trial.values[key])) for trial in best))
    return table


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


dollars = ENGLISH.dollars


def say(text: str) -> None:
    """Print a line of text as it stands, folded at the width of the terminal."""
    Console().print(Text(text))


def show(table: Table, to_stderr: bool = False) -> None:
    """Print a table; where no terminal tells its width, wide enough not to cut anything."""
    console = Console(stderr=to_stderr)
    if not console.is_terminal:
        console = Console(stderr=to_stderr, width=max(120, shutil.get_terminal_size().columns))
    console.print(table)
