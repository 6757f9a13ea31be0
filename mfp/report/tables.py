"""Tables for a terminal: metrics beside baselines, and forecasts."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mfp.report.plots import MAIN_METRIC

if TYPE_CHECKING:
    from mfp.forecast.predict import Forecast

# (target, metric, label, whether more is better)
_METRICS = (
    ("rating", "r2", "rating  R2", True),
    ("rating", "rmse", "rating  RMSE (0-10)", False),
    ("rating", "mae", "rating  MAE (0-10)", False),
    ("revenue", "r2", "log10 box office  R2", True),
    ("revenue", "rmse", "log10 box office  RMSE", False),
    ("revenue", "mae", "log10 box office  MAE", False),
    ("revenue", "median_relative_error", "box office  median relative error", False),
    ("hit", "auc", "hit  AUC", True),
    ("hit", "log_loss", "hit  log loss", False),
    ("hit", "accuracy", "hit  accuracy", True),
    ("sentiment", "accuracy", "sentiment  accuracy", True),
    ("sentiment", "auc", "sentiment  AUC", True),
    ("sentiment", "log_loss", "sentiment  log loss", False),
    ("verdict", "log_loss", "verdict  log loss", False),
    ("verdict", "accuracy", "verdict  accuracy", True),
)


def metrics_table(report: Mapping[str, Any]) -> Table:
    """Test metrics of the network beside the baselines, the best of each row in bold."""
    columns = {"network": report["test"], **report["baselines"]}
    table = Table(title="held-out test films", title_justify="left", box=SIMPLE_HEAD)
    table.add_column("")
    for name in columns:
        table.add_column(name, justify="right")
    table.add_column("films", justify="right")
    for target, metric, label, more in _METRICS:
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


def verdict_on_baselines(report: Mapping[str, Any]) -> str:
    """One sentence: where a baseline beats the network, or that none does."""
    lost = []
    for target, metric, label, more in _METRICS:
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
    return f"A baseline beats the network on {len(lost)} metrics: {'; '.join(lost)}."


def forecast_table(forecasts: Iterable[Forecast]) -> Table:
    """Forecasts as a table; film text is shown as it is, never read as markup."""
    rows = list(forecasts)
    table = Table(box=SIMPLE_HEAD)
    table.add_column("title", overflow="fold")
    columns: list[tuple[str, str, Any]] = [
        ("release_date", "release", str),
        ("rating", "rating", lambda v: f"{v:.1f}"),
        ("revenue_usd", "box office", dollars),
        ("hit_probability", "hit", lambda v: f"{v:.0%}"),
        ("verdict", "verdict", str),
        ("sentiment", "sentiment", lambda v: f"{v:.0%} praise"),
    ]
    used = [c for c in columns if any(getattr(row, c[0]) is not None for row in rows)]
    for _, label, _ in used:
        table.add_column(label, justify="right")
    for row in rows:
        cells = []
        for name, _, show in used:
            value = getattr(row, name)
            cells.append(Text("-" if value is None else show(value)))
        table.add_row(Text(row.title), *cells)
    return table


def dollars(amount: float) -> str:
    """$1.2B, $34M, $560K, $900."""
    for size, letter in ((1e9, "B"), (1e6, "M"), (1e3, "K")):
        if amount >= size * 0.9995:
            return f"${amount / size:.3g}{letter}"
    return f"${amount:.0f}"


def say(text: str) -> None:
    """Print a line of text as it stands, folded at the width of the terminal."""
    Console().print(Text(text))


def show(table: Table, to_stderr: bool = False) -> None:
    """Print a table; where no terminal tells its width, wide enough not to cut anything."""
    console = Console(stderr=to_stderr)
    if not console.is_terminal:
        console = Console(stderr=to_stderr, width=max(120, shutil.get_terminal_size().columns))
    console.print(table)
