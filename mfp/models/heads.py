"""One linear head per target, and the way back from the network's scale to natural units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
from flax import linen as nn

from mfp.film import VERDICTS

_WIDTH = {"rating": 1, "revenue": 1, "hit": 1, "verdict": len(VERDICTS), "sentiment": 1}
BINARY = ("hit", "sentiment")  # a single logit


class Heads(nn.Module):
    """Fused vector [B, D] -> outputs: rating, revenue, hit, sentiment [B]; verdict [B, 4].

    Bags of n-grams [B, E] are added to the outputs as a linear model beside the deep one (wide and
    deep, Cheng et al. 2016): what they weigh is not squeezed through the fusion.

    Regressions are in the network's scale (mean 0, deviation 1), the others are logits.
    Weights start at zero: an untrained network predicts the training mean.
    """

    targets: tuple[str, ...]

    @nn.compact
    def __call__(self, x_BxD: jax.Array, bags: Sequence[jax.Array] = ()) -> dict[str, jax.Array]:
        outputs = {}
        for name in self.targets:
            y = nn.Dense(_WIDTH[name], kernel_init=nn.initializers.zeros, name=name)(x_BxD)
            if bags:
                # One output: every column counts as it is. Four classes must differ to begin.
                init = nn.initializers.ones if _WIDTH[name] == 1 else nn.initializers.normal(0.5)
                wide = nn.Dense(_WIDTH[name], False, kernel_init=init, name=f"{name}_bags")
                y += wide(jnp.concatenate(bags, axis=-1))
            outputs[name] = y[:, 0] if _WIDTH[name] == 1 else y
        return outputs


def natural_units(
    outputs: Mapping[str, jax.Array], mean: Mapping[str, float], deviation: Mapping[str, float]
) -> dict[str, jax.Array]:
    """Rating 0-10, revenue in log10 dollars, probabilities of the others."""
    natural = {}
    for name, y in outputs.items():
        if name in BINARY:
            natural[name] = jax.nn.sigmoid(y)
        elif name == "verdict":
            natural[name] = jax.nn.softmax(y, axis=-1)
        else:
            natural[name] = y * deviation[name] + mean[name]
    return natural
