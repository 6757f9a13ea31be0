"""Members that share a layer: what each computes, by hand; how they differ; what they say."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfp.config import FusionConfig
from mfp.models.ensemble import MemberDense, SeparateDense
from mfp.models.fusion import Fusion
from mfp.models.heads import Heads
from mfp.models.network import Network
from models.test_network import MODALITIES, SHAPE, SMALL, random_inputs

RNG = np.random.default_rng(0)
KINDS = ("tabm", "tabm_mini", "batch")


def drawn(like):
    return jax.tree.map(lambda p: RNG.normal(size=p.shape).astype(p.dtype), like)


def test_a_member_is_a_layer_with_its_inputs_and_outputs_multiplied():
    x = RNG.normal(size=(5, 3)).astype(np.float32)
    layer = MemberDense(4, 2, "tabm", first=True)
    like = jax.eval_shape(layer.init, jax.random.key(0), x)["params"]
    params = drawn(like)
    found = layer.apply({"params": params}, x)
    assert found.shape == (5, 2, 4)
    for k in range(2):
        w = params["r"][k][:, None] * params["kernel"] * params["s"][k]  # the rank-one adapter
        np.testing.assert_allclose(found[:, k], x @ w + params["bias"][k], rtol=1e-5, atol=1e-5)
    deeper = layer.apply({"params": params}, np.repeat(x[:, None], 2, axis=1))
    np.testing.assert_allclose(deeper, found, rtol=1e-6)


def test_separate_layers_share_nothing():
    x = RNG.normal(size=(5, 2, 3)).astype(np.float32)
    layer = SeparateDense(4, jax.nn.initializers.zeros)
    params = drawn(jax.eval_shape(layer.init, jax.random.key(0), x)["params"])
    found = layer.apply({"params": params}, x)
    for k in range(2):
        expected = x[:, k] @ params["kernel"][k] + params["bias"][k]
        np.testing.assert_allclose(found[:, k], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "first", "adapters"),
    [
        ("tabm", True, {"r": "signs", "s": "ones"}),
        ("tabm", False, {"r": "ones", "s": "ones"}),
        ("tabm_mini", True, {"r": "signs"}),
        ("tabm_mini", False, {}),
        ("batch", True, {"r": "signs", "s": "signs"}),
        ("batch", False, {"r": "signs", "s": "signs"}),
    ],
)
def test_how_adapters_begin(kind, first, adapters):
    x = np.ones((2, 4, 50), np.float32)
    params = MemberDense(30, 4, kind, first).init(jax.random.key(1), x)["params"]
    assert set(params) == {"kernel", "bias", *adapters}
    for name, start in adapters.items():
        values, counts = np.unique(params[name], return_counts=True)
        assert values.tolist() == ([1] if start == "ones" else [-1, 1])
        assert start == "ones" or counts.min() > 0.3 * counts.sum()


def test_one_member_is_the_network_as_it_was():
    x = random_inputs(3)
    params = jax.eval_shape(Network(SHAPE, SMALL).init, jax.random.key(0), x)["params"]
    assert set(params["fusion"]["dense_0"]) == {"kernel", "bias"}
    assert set(params["heads"]["rating"]) == {"kernel", "bias"}
    assert params["heads"]["rating"]["kernel"].shape == (8, 1)


@pytest.fixture(scope="module", params=KINDS)
def several(request):
    """A network of three members, and its parameters away from where they begin."""
    fusion = dataclasses.replace(SMALL.fusion, members=3, ensemble=request.param, hidden=(8, 6))
    text = dataclasses.replace(SMALL.text, encoder="bag")  # quick to compile
    module = Network(SHAPE, dataclasses.replace(SMALL, fusion=fusion, text=text))
    like = jax.eval_shape(module.init, jax.random.key(0), random_inputs(2))["params"]
    rng = np.random.default_rng(1)
    params = jax.tree.map(lambda p: rng.normal(scale=0.6, size=p.shape).astype(p.dtype), like)
    return params, jax.jit(lambda params, inputs: module.apply({"params": params}, inputs))


def test_members_differ(several):
    params, apply = several
    found = apply(params, random_inputs(4))
    assert found["outputs"]["rating"].shape == (4, 3)
    assert found["outputs"]["verdict"].shape == (4, 3, 4)
    assert found["embedding"].shape == (4, 3, 6)
    assert np.std(found["outputs"]["rating"], axis=1).min() > 1e-2


@pytest.mark.parametrize("modality", MODALITIES)
def test_the_values_of_a_missing_modality_change_no_member(several, modality):
    params, apply = several
    inputs = random_inputs(4) | {f"present/{modality}": np.zeros(4, np.float32)}
    own = [n for n in inputs if n.split("/")[-1] == modality and not n.startswith("present")]
    a = apply(params, inputs)
    b = apply(params, inputs | {n: random_inputs(4, seed=5)[n] for n in own})
    for x, y in zip(jax.tree.leaves(a["outputs"]), jax.tree.leaves(b["outputs"]), strict=True):
        np.testing.assert_array_equal(x, y)


def test_a_film_does_not_depend_on_the_others(several):
    params, apply = several
    inputs, other = random_inputs(4), random_inputs(4, seed=3)
    padded = {name: np.concatenate([a[:2], other[name][2:]]) for name, a in inputs.items()}
    a, b = apply(params, inputs)["outputs"], apply(params, padded)["outputs"]
    for name in a:
        np.testing.assert_allclose(a[name][:2], b[name][:2], rtol=1e-4, atol=1e-5)


def test_members_begin_apart_and_forecast_the_mean():
    """Signs make them differ before the first step; the heads start at zero all the same."""
    vectors = {"numbers": RNG.normal(size=(4, 6)).astype(np.float32)}
    present = {"numbers": np.ones(4, np.float32)}
    fusion = Fusion(FusionConfig(hidden=(8,), members=3))
    begin = jax.jit(lambda key: fusion.init_with_output(key, vectors, present, train=False))
    fused, _ = begin(jax.random.key(0))
    assert np.std(fused, axis=1).max() > 0.1
    for kind in ("tabm", "batch"):
        outputs, _ = Heads(("rating", "hit"), kind).init_with_output(jax.random.key(0), fused)
        for y in outputs.values():
            np.testing.assert_array_equal(y, np.zeros((4, 3)))


def test_what_ngrams_add_is_the_same_for_all_members():
    fused = jnp.asarray(RNG.normal(size=(2, 3, 4)), jnp.float32)
    bags = [np.array([[1.0, 2.0], [3.0, 4.0]], np.float32)]
    heads = Heads(("hit", "verdict"))
    outputs, params = heads.init_with_output(jax.random.key(0), fused, bags)
    np.testing.assert_allclose(outputs["hit"], [[3.0] * 3, [7.0] * 3], rtol=1e-6)
    expected = bags[0] @ params["params"]["verdict_bags"]["kernel"]
    for k in range(3):
        np.testing.assert_allclose(outputs["verdict"][:, k], expected, rtol=1e-5)
