"""A Gaussian process beside the network: its mean, on numbers, track records and names.

`training/kernel.py` solves for it. Letters: B films, F features, M anchors (training films).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from mfp.config import KernelModelConfig
from mfp.models import beside

CONSTANT = 0.1  # variance of the process' own mean
_SMOOTH = 0.5  # variance of its smooth part; targets have 1
_FAR = 4.0  # deviations, at which a feature ends


def features(
    inputs: Mapping[str, jax.Array], names: Mapping[str, tuple[str, int]]
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The network's inputs as the process reads them.

    Args:
      names: {set field: (its modality, size of its vocabulary)}, read as a 0 or 1 of each name.

    Returns:
      values [B, F]; whether their modality is there [B, F]; whether a feature is a name [F].
    """
    values, present, named = [], [], []
    for modality in ("numbers", "history"):
        if f"{modality}/values" in inputs:
            known = inputs[f"{modality}/known"]
            values += [inputs[f"{modality}/values"] * known, known]
            present += [inputs[f"present/{modality}"]] * 2
            named += [False, False]
    for hot, modality_present in beside.there(inputs, names):
        values.append(hot)
        present.append(modality_present)
        named.append(True)
    there = [jnp.broadcast_to(p[:, None], v.shape) for p, v in zip(present, values, strict=True)]
    kinds = [jnp.full(v.shape[1], kind) for v, kind in zip(values, named, strict=True)]
    return tuple(jnp.concatenate(parts, axis=-1) for parts in (values, there, kinds))  # type: ignore[return-value]


def standardised(values_BxF: Any, present_BxF: Any, center_F: Any, scale_F: Any) -> jax.Array:
    """Features about N(0, 1), a missing modality at their mean, those of no use (scale 0) at 0."""
    return jnp.clip((values_BxF - center_F) * scale_F, -_FAR, _FAR) * present_BxF


class Reaches(NamedTuple):
    """By how much a step of each feature counts, arrays [F]; 0: the feature is not read."""

    linear: Any  # deviation of the linear part
    smooth: Any  # how fast the smooth part varies


def reaches(named_F: Any, config: KernelModelConfig) -> Reaches:
    """Those of the config, equal for all numbers and for all names."""
    widths = jnp.where(named_F, config.names, config.numbers)
    return Reaches(jnp.full(widths.shape, config.linear), widths)


def covariance(a_BxF: Any, b_MxF: Any, reach: Reaches, np: ModuleType = jnp) -> Any:
    """k(a, b) = 0.1 + (l a) . (l b) + 0.5 exp(-|s (a - b)|^2 / 2), l and s by feature. [B, M].

    Rasmussen and Williams 2006, section 4.2: a sum of a constant, a linear and a squared
    exponential kernel, the last with a length scale 1/s of each feature (section 5.1).

    Args:
      np: jax.numpy, or numpy to compute in float64.
    """
    linear = _product(a_BxF * reach.linear, (b_MxF * reach.linear).T, np)
    return CONSTANT + linear + smooth(a_BxF * reach.smooth, b_MxF * reach.smooth, np)


def smooth(a_BxF: Any, b_MxF: Any, np: ModuleType = jnp) -> Any:
    """The squared exponential part of `covariance`, of features times their reach. [B, M]."""
    inner = _product(a_BxF, b_MxF.T, np)
    squared = np.sum(a_BxF**2, -1)[:, None] + np.sum(b_MxF**2, -1)[None] - 2 * inner
    return _SMOOTH * np.exp(-np.maximum(squared, 0) / 2)


def _product(a: Any, b: Any, np: ModuleType) -> Any:
    """a b, in float32 on accelerators too: the weights of anchors are large and cancel."""
    return jnp.matmul(a, b, precision="highest") if np is jnp else a @ b


class KernelRegression(nn.Module):
    """Means of the process, one per regression: k(film, anchors) . weights.

    Anchors are kept times the reach of their features. What the constant and the linear part add up
    to over the anchors is kept as one number and one slope: summed in float32, large weights that
    cancel would leave more of a rounding error.
    """

    config: KernelModelConfig
    targets: tuple[str, ...]

    @nn.compact
    def __call__(
        self, inputs: Mapping[str, jax.Array], names: Mapping[str, tuple[str, int]]
    ) -> dict[str, jax.Array]:
        """{target: [B]}, in the network's scale; 0, the training mean, until it is fitted."""
        values, present, _ = features(inputs, names)
        size, zeros = values.shape[1], nn.initializers.zeros
        center = self.param("center", zeros, (size,))
        scale = self.param("scale", zeros, (size,))
        x = standardised(values, present, center, scale)
        found = {}
        for target in self.targets:
            anchors = self.param(f"{target}_anchors", zeros, (self.config.anchors, size))
            weights = self.param(f"{target}_weights", zeros, (self.config.anchors,))
            constant = self.param(f"{target}_constant", zeros, ())
            slope = self.param(f"{target}_slope", zeros, (size,))
            reach = self.param(f"{target}_reach", zeros, (size,))
            near = _product(smooth(x * reach, anchors), weights, jnp)
            found[target] = near + _product(x, slope, jnp) + constant
        return found
