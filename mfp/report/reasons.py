"""Explanations for a terminal: what each modality and part did, and similar past films."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from mfp.report import tables

if TYPE_CHECKING:
    from mfp.forecast.explain import Effects, Explanation
    from mfp.forecast.faithfulness import Faithfulness
    from mfp.forecast.parts import Part
    from mfp.forecast.predict import Forecast

_PARTS = 12  # shown of a film; JSON has all
_LABEL = {"revenue": "box office"}
_SHARES = ("hit", "sentiment", "verdict")  # probabilities


def show(forecasts: Iterable[Forecast]) -> None:
    """Print the explanation of each film that has one."""
    for forecast in forecasts:
        found = forecast.explanation
        if found is None:
            continue
        tables.show(modality_table(forecast.title, found))
        if found.parts:
            tables.show(part_table(found))
        if found.similar:
            tables.show(similar_table(found))
        for note in found.notes:
            tables.say(note)


def modality_table(title: str, found: Explanation) -> Table:
    """From the average film to the forecast, by what each modality added."""
    table = _table(Text(f"Why: {title}"), "", found.forecast)
    _row(table, "the average film", found.average, level_text)
    for m in found.modalities:
        if m.given:
            _row(table, modality_label(m.name), m.effects, effect_text)
    _row(table, "this film", found.forecast, level_text)
    return table


def modality_label(name: str) -> str:
    """A modality in words."""
    return "track record of people and companies" if name == "history" else name


def part_table(found: Explanation) -> Table:
    """What the forecast owes to the parts that move it most."""
    table = _table("this film minus this film without", "", found.forecast)
    for effect in found.parts[:_PARTS]:
        _row(table, part_label(effect.part), effect.effects, effect_text)
    return table


def part_label(part: Part) -> str:
    """A part in words: "directors: Michael Mann", "plot: revenge", "poster: row 1, column 3"."""
    field = part.field.replace("_", " ")
    if part.kind == "region" and part.cell is not None:
        return f"{field}: row {part.cell[0] + 1}, column {part.cell[1] + 1}"
    if part.kind == "frame":
        return f"{field}: frame {part.index + 1}"
    text = " ".join(part.text.split())
    text = text if len(text) <= 40 else text[:37] + "..."
    if part.kind == "review" or (part.kind == "word" and part.field == "reviews"):
        whole = "" if part.kind == "word" else "all of "
        return f"review {part.index + 1}: {whole}{text}"
    return f"{field}: {text}{_record(part)}"


def _record(part: Part) -> str:
    """Of a member: " (12 earlier films, rating +0.80)", against films of their time."""
    found = part.record
    if found is None:
        return ""
    if not found.films:
        return " (no earlier film)"
    said = [f"{found.films:,} earlier film{'' if found.films == 1 else 's'}"]
    for outcome, mean in found.means:
        shown = effect_text if found.relative else level_text
        said.append(f"{_LABEL.get(outcome, outcome)} {shown(outcome, mean)}")
    return f" ({', '.join(said)})"


def similar_table(found: Explanation) -> Table:
    """The nearest past films and what came of them."""
    table = Table(title="similar past films", title_justify="left", box=SIMPLE_HEAD)
    for label in ("", "release", "rating", "box office", "hit", "verdict", "distance"):
        table.add_column(label, justify="left" if not label else "right", overflow="fold")
    for similar in found.similar:
        film = similar.film
        table.add_row(
            Text(film.title),
            str(film.release_date),
            "-" if film.rating is None else f"{film.rating:.1f}",
            "-" if film.revenue_usd is None else tables.dollars(film.revenue_usd),
            "-" if film.hit is None else "yes" if film.hit else "no",
            film.verdict or "-",
            f"{similar.distance:.2f}",
        )
    # A column that nothing fills says nothing.
    for column in [c for c in table.columns[1:] if set(c.cells) == {"-"}]:
        table.columns.remove(column)
    return table


def faithfulness_table(rows: Sequence[Faithfulness]) -> Table:
    """How far forecasts move without what is important, and without as much at random."""
    title = "mean change of the forecast when parts are taken out of validation films"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    table.add_column("of")
    table.add_column("target")
    for label in ("films", "taken out", "important", "random", "ratio", "95 % interval"):
        table.add_column(label, justify="right")
    for row in rows:
        table.add_row(
            row.kind,
            _LABEL.get(row.target, row.target),
            f"{row.films:,}",
            f"{row.hidden:.1f}",
            f"{row.important:.4f}",
            f"{row.random:.4f}",
            f"{row.ratio:.2f}",
            f"{row.low:.2f} - {row.high:.2f}",
        )
    return table


def _table(title: str | Text, first: str, targets: Mapping[str, float]) -> Table:
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    table.add_column(first, overflow="fold")
    for target in targets:
        table.add_column(_LABEL.get(target, target), justify="right")
    return table


def _row(table: Table, label: str, values: Effects, shown: Callable[[str, float], str]) -> None:
    table.add_row(Text(label), *(shown(target, value) for target, value in values.items()))


def level_text(target: str, value: float) -> str:
    if target == "rating":
        return f"{value:.2f}"
    if target == "revenue":
        return tables.dollars(10.0**value)
    return f"{value:.1%}" if target in _SHARES else f"{value:.3g}"


def effect_text(target: str, effect: float) -> str:
    if target == "rating":
        return f"{effect:+.2f}"
    if target == "revenue":
        return f"x{10.0**effect:.2f}"
    return f"{100 * effect:+.1f} points" if target in _SHARES else f"{effect:+.3g}"
