"""Fusion: an absent modality is replaced by a learned vector, whatever its values."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from mfp.config import FusionConfig
from mfp.models.fusion import Fusion

B = 6


@pytest.fixture(scope="module")
def case():
    rng = np.random.default_rng(0)
    vectors = {
        "numbers": rng.normal(size=(B, 3)).astype(np.float32),
        "title": rng.normal(size=(B, 5)).astype(np.float32),
    }
    present = {
        "numbers": np.array([1, 1, 1, 0, 0, 0], np.float32),
        "title": np.array([1, 0, 1, 1, 0, 0], np.float32),
    }
    return vectors, present


@pytest.fixture(scope="module", params=["concatenation", "gated", "bilinear", "attention"])
def fusion(case, request):
    """Parameters, and the fusion in use and in training (two modalities in five hidden)."""
    config = FusionConfig(
        request.param, width=4, rank=3, heads=2, hidden=(8, 4), dropout=0.0, modality_dropout=0.4
    )
    module = Fusion(config)
    like = jax.eval_shape(lambda: module.init(jax.random.key(0), *case, train=False))["params"]
    rng = np.random.default_rng(1)
    params = jax.tree.map(lambda p: rng.normal(size=p.shape).astype(p.dtype), like)
    fuse = jax.jit(lambda p, v, m: module.apply({"params": p}, v, m, train=False))
    train = jax.jit(
        lambda p, v, m, key: module.apply({"params": p}, v, m, train=True, rngs={"dropout": key})
    )
    return params, fuse, train


def test_the_values_of_an_absent_modality_change_nothing(case, fusion):
    vectors, present = case
    params, fuse, _ = fusion
    plain = fuse(params, vectors, present)
    assert plain.shape == (B, 4)
    assert np.isfinite(plain).all()
    for junk in (1e9, np.nan):
        changed = {
            name: np.where(present[name][:, None] > 0, v, junk).astype(np.float32)
            for name, v in vectors.items()
        }
        np.testing.assert_array_equal(fuse(params, changed, present), plain)


def test_the_values_of_a_present_modality_change_its_film(case, fusion):
    vectors, present = case
    params, fuse, _ = fusion
    changed = vectors | {"title": vectors["title"] + 1}
    moved = np.asarray(fuse(params, changed, present) != fuse(params, vectors, present)).any(-1)
    np.testing.assert_array_equal(moved, present["title"] > 0)


def test_the_learned_vector_stands_for_absent_modalities_only(case, fusion):
    vectors, present = case
    params, fuse, _ = fusion
    changed = params | {"missing_title": params["missing_title"] + 1}
    moved = np.asarray(fuse(changed, vectors, present) != fuse(params, vectors, present)).any(-1)
    np.testing.assert_array_equal(moved, present["title"] == 0)


def test_modality_dropout_hides_a_share_of_what_is_there(case, fusion):
    vectors, _ = case
    params, fuse, train = fusion
    many = 400
    vectors = {name: np.tile(v[:1], (many, 1)) for name, v in vectors.items()}
    ones = {name: np.ones(many, np.float32) for name in vectors}
    found = np.asarray(train(params, vectors, ones, jax.random.key(0)))
    shares = {}
    for numbers in (1, 0):
        for title in (1, 0):
            hidden = {"numbers": ones["numbers"] * numbers, "title": ones["title"] * title}
            expected = np.asarray(fuse(params, vectors, hidden))[0]
            shares[numbers, title] = np.isclose(found, expected, atol=1e-5).all(-1).mean()
    assert sum(shares.values()) == pytest.approx(1)  # every film is one of the four
    assert shares[1, 1] == pytest.approx(0.36, abs=0.1)
    assert shares[0, 0] == pytest.approx(0.16, abs=0.1)


def test_modality_dropout_does_not_bring_back_what_is_absent(case, fusion):
    vectors, present = case
    params, _, train = fusion
    changed = {n: np.where(present[n][:, None] > 0, v, 1e3) for n, v in vectors.items()}
    changed = {n: v.astype(np.float32) for n, v in changed.items()}
    key = jax.random.key(1)
    np.testing.assert_array_equal(
        train(params, changed, present, key), train(params, vectors, present, key)
    )


def test_inputs_are_not_written_to(case):
    vectors, present = case
    module = Fusion(FusionConfig(hidden=(8,), modality_dropout=0.9))
    before = {name: mask.copy() for name, mask in present.items()}
    # Not under jit: NumPy arrays arrive as they are.
    rngs = {"params": jax.random.key(0), "dropout": jax.random.key(1)}
    module.init(rngs, vectors, present, train=True)
    for name, mask in present.items():
        np.testing.assert_array_equal(mask, before[name])
