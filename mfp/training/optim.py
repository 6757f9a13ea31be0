"""Learning-rate schedule and optimizer from the config. Pure: Optax gradient transformations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from mfp.config import OptimizerConfig
from mfp.training import groups


def schedule(config: OptimizerConfig, total_steps: int) -> optax.Schedule:
    """Learning rate of each step: linear warm-up from 0, then constant or cosine down to 0."""
    warmup = round(config.warmup_fraction * total_steps)
    if config.schedule == "cosine":
        rest = optax.cosine_decay_schedule(config.learning_rate, max(1, total_steps - warmup))
    else:
        rest = optax.constant_schedule(config.learning_rate)
    if not warmup:
        return rest
    # Step 0 already moves: its rate is 1/warmup of the full one, not 0.
    rise = optax.linear_schedule(config.learning_rate / warmup, config.learning_rate, warmup)
    return optax.join_schedules([rise, rest], [warmup])


def optimizer(config: OptimizerConfig, total_steps: int) -> optax.GradientTransformation:
    """Clipping by global norm, then SGD with momentum, Adam or AdamW.

    What stands beside the network is not moved, and has no moments to keep.
    """
    rate = schedule(config, total_steps)
    if config.name == "sgd":
        rule = optax.sgd(rate, momentum=config.momentum or None)
    elif config.name == "adam":
        rule = optax.adam(rate, config.beta1, config.beta2)
    elif not config.weight_decay_groups:
        rule = optax.adamw(
            rate, config.beta1, config.beta2, weight_decay=config.weight_decay, mask=_decayed
        )
    else:
        rule = optax.chain(
            optax.scale_by_adam(config.beta1, config.beta2),
            *(
                optax.add_decayed_weights(factor * config.weight_decay, _counted(config, factor))
                for factor in sorted({1.0, *config.weight_decay_groups.values()} - {0.0})
            ),
            optax.scale_by_learning_rate(rate),
        )
    clip = optax.clip_by_global_norm(config.clip_norm) if config.clip_norm else optax.identity()
    chained = optax.chain(clip, rule)

    def init(params: Any) -> Any:
        return chained.init(groups.moving(params))

    def update(grads: Any, state: Any, params: Any = None, **extra: Any) -> tuple[Any, Any]:
        moving, still = groups.moving(grads), jax.tree.map(jnp.zeros_like, groups.held(grads))
        updates, state = chained.update(moving, state, groups.moving(params), **extra)
        updates = _slower(updates, config.pretrained_rate)
        return ({**updates, **still} if still else updates), state

    return optax.GradientTransformation(init, update)


def _slower(updates: Any, rate: float) -> Any:
    """Updates with those of a published encoder, which is trained on, made smaller."""
    if not (isinstance(updates, Mapping) and "pretrained" in updates):
        return updates
    return {**updates, "pretrained": jax.tree.map(lambda u: rate * u, updates["pretrained"])}


def _decayed(params):
    """Weight decay applies to matrices and embeddings, not to biases and scales."""
    return jax.tree_util.tree_map_with_path(groups.is_weight, params)


def _counted(config: OptimizerConfig, factor: float) -> Callable[[Any], Any]:
    """Which parameters decay by a factor, as a function of them."""

    def mask(params: Any) -> Any:
        found = groups.factors(params, config.weight_decay_groups)
        return jax.tree.map(lambda each: each == factor, found)

    return mask
