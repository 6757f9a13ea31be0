"""From a config and fitted features: the network as pure functions of parameters and batches."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from mfp.config import Config
from mfp.data.features import FeatureSpec, vocabulary_name
from mfp.data.targets import TargetSpec
from mfp.models import beside, heads
from mfp.models.network import Network, NetworkShape
from mfp.models.pretrained import WIDTH, MiniLM
from mfp.training.step import UNCERTAINTY, Apply, Objective, ensemble_step, train_step

# (params, inputs) -> outputs in natural units, attention, embedding
Forecast = Callable[[Any, Mapping[str, jax.Array]], dict[str, Any]]


def network_shape(spec: FeatureSpec) -> NetworkShape:
    """What the network must know of the fitted features."""
    fields = [field for joined in spec.sets.values() for field in joined]
    return NetworkShape(
        numbers=len(spec.numbers),
        history=len(spec.history.numbers) if spec.history else 0,
        sets=tuple(spec.sets.items()),
        vocabulary_of=tuple((field, vocabulary_name(field)) for field in fields),
        vocabulary_sizes=tuple((name, v.size) for name, v in spec.vocabularies.items()),
        texts=tuple((f, text.size, text.ngram_size) for f, text in spec.texts.items()),
        images=spec.images,
        videos=spec.videos,
        ordered=spec.ordered,
        targets=spec.targets.names,
        added=tuple((name, json.dumps(dict(a.state))) for name, a in spec.added.items()),
    )


def build_network(config: Config, spec: FeatureSpec) -> Network:
    return Network(network_shape(spec), config.model)


def example_inputs(spec: FeatureSpec, batch_size: int = 2) -> dict[str, np.ndarray]:
    """Inputs of the right shapes, all zero."""
    shapes = spec.shapes()
    for field, text in spec.texts.items():
        if text.config.tokens == "pretrained":
            shape, _ = shapes[f"texts/{field}"]
            shapes[f"vectors/{field}"] = ((*shape[:-1], WIDTH), np.float32)
    return {n: np.zeros((batch_size, *shape), dtype) for n, (shape, dtype) in shapes.items()}


def init_params(network: Network, spec: FeatureSpec, seed: int, members: int = 1) -> Any:
    """Fresh parameters: a function of the seed.

    Of several members (a deep ensemble) with a leading axis; member k is drawn from
    fold_in(key(seed), k).
    """
    key, inputs = jax.random.key(seed), example_inputs(spec)
    if members == 1:
        return _initialise(network)(key, inputs)["params"]
    keys = jax.vmap(jax.random.fold_in, in_axes=(None, 0))(key, np.arange(members))
    return _initialise(network, several=True)(keys, inputs)["params"]


# A process that trains the same network again compiles this once.
@lru_cache(maxsize=8)
def _initialise(network: Network, several: bool = False) -> Callable[..., Any]:
    return jax.jit(jax.vmap(network.init, in_axes=(0, None)) if several else network.init)


def with_uncertainty(params: Any, config: Config, spec: FeatureSpec) -> Any:
    """Parameters of training: those of the network, and log s^2 = 0 of each uncertain target."""
    if config.targets.weighting == "fixed":
        return params
    members = config.train.ensemble
    zero = jnp.zeros((members,) if members > 1 else ())
    return {**params, UNCERTAINTY: {name: jnp.copy(zero) for name in spec.targets.names}}


def of_network(params: Any) -> Any:
    """Without what only training knows: what is evaluated, exported and explained."""
    return {name: module for name, module in params.items() if name != UNCERTAINTY}


def apply_function(
    network: Network, precision: str = "float32", rematerialise: str = "none"
) -> Apply:
    """apply(params, batch, dropout key); no key means evaluation, without dropout.

    Parameters and outputs are float32.

    Args:
      precision: of what is between, `parallel.precision`.
      rematerialise: what the gradient keeps, `train.rematerialise`.
    """
    if precision == "bfloat16":
        network = network.clone(dtype=jnp.bfloat16)

    def apply(params: Any, batch: Any, key: jax.Array | None) -> Any:
        rngs = None if key is None else {"dropout": key}
        cast = _cast(params, network.dtype)
        found = network.apply({"params": cast}, batch, train=key is not None, rngs=rngs)
        return jax.tree.map(lambda leaf: leaf.astype(jnp.float32), found)

    if rematerialise == "elementwise":
        return jax.checkpoint(apply, policy=_is_product)
    return apply


def evaluation_function(network: Network, members: int = 1, precision: str = "float32") -> Apply:
    """`apply_function`, with the members of an ensemble averaged: as if there were one network.

    Outputs and fused vectors are of the mixture. Where there are several members, `spread` tells
    the deviation of their regressions, {target: [B]} in the network's scale.

    Args:
      members: of a deep ensemble, `train.ensemble`; parameters have a leading axis of them.
    """
    apply = apply_function(network, precision)
    shared = network.config.fusion.members
    if members * shared == 1:
        return apply

    def flat(y: jax.Array) -> jax.Array:  # B may be a symbol, of which no other size is told
        return y.reshape(y.shape[0], members * shared, *y.shape[3:])

    def evaluate(params: Any, batch: Any, key: jax.Array | None) -> Any:
        if members > 1:
            found = jax.vmap(lambda each: apply(each, batch, key))(params)
            everyone = jax.tree.map(_beside, (found["outputs"], found["embedding"]))
            if shared > 1:  # [B, E, K, ...] -> [B, E K, ...]
                everyone = jax.tree.map(flat, everyone)
            found = jax.tree.map(lambda leaf: jnp.mean(leaf, axis=0), found)
        else:
            found = apply(params, batch, key)
            everyone = found["outputs"], found["embedding"]
        outputs, embedding = everyone
        return {
            **found,
            "outputs": heads.mixture(outputs),
            "spread": heads.spread(outputs),
            "embedding": jnp.mean(embedding, axis=1),
        }

    return evaluate


def _beside(y_ExB: jax.Array) -> jax.Array:
    """Members as the second axis, [E, B, ...] -> [B, E, ...]."""
    return jnp.moveaxis(y_ExB, 0, 1)


def _cast(params: Any, dtype: Any) -> Any:
    """Parameters in the type of the computation: not those of the heads, nor beside the network."""
    cast = jax.tree.map(lambda leaf: leaf.astype(dtype), params)
    return {**cast, **{name: params[name] for name in ("heads", *beside.PARTS) if name in params}}


def _is_product(primitive: Any, *_: Any, **__: Any) -> bool:
    """Whether an operation's result is dear: a matrix product or a convolution."""
    return primitive in (jax.lax.dot_general_p, jax.lax.conv_general_dilated_p)


def objective(config: Config, spec: FeatureSpec) -> Objective:
    weights = {name: config.targets.loss_weight(name) for name in spec.targets.names}
    own = {name: getattr(config.targets, name, None) for name in weights}
    smoothing = {name: getattr(target, "label_smoothing", 0.0) for name, target in own.items()}
    return Objective(
        weights,
        config.optimizer.l1,
        config.optimizer.l2,
        label_smoothing={name: share for name, share in smoothing.items() if share},
        uncertainty=config.targets.weighting == "uncertainty",
        l1_groups=config.optimizer.l1_groups,
        l2_groups=config.optimizer.l2_groups,
    )


def step_function(
    network: Network, config: Config, spec: FeatureSpec, tx: optax.GradientTransformation
) -> Callable[..., Any]:
    """The train step of a config: step(state, batch, key, axis_name=...)."""
    closures = {
        "apply": apply_function(network, config.parallel.precision, config.train.rematerialise),
        "tx": tx,
        "objective": objective(config, spec),
        "ema": config.optimizer.ema,
        "accumulate": config.train.accumulate,
    }
    if config.train.ensemble == 1:
        return partial(train_step, **closures)
    return partial(ensemble_step, members=config.train.ensemble, **closures)


def in_natural_units(found: Mapping[str, Any], targets: TargetSpec) -> dict[str, Any]:
    """What a network found, outputs and spread in natural units."""
    outputs = heads.natural_units(found["outputs"], targets.mean, targets.deviation)
    if "spread" not in found:
        return {**found, "outputs": outputs}
    spread = {name: y * targets.deviation[name] for name, y in found["spread"].items()}
    return {**found, "outputs": outputs, "spread": spread}


def forecast_function(network: Network, spec: FeatureSpec, members: int = 1) -> Forecast:
    """What is exported: forecast(params, inputs) -> natural units, attention, embedding.

    A frozen sentence encoder is part of it, and its parameters are those under "pretrained".
    """
    apply, targets = evaluation_function(network, members), spec.targets
    text = network.config.text
    read = tuple(spec.texts) if text.encoder == "pretrained" and text.frozen else ()

    def forecast(params: Any, inputs: Mapping[str, jax.Array]) -> dict[str, Any]:
        if read:
            encoder = {"params": params["pretrained"]}
            params = {name: part for name, part in params.items() if name != "pretrained"}
            vectors: dict[str, Any] = {
                f"vectors/{field}": MiniLM().apply(encoder, inputs[f"texts/{field}"])
                for field in read
            }
            inputs = {**inputs, **vectors}
        return in_natural_units(apply(params, inputs, None), targets)

    return forecast
