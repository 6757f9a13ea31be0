"""One linear head per target, and the way back from the network's scale to natural units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
from flax import linen as nn

from mfp.film import VERDICTS
from mfp.models.ensemble import Kind, MemberDense, SeparateDense

BINARY = ("hit", "sentiment")  # a single logit


def width(target: str) -> int:
    """Outputs of a target: a logit of each verdict, else one number."""
    return len(VERDICTS) if target == "verdict" else 1


class Heads(nn.Module):
    """Fused vector [B, D] -> outputs: rating, revenue, hit, sentiment [B]; verdict [B, 4].

    Of K members [B, K, D] -> [B, K], [B, K, 4]; what n-grams add is the same for all of them.

    Bags of n-grams [B, E] are added to the outputs as a linear model beside the deep one (wide and
    deep, Cheng et al. 2016): what they weigh is not squeezed through the fusion.

    Regressions are in the network's scale (mean 0, deviation 1), the others are logits.
    Weights start at zero: an untrained network predicts the training mean.
    """

    targets: tuple[str, ...]
    ensemble: Kind = "tabm"  # of members, where there are several

    @nn.compact
    def __call__(self, x_BxD: jax.Array, bags: Sequence[jax.Array] = ()) -> dict[str, jax.Array]:
        outputs = {}
        several = x_BxD.ndim == 3
        for name in self.targets:
            y = self._linear(name, x_BxD.shape[1] if several else 1)(x_BxD)
            if bags:
                # One output: every column counts as it is. Four classes must differ to begin.
                init = nn.initializers.ones if width(name) == 1 else nn.initializers.normal(0.5)
                wide = nn.Dense(width(name), False, kernel_init=init, name=f"{name}_bags")
                y_wide = wide(jnp.concatenate(bags, axis=-1))
                y += y_wide[:, None] if several else y_wide
            outputs[name] = y[..., 0] if width(name) == 1 else y
        return outputs

    def _linear(self, name: str, members: int) -> nn.Module:
        outputs, zeros = width(name), nn.initializers.zeros
        if members == 1:
            return nn.Dense(outputs, kernel_init=zeros, name=name)
        if self.ensemble == "batch":
            return MemberDense(outputs, members, "batch", kernel_init=zeros, name=name)
        return SeparateDense(outputs, zeros, name=name)


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


def mixture(outputs: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
    """What the members say together: {target: [B, K] or [B, K, C]} -> {target: [B] or [B, C]}.

    Regressions are averaged, and so are probabilities, which come back as logits: the mean of
    logits would be surer than the members are.
    """
    mixed = {}
    for name, y in outputs.items():
        if name in BINARY:
            # log of the mean probability of each class, less what both have in common
            yes, no = (jax.nn.logsumexp(jax.nn.log_sigmoid(x), axis=1) for x in (y, -y))
            mixed[name] = yes - no
        elif name == "verdict":
            shares = jax.nn.logsumexp(jax.nn.log_softmax(y, axis=-1), axis=1)
            mixed[name] = shares - jnp.log(y.shape[1])
        else:
            mixed[name] = jnp.mean(y, axis=1)
    return mixed


def spread(outputs: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
    """The deviation of the members' regressions, in the network's scale: {target: [B]}."""
    classes = (*BINARY, "verdict")
    return {name: jnp.std(y, axis=1) for name, y in outputs.items() if name not in classes}
