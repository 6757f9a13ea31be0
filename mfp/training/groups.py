"""Groups of parameters: which are weights, and how much penalties and decay count for each.

A group is the beginning of a module's name at the top of the network: `table_`, `text_plot`,
`fusion`, `heads`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp

from mfp.config import ConfigError, OptimizerConfig
from mfp.models import beside

ALL_ALIKE: Mapping[str, float] = MappingProxyType({})
# Of several members these have two axes, and are still no weights (models/ensemble.py).
_OF_MEMBERS = ("bias", "r", "s")


def is_weight(path: tuple[Any, ...], leaf: Any) -> bool:
    """Matrices, kernels and embeddings are weights; biases, scales and adapters are not.

    Nor is what stands beside the network: neither penalty nor decay may move it.
    """
    if path and _name(path[0]) in beside.PARTS:
        return False
    return jnp.ndim(leaf) >= 2 and not (path and _name(path[-1]) in _OF_MEMBERS)


def moving(params: Any) -> Any:
    """Those that training moves: all but what stands beside the network (models/beside.py)."""
    if not isinstance(params, Mapping):
        return params
    return {name: part for name, part in params.items() if name not in beside.PARTS}


def held(params: Any) -> dict[str, Any]:
    """Those that stay as they were before the first step."""
    found = params if isinstance(params, Mapping) else {}
    return {name: part for name, part in found.items() if name in beside.PARTS}


def factors(params: Any, groups: Mapping[str, float]) -> Any:
    """How much each parameter counts: 0 of what is no weight, else the factor of its group.

    Of several groups that a module's name begins with, the longest decides; of none, 1.
    """

    def factor(path: tuple[Any, ...], leaf: Any) -> float:
        if not is_weight(path, leaf):
            return 0.0
        module = _name(path[0]) if path else ""
        fitting = [group for group in groups if module.startswith(group)]
        return groups[max(fitting, key=len)] if fitting else 1.0

    return jax.tree_util.tree_map_with_path(factor, params)


def check(config: OptimizerConfig, params: Mapping[str, Any]) -> None:
    """Whether every configured group is there.

    Raises:
      ConfigError: naming the key, and the modules of the network.
    """
    for key in ("l1_groups", "l2_groups", "weight_decay_groups"):
        for group in getattr(config, key):
            if not any(module.startswith(group) for module in params):
                raise ConfigError(
                    f"optimizer.{key}.{group}: no part of the network is called so; "
                    f"write the beginning of one of {', '.join(sorted(params))}"
                )


def _name(key: Any) -> str:
    return str(getattr(key, "key", key))
