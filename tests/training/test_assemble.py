"""The network as pure functions: bfloat16 inside and float32 outside, and what a gradient keeps."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfp.config import (
    FusionConfig,
    ImageModelConfig,
    ModelConfig,
    TextModelConfig,
    VideoModelConfig,
)
from mfp.models.network import Network, NetworkShape
from mfp.training import assemble

SHAPE = NetworkShape(
    numbers=3,
    sets=(("people", ("cast",)),),
    vocabulary_of=(("cast", "people"),),
    vocabulary_sizes=(("people", 15),),
    texts=(("plot", 30, 25),),
    images=("poster",),
    videos=("trailer",),
    ordered=frozenset({"cast"}),
    targets=("rating", "hit"),
)
TEXT = dataclasses.replace(SHAPE, sets=(), vocabulary_sizes=(), images=(), videos=())  # quick
BFLOAT16 = "bfloat16"
KEY = jax.random.key(3)


def inputs(rows=6):
    rng = np.random.default_rng(0)
    ids = {"sets/cast": (15, 4), "texts/plot": (30, 7), "ngrams/plot": (25, 5)}
    found = {
        name: np.where(
            np.arange(length) < rng.integers(0, length + 1, (rows, 1)),
            rng.integers(1, size, (rows, length)),
            0,
        ).astype(np.int32)
        for name, (size, length) in ids.items()
    }
    return found | {
        "numbers/values": rng.normal(size=(rows, 3)).astype(np.float32),
        "numbers/known": rng.integers(0, 2, (rows, 3)).astype(np.float32),
        "images/poster": rng.integers(0, 256, (rows, 16, 16, 3)).astype(np.uint8),
        "videos/trailer": rng.integers(0, 256, (rows, 2, 16, 16, 3)).astype(np.uint8),
        "frames/trailer": rng.integers(0, 2, (rows, 2)).astype(bool),
        **{
            f"present/{m}": np.ones(rows, np.float32)
            for m in ("numbers", "people", "plot", "poster", "trailer")
        },
    }


def network(
    encoder="lstm",
    fusion="concatenation",
    pooling="attention",
    temporal="attention",
    shape=SHAPE,
):
    text = TextModelConfig(
        encoder=encoder, pooling=pooling, embedding=8, hidden=8, heads=2, dropout=0.1
    )
    model = ModelConfig(
        text=text,
        image=ImageModelConfig(widths=(4, 8), output=8),
        video=VideoModelConfig(temporal=temporal, hidden=8),
        fusion=FusionConfig(fusion, width=8, rank=4, heads=2, hidden=(16,)),
    )
    return Network(shape, model)


def drawn(module):
    """Parameters away from zero, where every part has an influence."""
    like = jax.eval_shape(module.init, jax.random.key(0), inputs(2))["params"]
    rng = np.random.default_rng(1)
    return jax.tree.map(lambda p: rng.normal(scale=0.3, size=p.shape).astype(p.dtype), like)


def operations(jaxpr) -> Iterator:
    """Every operation of a program, inner programs included."""
    for equation in jaxpr.eqns:
        yield equation
        for value in equation.params.values():
            for inner in value if isinstance(value, list | tuple) else [value]:
                inner = getattr(inner, "jaxpr", inner)
                if hasattr(inner, "eqns"):
                    yield from operations(inner)


VARIANTS = [
    {"encoder": "lstm"},
    {"encoder": "gru", "fusion": "gated", "pooling": "mean", "temporal": "lstm"},
    {"encoder": "cnn", "fusion": "bilinear", "pooling": "max"},
    {"encoder": "transformer", "fusion": "attention", "pooling": "last"},
]


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda v: v["encoder"])
def test_sums_and_softmax_are_float32_and_products_bfloat16(variant):
    module = network(**variant)
    params = jax.eval_shape(module.init, jax.random.key(0), inputs(2))["params"]
    apply = assemble.apply_function(module, BFLOAT16)
    traced = jax.make_jaxpr(apply)(params, inputs(), KEY)
    assert all(aval.dtype == jnp.float32 for aval in traced.out_avals)
    dtypes: dict[str, list] = {}
    for operation in operations(traced.jaxpr):
        if operation.invars:
            dtypes.setdefault(operation.primitive.name, []).append(operation.invars[0].aval.dtype)
    floats = {
        name: [d for d in found if jnp.issubdtype(d, jnp.floating)]
        for name, found in dtypes.items()
    }
    for name in ("reduce_sum", "exp"):
        assert set(floats[name]) == {jnp.dtype("float32")}, name
    assert set(floats["conv_general_dilated"]) == {jnp.dtype("bfloat16")}
    # In float32: the two layers of the numbers, pooling by weights, the heads of the fused vector
    # and of the n-grams.
    products = floats["dot_general"]
    pooled = 2 if variant.get("pooling") == "max" else 3
    assert sum(d == jnp.float32 for d in products) == 2 + pooled + 2 + 2
    assert sum(d == jnp.bfloat16 for d in products) > 12


def test_bfloat16_is_close_to_float32():
    module = network("transformer", "attention", shape=TEXT)
    params = drawn(module)
    exact = jax.jit(assemble.apply_function(module), static_argnums=2)(params, inputs(), None)
    apply = assemble.apply_function(module, BFLOAT16)
    near = jax.jit(apply, static_argnums=2)(params, inputs(), None)
    for a, b in zip(jax.tree.leaves(exact), jax.tree.leaves(near), strict=True):
        assert b.dtype == jnp.float32
        scale = float(np.abs(a).max())
        # bfloat16 keeps 8 bits: 0.4 % of each number, and some layers of it.
        np.testing.assert_allclose(b, a, atol=0.05 * scale)
    assert any(np.any(a != b) for a, b in zip(*map(jax.tree.leaves, (exact, near)), strict=True))


def test_unless_told_otherwise_all_is_float32():
    module = network()
    params = jax.eval_shape(module.init, jax.random.key(0), inputs(2))["params"]
    traced = jax.make_jaxpr(assemble.apply_function(module))(params, inputs(), KEY)
    found = {v.aval.dtype for op in operations(traced.jaxpr) for v in op.outvars}
    assert jnp.dtype("bfloat16") not in found


def test_rematerialising_changes_no_gradient_and_keeps_less():
    module = network("transformer", shape=TEXT)
    params = drawn(module)

    def residuals_and_gradient(apply):
        def loss(params):
            outputs = apply(params, inputs(64), KEY)["outputs"]
            return sum(jnp.sum(y**2) for y in outputs.values())

        kept = jax.eval_shape(lambda p: jax.vjp(loss, p)[1], params)
        size = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(kept))
        return size, jax.jit(jax.grad(loss))(params)

    whole, expected = residuals_and_gradient(assemble.apply_function(module))
    less, found = residuals_and_gradient(
        assemble.apply_function(module, rematerialise="elementwise")
    )
    assert less < 0.7 * whole
    for a, b in zip(jax.tree.leaves(expected), jax.tree.leaves(found), strict=True):
        np.testing.assert_allclose(b, a, rtol=2e-4, atol=1e-5 * max(1, float(np.abs(a).max())))


def of_members(module, count):
    """Parameters of so many networks, with a leading axis."""
    each = [jax.tree.map(lambda p, k=k: p * (1 + 0.1 * k), drawn(module)) for k in range(count)]
    return each, jax.tree.map(lambda *leaves: np.stack(leaves), *each)


@pytest.mark.parametrize("shared", [1, 2], ids=["deep", "deep-and-shared"])
def test_an_ensemble_says_the_mean_of_its_networks(shared):
    module = network("bag", shape=TEXT)
    fusion = dataclasses.replace(module.config.fusion, members=shared)
    module = module.clone(config=dataclasses.replace(module.config, fusion=fusion))
    each, params = of_members(module, 3)
    apply = jax.jit(assemble.apply_function(module), static_argnums=2)
    alone = [apply(p, inputs(), None) for p in each]
    said = {
        n: np.stack([found["outputs"][n] for found in alone], axis=1) for n in ("rating", "hit")
    }
    said = {name: y.reshape(len(y), -1) for name, y in said.items()}  # [B, E K]
    found = jax.jit(assemble.evaluation_function(module, 3), static_argnums=2)(
        params, inputs(), None
    )
    np.testing.assert_allclose(found["outputs"]["rating"], said["rating"].mean(1), rtol=1e-4)
    np.testing.assert_allclose(found["spread"]["rating"], said["rating"].std(1), rtol=1e-3)
    np.testing.assert_allclose(
        jax.nn.sigmoid(found["outputs"]["hit"]), jax.nn.sigmoid(said["hit"]).mean(1), rtol=1e-4
    )
    for name, weights in found["attention"].items():
        mean = np.mean([a["attention"][name] for a in alone], axis=0)
        np.testing.assert_allclose(weights, mean, rtol=1e-4, atol=1e-6)
    fused = np.stack([a["embedding"] for a in alone]).reshape(3, 6, -1, 16)
    np.testing.assert_allclose(found["embedding"], fused.mean((0, 2)), rtol=1e-3, atol=1e-5)


def test_one_network_is_no_ensemble():
    module = network("bag", shape=TEXT)
    found = assemble.evaluation_function(module)(drawn(module), inputs(), None)
    assert set(found) == {"outputs", "attention", "maps", "embedding"}


def test_what_only_training_knows_changes_no_forecast():
    module = network("bag", shape=TEXT)
    params = drawn(module)
    with_more = {**params, "uncertainty": {"rating": jnp.zeros(())}}
    assert assemble.of_network(with_more) == params
    a, b = (assemble.apply_function(module)(p, inputs(), None) for p in (params, with_more))
    np.testing.assert_array_equal(a["outputs"]["rating"], b["outputs"]["rating"])
