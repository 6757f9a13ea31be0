"""From a config and fitted features: the network as pure functions of parameters and batches."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mfp.config import Config
from mfp.data.features import FeatureSpec, vocabulary_name
from mfp.models import heads
from mfp.models.network import Network, NetworkShape
from mfp.models.pretrained import WIDTH, MiniLM
from mfp.training.step import Apply, Objective

# (params, inputs) -> outputs in natural units, attention, embedding
Forecast = Callable[[Any, Mapping[str, jax.Array]], dict[str, Any]]


def network_shape(spec: FeatureSpec) -> NetworkShape:
    """What the network must know of the fitted features."""
    fields = [field for joined in spec.sets.values() for field in joined]
    return NetworkShape(
        numbers=len(spec.numbers),
        sets=tuple(spec.sets.items()),
        vocabulary_of=tuple((field, vocabulary_name(field)) for field in fields),
        vocabulary_sizes=tuple((name, v.size) for name, v in spec.vocabularies.items()),
        texts=tuple((f, text.size, text.ngram_size) for f, text in spec.texts.items()),
        images=spec.images,
        videos=spec.videos,
        ordered=spec.ordered,
        targets=spec.targets.names,
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


def init_params(network: Network, spec: FeatureSpec, seed: int) -> Any:
    """Fresh parameters: a function of the seed."""
    key = jax.random.key(seed)
    return jax.jit(network.init)(key, example_inputs(spec))["params"]


def apply_function(network: Network, config: Config | None = None) -> Apply:
    """apply(params, batch, dropout key); no key means evaluation, without dropout.

    Parameters and outputs are float32. Without a config, so is all between; with one, what
    `parallel.precision` says, and `train.rematerialise` decides what the gradient keeps.
    """
    if config is not None and config.parallel.precision == "bfloat16":
        network = network.clone(dtype=jnp.bfloat16)

    def apply(params: Any, batch: Any, key: jax.Array | None) -> Any:
        rngs = None if key is None else {"dropout": key}
        cast = _cast(params, network.dtype)
        found = network.apply({"params": cast}, batch, train=key is not None, rngs=rngs)
        return jax.tree.map(lambda leaf: leaf.astype(jnp.float32), found)

    if config is not None and config.train.rematerialise == "elementwise":
        return jax.checkpoint(apply, policy=_is_product)
    return apply


def _cast(params: Any, dtype: Any) -> Any:
    """Parameters in the type of the computation: all but those of the heads."""
    cast = jax.tree.map(lambda leaf: leaf.astype(dtype), params)
    return {**cast, "heads": params["heads"]}


def _is_product(primitive: Any, *_: Any, **__: Any) -> bool:
    """Whether an operation's result is dear: a matrix product or a convolution."""
    return primitive in (jax.lax.dot_general_p, jax.lax.conv_general_dilated_p)


def objective(config: Config, spec: FeatureSpec) -> Objective:
    weights = {name: getattr(config.targets, name).loss_weight for name in spec.targets.names}
    return Objective(weights, config.optimizer.l1, config.optimizer.l2)


def forecast_function(network: Network, spec: FeatureSpec) -> Forecast:
    """What is exported: forecast(params, inputs) -> natural units, attention, embedding.

    A frozen sentence encoder is part of it, and its parameters are those under "pretrained".
    """
    apply, targets = apply_function(network), spec.targets
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
        found = apply(params, inputs, None)
        natural = heads.natural_units(found["outputs"], targets.mean, targets.deviation)
        return {**found, "outputs": natural}

    return forecast
