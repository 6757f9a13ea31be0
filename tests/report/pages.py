"""Pages of made-up films and of a made-up run, with hostile text wherever text may stand."""

from __future__ import annotations

import numpy as np

from mfp.data.reference import PastFilm
from mfp.dates import PartialDate
from mfp.film import Film, Outcome
from mfp.forecast.axes import Axis
from mfp.forecast.explain import Explanation, ModalityEffect, PartEffect
from mfp.forecast.parts import Part
from mfp.forecast.plan import Plan, Plans
from mfp.forecast.predict import Forecast
from mfp.forecast.similar import SimilarFilm
from mfp.report import film_page, run_page
from mfp.report.film_page import FilmReport
from mfp.report.pictures import Picture, Pictures
from mfp.report.run_page import RunReport
from mfp.training.held_out import HeldOut

TITLE = "<script>alert(1)</script> \"double\" 'single' & more"
PLOT = "A warm </style><script>alert(2)</script> joy <img src=x onerror=alert(3)> ]]> --> end"
ATTRIBUTE = "\"><svg onload='alert(4)'>"
# A JPEG of one grey pixel would do; the page does not look into it.
PIXEL = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"

FILM = Film(
    title=TITLE,
    id=ATTRIBUTE,
    release_date=PartialDate(2014, 6, 20),
    directors=(ATTRIBUTE, "x" * 300),
    budget_usd=1.5e7,
    plot=PLOT,
    poster=ATTRIBUTE,
)


def effects(size: float) -> dict[str, float]:
    return {"rating": size, "revenue": size / 2, "hit": size / 10}


def explanation() -> Explanation:
    words = [("warm", 0.4), ("joy", -0.2), ("script", 0.01)]
    parts = [
        Part("word", "plot", word, span=(PLOT.index(word), PLOT.index(word) + len(word)))
        for word, _ in words
    ]
    found = [PartEffect(p, effects(size), size) for p, (_, size) in zip(parts, words, strict=True)]
    found.append(PartEffect(Part("member", "directors", ATTRIBUTE), effects(-0.3), 0.3))
    found += [
        PartEffect(Part("region", "poster", cell=(r, c)), effects(0.1 * (r - c)), 0.1)
        for r in range(2)
        for c in range(2)
    ]
    found.append(PartEffect(Part("frame", "trailer", index=1), effects(0.2), 0.2))
    past = PastFilm(ATTRIBUTE, TITLE, PartialDate(2009), rating=6.1, revenue_usd=2e7, hit=False)
    return Explanation(
        effects(6.5),
        effects(6.0),
        (ModalityEffect("plot", True, effects(0.5)), ModalityEffect("poster", False, effects(0))),
        tuple(found),
        (SimilarFilm(past, 0.25),),
        ("a note <b>",),
    )


def forecast(**changes) -> Forecast:
    values = {
        "rating": 6.5,
        "rating_low": 5.2,
        "rating_high": 7.7,
        "revenue_usd": 1.2e7,
        "revenue_usd_low": 1e6,
        "revenue_usd_high": 9e7,
        "revenue_mean_usd": 2.3e7,
        "hit_probability": 0.31,
        "level": 0.9,
        "flags": (f"unseen language: {ATTRIBUTE}",),
        "explanation": explanation(),
    }
    return Forecast(FILM.id, FILM.title, "2014-06-20", **(values | changes))


def plans() -> Plans:
    dates = Axis("release_date", tuple(PartialDate(2014, month) for month in range(1, 13)))
    names = Axis("directors", ((TITLE,), (ATTRIBUTE,)))
    found = []
    for i, date in enumerate(dates.labels):
        for j, name in enumerate(names.labels):
            at = forecast(rating=6 + i / 10 - j, explanation=None)
            values = {"release_date": date, "directors": name}
            found.append(Plan(values, at, ("far",) if i == 0 else (), (i, j) == (11, 0), i > 9))
    return Plans((dates, names), "rating", tuple(found), ("within the noise <b>",))


def film_report() -> FilmReport:
    poster, frame = Picture(PIXEL, 300, 450), Picture(PIXEL, 128, 128)
    return FilmReport(FILM, forecast(), Pictures(poster, (frame, frame, None)), plans())


def film_html() -> str:
    return film_page.render([film_report()])


def held_out(count: int = 400) -> HeldOut:
    """Made-up films of 2012 and 2013; of half of them the revenue is not known."""
    rng = np.random.default_rng(0)
    rating, revenue = rng.normal(6, 1, count), rng.normal(7, 1, count)
    revenue[::2] = np.nan
    hit = (rating + rng.normal(0, 1, count) > 6.5).astype(float)
    forecasts = {
        "rating": rating + rng.normal(0, 0.7, count),
        "revenue": np.nan_to_num(revenue, nan=7) + rng.normal(0, 0.7, count),
        "hit": 1 / (1 + np.exp(6.5 - rating)),
    }
    facts = {
        "release_year": rng.integers(2012, 2014, count).astype(float),
        "budget_usd": 10 ** rng.normal(7, 1, count),
    }
    low = {name: forecasts[name] - 1.2 for name in ("rating", "revenue")}
    high = {name: forecasts[name] + 1.2 for name in ("rating", "revenue")}
    return HeldOut(
        {"rating": rating, "revenue": revenue, "hit": hit}, forecasts, low, high, facts, 0.9
    )


def metrics() -> dict:
    scores = {"rmse": 1.0, "mae": 0.8, "r2": 0.3, "n": 400}
    chances = {"auc": 0.7, "log_loss": 0.5, "accuracy": 0.8, "n": 400}
    covered = {"coverage": 0.89, "below": 0.06, "above": 0.05, "width": 2.5, "n": 400}
    slices = {"by_year": {"2012": covered, "2013": covered}, "by_budget": {"below $1M": covered}}
    rating = {"test": covered, **slices, "by_missing": {"without <b>poster": covered}}
    test = {"rating": scores, "revenue": scores, "hit": chances}
    ridge = {"rating": scores | {"r2": 0.2}, "hit": chances | {"auc": 0.65}}
    difference = {"network": 0.3, "rival": 0.2, "difference": 0.1, "low": 0.05, "high": 0.15}
    difference |= {"outcome": "wins"}
    comparison = {
        "verdict": "The network wins: rating R2 <b>0.3.",
        "refit": False,
        "differences": {"rating": {"ridge": {"r2": difference, "r2_without_bias": difference}}},
    }
    of_slice = {"r2": 0.25, "rmse": 1.1, "bias": -0.2, "mean": 6.0, "n": 31}
    served = {
        "revenue": {"total_by_medians": 0.6, "total_by_means": 0.97, "n": 400},
        "verdict": {
            "macro_f1": 0.45,
            "f1": {"flop": 0.5, "superhit": 0.4},
            "likeliest_class": {"macro_f1": 0.3},
            "confusion": {
                "flop": {"flop": 7, "superhit": 1},
                "superhit": {"flop": 2, "superhit": 3},
            },
        },
        "slices": {"rating": {"genre": {ATTRIBUTE: of_slice}}},
    }
    return {
        "comparison": comparison,
        "served": served,
        "test": test,
        "baselines": {"mean": {"rating": scores | {"r2": 0.0}}, "ridge": ridge},
        "intervals": {"level": 0.9, "rating": rating},
    }


def run_report() -> RunReport:
    films = [(Film(f"{TITLE} {i}", release_date=PartialDate(2012)), Outcome()) for i in range(400)]
    log = [{"step": s, "loss": 2 - s / 100, "loss_rating": 1.0} for s in range(0, 100, 10)]
    log.append({"step": 90, "validation": {"loss": 1.3, "loss_rating": 0.9}})
    shown = metrics()["test"]
    hidden = [
        {"present": present, "metrics": shown}
        for present in (["plot", "<b>poster"], ["plot"], ["<b>poster"], [])
    ]
    facts = [("source", ATTRIBUTE)]
    return RunReport("base <b>", facts, log, metrics(), held_out(), films, hidden)


def run_html() -> str:
    return run_page.render(run_report())
