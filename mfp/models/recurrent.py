"""Recurrent networks over padded sequences: simple RNN, GRU, LSTM.

The input projection of all steps is one product outside the scan: only the recurrent product has
to wait for the step before. A padded step passes the state on unchanged.
"""

from __future__ import annotations

from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import linen as nn


def rnn_cell(hidden: jax.Array, projected: jax.Array, recurrent: jax.Array) -> jax.Array:
    """h' = tanh(W x + b + U h) (Elman 1990). [B, H], [B, H], [H, H] -> [B, H]."""
    return jnp.tanh(projected + hidden @ recurrent)


def gru_cell(hidden: jax.Array, projected: jax.Array, recurrent: jax.Array) -> jax.Array:
    """One step of a GRU (Cho et al. 2014), reset gate applied to U h, gates reset, update, new.

    Shapes: [B, H], [B, 3H], [H, 3H] -> [B, H].
    """
    r, z, n = jnp.split(projected, 3, axis=-1)
    ur, uz, un = jnp.split(hidden @ recurrent, 3, axis=-1)
    update = jax.nn.sigmoid(z + uz)
    new = jnp.tanh(n + jax.nn.sigmoid(r + ur) * un)
    return (1 - update) * new + update * hidden


def lstm_cell(
    carry: tuple[jax.Array, jax.Array], projected: jax.Array, recurrent: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """One step of an LSTM (Hochreiter and Schmidhuber 1997; forget gate of Gers et al. 2000).

    Args:
      carry: cell and hidden state, each [B, H].
      projected: W x + b of this step, [B, 4H], gates in the order input, forget, cell, output.
      recurrent: U, [H, 4H].
    """
    cell, hidden = carry
    i, f, g, o = jnp.split(projected + hidden @ recurrent, 4, axis=-1)
    cell = jax.nn.sigmoid(f) * cell + jax.nn.sigmoid(i) * jnp.tanh(g)
    return cell, jax.nn.sigmoid(o) * jnp.tanh(cell)


_GATES = {"rnn": 1, "gru": 3, "lstm": 4}


def scan(
    kind: str, projected: jax.Array, recurrent: jax.Array, mask: jax.Array, reverse: bool = False
) -> jax.Array:
    """Hidden states of every step: [B, T, gates H], [H, gates H], [B, T] -> [B, T, H]."""
    batch = projected.shape[0]
    zeros = jnp.zeros((batch, recurrent.shape[0]), projected.dtype)

    def step(carry: Any, inputs: Any) -> tuple[Any, jax.Array]:
        projected_t, mask_t = inputs
        if kind == "lstm":
            moved: tuple[jax.Array, ...] = lstm_cell(carry, projected_t, recurrent)
        else:
            cell = rnn_cell if kind == "rnn" else gru_cell
            moved = (cell(carry[0], projected_t, recurrent),)
        keep = mask_t[:, None]
        carry = tuple(jnp.where(keep, new, old) for new, old in zip(moved, carry, strict=True))
        return carry, carry[-1]

    inputs = (projected.swapaxes(0, 1), mask.swapaxes(0, 1))
    start = (zeros, zeros) if kind == "lstm" else (zeros,)
    _, hidden = jax.lax.scan(step, start, inputs, reverse=reverse)
    return hidden.swapaxes(0, 1)


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
        projected = nn.Dense(width, name="input", bias_init=bias)(x_BxTxD)
        return scan(self.kind, projected, recurrent, mask_BxT, self.reverse)


def _forget_bias(key: jax.Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> jax.Array:
    """Zero but for the forget gate, which starts open (Jozefowicz et al. 2015)."""
    del key
    quarter = shape[0] // 4
    return jnp.zeros(shape, dtype).at[quarter : 2 * quarter].set(1.0)
