"""Devices: the only file that says jit, pmap, Mesh and device_put.

One pure step serves three modes:

  jit      one device
  pmap     a batch's rows are split over all devices of all processes, each device holds the whole
           state, and the step itself adds up gradients and weights
  sharded  one program over a mesh: rows are split over its axis "data", large parameters over
           its axis "model" by `partition`, and XLA adds up what it must

Where there are several processes, each builds the rows of its own devices, `Runner.share`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import NamedSharding, PartitionSpec

from mfp.config import ConfigError, ParallelConfig
from mfp.data.batches import Share

DATA, MODEL = "data", "model"
_WISH = "wish"  # the key of a batch under which processes tell each other what they would do


class Wish(NamedTuple):
    """What a process would do after a step, and all must do together. 0 is no wish."""

    stop: int = 0  # the number of a signal that it received
    save: int = 0  # 1: a checkpoint is due by its clock


NO_WISH = Wish()


def partition(shape: tuple[int, ...], model_devices: int, at_least: int) -> PartitionSpec:
    """Which axis of an array of the train state is split over the model axis.

    The longest that the devices divide, the last of equal ones, of an array (an embedding table,
    a kernel) of two axes or more and `at_least` so many elements; every other array stands whole
    on each device. A function of the shape alone, so that moments and averages lie where their
    parameter does.
    """
    if model_devices > 1 and len(shape) >= 2 and np.prod(shape) >= at_least:
        fitting = [axis for axis, length in enumerate(shape) if length % model_devices == 0]
        if fitting:
            axis = max(fitting, key=lambda axis: (shape[axis], axis))
            # Nothing behind the split axis, as jax writes it: another spelling of the same would
            # be compiled once more.
            return PartitionSpec(*[None] * axis, MODEL)
    return PartitionSpec()


class Runner:
    """Compiled functions of one parallel mode, and arrays placed where they run.

    Raises:
      ConfigError: the mode does not fit the devices, or they cannot divide the batch.
    """

    def __init__(
        self,
        config: ParallelConfig,
        batch_size: int,
        accumulate: int = 1,
        devices: Sequence[jax.Device] | None = None,
    ):
        """By default on all devices of all processes."""
        devices = jax.devices() if devices is None else devices
        here, processes = jax.process_index(), jax.process_count()
        self._config = config
        self._local = [device for device in devices if device.process_index == here]
        if config.mode == "jit":
            if processes > 1:
                raise ConfigError(
                    "parallel.mode: 'jit' is one device of one process; choose 'pmap' or "
                    f"'sharded' for {processes} processes"
                )
            self._local = self._local[:1]
        elif len(self._local) % config.model_devices:
            raise ConfigError(
                f"parallel.model_devices: {config.model_devices} do not divide the "
                f"{len(self._local)} devices of a process"
            )
        used = self._local if config.mode == "jit" else devices
        # In the order of the processes, so that each has rows that follow one another.
        used = sorted(used, key=lambda device: (device.process_index, device.id))
        grid = np.array(used).reshape(-1, config.model_devices)
        self._mesh = jax.sharding.Mesh(grid, (DATA, MODEL))
        self._local_mesh = jax.sharding.Mesh(np.array(self._local), (DATA,))
        if batch_size % (len(grid) * accumulate):
            parts = f" in {accumulate} parts each" if accumulate > 1 else ""
            raise ConfigError(
                f"train.batch_size: {batch_size} cannot be divided among "
                f"{len(grid)} devices{parts} (parallel.mode = '{config.mode}')"
            )
        self.share: Share = (here, processes)

    def compile(self, step: Callable[..., Any]) -> Callable[..., Any]:
        """step(state, batch, key, axis_name=...) -> (state, sums), compiled.

        The compiled function also returns what `agreed` reads. The state's buffers are donated.
        """

        def stepped(state: Any, batch: Any, key: jax.Array, axis_name: str | None) -> Any:
            rows = {name: array for name, array in batch.items() if name != _WISH}
            key = jax.random.wrap_key_data(key)
            state, sums = step(state, rows, key, axis_name=axis_name)
            wishes = jnp.max(batch[_WISH], axis=0)
            if axis_name:
                wishes = jax.lax.pmax(wishes, axis_name)
            return state, sums, wishes

        if self._config.mode == "pmap":
            # out_axes=None is right only because the step adds up all that it returns.
            return jax.pmap(
                partial(stepped, axis_name=DATA),
                DATA,
                in_axes=(None, 0, None),
                out_axes=None,
                donate_argnums=0,
            )

        def fixed(state: Any, batch: Any, key: jax.Array) -> Any:
            state, sums, wishes = stepped(state, batch, key, None)
            if self._config.mode == "sharded":  # else XLA may move a parameter elsewhere
                layout = jax.tree.map(lambda leaf: self._sharding(leaf.shape), state)
                state = jax.lax.with_sharding_constraint(state, layout)
            return state, sums, wishes

        return jax.jit(fixed, donate_argnums=0)

    def compile_evaluation(self, apply: Callable[..., Any]) -> Callable[..., Any]:
        """apply(params, batch) compiled; every process gets the outputs of all rows."""
        if self._config.mode == "jit":
            return jax.jit(apply)
        return jax.jit(apply, out_shardings=NamedSharding(self._mesh, PartitionSpec()))

    def place_state(self, state: Any) -> Any:
        """A state from the host where the compiled step expects it."""
        if self._config.mode == "jit":
            return jax.device_put(state, self._local[0])
        if self._config.mode == "pmap":
            return jax.device_put(state, NamedSharding(self._local_mesh, PartitionSpec()))
        return self._spread(state)

    def place_key(self, key: jax.Array) -> Any:
        """A random key where the compiled step expects it: as plain numbers, for pmap of several
        processes would bring a typed key from the host in every step."""
        return self.place_state(on_host(jax.random.key_data(key)))

    def place(self, batch: Mapping[str, np.ndarray], wish: Wish = NO_WISH) -> Any:
        """This process's share of a batch, its rows split over its devices, and its wish."""
        share = len(self._mesh.devices) // self.share[1]
        told = {**batch, _WISH: np.tile(np.array(wish, np.int32), (share, 1))}
        if self._config.mode != "pmap":
            return self._rows(told)
        split = {k: v.reshape(share, v.shape[0] // share, *v.shape[1:]) for k, v in told.items()}
        return jax.device_put(split, NamedSharding(self._local_mesh, PartitionSpec(DATA)))

    def agreed(self, wish: Wish, wishes: jax.Array | None) -> Wish:
        """What all processes do after this step: what any of them wished, the same in each.

        Args:
          wish: that of this process now, which counts where it is alone.
          wishes: what the step before this one returned, so that reading waits for no device.
        """
        if self.share[1] == 1:
            return wish
        return NO_WISH if wishes is None else Wish(*on_host(wishes).tolist())

    def savable(self, state: Any) -> Any:
        """A placed state as a checkpoint takes it: of several processes, each writes its part."""
        if self.share[1] == 1:
            return on_host(state)
        if self._config.mode == "sharded":
            return state
        everywhere = NamedSharding(self._mesh, PartitionSpec())

        def joined(leaf: jax.Array) -> jax.Array:  # pmap returns what this process alone can see
            copies = [shard.data for shard in leaf.addressable_shards]
            return jax.make_array_from_single_device_arrays(leaf.shape, everywhere, copies)

        return jax.tree.map(joined, state)

    def place_for_evaluation(self, params: Any) -> Any:
        """Parameters, from the host or as the step left them, where evaluation expects them."""
        if self._config.mode == "jit":
            return jax.device_put(params, self._local[0])
        if self._config.mode == "pmap":
            params = on_host(params)
        return self._spread(params)

    def place_rows(self, batch: Mapping[str, np.ndarray]) -> Any:
        """This process's share of a batch where evaluation expects it."""
        return self._rows(batch)

    def _rows(self, batch: Mapping[str, np.ndarray]) -> dict[str, jax.Array]:
        if self._config.mode == "jit":
            return jax.device_put(dict(batch), self._local[0])
        rows = NamedSharding(self._mesh, PartitionSpec(DATA))
        return {name: _joined(rows, array, self.share[1]) for name, array in batch.items()}

    def _spread(self, tree: Any) -> Any:
        """Whole arrays on the mesh, the large ones split."""

        def placed(leaf: Any) -> jax.Array:
            sharding = self._sharding(leaf.shape)
            if isinstance(leaf, jax.Array) and leaf.sharding == sharding:
                return leaf
            return _joined(sharding, np.asarray(on_host(leaf)))

        return jax.tree.map(placed, tree)

    def _sharding(self, shape: tuple[int, ...]) -> NamedSharding:
        config = self._config
        spec = partition(shape, config.model_devices, config.shard_at_least)
        return NamedSharding(self._mesh, spec)


def _joined(sharding: NamedSharding, local: np.ndarray, parts: int = 1) -> jax.Array:
    """The array of which each process has an equal part of the rows, or all of it."""
    shape = (local.shape[0] * parts, *local.shape[1:]) if parts > 1 else local.shape
    with jax.transfer_guard_host_to_device("allow"):  # jax does not count this as explicit
        return jax.make_array_from_process_local_data(sharding, local, shape)


def evaluation_runner(config: ParallelConfig, batch_size: int) -> Runner:
    """The runner of a config; one device where this machine's devices do not fit its mode."""
    try:
        return Runner(config, batch_size)
    except ConfigError:
        if jax.process_count() > 1:
            raise
        return Runner(replace(config, mode="jit", model_devices=1), batch_size)


def compile_evaluation(apply: Callable[..., Any]) -> Callable[..., Any]:
    """apply(params, batch) compiled for one device."""
    return jax.jit(apply)


def on_host(tree: Any) -> Any:
    """NumPy copies of device arrays."""
    return jax.device_get(tree)


def of_the_first(tree: Any) -> Any:
    """Host arrays as process 0 computed them, in all processes.

    NumPy's last bits hang on the machine, and replicas that differ would go unseen.
    """
    if jax.process_count() == 1:
        return tree
    return on_host(multihost_utils.broadcast_one_to_all(tree))


def to_device(tree: Any) -> Any:
    """Host arrays on the first device."""
    return jax.device_put(tree, jax.local_devices()[0])


def compilations(compiled: Callable[..., Any]) -> int:
    """How many programs a compiled function holds: one per shape it met; 0 under pmap, which does
    not count."""
    return getattr(compiled, "_cache_size", lambda: 0)()
