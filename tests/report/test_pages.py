"""Pages: what they tell, and that text from outside stays text. Without a browser."""

from __future__ import annotations

import dataclasses
import itertools
import re
from html.parser import HTMLParser

import jinja2
import numpy as np
import pytest

from mfp.film import Film
from mfp.forecast.predict import Forecast
from mfp.report import film_page, page, run_page
from mfp.report.film_page import FilmReport
from report import pages

POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; "
    "form-action 'none'"
)
# Elements that never have an end tag.
VOID = {"meta", "link", "img"}


class Reader(HTMLParser):
    """The elements of a page, its text, and whether what opens is closed."""

    def __init__(self, html: str):
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text, self.open = "", []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        assert len(dict(attrs)) == len(attrs), f"an attribute twice: {attrs}"
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def film() -> Reader:
    return Reader(pages.film_html())


@pytest.fixture(scope="module")
def run() -> Reader:
    return Reader(pages.run_html())


@pytest.fixture(params=["film", "run"])
def either(request) -> Reader:
    return request.getfixturevalue(request.param)


def test_nothing_runs_and_nothing_is_loaded(either):
    names = {name for name, _ in either.elements}
    assert not names & {"script", "iframe", "object", "embed", "form", "input", "base", "use"}
    for name, attributes in either.elements:
        for key, value in attributes.items():
            assert not key.startswith("on"), (name, key)
            assert key != "style", (name, value)
            if key in ("src", "href", "xlink:href"):
                assert re.match(r"data:image/|data:,$|#", value or ""), (name, value)


def test_the_policy_of_a_page_forbids_the_rest(either):
    policies = [m["content"] for m in either.all("meta") if "http-equiv" in m]
    assert policies == [POLICY]


def test_a_page_is_one_document_in_english_with_one_main_heading(either):
    assert either.all("html") == [{"lang": "en"}]
    assert len(either.all("h1")) == len(either.all("main")) == len(either.all("title")) == 1
    levels = [int(name[1]) for name, _ in either.elements if re.fullmatch(r"h\d", name)]
    assert all(b - a <= 1 for a, b in itertools.pairwise(levels)), levels


def test_pictures_and_tables_are_described(either):
    assert all(svg["role"] == "img" and svg["aria-label"] for svg in either.all("svg"))
    assert all(image["alt"] for image in either.all("img"))
    assert all(header["scope"] for header in either.all("th"))
    labels = [r["aria-label"] for r in either.all("div") if r.get("role") == "region"]
    assert len(labels) == len(either.all("table"))
    assert all(labels)


def test_hostile_text_is_shown_as_it_is(film):
    assert film.text.count(pages.TITLE) >= 3  # title, heading, similar film
    assert pages.PLOT in film.text
    assert f"unseen language: {pages.ATTRIBUTE}" in film.text
    assert film.all("img")[0]["alt"] == f"Poster of {pages.TITLE}"
    assert all("alert" not in str(name) for name, _ in film.elements)


def test_the_page_of_a_run_shows_hostile_titles_as_they_are(run):
    assert pages.TITLE in run.text
    assert pages.ATTRIBUTE in run.text
    assert "base <b>" in run.text
    assert "<b>poster" in run.text


def test_the_page_of_a_film_tells_its_forecast_and_reasons(film):
    for said in ("6.5", "5.2 to 7.7", "$12M", "$1M to $90M", "$23M", "31%", "90% interval"):
        assert said in film.text
    for said in ("+0.50", "-0.30", "the average film", "a note <b>", "2009", "$20M"):
        assert said in film.text


def test_words_are_coloured_by_their_effect(film):
    words = [a for a in film.all("span") if a["class"].startswith("word") and "title" in a]
    assert [a["class"] for a in words] == ["word up s4", "word down s2"]  # "script": next to none
    assert words[0]["title"] == "rating +0.40; box office x1.58; chance of a hit +4.0 points"


def test_the_heat_map_has_a_cell_where_a_region_has_an_effect(film):
    start = [i for i, (_, a) in enumerate(film.elements) if a.get("class") == "poster"]
    cells = [(a["class"], a["x"], a["y"]) for _, a in film.elements[start[0] + 2 : start[0] + 4]]
    assert cells == [("down", "150.00", "0.00"), ("up", "0.00", "225.00")]


def test_of_a_trailer_the_frames_that_could_be_read_are_shown(film):
    assert [a["alt"] for a in film.all("img")[1:]] == [
        "frame 1, at 17% of the clip",
        "frame 2, at 50% of the clip",
    ]


def test_the_plans_are_a_table_and_a_curve_of_each_target(film):
    assert film.text.count("extrapolates") == 2
    assert "within the noise <b>" in film.text
    charts = [a["aria-label"] for a in film.all("svg") if a["class"] == "chart"]
    assert [label.split(" over ")[0] for label in charts] == [
        "rating (0-10)",
        "box office",
        "chance of a hit",
    ]


def test_of_many_plans_the_best_are_told(monkeypatch):
    monkeypatch.setattr(film_page, "MAX_PLANS", 5)
    read = Reader(pages.film_html())
    assert "19 more are left out" in read.text
    assert "2014-12" in read.text


def test_a_bare_forecast_is_a_page_too():
    bare = FilmReport(Film("Heat 2"), Forecast("", "Heat 2", sentiment=0.25))
    read = Reader(film_page.render([bare]))
    assert "25%" in read.text
    assert "Why" not in read.text


def test_several_films_share_a_page_up_to_a_bound():
    reports = [pages.film_report()] * 3
    read = Reader(film_page.render(reports))
    ids = [a["id"] for _, a in read.elements if "id" in a]
    assert len(ids) == len(set(ids)) == 6
    assert [a["href"] for a in read.all("a")] == ["#film-1", "#film-2", "#film-3"]
    with pytest.raises(ValueError, match="at most 20 films, not 21"):
        film_page.render([pages.film_report()] * 21)


def test_half_a_surrogate_pair_does_not_stop_a_page():
    film = dataclasses.replace(pages.FILM, title="half \ud800 a pair")
    html = film_page.render([FilmReport(film, pages.forecast())])
    assert "half ? a pair" in html
    html.encode("utf-8")


def test_a_value_that_a_template_lacks_is_an_error():
    with pytest.raises(jinja2.UndefinedError):
        page.render("film.html", title="x")


def test_the_page_of_a_run_tells_everything(run):
    headings = (
        *("Held-out test films", "Learning curves", "Forecast and actual", "Intervals"),
        *("Calibration: chance of a hit", "Residuals", "Missing modalities", "Worst misses"),
    )
    for heading in headings:
        assert heading in run.text, heading
    assert "rating: 90% intervals cover 89.0% of 400 test films" in run.text


def test_the_page_of_a_run_begins_with_the_rivals(run):
    text = " ".join(run.text[run.text.index("Training run") :].split())
    assert text.startswith("Training run base <b> The network wins: rating R2 <b>0.3.")
    assert "rating R2, ridge" in text
    assert "+0.050 to +0.150" in text


def test_the_page_of_a_run_tells_what_people_are_served(run):
    text = " ".join(run.text.split())  # the cells of a row follow without a space
    assert "medians add up to 0.60 of what they earned, means to 0.97" in text
    assert f"genre: {pages.ATTRIBUTE}0.2501.100-0.2031" in text
    assert "superhit23" in text


def test_the_worst_miss_comes_first_and_by_name():
    found = pages.held_out()
    found.forecast["rating"][123] = found.truth["rating"][123] + 50
    report = dataclasses.replace(pages.run_report(), held_out=found)
    read = Reader(run_page.render(report))
    assert read.text.index(f"{pages.TITLE} 123") > read.text.index("Worst misses")
    first = read.text[read.text.index("Worst misses") :]
    assert first.index(f"{pages.TITLE} 123") == first.index(pages.TITLE)


def test_residuals_are_of_the_films_of_a_year():
    found = pages.held_out()
    found.forecast["rating"][:] = found.truth["rating"]
    found.forecast["rating"][found.facts["release_year"] == 2013] -= 0.5
    (by_year, *_) = run_page._residuals(found)
    assert [(label, cells[0]) for label, cells in by_year["rows"]] == [
        ("2012", "+0.00"),
        ("2013", "+0.50"),
    ]


def test_calibration_compares_what_was_said_with_what_came_true():
    found = pages.held_out(100)
    found.forecast["hit"][:] = np.repeat([0.2, 0.8], 50)
    found.truth["hit"][:] = np.tile([1.0, 0, 0, 0, 0], 20)
    (hit,) = run_page._reliability(found)
    assert [row[0] for row in hit["rows"]] == ["20.0%"] * 5 + ["80.0%"] * 5
    assert {row[1][0] for row in hit["rows"]} == {"20.0%"}


def test_a_run_of_little_has_a_page_of_what_there_is():
    report = pages.run_report()
    empty = dataclasses.replace(
        report,
        log=[],
        metrics={"test": {}, "baselines": {}},
        missing=None,
        held_out=dataclasses.replace(report.held_out, truth={}, forecast={}, low={}, high={}),
    )
    read = Reader(run_page.render(empty))
    assert "Worst misses" not in read.text
    assert read.all("svg") == []
