"""Self-attention layers over padded tokens (Vaswani et al. 2017; pre-norm, Xiong et al. 2020)."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import linen as nn

from mfp.models.attention import masked_softmax


def sinusoids(length: int, width: int) -> jax.Array:
    """Position encodings [T, D]: sines and cosines of geometric frequencies."""
    position = jnp.arange(length)[:, None]
    frequency = jnp.exp(-jnp.log(10_000.0) * jnp.arange(0, width, 2) / width)
    angles = position * frequency
    return jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=-1)[:, :width]


class TransformerLayer(nn.Module):
    """Multi-head self-attention and a perceptron, each residual: [B, T, D], [B, T] -> [B, T, D]."""

    heads: int
    dropout: float

    @nn.compact
    def __call__(self, x_BxTxD: jax.Array, mask_BxT: jax.Array, *, train: bool) -> jax.Array:
        batch, length, width = x_BxTxD.shape
        assert width % self.heads == 0, (width, self.heads)
        drop = nn.Dropout(self.dropout, deterministic=not train)
        y = nn.LayerNorm(name="norm_attention")(x_BxTxD)
        shape = (batch, length, 3, self.heads, width // self.heads)
        q, k, v = jnp.moveaxis(nn.Dense(3 * width, name="query_key_value")(y).reshape(shape), 2, 0)
        scores = jnp.einsum("bqhd,bkhd->bhqk", q, k) / jnp.sqrt(width / self.heads)
        keys = jnp.broadcast_to(mask_BxT[:, None, None, :], scores.shape)
        mixed = jnp.einsum("bhqk,bkhd->bqhd", masked_softmax(scores, keys), v)
        mixed = mixed.astype(v.dtype).reshape(batch, length, width)
        mixed = nn.Dense(width, name="mix")(mixed)
        x = x_BxTxD + drop(mixed)
        y = nn.gelu(nn.Dense(4 * width, name="widen")(nn.LayerNorm(name="norm_perceptron")(x)))
        return x + drop(nn.Dense(width, name="narrow")(y))
