"""The parameters of a bundle, read from its Orbax checkpoint without Orbax.

Orbax takes most of a second to import. What it writes is an array a parameter, in the formats of
TensorStore: zarr arrays in an OCDBT key-value store, named by their path in the tree. The golden
bundles of the tests keep this true.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

_CHUNK = 1 << 20  # elements that an array may be stored in pieces of, however small it is

Tree = Mapping[str, Any]  # of arrays, or of more such trees


class ParametersError(ValueError):
    """A checkpoint that cannot be read; the message is the reason."""


def read(folder: Path, like: Tree) -> Tree:
    """The arrays of a checkpoint, of the names, shapes and dtypes of those of `like`.

    Raises:
      ParametersError: the folder is no checkpoint, is damaged, or holds other arrays.
    """
    # TensorStore is large, and whoever opens no bundle needs none of it.
    import tensorstore

    wanted = dict(_flat(like))
    try:
        layout = json.loads((folder / "_METADATA").read_text(encoding="utf-8"))
        stored = {".".join(key["key"] for key in entry["key_metadata"])
                  for entry in layout["tree_metadata"].values()}  # fmt: skip
        driver = "zarr3" if layout.get("use_zarr3") else "zarr"
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ParametersError(f"_METADATA: {error}") from None
    if stored != set(wanted):
        odd = min(stored ^ set(wanted))
        raise ParametersError(f"parameters and program do not belong together ({odd})")
    base = {"driver": "file", "path": f"{folder.absolute()}/"}
    try:
        opening = {
            name: tensorstore.open(
                {
                    "driver": driver,
                    "kvstore": {"driver": "ocdbt", "base": base, "path": f"{name}/"},
                },
                read=True,
                open=True,
            )
            for name in wanted
        }
        stores = {name: future.result() for name, future in opening.items()}
        for name, store in stores.items():  # before a byte of what they promise is read
            chunk = store.chunk_layout.read_chunk.shape or ()
            if (
                store.shape != wanted[name].shape
                or store.dtype.numpy_dtype != wanted[name].dtype
                or math.prod(n or 1 for n in chunk) > max(_CHUNK, 2 * math.prod(store.shape))
            ):
                raise ParametersError(f"parameters and program do not belong together ({name})")
        reading = {name: store.read() for name, store in stores.items()}
        arrays = {name: future.result() for name, future in reading.items()}
    except ParametersError:
        raise
    except (ValueError, MemoryError) as error:  # also a file that lacks or is damaged
        raise ParametersError(str(error)) from None
    return _nested(like, arrays)


def _flat(tree: Tree, prefix: str = "") -> Iterator[tuple[str, np.ndarray]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _nested(like: Tree, arrays: Mapping[str, np.ndarray], prefix: str = "") -> Tree:
    return {
        key: _nested(value, arrays, f"{prefix}{key}.")
        if isinstance(value, Mapping)
        else arrays[f"{prefix}{key}"]
        for key, value in like.items()
    }
