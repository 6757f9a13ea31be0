"""The plans of a film as curves with intervals, for its page."""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup

from mfp.film import FIELDS
from mfp.forecast.axes import Axis
from mfp.forecast.plan import Plan, Plans
from mfp.report import charts
from mfp.report.language import ENGLISH, Language

_MOST_LINES = charts.COLOURS
# Field, label, and how much of it a chart shows at least: a difference that means nothing is not to
# look like one.
_LEAST_DOLLARS = 0.5  # powers of ten
_TARGETS = (
    ("rating", "rating (0-10)", 1.0),
    ("revenue_usd", "box office", _LEAST_DOLLARS),
    ("hit_probability", "chance of a hit", 0.1),
)


def log10(amount: float) -> float:
    """The power of ten of dollars; of less than a dollar, that of one."""
    return math.log10(max(amount, 1.0))


def dollar_axis(
    label: str, powers: Sequence[float], margin: float = 0.0, language: Language = ENGLISH
) -> charts.Axis:
    """An axis of powers of ten, its ticks in dollars."""
    scale = charts.axis(label, [min(powers) - margin, max(powers) + margin], least=_LEAST_DOLLARS)
    width = scale.high - scale.low
    if width < 2:  # too narrow for whole powers
        ticks = [p + math.log10(s) for p in range(13) for s in (1, 2, 3, 5, 7)]
    else:
        step = math.ceil(width / 6)
        ticks = [float(p) for p in range(0, 13, step)]
    inside = tuple((t, language.dollars(10.0**t)) for t in ticks if scale.low <= t <= scale.high)
    return charts.Axis(label, scale.low, scale.high, inside)


def charts_of(plans: Plans, language: Language = ENGLISH) -> list[Markup]:
    """A chart for each target over the longest axis that lies on a line.

    A line for each combination of the other axes, the best ones where there are many.
    """
    first = max(plans.axes, key=lambda axis: (axis.ordered, len(axis.values)))
    others = [axis.field for axis in plans.axes if axis is not first]
    lines: dict[tuple[str, ...], list[int]] = {}
    for i, plan in enumerate(plans.plans):
        lines.setdefault(tuple(plan.values[field] for field in others), []).append(i)
    goals = plans.goals()
    ranked = sorted(lines, key=lambda key: -goals[lines[key]].max())[:_MOST_LINES]
    chosen = {
        ", ".join(map(language.sentence, key)): [plans.plans[i] for i in lines[key]]
        for key in ranked
    }
    found = []
    for name, label, least in _TARGETS:
        if getattr(plans.plans[0].forecast, name) is not None:
            found.append(_chart(plans.best, first, chosen, name, language(label), least, language))
    return found


def _chart(
    best: Plan,
    first: Axis,
    lines: dict[str, list[Plan]],
    name: str,
    label: str,
    least: float,
    language: Language,
) -> Markup:
    across, places = _across(first, language)
    dollars = name == "revenue_usd"

    def values(plans: Sequence[Plan], field: str) -> list[float] | None:
        found = [getattr(plan.forecast, field, None) for plan in plans]
        known = [float(value) for value in found if value is not None]
        if len(known) < len(found):
            return None
        return [log10(value) for value in known] if dollars else known

    series = [
        charts.Series(
            key,
            places,
            values(plans, name) or [],
            "line" if first.ordered else "points",
            values(plans, f"{name}_low"),
            values(plans, f"{name}_high"),
            number,
        )
        for number, (key, plans) in enumerate(lines.items())
    ]
    all_values = [v for s in series for v in (*s.y, *(s.low or ()), *(s.high or ()))]
    down = (
        dollar_axis(label, all_values, language=language)
        if dollars
        else charts.axis(
            label, all_values, "{:.0%}".format if "hit" in name else "{:g}".format, least=least
        )
    )
    at = first.labels.index(best.values[first.field])
    star = (places[at], (values([best], name) or [math.nan])[0])
    title = language(
        "{label} over {field}; the best plan: {best}",
        label=label,
        field=language.name_of(first.field),
        best=language.sentence(first.labels[at]),
    )
    return charts.chart(title, across, down, series, star=star)


def _across(axis: Axis, language: Language) -> tuple[charts.Axis, list[float]]:
    """The axis of a chart, and where each value stands on it."""
    label = language.name_of(axis.field)
    if not axis.ordered:
        return charts.named_axis(label, [language.sentence(value) for value in axis.labels]), [
            float(i) for i in range(len(axis.labels))
        ]
    if FIELDS[axis.field].unit == "US dollars":
        places = [log10(value) for value in axis.values]
        return dollar_axis(label, places, language=language), places
    if FIELDS[axis.field].kind == "date":
        places = [float(date.first_day().toordinal()) for date in axis.values]
        step = -(-len(places) // 4) or 1
        ticks = tuple((places[i], axis.labels[i]) for i in range(0, len(places), step))
        scale = charts.axis(label, places)
        return charts.Axis(label, scale.low, scale.high, ticks), places
    return charts.axis(label, axis.values), list(axis.values)
