"""Stochastic depth: a branch adds in the mean what it adds in use."""

from __future__ import annotations

from functools import partial

import jax
import numpy as np

from mfp.config import FusionConfig, ImageModelConfig
from mfp.models.depth import DropBranch, rate
from mfp.models.fusion import Fusion
from mfp.models.image import Block, ImageEncoder

VECTORS = {"numbers": np.random.default_rng(0).normal(size=(1, 5)).astype(np.float32)}
VECTORS = {"numbers": np.tile(VECTORS["numbers"], (2000, 1))}
PRESENT = {"numbers": np.ones(2000, np.float32)}


def test_rates_rise_to_the_last():
    np.testing.assert_allclose([rate(0.4, i, 4) for i in range(4)], [0.1, 0.2, 0.3, 0.4])


def test_rows_are_kept_whole_or_left_out():
    x = np.arange(1.0, 13.0).reshape(2, 3, 2).astype(np.float32)
    found = DropBranch(0.5).apply({}, x, train=True, axes=2, rngs={"dropout": jax.random.key(1)})
    kept = np.asarray(found != 0)
    assert (kept.all(-1) == kept.any(-1)).all()
    assert 0 < kept.all(-1).sum() < 6
    np.testing.assert_array_equal(found[kept], 2 * x[kept])
    np.testing.assert_array_equal(DropBranch(0.5).apply({}, x, train=False), x)


def test_the_mean_of_training_is_what_is_in_use():
    config = FusionConfig(
        hidden=(4,), residual=1, stochastic_depth=0.4, dropout=0.0, modality_dropout=0.0
    )
    fusion = Fusion(config)

    @jax.jit
    def both(key):
        use, params = fusion.init_with_output(key, VECTORS, PRESENT, train=False)
        return use, fusion.apply(params, VECTORS, PRESENT, train=True, rngs={"dropout": key})

    use, drawn = map(np.asarray, both(jax.random.key(0)))
    np.testing.assert_allclose(drawn.mean(axis=0), use[0], atol=0.05)
    rows = np.unique(drawn.round(5), axis=0)
    assert len(rows) == 2  # with the branch and without
    without = np.isclose(drawn, rows[0], atol=1e-4).all(-1).mean()
    assert min(abs(without - 0.4), abs(without - 0.6)) < 0.04


def test_residual_layers_keep_the_width_and_are_there_for_each_layer():
    fusion = Fusion(FusionConfig(hidden=(4, 3), residual=2, members=2))
    init = partial(fusion.init, train=False)
    params = jax.eval_shape(init, jax.random.key(0), VECTORS, PRESENT)["params"]
    kernels = {n: p["kernel"].shape for n, p in params.items() if n.startswith("residual_")
               and "kernel" in p}  # fmt: skip
    assert kernels == {
        "residual_0": (4, 4),
        "residual_1": (4, 4),
        "residual_2": (3, 3),
        "residual_3": (3, 3),
    }


def test_a_picture_passes_by_a_block_that_is_left_out():
    x = np.random.default_rng(0).normal(size=(40, 4, 4, 4)).astype(np.float32)
    block = Block(4, 1, drop=0.5)
    params = block.init(jax.random.key(0), x)
    found = block.apply(params, x, train=True, rngs={"dropout": jax.random.key(3)})
    passed = np.asarray(found == x).all((1, 2, 3))
    assert 8 < passed.sum() < 32
    branch = np.asarray(block.apply(params, x)) - x
    np.testing.assert_allclose((found - x)[~passed], 2 * branch[~passed], rtol=1e-4, atol=1e-4)


def test_blocks_are_named_as_before():
    pixels, structures = np.zeros((2, 8, 8, 3), np.uint8), []
    for p in (0.0, 0.5):
        encoder = ImageEncoder(ImageModelConfig(widths=(4, 8), stochastic_depth=p))
        init = partial(encoder.init, train=False)
        structures.append(jax.tree.structure(jax.eval_shape(init, jax.random.key(0), pixels)))
    assert structures[0] == structures[1]
