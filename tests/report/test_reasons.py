"""Explanations on a terminal: every number with its unit, film text as it stands."""

from __future__ import annotations

import pytest
from rich.console import Console

from mfp.data.reference import PastFilm
from mfp.data.track_record import MemberRecord
from mfp.dates import PartialDate
from mfp.forecast import Forecast
from mfp.forecast.explain import Explanation, ModalityEffect, PartEffect
from mfp.forecast.faithfulness import Faithfulness
from mfp.forecast.parts import Part
from mfp.forecast.similar import SimilarFilm
from mfp.report import reasons


def effects(rating: float, revenue: float, hit: float) -> dict[str, float]:
    return {"rating": rating, "revenue": revenue, "hit": hit}


EXPLANATION = Explanation(
    forecast=effects(6.5, 8.0, 0.4),
    average=effects(6.0, 7.0, 0.2),
    modalities=(
        ModalityEffect("people", True, effects(0.75, 1.0, 0.2)),
        ModalityEffect("plot", False, effects(0.0, 0.0, 0.0)),
        ModalityEffect("title", True, effects(-0.25, 0.0, 0.0)),
    ),
    parts=(
        PartEffect(Part("member", "cast", "[bold]Al[/bold]"), effects(0.5, -0.301, 0.1), 1.0),
        PartEffect(Part("region", "poster", cell=(0, 2)), effects(0.01, 0.0, 0.0), 0.1),
    ),
    similar=(
        SimilarFilm(PastFilm("a", "Heat", PartialDate(1995), rating=8.2, hit=True), 0.25),
        SimilarFilm(PastFilm("b", "[red]Thief", PartialDate(1981, 3), revenue_usd=11.5e6), 0.5),
    ),
    notes=("a note",),
)


def text_of(table) -> str:
    console = Console(width=120)
    with console.capture() as capture:
        console.print(table)
    return capture.get()


def lines_with(text: str, word: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines() if word in line]


def test_modalities_lead_from_the_average_film_to_this_one():
    text = text_of(reasons.modality_table("[b]Heat", EXPLANATION))
    assert "Why: [b]Heat" in text
    assert lines_with(text, "average") == [["the", "average", "film", "6.00", "$10M", "20.0%"]]
    assert lines_with(text, "people") == [["people", "+0.75", "x10.00", "+20.0", "points"]]
    assert lines_with(text, "title") == [["title", "-0.25", "x1.00", "+0.0", "points"]]
    assert lines_with(text, "this film") == [["this", "film", "6.50", "$100M", "40.0%"]]
    assert "plot" not in text  # the film has none


def test_parts_are_named_and_markup_is_text():
    text = text_of(reasons.part_table(EXPLANATION))
    assert lines_with(text, "cast:") == [
        ["cast:", "[bold]Al[/bold]", "+0.50", "x0.50", "+10.0", "points"]
    ]
    assert "poster: row 1, column 3" in text


@pytest.mark.parametrize(
    ("part", "label"),
    [
        (Part("fact", "release_date", "1995"), "release date: 1995"),
        (Part("word", "plot", "a\n  heist", span=(0, 9)), "plot: a heist"),
        (Part("word", "reviews", "dull", 1, (0, 4)), "review 2: dull"),
        (Part("review", "reviews", "x" * 60, 0), f"review 1: all of {'x' * 37}..."),
        (Part("frame", "trailer", index=3), "trailer: frame 4"),
        (
            Part("member", "directors", "Ann", record=MemberRecord(0, (), True)),
            "directors: Ann (no earlier film)",
        ),
        (
            Part("member", "cast", "Ann", record=MemberRecord(1, (("rating", -0.5),), True)),
            "cast: Ann (1 earlier film, rating -0.50)",
        ),
        (
            Part(
                "member",
                "companies",
                "Fox",
                record=MemberRecord(1200, (("rating", 6.2), ("revenue", 7.0)), False),
            ),
            "companies: Fox (1,200 earlier films, rating 6.20, box office $10M)",
        ),
        (
            Part("member", "cast", "Ann", record=MemberRecord(3, (("revenue", 0.301),), True)),
            "cast: Ann (3 earlier films, box office x2.00)",
        ),
    ],
)
def test_labels(part, label):
    assert reasons.part_label(part) == label


def test_similar_films_with_what_is_known():
    text = text_of(reasons.similar_table(EXPLANATION))
    assert lines_with(text, "Heat") == [["Heat", "1995", "8.2", "-", "yes", "0.25"]]
    assert lines_with(text, "Thief") == [["[red]Thief", "1981-03", "-", "$11.5M", "-", "0.50"]]
    assert "verdict" not in text  # of no film


def test_all_of_it_is_printed(capsys):
    film = Forecast("", "Heat", rating=6.5, explanation=EXPLANATION)
    reasons.show([film, Forecast("", "Unexplained", rating=5.0)])
    printed = capsys.readouterr().out
    for word in ("Why: Heat", "without", "similar past films", "a note"):
        assert word in printed
    assert "Unexplained" not in printed


def test_faithfulness():
    row = Faithfulness("word", "revenue", 150, 2.5, 0.25, 0.1, 2.5, 2.0, 3.0)
    text = text_of(reasons.faithfulness_table([row]))
    assert lines_with(text, "word") == [
        ["word", "box", "office", "150", "2.5", "0.2500", "0.1000", "2.50", "2.00", "-", "3.00"]
    ]
