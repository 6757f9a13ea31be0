"""Text encoders: embeddings, a sequence encoder, pooling; and a bag of n-grams beside it."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from mfp import extensions
from mfp.config import TextModelConfig
from mfp.models.attention import AdditiveAttention, masked_softmax
from mfp.models.recurrent import Recurrent
from mfp.models.transformer import TransformerLayer, sinusoids
from mfp.schema import TEXT_ENCODERS


class SequenceEncoder(nn.Module):
    """Token vectors in context: [B, T, D], [B, T] -> [B, T, H]; padding changes nothing.

    An encoder that another package adds is a Flax module of the same call, made by
    offered(config, name).
    """

    config: TextModelConfig

    @nn.compact
    def __call__(self, x_BxTxD: jax.Array, mask_BxT: jax.Array, *, train: bool) -> jax.Array:
        config = self.config
        if config.encoder == "bag":
            return x_BxTxD
        if config.encoder == "cnn":
            return self._convolution(x_BxTxD, mask_BxT)
        if config.encoder == "transformer":
            x = nn.Dense(config.hidden, name="widen")(x_BxTxD)
            x = x + sinusoids(x.shape[1], config.hidden).astype(x.dtype)
            for i in range(config.layers):
                layer = TransformerLayer(config.heads, config.dropout, name=f"layer_{i}")
                x = layer(x, mask_BxT, train=train)
            return nn.LayerNorm(name="norm")(x)
        assert config.encoder != "pretrained"  # which needs no embeddings: see `Network`
        if config.encoder not in TEXT_ENCODERS:
            offered = extensions.load("encoder", config.encoder)
            return offered(config, name="added")(x_BxTxD, mask_BxT, train=train)
        kind: Any = config.encoder  # one of those that `Recurrent` knows
        states = [Recurrent(kind, config.hidden, name="forward")(x_BxTxD, mask_BxT)]
        if config.bidirectional:
            backward = Recurrent(kind, config.hidden, reverse=True, name="backward")
            states.append(backward(x_BxTxD, mask_BxT))
        return jnp.concatenate(states, axis=-1)

    def _convolution(self, x_BxTxD: jax.Array, mask_BxT: jax.Array) -> jax.Array:
        """Filters over windows of words (Kim 2014), as shifted copies and one product each."""
        x = x_BxTxD * mask_BxT[..., None]  # a padded word is a zero vector
        length = x.shape[1]
        found = []
        for window in self.config.windows:
            before = (window - 1) // 2
            padded = jnp.pad(x, ((0, 0), (before, window - 1 - before), (0, 0)))
            shifted = [padded[:, i : i + length] for i in range(window)]
            stacked = jnp.concatenate(shifted, axis=-1)
            found.append(nn.relu(nn.Dense(self.config.hidden, name=f"window_{window}")(stacked)))
        return jnp.concatenate(found, axis=-1)


class Pooling(nn.Module):
    """Token vectors to one, and the share that each token had in it: ([B, H], [B, T])."""

    config: TextModelConfig

    @nn.compact
    def __call__(self, x_BxTxD: jax.Array, mask_BxT: jax.Array) -> tuple[jax.Array, jax.Array]:
        config = self.config
        if config.pooling == "attention":
            return AdditiveAttention(config.hidden, name="attention")(x_BxTxD, mask_BxT)
        even = masked_softmax(jnp.zeros(mask_BxT.shape, x_BxTxD.dtype), mask_BxT)
        if config.pooling == "mean":
            return jnp.einsum("bt,btd->bd", even, x_BxTxD), even
        if config.pooling == "max":
            lowest = jnp.where(mask_BxT[..., None], x_BxTxD, -jnp.inf)
            top = jnp.max(lowest, axis=1)
            top = jnp.where(jnp.any(mask_BxT, axis=1)[:, None], top, 0.0)
            won = (x_BxTxD == top[:, None]) & mask_BxT[..., None]
            return top, jnp.mean(won / jnp.maximum(jnp.sum(won, axis=1, keepdims=True), 1), axis=-1)
        position = jnp.arange(mask_BxT.shape[1])
        last = jax.nn.one_hot(jnp.max(jnp.where(mask_BxT, position, -1), axis=1), len(position))
        if not (config.bidirectional and config.encoder in ("rnn", "gru", "lstm")):
            return jnp.einsum("bt,btd->bd", last, x_BxTxD), last
        # The backward state has read everything at the first word.
        forward, backward = jnp.split(x_BxTxD, 2, axis=-1)
        first = jax.nn.one_hot(0, len(position)) * mask_BxT
        ends = [
            jnp.einsum("bt,btd->bd", last, forward),
            jnp.einsum("bt,btd->bd", first, backward),
        ]
        return jnp.concatenate(ends, axis=-1), (last + first) / 2


class TextEncoder(nn.Module):
    """Token ids, and n-gram ids if there are any, to one vector and the weight of each token."""

    vocabulary_size: int
    ngram_size: int  # 0: no bag of n-grams
    config: TextModelConfig

    @nn.compact
    def __call__(
        self, ids_BxT: jax.Array, ngrams_BxG: jax.Array | None, *, train: bool
    ) -> tuple[jax.Array, jax.Array]:
        """[B, T], [B, G] -> ([B, D], [B, T]); id 0 is padding and changes nothing.

        Where there is a bag of n-grams, its vector stands in the last columns of D.
        """
        config = self.config
        mask = ids_BxT > 0
        drop = nn.Dropout(config.dropout, deterministic=not train)
        x = nn.Embed(
            self.vocabulary_size,
            config.embedding,
            embedding_init=nn.initializers.normal(0.1),
            name="embedding",
        )(ids_BxT)
        x = SequenceEncoder(config, name="sequence")(drop(x), mask, train=train)
        pooled, weights = Pooling(config, name="pooling")(x, mask)  # pooled in float32
        pooled = pooled.astype(x.dtype)
        if self.ngram_size and ngrams_BxG is not None:
            bag = NgramBag(self.ngram_size, config, name="ngrams")(ngrams_BxG, train=train)
            return jnp.concatenate([drop(pooled), bag], axis=-1), weights
        return drop(pooled), weights


class NgramBag(nn.Module):
    """A multi-hot bag of n-grams times a matrix, as a sum of rows: [B, G] -> [B, E].

    Divided by the root of the count: a long text should not shout (the l2 norm of a multi-hot
    vector, as in NBSVM, Wang and Manning 2012). `scale`, one factor per n-gram, is set before
    training (training/naive_bayes.py) and not trained.
    """

    size: int
    config: TextModelConfig

    @nn.compact
    def __call__(self, ids_BxG: jax.Array, *, train: bool) -> jax.Array:
        table = self.param(
            "table", nn.initializers.normal(0.01), (self.size, self.config.ngram_embedding)
        )
        scale = self.param("scale", nn.initializers.ones, (self.size,))
        factors = jax.lax.stop_gradient(scale)[ids_BxG]
        here = ids_BxG > 0
        if train and self.config.dropout > 0:
            keep = 1 - self.config.dropout
            here &= jax.random.bernoulli(self.make_rng("dropout"), keep, here.shape)
        count = jnp.sum(here, axis=1, keepdims=True)
        total = jnp.einsum("bge,bg->be", table[ids_BxG], factors * here)
        return total / jnp.sqrt(jnp.maximum(count, 1))


class ReviewsEncoder(nn.Module):
    """Any number of reviews: each encoded alone, then attended over.

    The weights tell which review mattered, and within it which word.
    """

    text: TextEncoder

    @nn.compact
    def __call__(
        self, ids_BxRxT: jax.Array, ngrams_BxRxG: jax.Array | None, *, train: bool
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        """[B, R, T], [B, R, G] -> vectors [B, D], review weights [B, R], word weights [B, R, T]."""
        batch, reviews, length = ids_BxRxT.shape
        flat = None if ngrams_BxRxG is None else ngrams_BxRxG.reshape(batch * reviews, -1)
        vectors, words = self.text(ids_BxRxT.reshape(-1, length), flat, train=train)
        vectors = vectors.reshape(batch, reviews, -1)
        mask = jnp.any(ids_BxRxT > 0, axis=-1)
        pooled, weights = AdditiveAttention(self.text.config.hidden, name="attention")(
            vectors, mask
        )
        return pooled, weights, words.reshape(batch, reviews, length)
