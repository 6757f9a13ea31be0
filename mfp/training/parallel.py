"""Devices: the only file that says jit, pmap and device_put."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import numpy as np

from mfp.config import ConfigError, ParallelConfig

AXIS = "data"


class Runner:
    """Compiled steps of one parallel mode, and batches placed where they run."""

    def __init__(self, config: ParallelConfig, batch_size: int):
        self._pmap = config.mode == "pmap"
        self._devices = jax.local_devices()
        if self._pmap and batch_size % len(self._devices):
            raise ConfigError(
                f"train.batch_size: {batch_size} cannot be divided among "
                f"{len(self._devices)} devices (parallel.mode = 'pmap')"
            )

    def compile(self, step: Callable[..., Any]) -> Callable[..., Any]:
        """step(state, batch, key, axis_name=...) compiled; the state's buffers are donated."""
        if not self._pmap:
            return jax.jit(partial(step, axis_name=None), donate_argnums=0)
        # out_axes=None is right only because the step psums all that it returns.
        return jax.pmap(partial(step, axis_name=AXIS), AXIS, in_axes=(None, 0, None), out_axes=None)

    def replicate(self, tree: Any) -> Any:
        """The same values where the compiled step expects its state and key."""
        if not self._pmap:
            return jax.device_put(tree, self._devices[0])
        mesh = jax.sharding.Mesh(np.array(self._devices), (AXIS,))
        everywhere = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
        return jax.device_put(tree, everywhere)

    def place(self, batch: Mapping[str, np.ndarray]) -> Any:
        """A host batch on the devices, split along its rows under pmap."""
        if not self._pmap:
            return jax.device_put(dict(batch), self._devices[0])
        n = len(self._devices)
        split = {k: v.reshape(n, v.shape[0] // n, *v.shape[1:]) for k, v in batch.items()}
        mesh = jax.sharding.Mesh(np.array(self._devices), (AXIS,))
        rows = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(AXIS))
        return jax.device_put(split, rows)


def compile_evaluation(apply: Callable[..., Any]) -> Callable[..., Any]:
    """apply(params, batch) compiled for one device."""
    return jax.jit(apply)


def on_host(tree: Any) -> Any:
    """NumPy copies of device arrays."""
    return jax.device_get(tree)


def to_device(tree: Any) -> Any:
    """Host arrays on the first device."""
    return jax.device_put(tree, jax.local_devices()[0])


def compilations(compiled: Callable[..., Any]) -> int:
    """How many programs a compiled function holds: one per shape it met; 0 under pmap, which does
    not count."""
    return getattr(compiled, "_cache_size", lambda: 0)()
