"""Batches: a function of (seed, k), every film once an epoch, weight 0 where nothing is known."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from conftest import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st

from mfp import config as configs
from mfp.data import batches
from mfp.data.batches import FilmArrays, TrainingBatches
from mfp.data.fit import fit
from mfp.film import Film, Outcome

CONFIG = configs.load(ROOT / "configs" / "base.toml")
FILMS = [
    (
        Film(f"film {i}", id=str(i), runtime_minutes=80.0 + i),
        Outcome(None if i % 3 == 0 else i % 10, None if i % 2 else 1000.0 * (i + 1)),
    )
    for i in range(23)
]
SPEC = fit(FILMS, CONFIG)
ARRAYS = batches.film_arrays(FILMS, SPEC, CONFIG.targets)


def numbered(count: int) -> FilmArrays:
    """Films that are only a number and a weight."""
    columns = {"x": np.arange(count), "weights/rating": np.ones(count, np.float32)}
    return FilmArrays([str(i) for i in range(count)], columns, {}, {})


def test_targets_are_scaled_and_unknown_ones_weigh_nothing():
    assert ARRAYS.ids == [film.id for film, _ in FILMS]
    for name in ("rating", "revenue", "hit"):
        truth = ARRAYS.truth[name]
        known = ~np.isnan(truth)
        assert 0 < known.sum() < len(FILMS)
        weights, values = ARRAYS.columns[f"weights/{name}"], ARRAYS.columns[f"targets/{name}"]
        np.testing.assert_array_equal(weights, known.astype(np.float32))
        assert weights.dtype == values.dtype == np.float32
        assert not values[~known].any()
        if name != "hit":
            natural = values * SPEC.targets.deviation[name] + SPEC.targets.mean[name]
            np.testing.assert_allclose(natural[known], truth[known], rtol=1e-5)
    assert np.isnan(ARRAYS.truth["rating"][0])
    assert ARRAYS.truth["revenue"][4] == np.log10(5000)


def test_padded_rows_weigh_nothing_and_are_real_films():
    batch = ARRAYS.rows(np.array([4, 2]), 5)
    for name, column in batch.items():
        assert len(column) == 5
        if name.startswith("weights/"):
            assert not column[2:].any()
            np.testing.assert_array_equal(column[:2], ARRAYS.columns[name][[4, 2]])
        else:
            np.testing.assert_array_equal(column, ARRAYS.columns[name][[4, 2, 4, 4, 4]])


@pytest.mark.parametrize("parts", [1, 2, 4])
def test_the_shares_of_a_batch_one_after_another_are_the_batch(parts):
    whole = TrainingBatches(ARRAYS, 8, seed=3, buckets=2)
    shares = [TrainingBatches(ARRAYS, 8, 3, 2, share=(i, parts)) for i in range(parts)]
    for k in range(2 * whole.per_epoch):
        found = [share[k] for share in shares]
        for name, column in whole[k].items():
            assert len({part[name].shape for part in found}) == 1
            np.testing.assert_array_equal(np.concatenate([p[name] for p in found]), column)
    evaluated = [list(batches.once(ARRAYS, 8, 2, (i, parts))) for i in range(parts)]
    for n, (batch, indices) in enumerate(batches.once(ARRAYS, 8, 2)):
        for name, column in batch.items():
            joined = np.concatenate([each[n][0][name] for each in evaluated])
            np.testing.assert_array_equal(joined, column)
        assert all((each[n][1] == indices).all() for each in evaluated)


def test_a_batch_that_cannot_be_shared_is_an_error():
    with pytest.raises(ValueError, match="no part 0 of 3 equal parts of a batch of 8"):
        batches.part(8, (0, 3))


def test_padding_leaves_the_films_as_they_were():
    before = {name: column.copy() for name, column in ARRAYS.columns.items()}
    ARRAYS.rows(np.array([4]), 5)
    for name, column in before.items():
        np.testing.assert_array_equal(ARRAYS.columns[name], column)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 30), st.integers(1, 12), st.integers(0, 2**32 - 1), st.integers(0, 40))
def test_batch_k_is_a_function_of_seed_and_k(count: int, size: int, seed: int, k: int):
    one, two = (TrainingBatches(numbered(count), size, seed) for _ in range(2))
    for i in (0, 3, 1):  # what was asked before does not matter
        one[i]
    assert one[k].keys() == two[k].keys()
    for name, column in one[k].items():
        np.testing.assert_array_equal(column, two[k][name])
        assert len(column) == size


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 30), st.integers(1, 12), st.integers(0, 2**32 - 1), st.integers(0, 3))
def test_an_epoch_sees_every_film_once(count: int, size: int, seed: int, epoch: int):
    found = TrainingBatches(numbered(count), size, seed)
    assert found.per_epoch == -(-count // size)
    seen: list[int] = []
    for k in range(epoch * found.per_epoch, (epoch + 1) * found.per_epoch):
        seen += found[k]["x"][found[k]["weights/rating"] > 0].tolist()
    assert sorted(seen) == list(range(count))


def test_epochs_and_seeds_are_shuffled_differently():
    def order(seed: int, epoch: int) -> tuple[int, ...]:
        found = TrainingBatches(numbered(40), 8, seed)
        ks = range(epoch * found.per_epoch, (epoch + 1) * found.per_epoch)
        return tuple(int(i) for k in ks for i in found.indices(k))

    orders = [order(seed, epoch) for seed in (0, 1) for epoch in range(4)]
    assert len(set(orders)) == len(orders)
    assert tuple(range(40)) not in orders


@pytest.mark.parametrize("size", [1, 5, 23, 30])
@pytest.mark.parametrize("buckets", [1, 4])
def test_once_gives_every_film_once(size: int, buckets: int):
    seen: list[int] = []
    weight = 0.0
    for batch, which in batches.once(ARRAYS, size, buckets):
        assert all(len(column) == size for column in batch.values())
        for name in ("numbers/values", "targets/rating"):
            np.testing.assert_array_equal(batch[name][: len(which)], ARRAYS.columns[name][which])
        seen += which.tolist()
        weight += batch["weights/rating"].sum()
    assert sorted(seen) == list(range(len(FILMS)))
    assert weight == ARRAYS.columns["weights/rating"].sum()


TEXTS = [
    (Film(f"a title {i}", id=str(i), plot=" ".join(["word"] * (1 + i % 40))), Outcome(i % 10))
    for i in range(200)
]
TEXT_ARRAYS = batches.film_arrays(TEXTS, fit(TEXTS, CONFIG), CONFIG.targets)


@pytest.mark.parametrize("seed", [0, 1])
def test_buckets_cut_padding_only_and_see_every_film_once(seed: int):
    found = TrainingBatches(TEXT_ARRAYS, 8, seed, buckets=4)
    full = TEXT_ARRAYS.columns["texts/plot"]
    for epoch in (0, 1):
        seen: list[int] = []
        widths: set[int] = set()
        for k in range(epoch * found.per_epoch, (epoch + 1) * found.per_epoch):
            which, ids = found.indices(k), found[k]["texts/plot"]
            width = ids.shape[1]
            np.testing.assert_array_equal(ids[: len(which)], full[which][:, :width])
            assert not full[which][:, width:].any()
            seen += which.tolist()
            widths.add(width)
        assert sorted(seen) == list(range(len(TEXTS)))
        assert 1 < len(widths) <= 4  # each is a shape to compile
    again = TrainingBatches(TEXT_ARRAYS, 8, seed, buckets=4)
    k = found.per_epoch + 3  # asked first, of a fresh sequence
    np.testing.assert_array_equal(again.indices(k), found.indices(k))


def assert_joined(parts: list[dict[str, np.ndarray]], whole: dict[str, np.ndarray]) -> None:
    for name, column in whole.items():
        assert len({part[name].shape for part in parts}) == 1  # one program runs all parts
        np.testing.assert_array_equal(np.concatenate([part[name] for part in parts]), column)


@pytest.mark.parametrize("buckets", [1, 4])
@pytest.mark.parametrize(("size", "parts"), [(8, 2), (48, 4), (6, 6), (240, 8)])
def test_the_shares_of_a_batch_are_the_batch(size: int, parts: int, buckets: int):
    whole = TrainingBatches(TEXT_ARRAYS, size, 5, buckets)
    shares = [TrainingBatches(TEXT_ARRAYS, size, 5, buckets, (i, parts)) for i in range(parts)]
    for k in range(whole.per_epoch + 2):
        assert_joined([share[k] for share in shares], whole[k])


@pytest.mark.parametrize("buckets", [1, 4])
@pytest.mark.parametrize(("size", "parts"), [(8, 2), (48, 4), (6, 6), (240, 8)])
def test_the_shares_of_every_film_once_are_the_batches(size: int, parts: int, buckets: int):
    shares = [list(batches.once(TEXT_ARRAYS, size, buckets, (i, parts))) for i in range(parts)]
    assert {len(share) for share in shares} == {-(-len(TEXTS) // size)}
    seen = np.concatenate([which for _, which in shares[0]])
    assert sorted(seen) == list(range(len(TEXTS)))
    for k, (whole, indices) in enumerate(batches.once(TEXT_ARRAYS, size, buckets)):
        assert_joined([share[k][0] for share in shares], whole)
        for share in shares:  # each share is told of the whole batch
            np.testing.assert_array_equal(share[k][1], indices)
        assert not whole["weights/rating"][len(indices) :].any()
        full = TEXT_ARRAYS.columns["weights/rating"][indices]
        np.testing.assert_array_equal(whole["weights/rating"][: len(indices)], full)


@pytest.mark.parametrize("share", [(0, 3), (2, 2), (-1, 2)])
def test_a_share_that_is_none_is_refused(share: tuple[int, int]):
    with pytest.raises(ValueError, match="equal parts of a batch of 8"):
        TrainingBatches(TEXT_ARRAYS, 8, 0, share=share)


def test_batches_of_many_windows_see_every_film_once_in_like_lengths():
    count, size = 70 * 8 + 3, 8  # two full windows of 32 batches, and seven
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 101, count)
    ids = (np.arange(100) < lengths[:, None]).astype(np.int32)
    films = FilmArrays([str(i) for i in range(count)], {"texts/plot": ids}, {}, {})
    np.testing.assert_array_equal(films.text_fill(slice(None)), lengths / 100)
    found = TrainingBatches(films, size, 2, buckets=4)
    orders = []
    for epoch in (0, 1):
        which = [found.indices(epoch * found.per_epoch + k) for k in range(found.per_epoch)]
        assert sorted(np.concatenate(which)) == list(range(count))
        spread = [np.ptp(lengths[batch]) for batch in which]
        assert np.median(spread) < 10  # of 100, where a batch at random spreads over 78
        # Within its window a batch stands anywhere, not by its length.
        middles = [np.median(lengths[batch]) for batch in which[:32]]
        assert abs(np.corrcoef(middles, np.arange(32))[0, 1]) < 0.6
        orders.append(np.concatenate(which))
    assert (orders[0] != orders[1]).any()


def test_recency_by_hand():
    years = np.array([2000.0, 1990.0, 1980.0, np.nan])
    np.testing.assert_allclose(batches.recency(years, 2000.0, 10.0), [1, 0.5, 0.25, 1])


def test_older_films_weigh_less_in_training_batches():
    half = 10.0
    years = np.arange(1980.0, 2000.0)
    films = dataclasses.replace(numbered(20), facts={"release_year": years})
    plain, recent = (TrainingBatches(films, 8, 0, half_life=h) for h in (0.0, half))
    for k in (0, plain.per_epoch - 1):  # the last is padded
        a, b, rows = plain[k], recent[k], plain.indices(k)
        expected = 2.0 ** (-(np.nanmax(years) - years[rows]) / half)
        for name in a:
            if name.startswith("weights/"):
                np.testing.assert_allclose(b[name][: len(rows)], a[name][: len(rows)] * expected)
                np.testing.assert_array_equal(b[name][len(rows) :], 0)
            else:
                np.testing.assert_array_equal(a[name], b[name])
    np.testing.assert_array_equal(films.columns["weights/rating"], 1)
    for i in range(2):
        part = TrainingBatches(films, 8, 0, share=(i, 2), half_life=half)
        for name, rows in part[0].items():
            np.testing.assert_array_equal(rows, recent[0][name][4 * i : 4 * i + 4])
