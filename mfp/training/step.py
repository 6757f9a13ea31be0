"""The train step: one pure function of arrays, the same under jit, pmap and sharded jit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from mfp.training import losses

Batch = Mapping[str, jax.Array]
# (params, batch, dropout key or None for evaluation) -> {"outputs": ..., ...}
Apply = Callable[[Any, Batch, jax.Array | None], Mapping[str, Any]]


class TrainState(NamedTuple):
    """Arrays only; optimizer and network are closures of the step."""

    step: jax.Array  # int32 []
    params: Any
    opt_state: Any
    ema: Any  # exponential moving average of params: what evaluation and export use


@dataclass(frozen=True)
class Objective:
    """What is minimised: sum over targets of loss_weight * mean loss, plus penalties."""

    loss_weights: Mapping[str, float]
    l1: float = 0.0
    l2: float = 0.0


def init_state(params: Any, tx: optax.GradientTransformation) -> TrainState:
    """The state before the first step."""
    copy = jax.tree.map(jnp.copy, params)  # donated buffers may not alias
    return TrainState(jnp.zeros((), jnp.int32), params, tx.init(params), copy)


def train_step(
    state: TrainState,
    batch: Batch,
    key: jax.Array,
    *,
    apply: Apply,
    tx: optax.GradientTransformation,
    objective: Objective,
    ema: float,
    accumulate: int = 1,
    axis_name: str | None = None,
) -> tuple[TrainState, dict[str, losses.SumAndWeight]]:
    """One step of gradient descent: the new state, and (sum, weight) of each target's loss.

    Dropout draws from (key, step) and, where there are several, from the part and under pmap the
    shard: nothing but the step is carried from one step to the next, so that a resumed run draws
    the same. Sharded jit draws what one device draws.

    Args:
      accumulate: the batch is computed in so many parts, one after another, in less memory.
      axis_name: the pmap axis over which gradients and weights are summed.
    """
    key = jax.random.fold_in(key, state.step)
    # Weights do not depend on parameters, so the global divisor is known before the gradient:
    # shards carry unequal weight, and a mean of their means would be wrong.
    weights = {name: jnp.sum(batch[f"weights/{name}"]) for name in objective.loss_weights}
    if axis_name:
        key = jax.random.fold_in(key, jax.lax.axis_index(axis_name))
        weights = jax.lax.psum(weights, axis_name)

    def data_loss(params, part, part_key):
        found = losses.target_losses(apply(params, part, part_key)["outputs"], part)
        total = sum(
            objective.loss_weights[name] * loss / jnp.where(weights[name] > 0, weights[name], 1.0)
            for name, (loss, _) in found.items()
        )
        return total, found

    gradient = jax.grad(data_loss, has_aux=True)
    if accumulate > 1:
        grads, found = _in_parts(gradient, state.params, batch, key, accumulate)
    else:
        grads, found = gradient(state.params, batch, key)
    if axis_name:
        grads, found = jax.lax.psum((grads, found), axis_name)
    if objective.l1 or objective.l2:  # once, after the sum over shards
        extra = jax.grad(lambda p: objective.l1 * losses.l1(p) + objective.l2 * losses.l2(p))
        grads = jax.tree.map(jnp.add, grads, extra(state.params))
    updates, opt_state = tx.update(grads, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    average = jax.tree.map(lambda old, new: ema * old + (1 - ema) * new, state.ema, params)
    return TrainState(state.step + 1, params, opt_state, average), found


def _in_parts(
    gradient: Callable[..., Any], params: Any, batch: Batch, key: jax.Array, parts: int
) -> tuple[Any, dict[str, losses.SumAndWeight]]:
    """The sums of gradients and losses over the parts of a batch.

    Part a is the rows a, a + parts, ...: where the rows are split over devices in order, each
    device has its share of every part, and no row moves.
    """

    def split(x: jax.Array) -> jax.Array:
        return x.reshape(x.shape[0] // parts, parts, *x.shape[1:]).swapaxes(0, 1)

    def add(total: Any, numbered: tuple[jax.Array, Batch]) -> tuple[Any, Any]:
        a, part = numbered
        grads, found = gradient(params, part, jax.random.fold_in(key, a))
        return jax.tree.map(jnp.add, total, grads), found

    zeros = jax.tree.map(jnp.zeros_like, params)
    numbered = (jnp.arange(parts), {name: split(x) for name, x in batch.items()})
    grads, found = jax.lax.scan(add, zeros, numbered)
    return grads, jax.tree.map(lambda each: jnp.sum(each, axis=0), found)


def mean_losses(sums: Mapping[str, tuple[float, float]], objective: Objective) -> dict[str, float]:
    """Mean loss of each target and the weighted total ("loss"), from (sum, weight) on the host."""
    means = {name: float(s) / float(w) for name, (s, w) in sums.items() if float(w) > 0}
    total = sum(objective.loss_weights[name] * mean for name, mean in means.items())
    return {"loss": total, **{f"loss_{name}": mean for name, mean in means.items()}}
