"""Encoders of numbers and sets: what is missing changes nothing, order only where it counts."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from mfp.config import NumbersModelConfig, SetsModelConfig
from mfp.models.tabular import NumbersEncoder, SetEncoder

pytestmark = pytest.mark.usefixtures("optimised")


@pytest.fixture(scope="module", params=["plain", "periodic", "piecewise"])
def numbers(request):
    # Frequencies that show, and bins wide enough that no value lies outside of all.
    module = NumbersEncoder(NumbersModelConfig(request.param, width=4, sigma=1.0, bins=4, hidden=6))
    values = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    known = np.array([[1, 1, 1], [1, 0, 1], [0, 0, 1], [0, 0, 0]], np.float32)
    params = module.init(jax.random.key(0), values, known)["params"]
    return jax.jit(lambda v, k: module.apply({"params": params}, v, k)), values, known


def test_the_value_of_a_missing_number_changes_nothing(numbers):
    encode, values, known = numbers
    changed = np.where(known > 0, values, 1e9).astype(np.float32)
    np.testing.assert_array_equal(encode(values, known), encode(changed, known))


def test_the_value_of_a_known_number_changes_its_film_only(numbers):
    encode, values, known = numbers
    changed = values.copy()
    changed[1, 2] += 1
    moved = np.asarray(encode(values, known) != encode(changed, known)).any(-1)
    np.testing.assert_array_equal(moved, [False, True, False, False])


def test_missing_is_not_the_same_as_average(numbers):
    encode, _, known = numbers
    zeros = np.zeros((4, 3), np.float32)
    assert np.any(encode(zeros, known) != encode(zeros, np.ones_like(known)))


class _Sets(nn.Module):
    """An encoder with a table of its own."""

    ordered: bool
    config: SetsModelConfig
    multi_hot: bool = False

    @nn.compact
    def __call__(self, ids, *, train=False):
        # Wide enough that a permutation or a wrong id shows.
        table = nn.Embed(12, 4, embedding_init=nn.initializers.normal(1.0), name="table")
        encoder = SetEncoder(self.config, self.ordered, self.multi_hot, name="set")
        return encoder(table, ids, train=train)


IDS = np.array([[3, 5, 9, 1, 0], [7, 0, 0, 0, 0], [0, 0, 0, 0, 0]], np.int32)


def sets(ordered, dropout=0.0, unknown_dropout=0.0, multi_hot=False):
    module = _Sets(ordered, SetsModelConfig(4, dropout, unknown_dropout), multi_hot)
    params = module.init(jax.random.key(2), IDS)["params"]
    if ordered:  # the start value 0.02 is too small to show
        position = jax.random.normal(jax.random.key(3), (5, 4))
        params = params | {"set": params["set"] | {"position": position}}

    @jax.jit
    def encode(ids, params=params):
        return module.apply({"params": params}, ids)

    @jax.jit
    def encode_in_training(ids, key):
        return module.apply({"params": params}, ids, train=True, rngs={"dropout": key})

    return encode, encode_in_training, params


@pytest.mark.parametrize("ordered", [False, True])
def test_weights_sum_to_one_and_are_zero_on_padding(ordered):
    vectors, weights = sets(ordered)[0](IDS)
    assert vectors.shape == (3, 4)
    np.testing.assert_allclose(np.sum(weights, -1), [1, 1, 0], rtol=1e-6)
    np.testing.assert_array_equal(np.asarray(weights)[IDS == 0], 0)
    np.testing.assert_array_equal(vectors[2], 0)


def test_the_order_of_an_unordered_set_changes_nothing():
    encode = sets(ordered=False)[0]
    order = [2, 0, 3, 1, 4]
    vectors, weights = encode(IDS)
    moved_vectors, moved_weights = encode(IDS[:, order])
    np.testing.assert_allclose(moved_vectors, vectors, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(moved_weights, np.asarray(weights)[:, order], rtol=1e-5, atol=1e-6)


def test_the_order_of_an_ordered_set_matters():
    encode = sets(ordered=True)[0]
    moved = encode(IDS[:, [1, 0, 2, 3, 4]])[0]
    assert np.abs(encode(IDS)[0][0] - moved[0]).max() > 1e-3


@pytest.mark.parametrize("ordered", [False, True])
def test_the_vector_of_the_padding_id_changes_nothing(ordered):
    encode, _, params = sets(ordered)
    table = params["table"]["embedding"].at[0].set(1e3)
    changed = params | {"table": {"embedding": table}}
    for a, b in zip(encode(IDS), encode(IDS, changed), strict=True):
        np.testing.assert_array_equal(a, b)


def test_an_empty_set_gives_a_finite_gradient():
    encode, _, params = sets(ordered=True)
    grads = jax.grad(lambda p: jnp.sum(encode(IDS[2:], p)[0] ** 2))(params)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(grads))


def test_hidden_members_are_read_as_unknown_and_padding_stays_padding():
    encode, encode_in_training, _ = sets(ordered=False, unknown_dropout=0.5)
    key = jax.random.key(0)
    vectors, weights = encode_in_training(np.tile(IDS, (200, 1)), key)
    # The result of a film of one member is either its own vector or that of an unknown name.
    own = np.asarray(encode(IDS)[0][1])
    unknown = np.asarray(encode(np.array([[1, 0, 0, 0, 0]], np.int32))[0][0])
    ones = np.asarray(vectors)[1::3]
    is_own = np.isclose(ones, own, atol=1e-5).all(-1)
    is_unknown = np.isclose(ones, unknown, atol=1e-5).all(-1)
    assert (is_own ^ is_unknown).all()
    assert 0.35 < is_unknown.mean() < 0.65
    np.testing.assert_array_equal(np.asarray(vectors)[2::3], 0)
    np.testing.assert_array_equal(np.asarray(weights)[:, 4], 0)


def test_a_multi_hot_field_also_enters_as_its_names():
    plain, _, _ = sets(ordered=False)
    encode, encode_in_training, _ = sets(ordered=False, unknown_dropout=0.9, multi_hot=True)
    vectors = np.asarray(encode(IDS)[0])
    np.testing.assert_array_equal(vectors[:, :4], plain(IDS)[0])
    expected = np.zeros((3, 10))  # of ids 2 to 11: neither padding nor the unknown name
    expected[0, [1, 3, 7]] = 1
    expected[1, 5] = 1
    np.testing.assert_array_equal(vectors[:, 4:], expected)
    # A name counts once, wherever it stands; none is shown as unknown in training.
    again = np.array([[9, 3, 3, 5, 1]], np.int32)
    np.testing.assert_array_equal(np.asarray(encode(again)[0])[0, 4:], expected[0])
    trained = np.asarray(encode_in_training(IDS, jax.random.key(0))[0])
    np.testing.assert_allclose(trained, vectors, rtol=1e-6)


def test_nothing_is_random_outside_training():
    encode, encode_in_training, _ = sets(ordered=False, dropout=0.5, unknown_dropout=0.5)
    np.testing.assert_array_equal(encode(IDS)[0], encode(IDS)[0])
    first, other = (encode_in_training(IDS, jax.random.key(k))[0] for k in (0, 1))
    assert np.any(first != other)
    np.testing.assert_array_equal(first, encode_in_training(IDS, jax.random.key(0))[0])
