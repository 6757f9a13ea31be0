"""Additive attention over a padded sequence or set."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import linen as nn


def masked_softmax(scores: jax.Array, mask: jax.Array) -> jax.Array:
    """Softmax over the last axis among the positions where mask is true; all zero where none is.

    In float32, or wider where the scores are (gradients are checked in float64).
    Shapes: [..., T], [..., T] -> [..., T].
    """
    scores = scores.astype(jnp.promote_types(scores.dtype, jnp.float32))
    shifted = jnp.where(mask, scores, -jnp.inf)
    # With no true position the maximum is -inf: use 0, so that no NaN enters the gradient.
    top = jnp.max(shifted, axis=-1, keepdims=True)
    top = jax.lax.stop_gradient(jnp.where(jnp.isfinite(top), top, 0.0))
    exponentials = jnp.where(mask, jnp.exp(jnp.where(mask, scores, top) - top), 0.0)
    total = jnp.sum(exponentials, axis=-1, keepdims=True)
    return exponentials / jnp.where(total > 0, total, 1.0)


class AdditiveAttention(nn.Module):
    """Pools vectors by weights softmax(v . tanh(W x + b)) (Bahdanau et al. 2015, without query)."""

    hidden: int

    @nn.compact
    def __call__(self, x_BxTxD: jax.Array, mask_BxT: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Pooled vectors [B, D] (zero where nothing is there) and weights [B, T] that sum to 1."""
        scores = nn.Dense(1, use_bias=False, name="score")(
            jnp.tanh(nn.Dense(self.hidden, name="project")(x_BxTxD))
        )[..., 0]
        weights = masked_softmax(scores, mask_BxT)
        pooled = jnp.einsum("bt,btd->bd", weights, x_BxTxD)  # summed in float32, as the weights are
        return pooled.astype(x_BxTxD.dtype), weights
