"""What stands beside the network: regressions of its own, that enter the network's with a share.

A Gaussian process (`kernel.py`) and boosted trees (`trees.py`) read numbers, track records and
names. They err elsewhere than a network does, and the mean of all errs less. Neither is trained by
gradients: `training/beside.py` fits them before the first step, and no step moves them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import jax

# Their parameters, at the top of the network.
PROCESS = "gaussian_process"
TREES = "boosted_trees"
PARTS = (PROCESS, TREES)
_UNKNOWN = 1  # the id of a name outside the vocabulary


def there(
    inputs: Mapping[str, jax.Array], names: Mapping[str, tuple[str, int]]
) -> Iterator[tuple[jax.Array, jax.Array]]:
    """Of each set field, whether each name of its vocabulary is among a film's [B, V].

    With it, whether the film has anything of the field's modality, [B].

    Args:
      names: {set field: (its modality, size of its vocabulary)}.
    """
    for field, (modality, size) in names.items():
        hot = jax.nn.one_hot(inputs[f"sets/{field}"], size).max(axis=1)
        yield hot[:, _UNKNOWN + 1 :], inputs[f"present/{modality}"]


def mixed(
    outputs: Mapping[str, jax.Array], beside: Iterable[tuple[float, Mapping[str, jax.Array]]]
) -> dict[str, jax.Array]:
    """Outputs {target: [B] or, of members, [B, K]} with the shares of others in the regressions.

    Args:
      beside: the share of each, and what it says, {target: [B]}.
    """
    found = dict(outputs)
    parts = list(beside)
    own = 1 - sum(share for share, _ in parts)
    for name in {name: None for _, said in parts for name in said}:
        several = found[name].ndim == 2
        found[name] = own * found[name]
        for share, said in parts:
            found[name] += share * (said[name][:, None] if several else said[name])
    return found
