"""The page of one film, or of a few: its forecast, the reasons, similar films, plans."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from mfp import film as films
from mfp.film import TEXT_FIELDS, Film
from mfp.forecast.explain import Explanation, PartEffect
from mfp.forecast.plan import Plans
from mfp.forecast.predict import Forecast
from mfp.report import charts, page, plan_charts, tables
from mfp.report.pictures import Picture, Pictures
from mfp.report.reasons import effect_text, level_text, modality_label, part_label

MAX_FILMS = 20  # of one page
MAX_PLANS = 200  # told of one film, the best of more
_MAX_PARTS = 30  # told of one film
_STRENGTHS = 4  # shades of a word's effect, classes s1 to s4
_LABELS = {"revenue": "box office", "hit": "chance of a hit"}
# What words, poster and trailer are coloured by: the first that the bundle predicts.
_COLOURED_BY = ("rating", "revenue", "sentiment", "verdict", "hit")


@dataclass(frozen=True)
class FilmReport:
    """What the page tells of a film."""

    film: Film
    forecast: Forecast
    pictures: Pictures = Pictures()  # noqa: RUF009 (frozen)
    plans: Plans | None = None


def render(reports: Sequence[FilmReport]) -> str:
    """The page as HTML.

    Raises:
      ValueError: more than MAX_FILMS films.
    """
    if len(reports) > MAX_FILMS:
        raise ValueError(f"a page holds at most {MAX_FILMS} films, not {len(reports):,}")
    one = len(reports) == 1
    title = reports[0].film.title if one else f"{len(reports)} films"
    return page.render("film.html", title=title, films=[_film(r) for r in reports])


def _film(report: FilmReport) -> dict[str, Any]:
    film, forecast = report.film, report.forecast
    return {
        "title": film.title,
        "facts": _facts(film),
        "forecasts": _forecasts(forecast),
        "level": f"{100 * forecast.level:.4g}%" if forecast.level else "",
        "flags": forecast.flags,
        "poster": report.pictures.poster,
        "why": _why(report, forecast.explanation) if forecast.explanation else None,
        "plan": _plan(report.plans) if report.plans else None,
    }


def _facts(film: Film) -> list[tuple[str, str]]:
    """The film's known fields in words; its texts and media are shown elsewhere."""
    found = []
    for name, value in films.to_json(film).items():
        if name == "title" or name in TEXT_FIELDS or films.kind_of(name) == "path":
            continue
        if isinstance(value, list):
            text = ", ".join(value)
        elif isinstance(value, float):
            text = tables.dollars(value) if name == "budget_usd" else f"{value:,.10g}"
        else:
            text = str(value)
        found.append((name.removesuffix("_usd").replace("_", " "), text))
    return found


def _forecasts(forecast: Forecast) -> list[dict[str, Any]]:
    """Each target of a forecast: {label, value, range, picture}."""
    found: list[dict[str, Any]] = []
    if forecast.rating is not None:
        scale = charts.Axis("", 0, 10, tuple((float(t), str(t)) for t in range(0, 11, 2)))
        shown = "{:.1f}".format
        bounds = forecast.rating, forecast.rating_low, forecast.rating_high
        found.append(_target("rating, of 10", scale, shown, bounds))
    if forecast.revenue_usd is not None:
        bounds = forecast.revenue_usd, forecast.revenue_usd_low, forecast.revenue_usd_high
        found.append(_target("box office", None, tables.dollars, bounds))
    if forecast.revenue_mean_usd is not None:
        mean = forecast.revenue_mean_usd, None, None
        found.append(_target("box office, mean", None, tables.dollars, mean))
    percent = "{:.0%}".format
    share = charts.Axis("", 0, 1, tuple((t / 4, f"{t / 4:.0%}") for t in range(5)))
    for label, value in (
        ("chance of a hit", forecast.hit_probability),
        ("reviews that praise", forecast.sentiment),
    ):
        if value is not None:
            found.append(_target(label, share, percent, (value, None, None)))
    for name, value in (forecast.verdict_probabilities or {}).items():
        found.append(_target(f"verdict: {name}", share, percent, (value, None, None)))
    return found


def _target(
    label: str,
    scale: charts.Axis | None,
    show: Any,
    bounds: tuple[float, float | None, float | None],
) -> dict[str, Any]:
    """One target; without a scale of its own, on one of powers of ten that holds its bounds."""
    value, low, high = bounds
    around = "" if low is None or high is None else f"{show(low)} to {show(high)}"
    said = f"{label}: {show(value)}" + (f", interval {around}" if around else "")
    drawn = bounds
    if scale is None:
        powers = [None if v is None else plan_charts.log10(v) for v in bounds]
        drawn = plan_charts.log10(value), powers[1], powers[2]
        scale = plan_charts.dollar_axis("", [v for v in powers if v is not None], 0.5)
    picture = charts.interval(said, scale, *drawn)
    return {"label": label, "value": show(value), "range": around, "picture": picture}


def _why(report: FilmReport, found: Explanation) -> dict[str, Any]:
    target = next((t for t in _COLOURED_BY if t in found.forecast), next(iter(found.forecast)))
    targets = list(found.forecast)
    given = [m for m in found.modalities if m.given]
    scales = {t: max((abs(m.effects[t]) for m in given), default=0.0) for t in targets}

    def bars(label: str, effects: Any, scale: Any) -> list[tuple[Markup, str]]:
        return [
            (
                charts.signed_bar(f"{label}: {effect_text(t, effects[t])}", effects[t], scale[t]),
                effect_text(t, effects[t]),
            )
            for t in targets
        ]

    told = [e for e in found.parts if e.part.kind not in ("region", "frame")][:_MAX_PARTS]
    most = {t: max((abs(e.effects[t]) for e in told), default=0.0) for t in targets}
    return {
        "by": _LABELS.get(target, target),
        "targets": [_LABELS.get(t, t) for t in targets],
        "average": [level_text(t, found.average[t]) for t in targets],
        "forecast": [level_text(t, found.forecast[t]) for t in targets],
        "modalities": [
            (modality_label(m.name), bars(modality_label(m.name), m.effects, scales)) for m in given
        ],
        "parts": [(part_label(e.part), bars(part_label(e.part), e.effects, most)) for e in told],
        "texts": _texts(report.film, found, target),
        "heat": _heat(report.pictures.poster, found, target),
        "frames": _frames(report.pictures, found, target),
        "similar": _similar(found),
        "notes": found.notes,
    }


def _texts(film: Film, found: Explanation, target: str) -> list[dict[str, Any]]:
    """Every text of which a word moves the forecast, cut into pieces: (text, class, effects)."""
    words = [e for e in found.parts if e.part.kind == "word"]
    most = max((abs(e.effects[target]) for e in words), default=0.0)
    shown = []
    for field in TEXT_FIELDS:
        for index, text in enumerate(films.texts(film, field)):
            own = [e for e in words if (e.part.field, e.part.index) == (field, index)]
            if own:
                label = f"review {index + 1}" if field == "reviews" else field
                shown.append({"label": label, "pieces": _pieces(text, own, target, most)})
    return shown


def _pieces(
    text: str, words: Sequence[PartEffect], target: str, most: float
) -> list[tuple[str, str, str]]:
    pieces, at = [], 0
    for e in sorted(words, key=lambda e: e.part.span or (0, 0)):
        start, end = e.part.span or (0, 0)
        if start < at:
            continue
        pieces.append((text[at:start], "", ""))
        effect = e.effects[target]
        strength = round(_STRENGTHS * abs(effect) / most) if most else 0
        kind = f"{'up' if effect > 0 else 'down'} s{strength}" if strength else ""
        said = "; ".join(f"{_LABELS.get(t, t)} {effect_text(t, e.effects[t])}" for t in e.effects)
        pieces.append((text[start:end], kind, said))
        at = end
    return [piece for piece in (*pieces, (text[at:], "", "")) if piece[0]]


def _heat(poster: Picture | None, found: Explanation, target: str) -> Markup | None:
    cells = {
        e.part.cell: e.effects[target]
        for e in found.parts
        if e.part.kind == "region" and e.part.cell is not None
    }
    if poster is None or not cells:
        return None
    rows, columns = (1 + max(cell[i] for cell in cells) for i in (0, 1))
    grid = [[cells.get((r, c), 0.0) for c in range(columns)] for r in range(rows)]
    best, worst = max(cells, key=cells.__getitem__), min(cells, key=cells.__getitem__)
    said = (
        f"Heat map over the poster, {rows} by {columns} regions. Most in favour: row "
        f"{best[0] + 1}, column {best[1] + 1} ({effect_text(target, cells[best])}); most against: "
        f"row {worst[0] + 1}, column {worst[1] + 1} ({effect_text(target, cells[worst])})."
    )
    return charts.heat_map(said, poster.uri, poster.width, poster.height, grid)


def _frames(pictures: Pictures, found: Explanation, target: str) -> list[dict[str, Any]]:
    effects = {e.part.index: e for e in found.parts if e.part.kind == "frame"}
    most = max((abs(e.effects[target]) for e in effects.values()), default=0.0)
    shown = []
    for i, picture in enumerate(pictures.frames):
        effect = effects[i].effects[target] if i in effects else 0.0
        position = (i + 0.5) / len(pictures.frames)
        if picture is not None:
            said = effect_text(target, effect)
            label = f"frame {i + 1}, at {position:.0%} of the clip"
            bar = charts.signed_bar(f"{label}: {said}", effect, most)
            shown.append({"label": label, "picture": picture, "effect": said, "bar": bar})
    return shown


def _similar(found: Explanation) -> dict[str, Any]:
    """A table of past films, without columns that nothing fills."""
    columns = (
        ("release", lambda s: str(s.film.release_date)),
        ("rating", lambda s: "" if s.film.rating is None else f"{s.film.rating:.1f}"),
        ("box office", lambda s: s.film.revenue_usd and tables.dollars(s.film.revenue_usd)),
        ("hit", lambda s: "" if s.film.hit is None else "yes" if s.film.hit else "no"),
        ("verdict", lambda s: s.film.verdict),
        ("distance", lambda s: f"{s.distance:.2f}"),
    )
    filled = [(label, show) for label, show in columns if any(map(show, found.similar))]
    rows = [(s.film.title, [show(s) or "-" for _, show in filled]) for s in found.similar]
    return {"columns": [label for label, _ in filled], "rows": rows}


def _plan(plans: Plans) -> dict[str, Any]:
    chosen = list(range(len(plans.plans)))
    if len(chosen) > MAX_PLANS:
        order = plans.goals().argsort(kind="stable")[::-1]
        chosen = sorted(order[:MAX_PLANS].tolist())
    return {
        "goal": _LABELS.get(plans.goal, plans.goal),
        "fields": [axis.field.replace("_", " ") for axis in plans.axes],
        "best": ", ".join(plans.best.values.values()),
        "charts": plan_charts.charts_of(plans),
        "targets": [t["label"] for t in _forecasts(plans.plans[0].forecast)],
        "rows": [_plan_row(plans.plans[i]) for i in chosen],
        "more": len(plans.plans) - len(chosen),
        "warnings": plans.warnings,
    }


def _plan_row(plan: Any) -> dict[str, Any]:
    marks = ["best"] if plan.best else ["as good"] if plan.as_good else []
    marks += ["extrapolates"] if plan.extrapolates else []
    targets = [(t["value"], t["range"]) for t in _forecasts(plan.forecast)]
    return {
        "values": list(plan.values.values()),
        "targets": targets,
        "marks": ", ".join(marks),
        "best": plan.best,
    }
