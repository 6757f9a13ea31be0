"""The model card of a bundle, told from its manifest alone: nothing of the bundle is run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from mfp.film import is_post_release
from mfp.manifest import Manifest
from mfp.report import tables

_FEW = 100  # held-out films below which a metric is told to be uncertain


def of(manifest: Manifest) -> dict[str, Any]:
    """The card as JSON values."""
    return {
        "id": manifest.id,
        "format_version": manifest.format_version,
        "name": manifest.config.get("name"),
        "bytes": sum(file["bytes"] for file in manifest.files.values()),
        "versions": dict(manifest.versions),
        "data": dict(manifest.data),
        "targets": {name: _target(name, manifest.config) for name in manifest.targets},
        "inputs": list(_inputs(manifest.features)),
        "metrics": dict(manifest.metrics),
        "limits": list(_limits(manifest)),
    }


def show(manifest: Manifest, verified: bool) -> None:
    """Print the card."""
    card = of(manifest)
    tables.say(f"bundle of the run {card['name']}, {card['bytes'] / 1e6:.1f} MB")
    tables.say(f"id        {card['id']}")
    tables.say(f"verified  {'every file and the id' if verified else 'not'}")
    tables.say("made by   " + ", ".join(f"{k} {v}" for k, v in card["versions"].items()))
    tables.show(_data_table(manifest.data))
    for name, meaning in card["targets"].items():
        tables.say(f"{name:10s}{meaning}")
    tables.show(_input_table(card["inputs"]))
    if "comparison" in manifest.metrics:
        tables.say(manifest.metrics["comparison"]["verdict"])
    if "test" in manifest.metrics and "baselines" in manifest.metrics:
        tables.show(tables.metrics_table(manifest.metrics))
    for sentence in _coverage(manifest.metrics.get("intervals", {})):
        tables.say(sentence)
    tables.say("known limits")
    for limit in card["limits"]:
        tables.say(f"- {limit}")


def _data_table(data: Mapping[str, Any]) -> Table:
    table = Table(title=f"films: {data.get('source')}", title_justify="left", box=SIMPLE_HEAD)
    known = data.get("known", {})
    targets = list(next(iter(known.values()), {}))
    for label in ("", "films", "released", *(f"{target} known" for target in targets)):
        table.add_column(label, justify="right" if label else "left")
    for name, count in data.get("films", {}).items():
        released = " to ".join(data.get("released", {}).get(name, [])) or "-"
        counts = (f"{known.get(name, {}).get(target, 0):,}" for target in targets)
        table.add_row(name, f"{count:,}", released, *counts)
    return table


def _input_table(inputs: list[dict[str, str]]) -> Table:
    table = Table(title="inputs", title_justify="left", box=SIMPLE_HEAD)
    for label in ("modality", "field", "read as", "known"):
        table.add_column(label, overflow="fold")
    for row in inputs:
        table.add_row(*(Text(row[key]) for key in ("modality", "field", "read_as", "availability")))
    return table


def _inputs(features: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    def row(modality: str, field: str, read_as: str) -> dict[str, str]:
        known = "after release" if is_post_release(field) else "before release"
        return {"modality": modality, "field": field, "read_as": read_as, "availability": known}

    lengths = features.get("lengths", {})
    size, frames = features.get("image_size"), features.get("video_frames")
    for field in features.get("numbers", {}):
        yield row("numbers", field, "a number")
    for modality, fields in features.get("sets", {}).items():
        for field in fields:
            yield row(
                modality,
                field,
                "a name" if lengths.get(field) == 1 else f"up to {lengths.get(field)} names",
            )
    past = features.get("history", {}).get("config", {})
    for field in past.get("fields", ()):
        outcomes = " and ".join(past["outcomes"])
        yield row("history", field, f"{outcomes} of earlier films of the same")
    for field in features.get("texts", {}):
        several = f"up to {features.get('reviews')} of them, " if field == "reviews" else ""
        yield row(field, field, f"{several}the first {lengths.get(field)} tokens")
    for field in features.get("images", ()):
        yield row(field, field, f"{size} x {size} pixels")
    for modality, added in features.get("added", {}).items():
        for field in added["fields"]:
            yield row(modality, field, f"by the package {added['package']}")
    for field in features.get("videos", ()):
        yield row(field, field, f"{frames} frames of {size} x {size} pixels")


def _target(name: str, config: Mapping[str, Any]) -> str:
    rules = config.get("targets", {}).get(name, {})
    if name == "rating":
        return "0 to 10"
    if name == "revenue":
        return "box office in US dollars, learned as log10"
    if name in config.get("targets", {}).get("added", {}):
        return "a number that another package adds"
    if name == "sentiment":
        return "probability that the reviews praise"
    if name == "verdict":
        thresholds = ", ".join(str(t) for t in rules.get("thresholds", ()))
        return f"flop, average, hit, superhit: {rules.get('by')} by {thresholds}"
    any_of = [
        f"{text} {rules[key]:,g}"
        for key, text in (
            ("rating_at_least", "rating at least"),
            ("revenue_at_least_usd", "box office at least $"),
            ("revenue_over_budget", "box office over budget at least"),
        )
        if rules.get(key)
    ]
    return f"probability of a hit: {' or '.join(any_of)}"


def _coverage(intervals: Mapping[str, Any]) -> Iterator[str]:
    for target, scores in intervals.items():
        if isinstance(scores, Mapping) and "coverage" in scores.get("test", {}):
            covered, n = scores["test"]["coverage"], scores["test"]["n"]
            yield (
                f"{target}: {intervals['level']:.0%} intervals cover {covered:.1%} of {n:,} "
                "test films"
            )


def _limits(manifest: Manifest) -> Iterator[str]:
    data, metrics = manifest.data, manifest.metrics
    released = data.get("released", {})
    if released.get("train"):
        first, last = released["train"]
        yield (
            f"trained on films released {first} to {last}; measured on films up to "
            f"{released['test'][1]}: later films lie outside both"
        )
    absent = manifest.features.get("absent", ())
    if absent:
        yield f"no training film had {', '.join(absent)}: these are not read"
    if any(row["availability"] == "after release" for row in _inputs(manifest.features)):
        yield "it reads what is known only after release: no forecast of a film yet to open"
    for target, found in metrics.get("test", {}).items():
        if found.get("n", _FEW) < _FEW:
            yield f"{target}: measured on {found['n']} films only"
    if "test" in metrics and "baselines" in metrics:
        yield tables.verdict_on_baselines(metrics)
    if "history" in manifest.features:
        yield (
            "track records are known up to the last film of the tables: of later films' outcomes "
            "it has not heard"
        )
    least = manifest.config.get("features", {}).get("min_films")
    if least:
        yield f"a name seen in fewer than {least} training films is to it an unknown name"
    yield "it has learned what went together in the past, not what causes what"
