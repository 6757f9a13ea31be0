"""Boosted trees beside the network: the sum of many small ones, on numbers, records and names.

The trees are oblivious (Prokhorenkova et al. 2018): every film is asked the same D questions of a
tree, "is this feature above that threshold?", and the answers are the bits of its leaf's number.
`training/trees.py` grows them. Letters: B films, F features, T trees, D depth.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from mfp.config import TreesModelConfig
from mfp.models import beside

UNKNOWN = -1000.0  # less than any number that is known


class Read(NamedTuple):
    """The network's inputs as trees read them: numbers, and a 0 or 1 of each name."""

    values: Any  # [B, F]
    known: Any  # 1 where a film of the modality tells the feature, [B, F]
    present: Any  # 1 where the film has anything of the feature's modality, [B, F]
    named: Any  # whether a feature is a name, [F]


def features(inputs: Mapping[str, jax.Array], names: Mapping[str, tuple[str, int]]) -> Read:
    """What is read of films.

    Args:
      names: {set field: (its modality, size of its vocabulary)}.
    """
    values, known, present, named = [], [], [], []
    for modality in ("numbers", "history"):
        if f"{modality}/values" in inputs:
            values.append(inputs[f"{modality}/values"])
            known.append(inputs[f"{modality}/known"])
            present.append(inputs[f"present/{modality}"])
            named.append(False)
    for hot, there in beside.there(inputs, names):
        values.append(hot)
        known.append(jnp.ones_like(hot))
        present.append(there)
        named.append(True)
    wide = [jnp.broadcast_to(p[:, None], v.shape) for p, v in zip(present, values, strict=True)]
    kinds = [jnp.full(v.shape[1], kind) for v, kind in zip(values, named, strict=True)]
    return Read(*(jnp.concatenate(parts, axis=-1) for parts in (values, known, wide, kinds)))


def filled(read: Read, unknown_F: Any, absent_F: Any) -> Any:
    """Values, with what stands for those not known and for those of an absent modality. [B, F]."""
    told = jnp.where(read.known > 0, read.values, unknown_F)
    return jnp.where(read.present > 0, told, absent_F)


class TreesRegression(nn.Module):
    """What the trees of each regression add up to."""

    config: TreesModelConfig
    targets: tuple[str, ...]

    @nn.compact
    def __call__(self, read: Read) -> dict[str, jax.Array]:
        """{target: [B]}, in the network's scale; 0, the training mean, until they are grown."""
        size = read.values.shape[1:]
        unknown = self.param("unknown", nn.initializers.zeros, size)
        absent = self.param("absent", nn.initializers.zeros, size)
        x = filled(read, unknown, absent)
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
            found[target] = constant + total(x, feature, threshold, values)
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
