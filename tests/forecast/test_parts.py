"""Parts of films: all that is read has one, and a film without a part lacks just that."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from mfp.config import TextConfig
from mfp.data.features import FeatureSpec
from mfp.data.tabular import NumberTransform, Vocabulary
from mfp.data.targets import TargetSpec
from mfp.data.text import TextCounter
from mfp.dates import PartialDate
from mfp.film import Film
from mfp.forecast import parts as film_parts
from mfp.forecast.parts import Part, parts_of, without

SIZE, FRAMES = 16, 3


def text(*samples: str, **choices):
    counter = TextCounter(TextConfig(**choices))
    for sample in samples:
        counter.add(sample)
    return counter.fit(1, 100)


@pytest.fixture(scope="module")
def spec() -> FeatureSpec:
    line = NumberTransform((0.0, 1.0), (0.0, 1.0), True)
    plots = "a warm and clever joy , a dull mess"
    return FeatureSpec(
        numbers=dict.fromkeys(("budget_usd", "release_year", "cast_count"), line),
        sets={"people": ("cast",), "content": ("certificate",)},
        vocabularies={
            "people": Vocabulary(("Ann", "Bob", "Cid")),
            "certificate": Vocabulary(("PG",)),
        },
        texts={"plot": text(plots, ngrams=2, text_ngrams=16), "reviews": text(plots)},
        images=("poster",),
        videos=("trailer",),
        ordered=frozenset(),
        lengths={"cast": 2, "certificate": 1, "plot": 4, "reviews": 3},
        reviews=2,
        image_size=SIZE,
        video_frames=FRAMES,
        targets=TargetSpec(("rating",), {"rating": 6.0}, {"rating": 1.0}),
        absent=(),
    )


FILM = Film(
    title="Heat",
    release_date=PartialDate.parse("1995-12-15"),
    budget_usd=6e7,
    cast=("Zoe", "Cid", "Ann"),
    certificate="PG",
    plot="A <b>WARM</b> and&nbsp;clever… joy",
    reviews=("dull mess , indeed , really", "clever", "joy"),
)
PIXELS = {
    "poster": bytes(range(256)) * 3,
    "trailer": bytes([1, 0, 1]) + bytes(FRAMES * SIZE * SIZE * 3),
}


def of(spec, kind: str, film: Film = FILM) -> list[Part]:
    return [part for part in parts_of(film, PIXELS, spec) if part.kind == kind]


def changed(spec, film: Film, pixels) -> set[str]:
    """The arrays that differ from those of the whole film."""
    before, after = spec.transform(FILM, PIXELS), spec.transform(film, pixels)
    return {name for name in before if not np.array_equal(before[name], after[name])}


def test_facts(spec):
    found = {part.field: part for part in of(spec, "fact")}
    assert found["release_date"].text == "1995-12-15"
    assert found["budget_usd"].text == "60,000,000"
    film, _ = without(FILM, PIXELS, [found["budget_usd"]], spec)
    assert film == dataclasses.replace(FILM, budget_usd=None)


def test_numbers_of_the_table_s_own_are_facts(spec):
    own = (("number:bmi", 21.6), ("number:s1", 183.0), ("number:s2", 1.0))
    film = Film("Patient 1", numbers=own)
    facts = of(spec, "fact", film)
    assert [(part.field, part.text) for part in facts[:2]] == [
        ("number:bmi", "21.6"),
        ("number:s1", "183"),
    ]
    assert without(film, {}, facts[:2], spec)[0] == Film("Patient 1", numbers=own[2:])


def test_members_that_are_read(spec):
    """Two names are read of an unordered cast: those that are known."""
    found = of(spec, "member")
    assert [(p.field, p.text, p.index) for p in found] == [
        ("cast", "Cid", 1),
        ("cast", "Ann", 2),
        ("certificate", "PG", 0),
    ]
    assert without(FILM, PIXELS, found[:2], spec)[0].cast == ("Zoe",)
    film, _ = without(FILM, PIXELS, found[2:], spec)
    assert film.certificate == ""
    assert changed(spec, film, PIXELS) == {"sets/certificate", "present/content"}


def test_words_are_spans_of_the_text(spec):
    """The bag of two-word terms reads on where the four tokens end."""
    words = [part for part in of(spec, "word") if part.field == "plot"]
    assert [part.text for part in words] == ["A", "WARM", "and", "clever", "…", "joy"]
    for part in words:
        assert FILM.plot[slice(*part.span)] == part.text
    film, _ = without(FILM, PIXELS, [words[1], words[3]], spec)
    assert film.plot == "A <b> </b> and&nbsp; … joy"


def test_a_word_taken_out_leaves_the_others(spec):
    plot = spec.texts["plot"]
    words = [part for part in of(spec, "word") if part.field == "plot"]
    for part in words:
        film, _ = without(FILM, PIXELS, [part], spec)
        left = [(w.word) for w in plot.read(film.plot, 4)]
        whole = [w for w in plot.read(FILM.plot, 4) if (w.start, w.end) != part.span]
        assert left == [w.word for w in whole]


def test_no_unread_word_moves_up(spec):
    """Three tokens are read of a review: "dull mess ,"; without one, two are left."""
    words = [p for p in of(spec, "word") if p.field == "reviews" and p.index == 0]
    assert [part.text for part in words] == ["dull", "mess", ","]
    film, _ = without(FILM, PIXELS, words[:1], spec)
    ids = spec.transform(film)["texts/reviews"][0]
    assert ids.tolist()[2] == 0
    assert ids[:2].tolist() == spec.transform(FILM)["texts/reviews"][0, 1:].tolist()


def test_reviews_that_are_read(spec):
    found = of(spec, "review")
    assert [part.index for part in found] == [0, 1]
    assert without(FILM, PIXELS, found[:1], spec)[0].reviews == FILM.reviews[1:]


def test_reviews_and_their_words_go_together(spec):
    review = of(spec, "review")[0]
    word = next(p for p in of(spec, "word") if p.field == "reviews" and p.index == 1)
    for order in ([review, word], [word, review]):
        assert without(FILM, PIXELS, order, spec)[0].reviews == (" ", "joy")


def test_a_region_takes_the_mean_colour(spec):
    found = of(spec, "region")
    assert [part.cell for part in found[:9]] == [*((0, c) for c in range(8)), (1, 0)]
    assert len(found) == 64
    _, pixels = without(FILM, PIXELS, [found[9]], spec)
    before, after = (
        np.frombuffer(p["poster"], np.uint8).reshape(SIZE, SIZE, 3) for p in (PIXELS, pixels)
    )
    hidden = np.zeros((SIZE, SIZE), bool)
    hidden[2:4, 2:4] = True  # row 1, column 1 of eight in sixteen pixels
    np.testing.assert_array_equal(after[~hidden], before[~hidden])
    np.testing.assert_array_equal(after[hidden], np.tile(before.mean(axis=(0, 1)).round(), (4, 1)))


def test_the_regions_cover_any_picture(spec):
    for size in (1, 5, 8, 17):
        other = dataclasses.replace(spec, image_size=size)
        media = {"poster": bytes(range(3)) * size**2}
        cells = [p for p in parts_of(FILM, media, other) if p.kind == "region"]
        packed = np.arange(size * size * 3, dtype=np.uint8).tobytes()
        _, pixels = without(FILM, {"poster": packed}, cells, other)
        picture = np.frombuffer(pixels["poster"], np.uint8).reshape(-1, 3)
        assert len(np.unique(picture, axis=0)) == 1


def test_frames_that_could_be_read(spec):
    found = of(spec, "frame")
    assert [(part.index, part.position) for part in found] == [(0, 0.5 / 3), (2, 2.5 / 3)]
    _, pixels = without(FILM, PIXELS, found[:1], spec)
    assert spec.transform(FILM, pixels)["frames/trailer"].tolist() == [0, 0, 1]
    _, pixels = without(FILM, PIXELS, found, spec)
    assert "trailer" not in pixels
    assert PIXELS["trailer"][0] == 1  # the film's own media are left alone


def test_a_long_text_is_cut_into_runs_of_words(spec, monkeypatch):
    monkeypatch.setattr(film_parts, "MAX_WORDS", 4)
    words = of(spec, "word")
    # Six words of the plot and four of the reviews: runs of three.
    assert [part.text for part in words] == [
        "A <b>WARM</b> and",
        "clever… joy",
        "dull mess ,",
        "clever",
    ]


def test_a_film_of_a_title_alone_has_no_parts(spec):
    assert parts_of(Film(title="Heat"), {}, spec) == []
