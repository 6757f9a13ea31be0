"""Stochastic depth (Huang et al. 2016): residual branches left out at random in training."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import linen as nn


def rate(last: float, index: int, count: int) -> float:
    """Of branch `index` of `count`, from 0: rising evenly to that of the last one."""
    return last * (index + 1) / count


class DropBranch(nn.Module):
    """A branch kept whole or left out, row by row; kept ones count 1 / (1 - rate).

    So that what it adds is the same in the mean, in training and in use.
    """

    rate: float

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool, axes: int = 1) -> jax.Array:
        """Args:
        axes: how many leading axes of x are rows (films; films and members).
        """
        if not train or self.rate == 0:
            return x
        shape = x.shape[:axes] + (1,) * (x.ndim - axes)
        kept = jax.random.bernoulli(self.make_rng("dropout"), 1 - self.rate, shape)
        return jnp.where(kept, x / (1 - self.rate), jnp.zeros_like(x))
