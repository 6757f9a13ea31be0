"""The recurrences: equal to the textbook, untouched by padding, gradients equal to autodiff's."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfp.models.recurrent import Recurrent, gru_cell, lstm_cell, rnn_cell
from mfp.models.recurrent import scan as time_first


def scan(kind, projected, recurrent, mask, reverse=False):
    """`recurrent.scan` of arrays [B, T, ...]."""
    projected, mask = jnp.asarray(projected), jnp.asarray(mask)
    return time_first(kind, projected.swapaxes(0, 1), recurrent, mask.T, reverse).swapaxes(0, 1)


def lstm(projected, recurrent, mask, reverse=False):
    return scan("lstm", projected, recurrent, mask, reverse)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def plain_lstm(projected, recurrent, lengths, reverse):
    """The recurrence as in the textbook, one film and one step at a time, in float64."""
    batch, steps, gates = projected.shape
    states = np.zeros((batch, steps, gates // 4))
    for b in range(batch):
        cell, hidden = np.zeros(gates // 4), np.zeros(gates // 4)
        real = range(lengths[b])
        for t in reversed(real) if reverse else real:
            i, f, g, o = np.split(projected[b, t] + hidden @ recurrent, 4)
            cell = sigmoid(f) * cell + sigmoid(i) * np.tanh(g)
            hidden = sigmoid(o) * np.tanh(cell)
            states[b, t] = hidden
    return states


def random_case(batch=3, steps=7, hidden=4):
    rng = np.random.default_rng(0)
    projected = rng.normal(size=(batch, steps, 4 * hidden)).astype(np.float32)
    recurrent = (rng.normal(size=(hidden, 4 * hidden)) * 0.7).astype(np.float32)
    lengths = np.array([steps, 3, 0])
    return projected, recurrent, lengths, np.arange(steps) < lengths[:, None]


@pytest.mark.parametrize("reverse", [False, True])
def test_lstm_equals_a_plain_numpy_loop(reverse):
    projected, recurrent, lengths, mask = random_case()
    found = np.asarray(lstm(projected, recurrent, mask, reverse))
    expected = plain_lstm(projected.astype(np.float64), recurrent, lengths, reverse)
    np.testing.assert_allclose(found[mask], expected[mask], rtol=1e-5, atol=1e-6)


def test_padded_steps_pass_the_state_on():
    projected, recurrent, _, mask = random_case()
    forward = np.asarray(lstm(projected, recurrent, mask))
    np.testing.assert_array_equal(forward[1, 3:], np.tile(forward[1, 2], (4, 1)))
    # Backwards the padding comes first: the state is still zero there.
    backward = np.asarray(lstm(projected, recurrent, mask, reverse=True))
    np.testing.assert_array_equal(backward[1, 3:], 0)
    np.testing.assert_array_equal(backward[2], 0)


@pytest.mark.parametrize("reverse", [False, True])
def test_a_state_depends_on_the_steps_before_it_only(reverse):
    projected, recurrent, _, mask = random_case()
    mask = np.ones_like(mask)
    changed = projected.copy()
    changed[:, 3] += 1
    moved = lstm(projected, recurrent, mask, reverse) != lstm(changed, recurrent, mask, reverse)
    moved_steps = np.asarray(moved).any(axis=(0, 2))
    expected = np.arange(7) <= 3 if reverse else np.arange(7) >= 3
    np.testing.assert_array_equal(moved_steps, expected)


@pytest.mark.parametrize("reverse", [False, True])
def test_lstm_gradient_is_zero_on_padding_and_finite(reverse):
    projected, recurrent, _, mask = random_case()
    loss = lambda p, r: jnp.sum(jnp.where(mask[..., None], lstm(p, r, mask, reverse), 0) ** 2)  # noqa: E731
    by_input, by_recurrent = jax.grad(loss, argnums=(0, 1))(projected, recurrent)
    np.testing.assert_array_equal(np.asarray(by_input)[~mask], 0)
    assert np.isfinite(by_recurrent).all()
    assert np.abs(by_recurrent).max() > 0


def test_the_forget_gate_starts_open():
    x, mask = np.zeros((1, 2, 3), np.float32), np.ones((1, 2), bool)
    params = Recurrent("lstm", hidden=4).init(jax.random.key(0), x, mask)["params"]
    np.testing.assert_array_equal(params["input"]["bias"], [0] * 4 + [1] * 4 + [0] * 8)
    np.testing.assert_allclose(  # orthogonal rows
        params["recurrent"] @ params["recurrent"].T, np.eye(4), atol=1e-5
    )


def plain_rnn(projected, recurrent, lengths, reverse):
    states = np.zeros((*projected.shape[:2], len(recurrent)))
    for b, length in enumerate(lengths):
        hidden = np.zeros(len(recurrent))
        for t in reversed(range(length)) if reverse else range(length):
            hidden = states[b, t] = np.tanh(projected[b, t] + hidden @ recurrent)
    return states


def plain_gru(projected, recurrent, lengths, reverse):
    states = np.zeros((*projected.shape[:2], len(recurrent)))
    for b, length in enumerate(lengths):
        hidden = np.zeros(len(recurrent))
        for t in reversed(range(length)) if reverse else range(length):
            r, z, n = np.split(projected[b, t], 3)
            ur, uz, un = np.split(hidden @ recurrent, 3)
            update = sigmoid(z + uz)
            hidden = (1 - update) * np.tanh(n + sigmoid(r + ur) * un) + update * hidden
            states[b, t] = hidden
    return states


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(("kind", "gates", "plain"), [("rnn", 1, plain_rnn), ("gru", 3, plain_gru)])
def test_simpler_recurrences_equal_a_plain_numpy_loop(kind, gates, plain, reverse):
    projected, recurrent, lengths, mask = random_case()
    projected, recurrent = projected[..., : gates * 4], recurrent[:, : gates * 4]
    found = np.asarray(scan(kind, projected, recurrent, mask, reverse))
    expected = plain(projected.astype(np.float64), recurrent, lengths, reverse)
    np.testing.assert_allclose(found[mask], expected[mask], rtol=1e-5, atol=1e-6)


CELLS = {"rnn": (1, rnn_cell), "gru": (3, gru_cell), "lstm": (4, lstm_cell)}


def by_autodiff(kind, projected, recurrent, mask, reverse):
    """The recurrence step after step, its gradient left to autodiff."""
    cell = CELLS[kind][1]
    state = (jnp.zeros((len(projected), len(recurrent)), projected.dtype),) * (1 + (kind == "lstm"))
    hidden: dict[int, jax.Array] = {}
    steps = range(projected.shape[1])
    for t in reversed(steps) if reverse else steps:
        moved = cell(state, projected[:, t], state[-1] @ recurrent)
        keep = mask[:, t, None]
        state = tuple(jnp.where(keep, new, old) for new, old in zip(moved, state, strict=True))
        hidden[t] = state[-1]
    return jnp.stack([hidden[t] for t in steps], axis=1)


def gradient_case(kind):
    projected, recurrent, _, mask = random_case()
    gates = CELLS[kind][0]
    mask[1, 1] = False  # a hole: padding need not stand at the end
    weight = np.random.default_rng(1).normal(size=(*mask.shape, len(recurrent)))
    return projected[..., : gates * 4], recurrent[:, : gates * 4], mask, weight.astype(np.float32)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("kind", CELLS)
def test_the_gradient_equals_autodiff(kind, reverse):
    projected, recurrent, mask, weight = gradient_case(kind)

    def gradients(form):
        def loss(projected, recurrent):  # every state counts, padded ones too
            return jnp.sum(weight * jnp.sin(form(kind, projected, recurrent, mask, reverse)))

        return jax.jit(jax.grad(loss, (0, 1)))(projected, recurrent)

    for found, expected in zip(gradients(scan), gradients(by_autodiff), strict=True):
        assert np.abs(expected).max() > 0.01
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", CELLS)
def test_the_gradient_equals_finite_differences(kind):
    with jax.enable_x64(True):
        projected, recurrent, mask, weight = gradient_case(kind)
        at = (projected.astype(np.float64), recurrent.astype(np.float64))

        @jax.jit
        def loss(projected, recurrent):
            return jnp.sum(weight * scan(kind, projected, recurrent, mask))

        gradients = jax.grad(loss, (0, 1))(*at)
        rng = np.random.default_rng(2)
        for _ in range(5):
            direction = [rng.normal(size=array.shape) for array in at]
            ahead, behind = (
                loss(*(a + sign * 1e-5 * d for a, d in zip(at, direction, strict=True)))
                for sign in (1, -1)
            )
            slope = sum(np.sum(g * d) for g, d in zip(gradients, direction, strict=True))
            np.testing.assert_allclose((ahead - behind) / 2e-5, slope, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("kind", CELLS)
def test_members_of_an_ensemble_have_the_gradients_they_have_alone(kind):
    projected, recurrent, mask, weight = gradient_case(kind)
    gradient = jax.grad(lambda r: jnp.sum(weight * scan(kind, projected, r, mask)))
    members = np.stack([recurrent, recurrent[::-1]])
    together = jax.jit(jax.vmap(gradient))(members)
    for found, member in zip(together, members, strict=True):
        np.testing.assert_allclose(found, gradient(member), rtol=1e-4, atol=1e-6)


def scans_of(jaxpr):
    """The scans of a program, those inside its functions too."""
    for equation in jaxpr.eqns:
        if equation.primitive.name == "scan":
            yield equation.params["jaxpr"].jaxpr
        else:
            for value in equation.params.values():
                if isinstance(inner := getattr(value, "jaxpr", None), type(jaxpr)):
                    yield from scans_of(inner)


def test_a_scan_holds_the_recurrent_product_and_no_other():
    """The products that need not wait, and the weight gradient, stand outside."""
    projected, recurrent, mask, weight = gradient_case("lstm")
    loss = lambda p, r: jnp.sum(weight * lstm(p, r, mask))  # noqa: E731
    program = jax.make_jaxpr(jax.grad(loss, (0, 1)))(projected, recurrent).jaxpr
    names = [[inner.primitive.name for inner in body.eqns] for body in scans_of(program)]
    assert [found.count("dot_general") for found in names] == [1, 1]
