"""Recurrent networks over padded sequences: simple RNN, GRU, LSTM.

Only what has to wait for the step before stands in a scan: the recurrent product and a cell. The
input projection of all steps is one product before it. The gradient is written by hand around a
scan of the same kind: the recurrent products of all steps, the derivatives of all cells and the
gradient of the weights are each computed at once, outside (Appleyard et al. 2016). A padded step
passes the state on unchanged.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import linen as nn

State = tuple[jax.Array, ...]  # the last one is the hidden state


def rnn_cell(state: State, projected: jax.Array, product: jax.Array) -> State:
    """h' = tanh(W x + b + U h) (Elman 1990). ([B, H],), [B, H], [B, H] -> ([B, H],)."""
    del state
    return (jnp.tanh(projected + product),)


def gru_cell(state: State, projected: jax.Array, product: jax.Array) -> State:
    """One step of a GRU (Cho et al. 2014), reset gate applied to U h, gates reset, update, new.

    Shapes: ([B, H],), [B, 3H], [B, 3H] -> ([B, H],).
    """
    (hidden,) = state
    r, z, n = jnp.split(projected, 3, axis=-1)
    ur, uz, un = jnp.split(product, 3, axis=-1)
    update = jax.nn.sigmoid(z + uz)
    new = jnp.tanh(n + jax.nn.sigmoid(r + ur) * un)
    return ((1 - update) * new + update * hidden,)


def lstm_cell(state: State, projected: jax.Array, product: jax.Array) -> State:
    """One step of an LSTM (Hochreiter and Schmidhuber 1997; forget gate of Gers et al. 2000).

    Args:
      state: cell and hidden state, each [B, H].
      projected: W x + b of this step, [B, 4H], gates in the order input, forget, cell, output.
      product: U h, [B, 4H].
    """
    cell, _ = state
    i, f, g, o = jnp.split(projected + product, 4, axis=-1)
    cell = jax.nn.sigmoid(f) * cell + jax.nn.sigmoid(i) * jnp.tanh(g)
    return cell, jax.nn.sigmoid(o) * jnp.tanh(cell)


_CELLS = {"rnn": rnn_cell, "gru": gru_cell, "lstm": lstm_cell}
_GATES = {"rnn": 1, "gru": 3, "lstm": 4}
_STATES = {"rnn": 1, "gru": 1, "lstm": 2}


def _step(
    kind: str, state: State, projected: jax.Array, product: jax.Array, mask: jax.Array
) -> State:
    """The state after a step; where the mask [B] is false, the state before it."""
    moved = _CELLS[kind](state, projected, product)
    return tuple(jnp.where(mask[:, None], m, s) for m, s in zip(moved, state, strict=True))


def scan(
    kind: str, projected: jax.Array, recurrent: jax.Array, mask: jax.Array, reverse: bool = False
) -> jax.Array:
    """Hidden states of every step: [T, B, gates H], [H, gates H], [T, B] -> [T, B, H].

    With `reverse`, from the last step to the first.
    """
    return _states(kind, reverse, projected, recurrent, mask)[-1]


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _states(
    kind: str, reverse: bool, projected: jax.Array, recurrent: jax.Array, mask: jax.Array
) -> State:
    """The state after every step, each part [T, B, H]."""

    def step(state: State, inputs: tuple[jax.Array, jax.Array]) -> tuple[State, State]:
        projected_t, mask_t = inputs
        state = _step(kind, state, projected_t, state[-1] @ recurrent, mask_t)
        return state, state

    zeros = jnp.zeros((projected.shape[1], recurrent.shape[0]), projected.dtype)
    start = (zeros,) * _STATES[kind]
    return jax.lax.scan(step, start, (projected, mask), reverse=reverse)[1]


def _forward(kind, reverse, projected, recurrent, mask):
    states = _states(kind, reverse, projected, recurrent, mask)
    return states, (states, projected, recurrent, mask)


def _backward(kind, reverse, saved, gradients):
    states, projected, recurrent, mask = saved
    before = tuple(_shifted(state, reverse) for state in states)
    products = before[-1] @ recurrent
    # The derivative of every cell at once: functions of a gradient, with a leading axis T.
    pulls = jax.vmap(
        lambda state, projected_t, product, mask_t: jax.vjp(
            lambda s, x, u: _step(kind, s, x, u, mask_t), state, projected_t, product
        )[1]
    )(before, projected, products, mask)

    def step(later: State, inputs: Any) -> tuple[State, tuple[jax.Array, jax.Array]]:
        pull, gradient = inputs
        total = tuple(a + b for a, b in zip(later, gradient, strict=True))
        *others, hidden, by_projected, by_product = _flat(pull(total))
        return (*others, hidden + by_product @ recurrent.T), (by_projected, by_product)

    zeros = tuple(jnp.zeros_like(state[0]) for state in states)
    _, (by_projected, by_product) = jax.lax.scan(
        step, zeros, (pulls, gradients), reverse=not reverse
    )
    return by_projected, jnp.einsum("tbh,tbg->hg", before[-1], by_product), None


_states.defvjp(_forward, _backward)


def _flat(gradients: tuple[State, jax.Array, jax.Array]) -> State:
    state, projected, product = gradients
    return (*state, projected, product)


def _shifted(state_TxBxH: jax.Array, reverse: bool) -> jax.Array:
    """The state before each step, from that after each."""
    zeros = jnp.zeros_like(state_TxBxH[:1])
    if reverse:
        return jnp.concatenate([state_TxBxH[1:], zeros])
    return jnp.concatenate([zeros, state_TxBxH[:-1]])


class Recurrent(nn.Module):
    """A recurrent layer over a padded sequence: [B, T, D], [B, T] -> [B, T, H]."""

    kind: Literal["rnn", "gru", "lstm"]
    hidden: int
    reverse: bool = False

    @nn.compact
    def __call__(self, x_BxTxD: jax.Array, mask_BxT: jax.Array) -> jax.Array:
        width = _GATES[self.kind] * self.hidden
        recurrent = self.param("recurrent", nn.initializers.orthogonal(), (self.hidden, width))
        bias = _forget_bias if self.kind == "lstm" else nn.initializers.zeros
        # Time first, as the scan reads it: the inputs are narrower than their projection.
        x_TxBxD = x_BxTxD.swapaxes(0, 1)
        projected = nn.Dense(width, name="input", bias_init=bias)(x_TxBxD)
        return scan(self.kind, projected, recurrent, mask_BxT.T, self.reverse).swapaxes(0, 1)


def _forget_bias(key: jax.Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> jax.Array:
    """Zero but for the forget gate, which starts open (Jozefowicz et al. 2015)."""
    del key
    quarter = shape[0] // 4
    return jnp.zeros(shape, dtype).at[quarter : 2 * quarter].set(1.0)
