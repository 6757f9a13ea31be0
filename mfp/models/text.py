"""Text encoder: embedding, LSTM in one or both directions, additive attention."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from mfp.config import TextModelConfig
from mfp.models.attention import AdditiveAttention


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


def lstm(
    projected: jax.Array, recurrent: jax.Array, mask: jax.Array, reverse: bool = False
) -> jax.Array:
    """Hidden states of every step; padded steps pass the state on unchanged.

    The input projection of all steps is one product outside the scan: only the recurrent one
    has to wait for the step before.

    Shapes: [B, T, 4H], [H, 4H], [B, T] -> [B, T, H].
    """
    batch, _, gates = projected.shape
    zeros = jnp.zeros((batch, gates // 4), projected.dtype)

    def step(carry: Any, inputs: Any) -> tuple[Any, jax.Array]:
        projected_t, mask_t = inputs
        moved = lstm_cell(carry, projected_t, recurrent)
        keep = mask_t[:, None]
        carry = tuple(jnp.where(keep, new, old) for new, old in zip(moved, carry, strict=True))
        return carry, carry[1]

    inputs = (projected.swapaxes(0, 1), mask.swapaxes(0, 1))
    _, hidden = jax.lax.scan(step, (zeros, zeros), inputs, reverse=reverse)
    return hidden.swapaxes(0, 1)


class LSTM(nn.Module):
    """An LSTM over a padded sequence: [B, T, D], [B, T] -> [B, T, H]."""

    hidden: int
    reverse: bool = False

    @nn.compact
    def __call__(self, x_BxTxD: jax.Array, mask_BxT: jax.Array) -> jax.Array:
        recurrent = self.param(
            "recurrent", nn.initializers.orthogonal(), (self.hidden, 4 * self.hidden)
        )
        projected = nn.Dense(4 * self.hidden, name="input", bias_init=_forget_bias)(x_BxTxD)
        return lstm(projected, recurrent, mask_BxT, self.reverse)


def _forget_bias(key: jax.Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> jax.Array:
    """Zero but for the forget gate, which starts open (Jozefowicz et al. 2015)."""
    del key
    quarter = shape[0] // 4
    return jnp.zeros(shape, dtype).at[quarter : 2 * quarter].set(1.0)


class TextEncoder(nn.Module):
    """Token ids to one vector and the attention weight of each token."""

    vocabulary_size: int
    config: TextModelConfig

    @nn.compact
    def __call__(self, ids_BxT: jax.Array, *, train: bool) -> tuple[jax.Array, jax.Array]:
        """[B, T] -> ([B, H or 2H], [B, T]); id 0 is padding and changes nothing."""
        config = self.config
        mask = ids_BxT > 0
        x = nn.Embed(
            self.vocabulary_size,
            config.embedding,
            embedding_init=nn.initializers.normal(0.1),
            name="embedding",
        )(ids_BxT)
        x = nn.Dropout(config.dropout, deterministic=not train)(x)
        states = [LSTM(config.hidden, name="forward")(x, mask)]
        if config.bidirectional:
            states.append(LSTM(config.hidden, reverse=True, name="backward")(x, mask))
        pooled, weights = AdditiveAttention(config.hidden, name="attention")(
            jnp.concatenate(states, axis=-1), mask
        )
        return nn.Dropout(config.dropout, deterministic=not train)(pooled), weights
