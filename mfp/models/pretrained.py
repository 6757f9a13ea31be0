"""A sentence encoder whose weights are published: all-MiniLM-L6-v2 (Wang et al. 2020, MiniLM;
Reimers and Gurevych 2019, Sentence-BERT), a BERT (Devlin et al. 2019) of 6 small layers.

Not the transformer of `transformer.py`: BERT normalises after each residual sum, learns its
positions and has a token type. Attention, mean pooling and norms are in float32.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from mfp.config import TextModelConfig
from mfp.models.attention import AdditiveAttention, masked_softmax

WIDTH = 384  # D of a sentence
HEADS = 12
LAYERS = 6
WORDS = 30_522
POSITIONS = 512
_EPSILON = 1e-12  # of the layer norms; float32 knows it only beside a variance of about 0


class MiniLM(nn.Module):
    """Token ids to a sentence vector of length 1: [..., T] -> [..., D = 384]; id 0 is padding.

    A row of padding alone is a vector of zeros.
    """

    @nn.compact
    def __call__(self, ids: jax.Array) -> jax.Array:
        *outer, length = ids.shape
        ids_BxT = ids.reshape(-1, length)
        mask = ids_BxT > 0
        assert length <= POSITIONS, length
        x = nn.Embed(WORDS, WIDTH, name="words")(ids_BxT)
        positions = self.param("positions", nn.initializers.normal(0.02), (POSITIONS, WIDTH))
        kind = self.param("kind", nn.initializers.normal(0.02), (WIDTH,))
        x = nn.LayerNorm(_EPSILON, name="norm")(x + positions[:length] + kind)
        for i in range(LAYERS):
            x = _Layer(name=f"layer_{i}")(x, mask)
        x = x.astype(jnp.float32)
        total = jnp.einsum("btd,bt->bd", x, mask.astype(jnp.float32))
        # The mean's divisor goes with the norm.
        square = jnp.sum(total**2, axis=-1, keepdims=True)
        return (total * jax.lax.rsqrt(jnp.maximum(square, _EPSILON))).reshape(*outer, WIDTH)


class _Layer(nn.Module):
    """Self-attention and a perceptron, each a residual that is normalised: [B, T, D], [B, T]."""

    @nn.compact
    def __call__(self, x_BxTxD: jax.Array, mask_BxT: jax.Array) -> jax.Array:
        batch, length, width = x_BxTxD.shape

        def heads(name: str) -> jax.Array:
            return nn.Dense(width, name=name)(x_BxTxD).reshape(batch, length, HEADS, -1)

        q, k, v = heads("query"), heads("key"), heads("value")
        scores = jnp.einsum("bqhd,bkhd->bhqk", q, k) / jnp.sqrt(width / HEADS)
        keys = jnp.broadcast_to(mask_BxT[:, None, None, :], scores.shape)
        mixed = jnp.einsum("bhqk,bkhd->bqhd", masked_softmax(scores, keys), v)
        mixed = mixed.astype(v.dtype).reshape(batch, length, width)
        mixed = nn.Dense(width, name="mix")(mixed)
        x = nn.LayerNorm(_EPSILON, name="norm_attention")(x_BxTxD + mixed)
        wide = nn.gelu(nn.Dense(4 * width, name="widen")(x), approximate=False)
        narrow = nn.Dense(width, name="narrow")(wide)
        return nn.LayerNorm(_EPSILON, name="norm_perceptron")(x + narrow)


class SentenceReader(nn.Module):
    """The sentence vectors of a film's text, or of its reviews, to one vector of the network."""

    config: TextModelConfig

    @nn.compact
    def __call__(
        self, ids: jax.Array, sentences: jax.Array, *, train: bool
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        """[B, T], [B, D], or [B, R, T], [B, R, D] -> ([B, H], [B, R] or [B], the shape of ids).

        Returns:
          The vector, the share of each review, and that of each token: all of a text alike.
        """
        drop = nn.Dropout(self.config.dropout, deterministic=not train)
        x = nn.gelu(nn.Dense(self.config.hidden, name="dense")(drop(sentences)))
        mask = ids > 0
        tokens = mask / jnp.maximum(jnp.sum(mask, axis=-1, keepdims=True), 1)
        shares = jnp.any(mask, axis=-1).astype(jnp.float32)
        if ids.ndim == 3:
            pool = AdditiveAttention(self.config.hidden, name="attention")
            x, shares = pool(x, jnp.any(mask, axis=-1))
        return x, shares, tokens


# Flax name of each part of a layer, and its name in the published file.
_PARTS = {
    "query": "attention.self.query",
    "key": "attention.self.key",
    "value": "attention.self.value",
    "mix": "attention.output.dense",
    "norm_attention": "attention.output.LayerNorm",
    "widen": "intermediate.dense",
    "narrow": "output.dense",
    "norm_perceptron": "output.LayerNorm",
}


def from_published(tensors: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Parameters of `MiniLM` from the tensors of the published file.

    Raises:
      KeyError: a tensor is missing.
      ValueError: one has another shape.
    """
    expected = jax.eval_shape(MiniLM().init, jax.random.key(0), np.zeros((1, 2), np.int32))

    def part(name: str) -> dict[str, np.ndarray]:
        weight = tensors[f"{name}.weight"]
        leaf = {"scale": weight} if weight.ndim == 1 else {"kernel": weight.T}
        return leaf | {"bias": tensors[f"{name}.bias"]}

    found: dict[str, Any] = {
        "words": {"embedding": tensors["embeddings.word_embeddings.weight"]},
        "positions": tensors["embeddings.position_embeddings.weight"],
        "kind": tensors["embeddings.token_type_embeddings.weight"][0],
        "norm": part("embeddings.LayerNorm"),
    }
    for i in range(LAYERS):
        layer = f"encoder.layer.{i}"
        found[f"layer_{i}"] = {ours: part(f"{layer}.{name}") for ours, name in _PARTS.items()}
    found = jax.tree.map(lambda leaf: np.ascontiguousarray(leaf, np.float32), found)
    shapes = jax.tree.map(np.shape, expected["params"])
    if jax.tree.map(np.shape, found) != shapes:
        raise ValueError("the tensors are not those of all-MiniLM-L6-v2")
    return found
