"""Explanations for a terminal: what each modality and part did, and similar past films."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from mfp.report import tables
from mfp.report.language import ENGLISH, Language

if TYPE_CHECKING:
    from mfp.forecast.explain import Effects, Explanation
    from mfp.forecast.faithfulness import Faithfulness
    from mfp.forecast.parts import Part
    from mfp.forecast.predict import Forecast

_PARTS = 12  # shown of a film; JSON has all
_LABEL = {"revenue": "box office"}
_SHARES = ("hit", "sentiment", "verdict")  # probabilities


def show(forecasts: Iterable[Forecast], language: Language = ENGLISH) -> None:
    """Print the explanation of each film that has one."""
    for forecast in forecasts:
        found = forecast.explanation
        if found is None:
            continue
        tables.show(modality_table(forecast.title, found, language))
        if found.parts:
            tables.show(part_table(found, language))
        if found.similar:
            tables.show(similar_table(found, language))
        for note in found.notes:
            tables.say(language.sentence(note))


def modality_table(title: str, found: Explanation, language: Language = ENGLISH) -> Table:
    """From the average film to the forecast, by what each modality added."""
    table = _table(Text(language("Why: {title}", title=title)), found.forecast, language)
    _row(table, language("the average film"), found.average, level_text, language)
    for m in found.modalities:
        if m.given:
            _row(table, modality_label(m.name, language), m.effects, effect_text, language)
    _row(table, language("this film"), found.forecast, level_text, language)
    return table


def modality_label(name: str, language: Language = ENGLISH) -> str:
    """A modality in words."""
    if name == "history":
        return language("track record of people and companies")
    return language.word("modality", name)


def part_table(found: Explanation, language: Language = ENGLISH) -> Table:
    """What the forecast owes to the parts that move it most."""
    table = _table(language("this film minus this film without"), found.forecast, language)
    for effect in found.parts[:_PARTS]:
        _row(table, part_label(effect.part, language), effect.effects, effect_text, language)
    return table


def part_label(part: Part, language: Language = ENGLISH) -> str:
    """A part in words: "directors: Michael Mann", "plot: revenge", "poster: row 1, column 3"."""
    field = language.name_of(part.field)
    if part.kind == "region" and part.cell is not None:
        row, column = (i + 1 for i in part.cell)
        return language("{field}: row {row}, column {column}", field=field, row=row, column=column)
    if part.kind == "frame":
        return language("{field}: frame {number}", field=field, number=part.index + 1)
    text = " ".join(part.text.split())
    text = text if len(text) <= 40 else text[:37] + "..."
    if part.kind == "word" and part.field == "reviews":
        return language("review {number}: {text}", number=part.index + 1, text=text)
    if part.kind == "review":
        return language("review {number}: all of {text}", number=part.index + 1, text=text)
    return language("{field}: {text}", field=field, text=text) + _record(part, language)


def _record(part: Part, language: Language) -> str:
    """Of a member: " (12 earlier films, rating +0.80)", against films of their time."""
    found = part.record
    if found is None:
        return ""
    if not found.films:
        return language(" (no earlier film)")
    films = "{count} earlier film" if found.films == 1 else "{count} earlier films"
    said = [language(films, count=f"{found.films:,}")]
    for outcome, mean in found.means:
        shown = effect_text if found.relative else level_text
        said.append(f"{target_label(outcome, language)} {shown(outcome, mean, language)}")
    return language(" ({said})", said=language(", ").join(said))


def target_label(target: str, language: Language) -> str:
    """A target in words."""
    return language(_LABEL.get(target, target))


def similar_table(found: Explanation, language: Language = ENGLISH) -> Table:
    """The nearest past films and what came of them."""
    table = Table(title=language("similar past films"), title_justify="left", box=SIMPLE_HEAD)
    for label in ("", "release", "rating", "box office", "hit", "verdict", "distance"):
        shown = language(label) if label else ""
        table.add_column(shown, justify="left" if not label else "right", overflow="fold")
    for similar in found.similar:
        film = similar.film
        table.add_row(
            Text(film.title),
            str(film.release_date),
            "-" if film.rating is None else f"{film.rating:.1f}",
            "-" if film.revenue_usd is None else language.dollars(film.revenue_usd),
            "-" if film.hit is None else language("yes") if film.hit else language("no"),
            language.word("verdict", film.verdict or "-"),
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


def _table(title: str | Text, targets: Mapping[str, float], language: Language) -> Table:
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    table.add_column("", overflow="fold")
    for target in targets:
        table.add_column(target_label(target, language), justify="right")
    return table


def _row(
    table: Table,
    label: str,
    values: Effects,
    shown: Callable[[str, float, Language], str],
    language: Language,
) -> None:
    cells = (shown(target, value, language) for target, value in values.items())
    table.add_row(Text(label), *cells)


def level_text(target: str, value: float, language: Language = ENGLISH) -> str:
    if target == "rating":
        return f"{value:.2f}"
    if target == "revenue":
        return language.dollars(10.0**value)
    return f"{value:.1%}" if target in _SHARES else f"{value:.3g}"


def effect_text(target: str, effect: float, language: Language = ENGLISH) -> str:
    if target == "rating":
        return f"{effect:+.2f}"
    if target == "revenue":
        return f"x{10.0**effect:.2f}"
    if target in _SHARES:
        return language("{number} points", number=f"{100 * effect:+.1f}")
    return f"{effect:+.3g}"
