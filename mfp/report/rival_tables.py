"""Network beside its rivals, and test films as people are served: sentences, rows and tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

_TARGETS = {"revenue": "log10 box office"}
_METRICS = {"r2": "R2", "rmse": "RMSE", "auc": "AUC", "accuracy": "accuracy"}
_WITHOUT_BIAS = "_without_bias"
DIFFERENCE_COLUMNS = ("network", "rival", "difference", "95% interval", "bias removed", "")
SLICE_COLUMNS = {
    "rating": (("R2", "r2"), ("RMSE", "rmse"), ("bias", "bias")),
    "revenue": (("R2", "r2"), ("RMSE", "rmse"), ("bias", "bias"), ("in x2", "within_factor_two")),
    "hit": (("AUC", "auc"), ("log loss", "log_loss"), ("share of hits", "mean"), ("bias", "bias")),
    "sentiment": (("AUC", "auc"), ("accuracy", "accuracy")),
    "verdict": (("accuracy", "accuracy"), ("log loss", "log_loss")),
}


def slice_columns(target: str) -> tuple[tuple[str, str], ...]:
    """Label and key of each metric of a slice; another package's target is a number."""
    return SLICE_COLUMNS.get(target, SLICE_COLUMNS["rating"])


def difference_rows(comparison: Mapping[str, Any]) -> Iterator[tuple[str, list[str]]]:
    """A label and the cells of `DIFFERENCE_COLUMNS` of each target, metric and rival."""
    for target, by_rival in comparison["differences"].items():
        for rival, scores in by_rival.items():
            for metric in (m for m in scores if not m.endswith(_WITHOUT_BIAS)):
                found, bare = scores[metric], scores.get(f"{metric}{_WITHOUT_BIAS}")
                label = f"{_TARGETS.get(target, target)} {_METRICS[metric]}, {rival}"
                yield (
                    label,
                    [
                        f"{found['network']:.3f}",
                        f"{found['rival']:.3f}",
                        f"{found['difference']:+.3f}",
                        _interval(found),
                        "-" if bare is None else f"{bare['difference']:+.3f}, {_interval(bare)}",
                        found["outcome"],
                    ],
                )


def _interval(scores: Mapping[str, Any]) -> str:
    return f"{scores['low']:+.3f} to {scores['high']:+.3f}"


def differences_table(comparison: Mapping[str, Any]) -> Table:
    """Network minus each rival."""
    fitted = "fitted on training and validation films" if comparison["refit"] else "same splits"
    title = f"network minus rival on the same test films ({fitted})"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    table.add_column("")
    for column in DIFFERENCE_COLUMNS:
        table.add_column(column, justify="right")
    for label, cells in difference_rows(comparison):
        table.add_row(Text(label), *map(Text, cells))
    return table


def served_sentences(served: Mapping[str, Any]) -> Iterator[str]:
    """What people are served, a line a target."""
    revenue = served.get("revenue")
    if revenue:
        said = f"box office of all {revenue['n']:,} test films: medians add up to "
        said += f"{revenue['total_by_medians']:.2f} of what they earned"
        if "total_by_means" in revenue:
            said += f", means to {revenue['total_by_means']:.2f}"
        yield f"{said}."
    hit = served.get("hit")
    if hit:
        told = [_decided(hit[key]) for key in ("at_half", "at_base_rate")]
        yield f"hit: {'; '.join(told)} (the share of hits among training films)."
    verdict = served.get("verdict")
    if verdict:
        classes = ", ".join(f"{name} {score:.2f}" for name, score in verdict["f1"].items())
        yield (
            f"verdict: macro-F1 {verdict['macro_f1']:.3f} ({classes}); of the likeliest class "
            f"{verdict['likeliest_class']['macro_f1']:.3f}."
        )


def _decided(scores: Mapping[str, Any]) -> str:
    shares = [f"{k} {scores[k]:.2f}" if k in scores else f"no {k}" for k in ("precision", "recall")]
    return f"said from {scores['threshold']:.0%} on, {' and '.join(shares)}"


def slice_rows(
    target: str, slices: Mapping[str, Mapping[str, Mapping[str, float]]]
) -> list[tuple[str, list[str]]]:
    """A label and the cells of `slice_columns`, with the films, of each slice of a target."""
    keys = [key for _, key in slice_columns(target)]
    return [
        (f"{kind}: {label}", [*(_cell(key, scores) for key in keys), f"{scores['n']:,}"])
        for kind, members in slices.items()
        for label, scores in members.items()
    ]


def _cell(key: str, scores: Mapping[str, float]) -> str:
    if key not in scores:
        return "-"
    return f"{scores[key]:+.2f}" if key == "bias" else f"{scores[key]:.3f}"


def confusion_rows(confusion: Mapping[str, Mapping[str, int]]) -> list[tuple[str, Sequence[str]]]:
    """The true class and how many of its films were said to be of each class."""
    return [(true, [f"{n:,}" for n in said.values()]) for true, said in confusion.items()]
