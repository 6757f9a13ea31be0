"""What must not change a forecast does not: order, company, batch, padding, case, shards."""

from __future__ import annotations

import dataclasses
import json
import random

import numpy as np
import pytest
from click.testing import CliRunner

from mfp import film as films
from mfp.cli_predict import main
from mfp.film import Film
from mfp.forecast.predict import Forecast

NUMBERS = ("rating", "rating_low", "rating_high", "hit_probability")
DOLLARS = ("revenue_usd", "revenue_usd_low", "revenue_usd_high", "revenue_mean_usd")


def same(found: list[Forecast], expected: list[Forecast]) -> None:
    """Equal but for the last digits of float32, in which programs of several sizes differ."""
    assert [f.title for f in found] == [e.title for e in expected]
    flags = [[str(f.flags).lower() for f in side] for side in (found, expected)]  # they quote names
    assert flags[0] == flags[1]
    for name, rtol in (*((n, 1e-4) for n in NUMBERS), *((n, 1e-3) for n in DOLLARS)):
        ours, theirs = (
            np.array([getattr(f, name) for f in side], float) for side in (found, expected)
        )  # NaN where there is none
        np.testing.assert_allclose(ours, theirs, rtol=rtol, atol=1e-5, err_msg=name)


@pytest.fixture(scope="module")
def some(test_films) -> list[Film]:
    chosen = [film for film in test_films if len(film.cast) > 2 and len(film.directors) == 1][:20]
    assert len(chosen) == 20
    return chosen


@pytest.fixture(scope="module")
def expected(forecaster, some) -> list[Forecast]:
    found = forecaster.predict(some)
    assert np.std([f.rating for f in found]) > 1e-3  # or equality says nothing
    return found


def test_the_order_of_rows(forecaster, some, expected):
    order = list(range(len(some)))
    random.Random(0).shuffle(order)
    shuffled = forecaster.predict([some[i] for i in order])
    same(shuffled, [expected[i] for i in order])


def test_the_size_of_a_batch_and_its_padding(forecaster, some, expected):
    same([forecaster.predict([film])[0] for film in some], expected)  # alone
    same(forecaster.predict(some[:16]), expected[:16])  # a full batch
    same(forecaster.predict(some[:3]), expected[:3])  # 13 rows of padding
    same(forecaster.predict(some * 13)[-len(some) :], expected)  # across two batches


def test_a_row_that_has_nothing_to_do_with_it(forecaster, some, expected):
    odd = Film("x" * 9999, budget_usd=1e10, cast=tuple(map(str, range(1000))))
    found = forecaster.predict([odd, *some, odd])
    same(found[1:-1], expected)


def test_the_order_of_names_where_it_means_nothing(forecaster, some, expected):
    spec = forecaster.bundle.spec
    fields = [f for f in films.SET_FIELDS if f != "certificate" and f not in spec.ordered]
    assert "cast" in fields
    turned = [
        dataclasses.replace(film, **{name: getattr(film, name)[::-1] for name in fields})
        for film in some
    ]
    assert turned != some
    # Of more members than the network reads, which ones are kept may depend on their order.
    few = [
        i
        for i, film in enumerate(some)
        if all(len(getattr(film, f)) <= spec.lengths.get(f, 99) for f in fields)
    ]
    assert len(few) > 10
    found = forecaster.predict(turned)
    same([found[i] for i in few], [expected[i] for i in few])


def test_upper_and_lower_case_of_names_and_words(forecaster, some, expected):
    def loud(film: Film) -> Film:
        sets = {name: tuple(map(str.upper, getattr(film, name))) for name in ("cast", "directors")}
        return dataclasses.replace(film, title=film.title.upper(), **sets)

    plain = [i for i, film in enumerate(some) if film.title.isascii()]
    assert all(text.config.lowercase for text in forecaster.bundle.spec.texts.values())
    found = forecaster.predict([loud(some[i]) for i in plain])
    quiet = [dataclasses.replace(expected[i], title=some[i].title.upper()) for i in plain]
    same(found, quiet)


def test_shards_of_a_table_are_the_whole_table(run, some, tmp_path):
    table = tmp_path / "films.jsonl"
    rows = [json.dumps(films.to_json(film)) for film in some]
    table.write_text("\n".join(rows), encoding="utf-8")

    def served(*options: str) -> list[dict]:
        out = tmp_path / "out.jsonl"
        done = CliRunner().invoke(
            main,
            ["-m", str(run.bundle), str(table), "-o", str(out), "--compiled", "none", *options],
        )
        assert done.exit_code == 0, done.output
        return [json.loads(line) for line in out.read_text("utf-8").splitlines()]

    whole = served()
    shards = [served("--shard", f"{i}/3") for i in (1, 2, 3)]
    joined = [shards[i % 3][i // 3] for i in range(len(whole))]
    for ours, theirs in zip(joined, whole, strict=True):
        assert ours["title"] == theirs["title"]
        assert ours["rating"] == pytest.approx(theirs["rating"], abs=2e-3)
        assert ours["revenue_usd"] == pytest.approx(theirs["revenue_usd"], rel=1e-3)
