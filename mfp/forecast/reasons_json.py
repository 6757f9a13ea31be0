"""An explanation as JSON values, for people's own programs and for the pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mfp.forecast.parts import Part

if TYPE_CHECKING:
    from mfp.forecast.explain import Effects, Explanation, PartEffect

# Key of each target's effect, and decimals. An effect on log10 dollars is written as a factor.
_EFFECT = {
    "rating": ("rating", 3),
    "revenue": ("revenue_factor", 3),
    "hit": ("hit_probability", 4),
    "sentiment": ("sentiment", 4),
    "verdict": ("verdict_probability", 4),
}
_LEVEL = {"revenue": ("revenue_usd", None)} | {
    target: key for target, key in _EFFECT.items() if target != "revenue"
}
_LISTS = {"fact": "facts", "member": "members", "word": "words", "review": "reviews"}


def of(explanation: Explanation) -> dict[str, Any]:
    """The JSON object "explanation" of a forecast.

    forecast, average_film  {target: value}
    modalities    {name: effects}; missing ones left out
    facts, members, words, reviews    [{field, text, ..., effects}], the most important first;
                  of a word "start" and "end" are characters of the film's text; of a member
                  "record" is {"films": earlier ones, "relative", mean of each outcome known}:
                  where relative, against films of their time, as effects are written
    regions       {field: {"rows", "columns", target: [[effect]]}}
    frames        {field: [{"index", "position" from 0 to 1 in the clip, effects}]}, in order
    similar       [{past film, "distance"}], the nearest first
    """
    values: dict[str, Any] = {
        "forecast": _levels(explanation.forecast),
        "average_film": _levels(explanation.average),
        "modalities": {m.name: effects_json(m.effects) for m in explanation.modalities if m.given},
    }
    for kind, name in _LISTS.items():
        found = [e for e in explanation.parts if e.part.kind == kind]
        if found:
            values[name] = [_part(e.part) | effects_json(e.effects) for e in found]
    regions = [e for e in explanation.parts if e.part.kind == "region"]
    if regions:
        values["regions"] = {
            field: _grid([e for e in regions if e.part.field == field])
            for field in dict.fromkeys(e.part.field for e in regions)
        }
    frames = sorted(
        (e for e in explanation.parts if e.part.kind == "frame"), key=lambda e: e.part.index
    )
    for e in frames:
        row = {"index": e.part.index, "position": e.part.position} | effects_json(e.effects)
        values.setdefault("frames", {}).setdefault(e.part.field, []).append(row)
    values["similar"] = [
        s.film.to_json() | {"distance": round(s.distance, 3)} for s in explanation.similar
    ]
    if explanation.notes:
        values["notes"] = list(explanation.notes)
    return values


def effects_json(effects: Effects) -> dict[str, float]:
    """{"rating": points, "revenue_factor": factor, "hit_probability": difference, ...}."""
    found = {}
    for target, effect in effects.items():
        key, digits = _EFFECT.get(target, (target, 4))
        found[key] = round(10.0**effect if target == "revenue" else effect, digits)
    return found


def _levels(values: Effects) -> dict[str, float]:
    found = {}
    for target, value in values.items():
        key, digits = _LEVEL.get(target, (target, 4))
        found[key] = round(10.0**value if target == "revenue" else value, digits)
    return found


def _part(part: Part) -> dict[str, Any]:
    values: dict[str, Any] = {"field": part.field, "text": part.text}
    if part.kind == "review" or (part.kind == "word" and part.field == "reviews"):
        values["review"] = part.index
    if part.record is not None:
        shown = effects_json if part.record.relative else _levels
        record = {"films": part.record.films, "relative": part.record.relative}
        values["record"] = record | shown(dict(part.record.means))
    if part.span is not None:
        values["start"], values["end"] = part.span
    return values


def _grid(regions: list[PartEffect]) -> dict[str, Any]:
    cells = {e.part.cell: effects_json(e.effects) for e in regions if e.part.cell is not None}
    rows, columns = (1 + max(cell[axis] for cell in cells) for axis in (0, 1))
    values: dict[str, Any] = {"rows": rows, "columns": columns}
    for key in next(iter(cells.values())):
        values[key] = [[cells[r, c][key] for c in range(columns)] for r in range(rows)]
    return values
