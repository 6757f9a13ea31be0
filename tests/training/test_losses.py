"""Losses: hand-computed values, gradients by finite differences, Optax as a second opinion."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mfp.training import losses

RNG = np.random.default_rng(0)
WEIGHT = np.array([1.0, 0.0, 2.0, 1.0, 0.5], np.float32)
LOGITS = RNG.normal(scale=3, size=5)
TARGETS = np.array([0.0, 1.0, 1.0, 0.0, 1.0])
CLASS_LOGITS = RNG.normal(scale=3, size=(5, 4))
LABELS = np.array([0, 3, 2, 1, 3])

# name -> (loss, predictions, targets, Optax's loss of each row)
CASES = {
    "squared": (
        losses.squared_error,
        LOGITS,
        RNG.normal(size=5),
        lambda pred, target: 2 * optax.l2_loss(pred, target),
    ),
    "binary": (
        losses.binary_cross_entropy,
        LOGITS,
        TARGETS,
        optax.sigmoid_binary_cross_entropy,
    ),
    "softmax": (
        losses.softmax_cross_entropy,
        CLASS_LOGITS,
        LABELS,
        optax.softmax_cross_entropy_with_integer_labels,
    ),
}
each_loss = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())


def test_squared_error_of_hand_computed_values():
    found = losses.squared_error(
        jnp.array([1.0, 2.0, 5.0]), jnp.array([0.0, 4.0, 0.0]), jnp.array([1.0, 0.5, 0.0])
    )
    np.testing.assert_allclose(found, (1 + 0.5 * 4, 1.5), rtol=1e-6)


def test_binary_cross_entropy_of_hand_computed_values():
    # Logit log 3 is probability 3/4: -log 3/4 for a hit, -log 1/4 for none.
    logit = jnp.full(2, np.log(3.0))
    found = losses.binary_cross_entropy(logit, jnp.array([1.0, 0.0]), jnp.array([1.0, 2.0]))
    np.testing.assert_allclose(found, (np.log(4 / 3) + 2 * np.log(4), 3.0), rtol=1e-6)


def test_softmax_cross_entropy_of_hand_computed_values():
    logits = jnp.log(jnp.array([[1.0, 2.0, 5.0], [1.0, 1.0, 2.0]]))
    found = losses.softmax_cross_entropy(logits, jnp.array([2, 0]), jnp.array([1.0, 3.0]))
    np.testing.assert_allclose(found, (np.log(8 / 5) + 3 * np.log(4), 4.0), rtol=1e-6)


@each_loss
@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "jit"])
def test_values_and_gradients_equal_those_of_optax(case, compiled):
    loss, pred, target, reference = case
    pred = jnp.asarray(pred, jnp.float32)
    target = jnp.asarray(target, jnp.int32 if target.dtype.kind == "i" else jnp.float32)
    ours = jax.value_and_grad(lambda p: loss(p, target, WEIGHT)[0])
    theirs = jax.value_and_grad(lambda p: jnp.sum(WEIGHT * reference(p, target)))
    value, grad = jax.jit(ours)(pred) if compiled else ours(pred)
    expected_value, expected_grad = theirs(pred)
    np.testing.assert_allclose(value, expected_value, rtol=1e-6)
    np.testing.assert_allclose(grad, expected_grad, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(loss(pred, target, WEIGHT)[1], WEIGHT.sum(), rtol=1e-6)


@each_loss
def test_gradients_equal_central_finite_differences(case):
    loss, pred, target, _ = case
    with jax.enable_x64(True):
        weight = jnp.asarray(WEIGHT, jnp.float64)
        scalar = jax.jit(lambda p: loss(p, jnp.asarray(target), weight)[0])
        grad = np.asarray(jax.grad(scalar)(jnp.asarray(pred, jnp.float64)))
        assert grad.dtype == np.float64
        step = 1e-6
        differences = np.zeros_like(pred)
        for index in np.ndindex(pred.shape):
            up, down = pred.copy(), pred.copy()
            up[index] += step
            down[index] -= step
            differences[index] = (scalar(up) - scalar(down)) / (2 * step)
    np.testing.assert_allclose(grad, differences, rtol=1e-7, atol=1e-8)


def test_binary_cross_entropy_is_stable_at_huge_logits():
    logit = jnp.array([1e4, 1e4, -1e4, -1e4, 0.0])
    target = jnp.array([1.0, 0.0, 1.0, 0.0, 1.0])
    rows = jax.vmap(
        jax.value_and_grad(
            lambda x, t: losses.binary_cross_entropy(x[None], t[None], jnp.ones(1))[0]
        )
    )
    value, grad = rows(logit, target)
    np.testing.assert_allclose(value, [0, 1e4, 1e4, 0, np.log(2)], rtol=1e-6)
    np.testing.assert_allclose(grad, [0, 1, -1, 0, -0.5], rtol=1e-6)


def test_softmax_cross_entropy_is_stable_at_huge_logits():
    logits = jnp.array([[1e4, 0.0, -1e4]] * 3)
    rows = jax.vmap(
        jax.value_and_grad(
            lambda x, c: losses.softmax_cross_entropy(x[None], c[None], jnp.ones(1))[0]
        )
    )
    value, grad = rows(logits, jnp.arange(3))
    np.testing.assert_allclose(value, [0, 1e4, 2e4], rtol=1e-6)
    np.testing.assert_allclose(grad, [[0, 0, 0], [1, -1, 0], [1, 0, -1]], atol=1e-6)


def test_softmax_cross_entropy_does_not_see_a_common_shift():
    label, weight = jnp.asarray(LABELS), jnp.asarray(WEIGHT)
    plain = losses.softmax_cross_entropy(jnp.asarray(CLASS_LOGITS, jnp.float32), label, weight)[0]
    moved = losses.softmax_cross_entropy(
        jnp.asarray(CLASS_LOGITS + 100, jnp.float32), label, weight
    )[0]
    np.testing.assert_allclose(moved, plain, rtol=1e-4)


@each_loss
@pytest.mark.parametrize("size", [1e4, -1e30, 3e38])
def test_a_row_of_weight_zero_changes_nothing(case, size):
    loss, pred, target, _ = case
    target = jnp.asarray(target, jnp.int32 if target.dtype.kind == "i" else jnp.float32)
    value_and_grad = jax.value_and_grad(lambda p: loss(p, target, WEIGHT)[0])
    value, grad = value_and_grad(jnp.asarray(pred, jnp.float32))
    assert WEIGHT[1] == 0
    huge_value, huge_grad = value_and_grad(jnp.asarray(pred, jnp.float32).at[1].set(size))
    np.testing.assert_array_equal(huge_value, value)
    np.testing.assert_array_equal(huge_grad, grad)


@each_loss
def test_shapes_that_would_broadcast_are_refused(case):
    loss, pred, target, _ = case
    with pytest.raises(AssertionError):
        loss(jnp.asarray(pred), jnp.asarray(target), jnp.ones((5, 1)))


PARAMS = {
    "dense": {"kernel": jnp.array([[1.0, -2.0], [3.0, 0.0]]), "bias": jnp.array([100.0, -100.0])},
    "norm": {"scale": jnp.array([7.0])},
    "table": {"embedding": jnp.array([[-4.0]])},
}


def test_penalties_skip_biases_and_scales():
    assert float(losses.l1(PARAMS)) == 1 + 2 + 3 + 4
    assert float(losses.l2(PARAMS)) == 0.5 * (1 + 4 + 9 + 16)


def test_gradients_of_the_penalties():
    l1, l2 = jax.grad(losses.l1)(PARAMS), jax.grad(losses.l2)(PARAMS)
    for name in ("dense", "norm"):
        for leaf in ("bias", "scale"):
            if leaf in PARAMS[name]:
                np.testing.assert_array_equal(l1[name][leaf], 0)
                np.testing.assert_array_equal(l2[name][leaf], 0)
    np.testing.assert_array_equal(l1["dense"]["kernel"], [[1, -1], [1, 0]])
    np.testing.assert_array_equal(l2["dense"]["kernel"], PARAMS["dense"]["kernel"])
    np.testing.assert_array_equal(l2["table"]["embedding"], [[-4]])


def test_each_target_has_its_own_loss():
    outputs = {
        "rating": jnp.array([1.0, 3.0]),
        "revenue": jnp.array([2.0, 0.0]),
        "hit": jnp.array([np.log(3.0), 0.0]),
        "verdict": jnp.log(jnp.array([[1.0, 2.0, 5.0, 2.0], [1.0, 1.0, 1.0, 1.0]])),
        "sentiment": jnp.array([np.log(3.0), 5.0]),
    }
    batch = {f"targets/{name}": jnp.zeros(2) for name in outputs}
    batch |= {f"weights/{name}": jnp.array([1.0, 0.0]) for name in outputs}
    batch["weights/rating"] = jnp.ones(2)
    found = {name: float(s) for name, (s, _) in losses.target_losses(outputs, batch).items()}
    expected = {"rating": 10.0, "revenue": 4.0, "hit": np.log(4), "verdict": np.log(10)}
    expected["sentiment"] = np.log(4)
    assert found == pytest.approx(expected, rel=1e-6)


def test_every_member_has_its_own_loss():
    """[B, K]: the mean over members of the loss of each alone; films count as they weigh."""
    members = {
        "rating": RNG.normal(size=(5, 3)),
        "hit": RNG.normal(size=(5, 3)),
        "verdict": RNG.normal(size=(5, 3, 4)),
    }
    members = {name: jnp.asarray(y, jnp.float32) for name, y in members.items()}
    batch = {"targets/rating": LOGITS, "targets/hit": TARGETS, "targets/verdict": LABELS}
    batch = {name: jnp.asarray(y, jnp.float32) for name, y in batch.items()}
    batch |= {f"weights/{name}": jnp.asarray(WEIGHT) for name in members}
    found = losses.target_losses(members, batch)
    for name, (total, weight) in found.items():
        alone = [
            losses.target_losses({name: members[name][:, k]}, batch)[name][0] for k in range(3)
        ]
        np.testing.assert_allclose(total, np.mean(alone), rtol=1e-5)
        np.testing.assert_allclose(weight, WEIGHT.sum(), rtol=1e-6)


def test_label_smoothing_by_hand():
    outputs = {
        "hit": jnp.array([np.log(3.0)]),  # 3/4
        "sentiment": jnp.array([np.log(3.0)]),
        "verdict": jnp.log(jnp.array([[1.0, 2.0, 5.0, 2.0]])),
    }
    batch = {"targets/hit": jnp.ones(1), "targets/verdict": jnp.array([2.0])}
    batch |= {"targets/sentiment": jnp.zeros(1)}
    batch |= {f"weights/{name}": jnp.full(1, 2.0) for name in outputs}
    shares = {"hit": 0.2, "sentiment": 0.2, "verdict": 0.4}
    found = losses.target_losses(outputs, batch, shares)
    hit = -(0.9 * np.log(3 / 4) + 0.1 * np.log(1 / 4))
    verdict = -(0.7 * np.log(0.5) + 0.1 * np.log(0.1) + 0.2 * np.log(0.2))
    np.testing.assert_allclose(found["hit"], (2 * hit, 2.0), rtol=1e-6)
    none = -(0.1 * np.log(3 / 4) + 0.9 * np.log(1 / 4))
    np.testing.assert_allclose(found["sentiment"], (2 * none, 2.0), rtol=1e-6)
    np.testing.assert_allclose(found["verdict"], (2 * verdict, 2.0), rtol=1e-6)


def test_smoothed_cross_entropy_equals_that_of_optax():
    logits = jnp.asarray(CLASS_LOGITS, jnp.float32)
    label = jnp.asarray(LABELS)
    truth = optax.smooth_labels(jax.nn.one_hot(label, 4), 0.3)
    ours = jax.value_and_grad(lambda x: losses.smoothed_cross_entropy(x, label, WEIGHT, 0.3)[0])
    theirs = jax.value_and_grad(lambda x: jnp.sum(WEIGHT * optax.softmax_cross_entropy(x, truth)))
    for a, b in zip(ours(logits), theirs(logits), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)
