"""Encoders of numbers and of set-valued fields."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import linen as nn

from mfp.config import NumbersModelConfig, SetsModelConfig
from mfp.models.attention import AdditiveAttention

_UNKNOWN = 1  # the id of a name outside the vocabulary


class NumbersEncoder(nn.Module):
    """Numbers and their missing indicators: an embedding of each, then a small perceptron."""

    config: NumbersModelConfig

    @nn.compact
    def __call__(self, values_BxD: jax.Array, known_BxD: jax.Array) -> jax.Array:
        """[B, D], [B, D] -> [B, H]. The value of a missing number does not matter.

        Without a perceptron H is what the embeddings have: D (2 + width), or 2 D of plain ones.
        """
        config = self.config
        x = values_BxD * known_BxD
        if config.embedding != "plain":
            if config.embedding == "periodic":
                parts = self._periodic(x)
            else:
                parts = _piecewise(x, config.bins)
            # One linear layer per number, as in the paper.
            shape = (*parts.shape[1:], config.width)
            kernel = self.param("embed", nn.initializers.lecun_normal(batch_axis=(0,)), shape)
            embedded = nn.relu(jnp.einsum("bdf,dfe->bde", parts, kernel)) * known_BxD[..., None]
            x = jnp.concatenate([x, embedded.reshape(x.shape[0], -1)], axis=-1)
        x = jnp.concatenate([x, known_BxD], axis=-1)
        if not config.hidden:
            return x
        x = nn.relu(nn.Dense(config.hidden, name="hidden")(x))
        return nn.relu(nn.Dense(config.hidden, name="output")(x))

    def _periodic(self, x_BxD: jax.Array) -> jax.Array:
        """sin and cos of 2 pi c x with learned frequencies c: [B, D] -> [B, D, 2 F]."""
        config = self.config
        frequency = self.param(
            "frequency",
            nn.initializers.normal(config.sigma),
            (x_BxD.shape[1], config.frequencies),
        )
        angles = 2 * jnp.pi * x_BxD[..., None] * frequency
        return jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=-1)


def _piecewise(x_BxD: jax.Array, bins: int) -> jax.Array:
    """How far a number has come through each bin, 0 to 1: [B, D] -> [B, D, bins].

    The bins hold equal shares of a normal distribution, which the features follow by their
    quantile transform; the outer ones are as wide as their neighbours.
    """
    inner = jax.scipy.special.ndtri(jnp.arange(1, bins) / bins)
    step = (inner[1] - inner[0]) if bins > 2 else jnp.asarray(1.0)
    edges = jnp.concatenate([inner[:1] - step, inner, inner[-1:] + step])
    return jnp.clip((x_BxD[..., None] - edges[:-1]) / (edges[1:] - edges[:-1]), 0, 1)


class SetEncoder(nn.Module):
    """Members of a set to one vector: embeddings pooled by attention.

    With `ordered`, a learned vector per position (billing) is added; without, the order of the
    members changes nothing. With `multi_hot` a 0 or 1 for each of the V names follows: what two
    names do together is not blurred by the mean of their embeddings.
    """

    config: SetsModelConfig
    ordered: bool
    multi_hot: bool = False

    @nn.compact
    def __call__(
        self, table: nn.Embed, ids_BxP: jax.Array, *, train: bool
    ) -> tuple[jax.Array, jax.Array]:
        """Embedding table, ids [B, P] -> vectors [B, E], weights [B, P]; id 0 is padding.

        With `multi_hot` vectors are [B, E + V]; V counts neither padding nor the unknown name.
        """
        config = self.config
        mask = ids_BxP > 0
        if train and config.unknown_dropout > 0 and not self.multi_hot:
            hide = jax.random.bernoulli(
                self.make_rng("dropout"), config.unknown_dropout, ids_BxP.shape
            )
            ids_BxP = jnp.where(hide & mask, _UNKNOWN, ids_BxP)
        x = table(ids_BxP)
        if self.ordered:
            x += self.param("position", nn.initializers.normal(0.02), x.shape[1:])
        pooled, weights = AdditiveAttention(config.embedding, name="attention")(x, mask)
        pooled = nn.Dropout(config.dropout, deterministic=not train)(pooled)
        if self.multi_hot:
            hot = jax.nn.one_hot(ids_BxP, table.num_embeddings, dtype=pooled.dtype)
            names = jnp.max(hot, axis=1)[:, _UNKNOWN + 1 :]
            pooled = jnp.concatenate([pooled, names], axis=-1)
        return pooled, weights
