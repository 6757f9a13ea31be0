"""Encoders of numbers and of set-valued fields."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import linen as nn

from mfp.config import NumbersModelConfig, SetsModelConfig
from mfp.models.attention import AdditiveAttention

_UNKNOWN = 1  # the id of a name outside the vocabulary


class NumbersEncoder(nn.Module):
    """Numbers and their missing indicators through a small perceptron."""

    config: NumbersModelConfig

    @nn.compact
    def __call__(self, values_BxD: jax.Array, known_BxD: jax.Array) -> jax.Array:
        """[B, D], [B, D] -> [B, H]. The value of a missing number does not matter."""
        x = jnp.concatenate([values_BxD * known_BxD, known_BxD], axis=-1)
        x = nn.relu(nn.Dense(self.config.hidden, name="hidden")(x))
        return nn.relu(nn.Dense(self.config.hidden, name="output")(x))


class SetEncoder(nn.Module):
    """Members of a set to one vector: embeddings pooled by attention.

    With `ordered`, a learned vector per position (billing) is added; without, the order of the
    members changes nothing.
    """

    config: SetsModelConfig
    ordered: bool

    @nn.compact
    def __call__(
        self, table: nn.Embed, ids_BxP: jax.Array, *, train: bool
    ) -> tuple[jax.Array, jax.Array]:
        """Embedding table, ids [B, P] -> vectors [B, E], weights [B, P]; id 0 is padding."""
        config = self.config
        mask = ids_BxP > 0
        if train and config.unknown_dropout > 0:
            hide = jax.random.bernoulli(
                self.make_rng("dropout"), config.unknown_dropout, ids_BxP.shape
            )
            ids_BxP = jnp.where(hide & mask, _UNKNOWN, ids_BxP)
        x = table(ids_BxP)
        if self.ordered:
            x += self.param("position", nn.initializers.normal(0.02), x.shape[1:])
        pooled, weights = AdditiveAttention(config.embedding, name="attention")(x, mask)
        return nn.Dropout(config.dropout, deterministic=not train)(pooled), weights
