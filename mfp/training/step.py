"""The train step: one pure function of arrays, the same under jit, pmap and sharded jit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from mfp.data.targets import is_regression
from mfp.training import groups, losses

UNCERTAINTY = "uncertainty"  # beside the network's modules in the parameters
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
    """What is minimised: sum over targets of loss_weight * mean loss, plus penalties.

    With `uncertainty` (Kendall et al. 2018) a mean loss L counts as L / s^2 + log s, of a
    regression, whose normal likelihood has half the square, as L / 2 s^2 + log s; s is learned.
    """

    loss_weights: Mapping[str, float]
    l1: float = 0.0
    l2: float = 0.0
    label_smoothing: Mapping[str, float] = field(default_factory=dict)  # of training alone
    # Targets count by learned uncertainty: params["uncertainty"] holds log s^2 of each.
    uncertainty: bool = False
    l1_groups: Mapping[str, float] = field(default_factory=dict)
    l2_groups: Mapping[str, float] = field(default_factory=dict)


def init_state(params: Any, tx: optax.GradientTransformation, members: int = 1) -> TrainState:
    """The state before the first step. Of several members all but the step has a leading axis."""
    copy = jax.tree.map(jnp.copy, params)  # donated buffers may not alias
    opt_state = jax.vmap(tx.init)(params) if members > 1 else tx.init(params)
    return TrainState(jnp.zeros((), jnp.int32), params, opt_state, copy)


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
        outputs = apply(params, part, part_key)["outputs"]
        smoothed = losses.target_losses(outputs, part, objective.label_smoothing)
        counts = target_weights(params, objective)
        total = sum(
            counts[name] * loss / jnp.where(weights[name] > 0, weights[name], 1.0)
            for name, (loss, _) in smoothed.items()
        )
        # What is logged can be compared with validation.
        return total, losses.target_losses(outputs, part) if objective.label_smoothing else smoothed

    gradient = jax.grad(data_loss, has_aux=True)
    if accumulate > 1:
        grads, found = _in_parts(gradient, state.params, batch, key, accumulate)
    else:
        grads, found = gradient(state.params, batch, key)
    if axis_name:
        grads, found = jax.lax.psum((grads, found), axis_name)
    if objective.l1 or objective.l2 or objective.uncertainty:  # once, after the sum over shards
        extra = jax.grad(partial(penalty, objective=objective, weights=weights))
        grads = jax.tree.map(jnp.add, grads, extra(state.params))
    updates, opt_state = tx.update(grads, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    return TrainState(state.step + 1, params, opt_state, _averaged(state.ema, params, ema)), found


def _averaged(average: Any, params: Any, ema: float) -> Any:
    """The moving average after a step; what never moves stays as it is, to the last bit."""
    old, new = groups.moving(average), groups.moving(params)
    found, still = jax.tree.map(lambda a, b: ema * a + (1 - ema) * b, old, new), groups.held(params)
    return {**found, **still} if still else found


def target_weights(params: Any, objective: Objective) -> dict[str, Any]:
    """By how much the mean loss of each target is multiplied."""
    if not objective.uncertainty:
        return dict(objective.loss_weights)
    return {
        name: weight * jnp.exp(-params[UNCERTAINTY][name]) * (0.5 if is_regression(name) else 1.0)
        for name, weight in objective.loss_weights.items()
    }


def penalty(
    params: Any, *, objective: Objective, weights: Mapping[str, jax.Array]
) -> jax.Array | float:
    """What of the loss no film decides: penalties on weights, and log s of uncertain targets.

    Args:
      weights: of the batch. A target that no film of it knows leaves its s alone.
    """
    total: Any = 0.0
    if objective.l1:
        total += objective.l1 * losses.l1(params, objective.l1_groups)
    if objective.l2:
        total += objective.l2 * losses.l2(params, objective.l2_groups)
    if objective.uncertainty:
        for name, weight in objective.loss_weights.items():
            total += weight * 0.5 * jnp.where(weights[name] > 0, params[UNCERTAINTY][name], 0.0)
    return total


def ensemble_step(
    state: TrainState,
    batch: Batch,
    key: jax.Array,
    *,
    members: int,
    axis_name: str | None = None,
    **closures: Any,
) -> tuple[TrainState, dict[str, losses.SumAndWeight]]:
    """A `train_step` of every member of a deep ensemble, with losses averaged over them.

    All see the same batch. Member k draws from fold_in(key, k): it takes the steps that it would
    take alone with that key; its gradient is clipped by its own norm.

    Args:
      closures: what `train_step` is given besides.
    """

    def one(state: TrainState, member: jax.Array) -> Any:
        own = jax.random.fold_in(key, member)
        return train_step(state, batch, own, axis_name=axis_name, **closures)

    axes = TrainState._make((None, 0, 0, 0))  # the step is that of all
    step = jax.vmap(one, in_axes=(axes, 0), out_axes=(axes, 0))
    state, sums = step(state, jnp.arange(members))
    return state, jax.tree.map(lambda each: jnp.mean(each, axis=0), sums)


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
