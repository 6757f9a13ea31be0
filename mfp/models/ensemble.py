"""Linear layers of an ensemble whose members share one network.

    batch      BatchEnsemble (Wen et al. 2020): each linear layer has one matrix for all members,
               and of each member signs that its inputs and outputs are multiplied by
    tabm       TabM (Gorishniy et al. 2024): the same, but only the first adapter begins with
               random signs, all others with ones; and each member has heads of its own
    tabm_mini  only the first adapter, and heads of their own; all between is shared

K members.
"""

from __future__ import annotations

from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import linen as nn

Kind = Literal["tabm", "tabm_mini", "batch"]


def signs(key: jax.Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> jax.Array:
    """Minus one or one, evenly."""
    return jax.random.rademacher(key, shape, dtype)


class MemberDense(nn.Module):
    """s_k * ((r_k * x) W) + b_k of every member k: a matrix for all, vectors for each.

    Adapters and biases are no weights: they are neither decayed nor penalised
    (training/groups.py).
    """

    features: int
    members: int
    kind: Kind
    first: bool = False  # whether the members' inputs are still the same
    kernel_init: Any = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(self, x_BxKxD: jax.Array) -> jax.Array:
        """[B, K, D], or [B, D] that all members share -> [B, K, features]."""
        x = x_BxKxD if x_BxKxD.ndim == 3 else x_BxKxD[:, None]
        kernel = self.param("kernel", self.kernel_init, (x.shape[-1], self.features))
        if self.first or self.kind != "tabm_mini":
            init = signs if self.first or self.kind == "batch" else nn.initializers.ones
            x = x * self.param("r", init, (self.members, x.shape[-1]))
        x = x @ kernel
        if self.kind == "tabm_mini":
            return x + self.param("bias", nn.initializers.zeros, (self.features,))
        shape = (self.members, self.features)
        init = signs if self.kind == "batch" else nn.initializers.ones
        x = x * self.param("s", init, shape)
        return x + self.param("bias", nn.initializers.zeros, shape)


class SeparateDense(nn.Module):
    """A linear layer of each member: [B, K, D] -> [B, K, features]."""

    features: int
    kernel_init: Any

    @nn.compact
    def __call__(self, x_BxKxD: jax.Array) -> jax.Array:
        _, members, width = x_BxKxD.shape
        kernel = self.param("kernel", self.kernel_init, (members, width, self.features))
        bias = self.param("bias", nn.initializers.zeros, (members, self.features))
        return jnp.einsum("bkd,kde->bke", x_BxKxD, kernel) + bias
