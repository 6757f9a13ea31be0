"""Boosted trees beside the network: the sum of many small ones, on numbers, records and names.

The trees are oblivious (Prokhorenkova et al. 2018): every film is asked the same D questions of a
tree, "is this feature above that threshold?", and the answers are the bits of its leaf's number.
`training/trees.py` grows them. Letters: B films, F features, T trees, D depth.
"""

from __future__ import annotations

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from flax import linen as nn

from mfp.config import TreesModelConfig
from mfp.models import beside

UNKNOWN = -1000.0  # less than any number that is known


def features(inputs: Mapping[str, jax.Array], names: Mapping[str, tuple[str, int]]) -> jax.Array:
    """The network's inputs as trees read them: numbers, and a 0 or 1 of each name. [B, F].

    Args:
      names: {set field: (its modality, size of its vocabulary)}.
    """
    read = []
    for modality in ("numbers", "history"):
        if f"{modality}/values" in inputs:
            known = inputs[f"{modality}/known"] * inputs[f"present/{modality}"][:, None]
            read.append(jnp.where(known > 0, inputs[f"{modality}/values"], UNKNOWN))
    read += [hot * present[:, None] for hot, present in beside.there(inputs, names)]
    return jnp.concatenate(read, axis=-1)


class TreesRegression(nn.Module):
    """What the trees of each regression add up to."""

    config: TreesModelConfig
    targets: tuple[str, ...]

    @nn.compact
    def __call__(self, x_BxF: jax.Array) -> dict[str, jax.Array]:
        """{target: [B]}, in the network's scale; 0, the training mean, until they are grown."""
        questions = (self.config.count, self.config.depth)
        leaves = (self.config.count, 2**self.config.depth)
        zeros = nn.initializers.zeros
        found = {}
        for target in self.targets:
            # A number among numbers, as all parameters are; float32 tells 16 million apart.
            feature = self.param(f"{target}_feature", zeros, questions).astype(jnp.int32)
            threshold = self.param(f"{target}_threshold", zeros, questions)
            values = self.param(f"{target}_leaves", zeros, leaves)
            constant = self.param(f"{target}_constant", zeros, ())
            found[target] = constant + total(x_BxF, feature, threshold, values)
        return found


def total(
    x_BxF: jax.Array, feature_TxD: jax.Array, threshold_TxD: jax.Array, leaves_TxL: jax.Array
) -> jax.Array:
    """The sum over all trees of the leaf that a film falls into; of L = 2^D leaves. [B]."""
    above = x_BxF[:, feature_TxD] > threshold_TxD  # [B, T, D]
    bits = 2 ** jnp.arange(feature_TxD.shape[1])[::-1]
    leaf = jnp.sum(above * bits, axis=-1)
    values = jnp.take_along_axis(leaves_TxL[None], leaf[..., None], axis=-1)
    return jnp.sum(values[..., 0], axis=-1)
