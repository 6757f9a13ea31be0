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
from mfp.report import charts, page, plan_charts
from mfp.report.language import ENGLISH, Language
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


def render(reports: Sequence[FilmReport], language: Language = ENGLISH) -> str:
    """The page as HTML.

    Raises:
      ValueError: more than MAX_FILMS films.
    """
    if len(reports) > MAX_FILMS:
        raise ValueError(f"a page holds at most {MAX_FILMS} films, not {len(reports):,}")
    one = len(reports) == 1
    title = reports[0].film.title if one else language("{count} films", count=len(reports))
    shown = [_film(report, language) for report in reports]
    return page.render("film.html", language, title=title, films=shown)


def _film(report: FilmReport, language: Language) -> dict[str, Any]:
    film, forecast = report.film, report.forecast
    return {
        "title": film.title,
        "facts": _facts(film, language),
        "forecasts": _forecasts(forecast, language),
        "level": f"{100 * forecast.level:.4g}%" if forecast.level else "",
        "flags": [language.sentence(flag) for flag in forecast.flags],
        "poster": report.pictures.poster,
        "why": _why(report, forecast.explanation, language) if forecast.explanation else None,
        "plan": _plan(report.plans, language) if report.plans else None,
    }


def _facts(film: Film, language: Language) -> list[tuple[str, str]]:
    """The film's known fields in words; its texts and media are shown elsewhere."""
    found = []
    for name, value in films.to_json(film).items():
        if name == "title" or name in TEXT_FIELDS or films.kind_of(name) == "path":
            continue
        if isinstance(value, list):
            text = language(", ").join(value)
        elif isinstance(value, float):
            text = language.dollars(value) if name == "budget_usd" else f"{value:,.10g}"
        else:
            text = str(value)
        found.append((language.name_of(name.removesuffix("_usd")), text))
    return found


def _forecasts(forecast: Forecast, language: Language) -> list[dict[str, Any]]:
    """Each target of a forecast: {label, value, range, picture}."""
    found: list[dict[str, Any]] = []

    def target(label: str, scale: charts.Axis | None, show: Any, bounds: Any) -> dict[str, Any]:
        return _target(language(label), scale, show, bounds, language)

    if forecast.rating is not None:
        scale = charts.Axis("", 0, 10, tuple((float(t), str(t)) for t in range(0, 11, 2)))
        shown = "{:.1f}".format
        bounds = forecast.rating, forecast.rating_low, forecast.rating_high
        found.append(target("rating, of 10", scale, shown, bounds))
    if forecast.revenue_usd is not None:
        bounds = forecast.revenue_usd, forecast.revenue_usd_low, forecast.revenue_usd_high
        found.append(target("box office", None, language.dollars, bounds))
    if forecast.revenue_mean_usd is not None:
        mean = forecast.revenue_mean_usd, None, None
        found.append(target("box office, mean", None, language.dollars, mean))
    percent = "{:.0%}".format
    share = charts.Axis("", 0, 1, tuple((t / 4, f"{t / 4:.0%}") for t in range(5)))
    for label, value in (
        ("chance of a hit", forecast.hit_probability),
        ("reviews that praise", forecast.sentiment),
    ):
        if value is not None:
            found.append(target(label, share, percent, (value, None, None)))
    for name, value in (forecast.verdict_probabilities or {}).items():
        label = language("verdict: {name}", name=language.word("verdict", name))
        found.append(_target(label, share, percent, (value, None, None), language))
    for name, value in (forecast.added or {}).items():
        scale = charts.axis("", [0.0, value])
        found.append(target(name, scale, "{:.3g}".format, (value, None, None)))
    return found


def _target(
    label: str,
    scale: charts.Axis | None,
    show: Any,
    bounds: tuple[float, float | None, float | None],
    language: Language,
) -> dict[str, Any]:
    """One target; without a scale of its own, on one of powers of ten that holds its bounds."""
    value, low, high = bounds
    around, said = "", language("{label}: {value}", label=label, value=show(value))
    if low is not None and high is not None:
        around = language("{low} to {high}", low=show(low), high=show(high))
        said += language(", interval {around}", around=around)
    drawn = bounds
    if scale is None:
        powers = [None if v is None else plan_charts.log10(v) for v in bounds]
        drawn = plan_charts.log10(value), powers[1], powers[2]
        known = [v for v in powers if v is not None]
        scale = plan_charts.dollar_axis("", known, 0.5, language)
    picture = charts.interval(said, scale, *drawn)
    return {"label": label, "value": show(value), "range": around, "picture": picture}


def _why(report: FilmReport, found: Explanation, language: Language) -> dict[str, Any]:
    target = next((t for t in _COLOURED_BY if t in found.forecast), next(iter(found.forecast)))
    targets = list(found.forecast)
    given = [m for m in found.modalities if m.given]
    scales = {t: max((abs(m.effects[t]) for m in given), default=0.0) for t in targets}

    def bars(label: str, effects: Any, scale: Any) -> list[tuple[Markup, str]]:
        shown = []
        for t in targets:
            text = effect_text(t, effects[t], language)
            said = language("{label}: {value}", label=label, value=text)
            shown.append((charts.signed_bar(said, effects[t], scale[t]), text))
        return shown

    def row(label: str, effects: Any, scale: Any) -> tuple[str, list[tuple[Markup, str]]]:
        return label, bars(label, effects, scale)

    told = [e for e in found.parts if e.part.kind not in ("region", "frame")][:_MAX_PARTS]
    most = {t: max((abs(e.effects[t]) for e in told), default=0.0) for t in targets}
    return {
        "by": _label(target, language),
        "targets": [_label(t, language) for t in targets],
        "average": [level_text(t, found.average[t], language) for t in targets],
        "forecast": [level_text(t, found.forecast[t], language) for t in targets],
        "modalities": [row(modality_label(m.name, language), m.effects, scales) for m in given],
        "parts": [row(part_label(e.part, language), e.effects, most) for e in told],
        "texts": _texts(report.film, found, target, language),
        "heat": _heat(report.pictures.poster, found, target, language),
        "frames": _frames(report.pictures, found, target, language),
        "similar": _similar(found, language),
        "notes": [language.sentence(note) for note in found.notes],
    }


def _label(target: str, language: Language) -> str:
    return language(_LABELS.get(target, target))


def _texts(film: Film, found: Explanation, target: str, language: Language) -> list[dict[str, Any]]:
    """Every text of which a word moves the forecast, cut into pieces: (text, class, effects)."""
    words = [e for e in found.parts if e.part.kind == "word"]
    most = max((abs(e.effects[target]) for e in words), default=0.0)
    shown = []
    for field in TEXT_FIELDS:
        for index, text in enumerate(films.texts(film, field)):
            own = [e for e in words if (e.part.field, e.part.index) == (field, index)]
            if own:
                label = language.word("field", field)
                if field == "reviews":
                    label = language("review {number}", number=index + 1)
                pieces = _pieces(text, own, target, most, language)
                shown.append({"label": label, "pieces": pieces})
    return shown


def _pieces(
    text: str, words: Sequence[PartEffect], target: str, most: float, language: Language
) -> list[tuple[str, str, str]]:
    pieces, at = [], 0
    for e in sorted(words, key=lambda e: e.part.span or (0, 0)):
        start, end = e.part.span or (0, 0)
        if start < at:
            continue
        pieces.append((text[at:start], "", ""))
        own = e.effects[target]
        strength = round(_STRENGTHS * abs(own) / most) if most else 0
        kind = f"{'up' if own > 0 else 'down'} s{strength}" if strength else ""
        effects = (
            f"{_label(t, language)} {effect_text(t, effect, language)}"
            for t, effect in e.effects.items()
        )
        said = language("; ").join(effects)
        pieces.append((text[start:end], kind, said))
        at = end
    return [piece for piece in (*pieces, (text[at:], "", "")) if piece[0]]


def _heat(
    poster: Picture | None, found: Explanation, target: str, language: Language
) -> Markup | None:
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
    said = language(
        "Heat map over the poster, {rows} by {columns} regions. Most in favour: row {best_row}, "
        "column {best_column} ({best}); most against: row {worst_row}, column {worst_column} "
        "({worst}).",
        rows=rows,
        columns=columns,
        best_row=best[0] + 1,
        best_column=best[1] + 1,
        best=effect_text(target, cells[best], language),
        worst_row=worst[0] + 1,
        worst_column=worst[1] + 1,
        worst=effect_text(target, cells[worst], language),
    )
    return charts.heat_map(said, poster.uri, poster.width, poster.height, grid)


def _frames(
    pictures: Pictures, found: Explanation, target: str, language: Language
) -> list[dict[str, Any]]:
    effects = {e.part.index: e for e in found.parts if e.part.kind == "frame"}
    most = max((abs(e.effects[target]) for e in effects.values()), default=0.0)
    shown = []
    for i, picture in enumerate(pictures.frames):
        effect = effects[i].effects[target] if i in effects else 0.0
        position = (i + 0.5) / len(pictures.frames)
        if picture is not None:
            said = effect_text(target, effect, language)
            label = language(
                "frame {number}, at {position} of the clip",
                number=i + 1,
                position=f"{position:.0%}",
            )
            title = language("{label}: {value}", label=label, value=said)
            bar = charts.signed_bar(title, effect, most)
            shown.append({"label": label, "picture": picture, "effect": said, "bar": bar})
    return shown


def _similar(found: Explanation, language: Language) -> dict[str, Any]:
    """A table of past films, without columns that nothing fills."""
    columns = (
        ("release", lambda s: str(s.film.release_date)),
        ("rating", lambda s: "" if s.film.rating is None else f"{s.film.rating:.1f}"),
        ("box office", lambda s: s.film.revenue_usd and language.dollars(s.film.revenue_usd)),
        ("hit", lambda s: "" if s.film.hit is None else language("yes" if s.film.hit else "no")),
        ("verdict", lambda s: language.word("verdict", s.film.verdict or "")),
        ("distance", lambda s: f"{s.distance:.2f}"),
    )
    filled = [(label, show) for label, show in columns if any(map(show, found.similar))]
    rows = [(s.film.title, [show(s) or "-" for _, show in filled]) for s in found.similar]
    return {"columns": [language(label) for label, _ in filled], "rows": rows}


def _plan(plans: Plans, language: Language) -> dict[str, Any]:
    chosen = list(range(len(plans.plans)))
    if len(chosen) > MAX_PLANS:
        order = plans.goals().argsort(kind="stable")[::-1]
        chosen = sorted(order[:MAX_PLANS].tolist())
    return {
        "goal": _label(plans.goal, language),
        "fields": [language.name_of(axis.field) for axis in plans.axes],
        "best": ", ".join(map(language.sentence, plans.best.values.values())),
        "charts": plan_charts.charts_of(plans, language),
        "targets": [t["label"] for t in _forecasts(plans.plans[0].forecast, language)],
        "rows": [_plan_row(plans.plans[i], language) for i in chosen],
        "more": len(plans.plans) - len(chosen),
        "warnings": [language.sentence(warning) for warning in plans.warnings],
    }


def _plan_row(plan: Any, language: Language) -> dict[str, Any]:
    marks = ["best"] if plan.best else ["as good"] if plan.as_good else []
    marks += ["extrapolates"] if plan.extrapolates else []
    targets = [(t["value"], t["range"]) for t in _forecasts(plan.forecast, language)]
    return {
        "values": [language.sentence(value) for value in plan.values.values()],
        "targets": targets,
        "marks": ", ".join(map(language, marks)),
        "best": plan.best,
    }
