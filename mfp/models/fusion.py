"""Modality vectors to one: what is missing is replaced by a learned vector, never by a guess."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import jax
import jax.numpy as jnp
from flax import linen as nn

from mfp.config import FusionConfig
from mfp.models.depth import DropBranch, rate
from mfp.models.ensemble import MemberDense
from mfp.models.transformer import TransformerLayer


class Fusion(nn.Module):
    """Present modalities to the fused vector, by concatenation, gates, products or attention."""

    config: FusionConfig

    @nn.compact
    def __call__(
        self, vectors: Mapping[str, jax.Array], present: Mapping[str, jax.Array], *, train: bool
    ) -> jax.Array:
        """Vectors [B, D_m] and presence [B] of each modality -> the fused vector [B, D].

        Of several members (`models/ensemble.py`) [B, K, D].

        Where presence is 0 the modality's vector changes nothing: a learned one stands for it.
        In training, modalities are hidden at random so that any of them may be missing later.
        """
        config = self.config
        parts = []
        for name, vector in vectors.items():
            seen = present[name]
            if train and config.modality_dropout > 0:
                keep = 1 - config.modality_dropout
                seen *= jax.random.bernoulli(self.make_rng("dropout"), keep, seen.shape)
            missing = self.param(f"missing_{name}", nn.initializers.normal(0.02), vector.shape[1:])
            parts.append(jnp.where(seen[:, None] > 0, vector, missing))
        if config.kind == "concatenation":
            x = jnp.concatenate(parts, axis=-1)
        else:
            tokens_BxMxD = jnp.stack(
                [
                    nn.Dense(config.width, name=f"token_{name}")(part)
                    for name, part in zip(vectors, parts, strict=True)
                ],
                axis=1,
            )
            mix = {"gated": self._gated, "bilinear": self._bilinear, "attention": self._attention}
            x = mix[config.kind](tokens_BxMxD, train)
        for i, width in enumerate(config.hidden):
            x = nn.LayerNorm(name=f"norm_{i}")(self._linear(width, f"dense_{i}", i == 0)(x))
            x = nn.Dropout(config.dropout, deterministic=not train)(nn.gelu(x))
            for j in range(config.residual):
                x = self._residual(x, i * config.residual + j, train)
        return x

    def _residual(self, x: jax.Array, index: int, train: bool) -> jax.Array:
        """x + dropout(gelu(W norm(x))), the branch left out at random: of x's own width."""
        config = self.config
        y = nn.LayerNorm(name=f"residual_norm_{index}")(x)
        y = nn.gelu(self._linear(x.shape[-1], f"residual_{index}")(y))
        y = nn.Dropout(config.dropout, deterministic=not train)(y)
        count = len(config.hidden) * config.residual
        drop = DropBranch(rate(config.stochastic_depth, index, count), name=f"drop_{index}")
        return x + drop(y, train=train, axes=x.ndim - 1)

    def _linear(self, width: int, name: str, first: bool = False) -> nn.Module:
        """A layer of the perceptron, by all members together where there are several."""
        config = self.config
        if config.members == 1:
            return nn.Dense(width, name=name)
        return MemberDense(width, config.members, config.ensemble, first, name=name)

    def _gated(self, tokens_BxMxD: jax.Array, train: bool) -> jax.Array:
        """Sum of z_m * tanh(token_m), gates z = sigmoid(W [all tokens]) (Arevalo et al. 2017)."""
        del train
        batch, modalities, width = tokens_BxMxD.shape
        gates = nn.Dense(modalities * width, name="gates")(tokens_BxMxD.reshape(batch, -1))
        gates = jax.nn.sigmoid(gates).reshape(tokens_BxMxD.shape)
        return jnp.sum(gates * jnp.tanh(tokens_BxMxD), axis=1)

    def _bilinear(self, tokens_BxMxD: jax.Array, train: bool) -> jax.Array:
        """All tokens, and of each pair tanh(U a) * tanh(V b), low-rank (Kim et al. 2017)."""
        del train
        names = range(tokens_BxMxD.shape[1])
        factors = jnp.tanh(nn.Dense(2 * self.config.rank, name="factors")(tokens_BxMxD))
        left, right = jnp.split(factors, 2, axis=-1)
        pairs = [left[:, a] * right[:, b] for a, b in combinations(names, 2)]
        flat = tokens_BxMxD.reshape(tokens_BxMxD.shape[0], -1)
        return jnp.concatenate([flat, *pairs], axis=-1)

    def _attention(self, tokens_BxMxD: jax.Array, train: bool) -> jax.Array:
        """Self-attention over one token per modality and one that asks; the asking one answers.

        Missing modalities keep their learned token: that something is missing is news too.
        """
        batch, modalities, width = tokens_BxMxD.shape
        kind = self.param("kinds", nn.initializers.normal(0.02), (modalities, width))
        ask = self.param("ask", nn.initializers.normal(0.02), (width,))
        first = jnp.broadcast_to(ask, (batch, 1, width))
        x = jnp.concatenate([first, tokens_BxMxD + kind], axis=1)
        layer = TransformerLayer(self.config.heads, self.config.dropout, name="layer")
        x = layer(x, jnp.ones(x.shape[:2], bool), train=train)
        return jnp.concatenate([x[:, 0], jnp.mean(x[:, 1:], axis=1)], axis=-1)
