"""Modality vectors to one: what is missing is replaced by a learned vector, never by a guess."""

from __future__ import annotations

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from flax import linen as nn

from mfp.config import FusionConfig


class ConcatenationFusion(nn.Module):
    """Concatenation of all modality vectors, then a perceptron."""

    config: FusionConfig

    @nn.compact
    def __call__(
        self, vectors: Mapping[str, jax.Array], present: Mapping[str, jax.Array], *, train: bool
    ) -> jax.Array:
        """Vectors [B, D_m] and presence [B] of each modality -> the fused vector [B, D].

        Where presence is 0 the modality's vector changes nothing: a learned one stands for it.
        In training, modalities are hidden at random so that any of them may be missing later.
        """
        parts = []
        for name, vector in vectors.items():
            here = present[name]
            if train and self.config.modality_dropout > 0:
                keep = 1 - self.config.modality_dropout
                here *= jax.random.bernoulli(self.make_rng("dropout"), keep, here.shape)
            missing = self.param(f"missing_{name}", nn.initializers.normal(0.02), vector.shape[1:])
            parts.append(jnp.where(here[:, None] > 0, vector, missing))
        x = jnp.concatenate(parts, axis=-1)
        for i, width in enumerate(self.config.hidden):
            x = nn.LayerNorm(name=f"norm_{i}")(nn.Dense(width, name=f"dense_{i}")(x))
            x = nn.Dropout(self.config.dropout, deterministic=not train)(nn.gelu(x))
        return x
