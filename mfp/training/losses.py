"""Losses written out by hand, from logits where that is the stable form. All pure.

Every loss returns (weighted sum, sum of weights): who has all shards divides, once. A row of
weight 0 (padding, an unknown target) adds nothing, whatever its values.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from mfp.models.heads import BINARY
from mfp.training import groups

SumAndWeight = tuple[jax.Array, jax.Array]


def squared_error(pred: jax.Array, target: jax.Array, weight: jax.Array) -> SumAndWeight:
    """Sum of w (pred - target)^2 and sum of w. All [B] -> ([], [])."""
    assert pred.shape == target.shape == weight.shape, (pred.shape, target.shape, weight.shape)
    # Not only times 0: the square of a huge error is infinite, and 0 * inf is NaN.
    error = jnp.where(weight > 0, pred - target, 0)
    return jnp.sum(weight * error**2), jnp.sum(weight)


def binary_cross_entropy(logit: jax.Array, target: jax.Array, weight: jax.Array) -> SumAndWeight:
    """Sum of -w (t log s(x) + (1 - t) log(1 - s(x))), s the sigmoid. All [B] -> ([], []).

    Written as max(x, 0) - x t + log(1 + exp(-|x|)), which neither overflows nor takes log 0
    (the form of the TensorFlow documentation of sigmoid_cross_entropy_with_logits). By cases,
    since the gradients of max and |x| at 0, where an untrained head stands, do not add up to
    s(0) - t.
    """
    assert logit.shape == target.shape == weight.shape, (logit.shape, target.shape, weight.shape)
    positive = logit > 0
    log_term = jnp.log1p(jnp.exp(jnp.where(positive, -logit, logit)))
    loss = jnp.where(positive, logit, 0) - logit * target + log_term
    return jnp.sum(weight * loss), jnp.sum(weight)


def softmax_cross_entropy(logits: jax.Array, label: jax.Array, weight: jax.Array) -> SumAndWeight:
    """Sum of -w log softmax(logits)[label]. [B, C], int [B], [B] -> ([], [])."""
    assert logits.ndim == 2, logits.shape
    assert logits.shape[:1] == label.shape == weight.shape, (logits.shape, label.shape)
    assert jnp.issubdtype(label.dtype, jnp.integer), label.dtype
    top = jax.lax.stop_gradient(jnp.max(logits, axis=1, keepdims=True))
    log_total = jnp.log(jnp.sum(jnp.exp(logits - top), axis=1)) + top.squeeze(1)
    chosen = jnp.take_along_axis(logits, label[:, None], axis=1).squeeze(1)
    return jnp.sum(weight * (log_total - chosen)), jnp.sum(weight)


def l1(params: Any, factors: Mapping[str, float] = groups.ALL_ALIKE) -> jax.Array:
    """Sum of |w| over weight matrices and embeddings; biases and scales are not penalised.

    `factors` of groups multiply, see `groups.factors`.
    """
    # |w| as w sign(w): its gradient at 0 is 0, where that of jnp.abs is 1.
    parts = (f * jnp.sum(w * jnp.sign(w)) for f, w in _weights(params, factors))
    return sum(parts, start=jnp.zeros(()))


def l2(params: Any, factors: Mapping[str, float] = groups.ALL_ALIKE) -> jax.Array:
    """Half the sum of w^2 over weight matrices and embeddings (gradient: w itself)."""
    parts = (f * 0.5 * jnp.sum(w**2) for f, w in _weights(params, factors))
    return sum(parts, start=jnp.zeros(()))


def _weights(params: Any, factors: Mapping[str, float]) -> list[tuple[float, jax.Array]]:
    """What is penalised, each with its factor."""
    found = zip(
        jax.tree.leaves(groups.factors(params, factors)), jax.tree.leaves(params), strict=True
    )
    return [(factor, leaf) for factor, leaf in found if factor]


def smoothed_cross_entropy(
    logits: jax.Array, label: jax.Array, weight: jax.Array, smoothing: float
) -> SumAndWeight:
    """`softmax_cross_entropy` with a share of each label spread evenly over all classes.

    Label smoothing (Szegedy et al. 2016): the truth of class c is 1 - e + e / C, that of every
    other e / C. [B, C], int [B], [B] -> ([], []).
    """
    total, weights = softmax_cross_entropy(logits, label, weight)
    classes = range(logits.shape[1])
    each = [softmax_cross_entropy(logits, jnp.full_like(label, c), weight)[0] for c in classes]
    return (1 - smoothing) * total + smoothing * sum(each) / len(classes), weights


def target_losses(
    outputs: Mapping[str, jax.Array],
    batch: Mapping[str, jax.Array],
    smoothing: Mapping[str, float] = groups.ALL_ALIKE,
) -> dict[str, SumAndWeight]:
    """The loss of every target of a batch, as (sum, weight).

    Where outputs have an axis of K members, [B, K] or [B, K, C], every member has a loss of its
    own, and their mean is the loss.

    Args:
      smoothing: of the labels of some targets, 0 to 1: what of a label is spread evenly.
    """
    losses = {}
    for name, y in outputs.items():
        target, weight = batch[f"targets/{name}"], batch[f"weights/{name}"]
        if y.ndim > target.ndim + (name == "verdict"):
            members = y.shape[1]  # a row of each member and film, which counts 1 / K
            y = y.reshape(-1, *y.shape[2:])
            target, weight = jnp.repeat(target, members), jnp.repeat(weight / members, members)
        share = smoothing.get(name, 0.0)
        if name in BINARY:
            if share:
                target = (1 - share) * target + share / 2
            losses[name] = binary_cross_entropy(y, target, weight)
        elif name == "verdict":
            label = target.astype(jnp.int32)
            if share:
                losses[name] = smoothed_cross_entropy(y, label, weight, share)
            else:
                losses[name] = softmax_cross_entropy(y, label, weight)
        else:
            losses[name] = squared_error(y, target, weight)
    return losses
