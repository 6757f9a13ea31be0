"""Heads: the training mean before training, natural units after."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from mfp.models.heads import Heads, mixture, natural_units, spread

TARGETS = ("rating", "revenue", "hit", "verdict", "sentiment")


def test_an_untrained_network_predicts_the_training_mean():
    x = np.random.default_rng(0).normal(size=(5, 7)).astype(np.float32)
    heads = Heads(TARGETS)
    params = heads.init(jax.random.key(0), x)
    outputs = heads.apply(params, x)
    assert {name: y.shape for name, y in outputs.items()} == {
        "rating": (5,),
        "revenue": (5,),
        "hit": (5,),
        "verdict": (5, 4),
        "sentiment": (5,),
    }
    natural = natural_units(
        outputs, {"rating": 6.2, "revenue": 7.0}, {"rating": 1.1, "revenue": 0.8}
    )
    np.testing.assert_allclose(natural["rating"], 6.2, rtol=1e-6)
    np.testing.assert_allclose(natural["revenue"], 7.0, rtol=1e-6)
    np.testing.assert_allclose(natural["hit"], 0.5, rtol=1e-6)
    np.testing.assert_allclose(natural["sentiment"], 0.5, rtol=1e-6)
    np.testing.assert_allclose(natural["verdict"], 0.25, rtol=1e-6)


def test_only_the_wanted_targets_have_a_head():
    x = np.ones((2, 3), np.float32)
    heads = Heads(("hit",))
    params = heads.init(jax.random.key(0), x)["params"]
    assert list(params) == ["hit"]
    assert list(heads.apply({"params": params}, x)) == ["hit"]


def test_natural_units_of_hand_computed_values():
    outputs = {
        "rating": jnp.array([-1.0, 2.0]),
        "hit": jnp.array([0.0, np.log(3.0)]),
        "verdict": jnp.log(jnp.array([[1.0, 2.0, 3.0, 4.0]])),
    }
    natural = natural_units(outputs, {"rating": 6.0}, {"rating": 0.5})
    np.testing.assert_allclose(natural["rating"], [5.5, 7.0], rtol=1e-6)
    np.testing.assert_allclose(natural["hit"], [0.5, 0.75], rtol=1e-6)
    np.testing.assert_allclose(natural["verdict"], [[0.1, 0.2, 0.3, 0.4]], rtol=1e-6)


def test_bags_are_a_linear_model_beside_the_deep_one():
    x = np.ones((2, 3), np.float32)
    bags = [np.array([[1.0, 2.0], [3.0, 4.0]], np.float32), np.array([[5.0], [6.0]], np.float32)]
    heads = Heads(("hit", "verdict"))
    params = heads.init(jax.random.key(0), x, bags)
    outputs = heads.apply(params, x, bags)
    np.testing.assert_allclose(outputs["hit"], [8.0, 13.0], rtol=1e-6)  # untrained: their sum
    kernel = params["params"]["verdict_bags"]["kernel"]
    np.testing.assert_allclose(outputs["verdict"], np.concatenate(bags, 1) @ kernel, rtol=1e-5)


def test_members_say_together_the_mean_of_what_they_say():
    outputs = {
        "rating": jnp.array([[-1.0, 2.0], [0.0, 0.0]]),
        "hit": jnp.log(jnp.array([[3.0, 1 / 3], [9.0, 1.0]])),  # 3/4 and 1/4; 9/10 and 1/2
        "verdict": jnp.log(jnp.array([[[1.0, 1, 1, 1], [5.0, 1, 1, 1]]])),
    }
    mixed = mixture(outputs)
    np.testing.assert_allclose(mixed["rating"], [0.5, 0.0], rtol=1e-6)
    np.testing.assert_allclose(jax.nn.sigmoid(mixed["hit"]), [0.5, 0.7], rtol=1e-6)
    shares = (0.25 + np.array([5, 1, 1, 1]) / 8) / 2
    np.testing.assert_allclose(jax.nn.softmax(mixed["verdict"])[0], shares, rtol=1e-6)
    np.testing.assert_allclose(spread(outputs)["rating"], [1.5, 0.0])
    assert set(spread(outputs)) == {"rating"}


def test_sure_members_give_finite_logits():
    mixed = mixture({"hit": jnp.array([[200.0, 150.0], [-200.0, 200.0]])})
    np.testing.assert_allclose(mixed["hit"], [150 + np.log(2), 0.0], rtol=1e-6, atol=1e-6)
