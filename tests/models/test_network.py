"""The whole network: shapes without computing, and what must not matter does not."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfp.config import (
    FusionConfig,
    ModelConfig,
    NumbersModelConfig,
    SetsModelConfig,
    TextModelConfig,
)
from mfp.models.network import Network, NetworkShape

SHAPE = NetworkShape(
    numbers=3,
    sets=(("people", ("directors", "cast")), ("content", ("genres",))),
    vocabulary_of=(("directors", "people"), ("cast", "people"), ("genres", "genres")),
    vocabulary_sizes=(("people", 15), ("genres", 8)),
    texts=(("title", 20, 0), ("plot", 30, 25)),
    images=(),
    videos=(),
    ordered=frozenset({"cast"}),
    targets=("rating", "revenue", "hit", "verdict"),
)
SMALL = ModelConfig(
    numbers=NumbersModelConfig(hidden=4),
    sets=SetsModelConfig(embedding=3),
    text=TextModelConfig(embedding=3, hidden=2, bidirectional=True, ngram_embedding=3),
    fusion=FusionConfig(hidden=(8,)),
)
MODALITIES = ("numbers", "people", "content", "title", "plot")
ARRAYS_OF = {
    "numbers": ("numbers/values", "numbers/known"),
    "people": ("sets/directors", "sets/cast"),
    "content": ("sets/genres",),
    "title": ("texts/title",),
    "plot": ("texts/plot", "ngrams/plot"),
}


def random_inputs(batch: int, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    lengths = {"sets/directors": 2, "sets/cast": 4, "sets/genres": 3, "texts/title": 5}
    sizes = {"sets/directors": 15, "sets/cast": 15, "sets/genres": 8, "texts/title": 20}
    lengths |= {"texts/plot": 7, "ngrams/plot": 6}
    sizes |= {"texts/plot": 30, "ngrams/plot": 25}
    inputs = {
        "numbers/values": rng.normal(size=(batch, 3)).astype(np.float32),
        "numbers/known": rng.integers(0, 2, (batch, 3)).astype(np.float32),
    }
    for name, length in lengths.items():
        ids = rng.integers(2, sizes[name], (batch, length))
        filled = np.arange(length) < rng.integers(1, length + 1, (batch, 1))
        inputs[name] = np.where(filled, ids, 0).astype(np.int32)
    for name in MODALITIES:
        inputs[f"present/{name}"] = np.ones(batch, np.float32)
    return inputs


@pytest.fixture(scope="module")
def network():
    """A network with parameters away from zero, where every part has an influence."""
    module = Network(SHAPE, SMALL)
    # Heads start at zero: drawn anew, and without compiling the initialisers.
    like = jax.eval_shape(module.init, jax.random.key(0), random_inputs(2))["params"]
    rng = np.random.default_rng(1)
    params = jax.tree.map(lambda p: rng.normal(scale=0.6, size=p.shape).astype(p.dtype), like)
    return params, jax.jit(lambda params, inputs: module.apply({"params": params}, inputs))


def test_shapes_of_the_whole_network_without_computing():
    inputs = random_inputs(5)
    module = Network(SHAPE, SMALL)
    variables = jax.eval_shape(module.init, jax.random.key(0), inputs)
    for train in (False, True):
        found = jax.eval_shape(
            lambda v, x, train=train: module.apply(
                v, x, train=train, rngs={"dropout": jax.random.key(0)}
            ),
            variables,
            inputs,
        )
        shapes = jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype.name), found)
        assert shapes["outputs"] == {
            "rating": ((5,), "float32"),
            "revenue": ((5,), "float32"),
            "hit": ((5,), "float32"),
            "verdict": ((5, 4), "float32"),
        }
        assert shapes["embedding"] == ((5, 8), "float32")
        assert shapes["attention"] == {
            name: (inputs[name].shape, "float32")
            for name in ("sets/directors", "sets/cast", "sets/genres", "texts/title", "texts/plot")
        }


def test_parameters_are_where_they_are_expected():
    variables = jax.eval_shape(Network(SHAPE, SMALL).init, jax.random.key(0), random_inputs(2))
    params = jax.tree.map(lambda leaf: leaf.shape, variables["params"])
    assert params["table_people"]["embedding"] == (15, 3)  # shared by directors and cast
    assert params["table_genres"]["embedding"] == (8, 3)
    assert params["set_cast"]["position"] == (4, 3)
    assert "position" not in params["set_directors"]
    assert params["text_plot"]["ngrams"]["table"] == (25, 3)
    assert "ngrams" not in params["text_title"]
    # numbers 4, people 2 x 3, content 3, title 2 x 2, plot 2 x 2
    assert params["fusion"]["dense_0"]["kernel"] == (4 + 6 + 3 + 4 + 4, 8)
    # The n-grams of the plot go past the fusion to the heads.
    assert params["heads"]["hit_bags"]["kernel"] == (3, 1)
    assert params["heads"]["verdict_bags"]["kernel"] == (3, 4)


def test_a_network_of_one_modality():
    shape = NetworkShape(0, (), (), (), (("title", 20, 0),), (), (), frozenset(), ("hit",))
    inputs = {k: v for k, v in random_inputs(4).items() if k in ("texts/title", "present/title")}
    module = Network(shape, SMALL)
    found = jax.eval_shape(lambda: module.init_with_output(jax.random.key(0), inputs)[0])
    assert list(found["outputs"]) == ["hit"]


@pytest.mark.parametrize("modality", MODALITIES)
def test_the_values_of_a_missing_modality_change_nothing(network, modality):
    params, apply = network
    inputs = random_inputs(6) | {f"present/{modality}": np.zeros(6, np.float32)}
    other = random_inputs(6, seed=9)
    changed = inputs | {name: other[name] for name in ARRAYS_OF[modality]}
    a, b = apply(params, inputs), apply(params, changed)
    for name in a["outputs"]:
        np.testing.assert_array_equal(a["outputs"][name], b["outputs"][name])
    np.testing.assert_array_equal(a["embedding"], b["embedding"])


@pytest.mark.parametrize("modality", MODALITIES)
def test_the_values_of_a_present_modality_matter(network, modality):
    params, apply = network
    inputs, other = random_inputs(6), random_inputs(6, seed=9)
    changed = inputs | {name: other[name] for name in ARRAYS_OF[modality]}
    a, b = (apply(params, x)["outputs"]["rating"] for x in (inputs, changed))
    assert np.abs(a - b).max() > 1e-4


def test_a_missing_number_changes_nothing(network):
    params, apply = network
    inputs = random_inputs(6)
    values = np.where(inputs["numbers/known"] > 0, inputs["numbers/values"], 1e9)
    changed = inputs | {"numbers/values": values.astype(np.float32)}
    a, b = apply(params, inputs), apply(params, changed)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_array_equal(x, y)


def test_padding_ids_change_nothing(network):
    params, apply = network
    inputs = random_inputs(6)
    # Not cast: its order is one of positions, whose number is fixed.
    names = ("sets/genres", "sets/directors", "texts/title", "texts/plot", "ngrams/plot")
    longer = inputs | {name: np.pad(inputs[name], ((0, 0), (0, 3))) for name in names}
    a, b = apply(params, inputs), apply(params, longer)
    for target, y in a["outputs"].items():
        np.testing.assert_allclose(b["outputs"][target], y, rtol=1e-5, atol=1e-5)
    for name in names[:-1]:
        np.testing.assert_array_equal(b["attention"][name][:, inputs[name].shape[1] :], 0)


def test_the_order_of_unordered_sets_changes_nothing_that_of_ordered_ones_does(network):
    params, apply = network
    inputs = random_inputs(6)
    inputs["sets/genres"][:] = [2, 3, 4]
    inputs["sets/cast"][:] = [2, 3, 4, 5]
    plain = apply(params, inputs)["outputs"]["rating"]
    genres = apply(params, inputs | {"sets/genres": inputs["sets/genres"][:, ::-1]})
    np.testing.assert_allclose(genres["outputs"]["rating"], plain, rtol=1e-5, atol=1e-5)
    cast = apply(params, inputs | {"sets/cast": inputs["sets/cast"][:, ::-1]})
    assert np.abs(cast["outputs"]["rating"] - plain).max() > 1e-3


def test_a_film_does_not_see_the_others_of_its_batch(network):
    params, apply = network
    inputs = random_inputs(6)
    together = apply(params, inputs)["outputs"]
    for i in (0, 5):
        alone = apply(params, {name: a[i : i + 1] for name, a in inputs.items()})["outputs"]
        for target, y in alone.items():
            np.testing.assert_allclose(y[0], together[target][i], rtol=1e-5, atol=1e-5)


def test_every_parameter_has_a_gradient(network):
    params, apply = network
    inputs = random_inputs(32)
    for name in MODALITIES:  # learned vectors of missing modalities take part as well
        inputs[f"present/{name}"][::4] = 0

    def loss(params):
        outputs = apply(params, inputs)["outputs"]
        return sum(jnp.sum(y**2) for y in outputs.values())

    grads = jax.grad(loss)(params)
    for path, grad in jax.tree_util.tree_leaves_with_path(grads):
        assert np.isfinite(grad).all(), path
        fixed = path[-1].key == "scale" and path[-2].key == "ngrams"  # set before training
        assert (np.abs(grad).max() > 0) != fixed, path


def test_training_without_a_dropout_key_is_refused(network):
    params, _ = network
    with pytest.raises(Exception, match="dropout"):
        Network(SHAPE, SMALL).apply({"params": params}, random_inputs(2), train=True)
