"""Parameters read from an Orbax checkpoint without Orbax: to the bit, or refused."""

from __future__ import annotations

import json
from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest

from mfp import parameters
from mfp.parameters import ParametersError

TREE = {
    "dense": {
        "kernel": np.arange(6, dtype=np.float32).reshape(2, 3),
        "bias": np.zeros(3, np.float32),
    },
    "scale": np.array(-0.0, np.float32),
    "table": {
        "ids": np.array([1, 2], np.int32),
        "inner": {"x": np.full((1, 1, 2), np.nan, np.float32)},
    },
}


def save(folder: Path, tree) -> Path:
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(folder, tree)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return save(tmp_path_factory.mktemp("params") / "params", TREE)


def same(found, expected) -> None:
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, np.asarray(b).tobytes())


def test_what_orbax_has_saved_is_read_to_the_bit(folder):
    same(parameters.read(folder, TREE), TREE)


def test_arrays_that_are_split_over_devices_are_read_whole(tmp_path):
    devices = jax.devices()
    assert len(devices) == 8
    mesh = jax.sharding.Mesh(np.array(devices).reshape(4, 2), ("data", "model"))
    spec = jax.sharding.PartitionSpec("data", "model")
    whole = np.random.default_rng(0).normal(size=(8, 6)).astype(np.float32)
    split = jax.device_put(whole, jax.sharding.NamedSharding(mesh, spec))
    assert {shard.data.shape for shard in split.addressable_shards} == {(2, 3)}
    same(parameters.read(save(tmp_path / "params", {"w": split}), {"w": whole}), {"w": whole})


def changed(**parts):
    return TREE | parts


@pytest.mark.parametrize(
    "like",
    [
        {name: TREE[name] for name in ("dense", "scale")},  # fewer
        changed(more=np.zeros(2, np.float32)),
        changed(scale=np.zeros(1, np.float32)),
        changed(scale=np.array(0.0, np.float16)),
    ],
)
def test_parameters_of_another_network_are_refused(folder, like):
    with pytest.raises(ParametersError, match="do not belong together"):
        parameters.read(folder, like)


def test_what_is_no_checkpoint_is_refused(tmp_path):
    with pytest.raises(ParametersError, match="_METADATA"):
        parameters.read(tmp_path, TREE)
    (tmp_path / "_METADATA").write_text(json.dumps({"tree_metadata": {}}))
    with pytest.raises(ParametersError, match="do not belong together"):
        parameters.read(tmp_path, TREE)
    with pytest.raises(ParametersError):
        parameters.read(tmp_path / "nothing", TREE)
