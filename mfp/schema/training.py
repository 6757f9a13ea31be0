"""How it is trained and searched: `optimizer`, `train`, `parallel` and `tune` of a config."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from mfp.typed_toml import bounded


@dataclass(frozen=True)
class OptimizerConfig:
    """Optimizer, schedule and penalties."""

    name: Literal["sgd", "adam", "adamw"] = "adamw"
    learning_rate: float = bounded(1.5e-3, low=0)
    momentum: float = bounded(0.9, low=0, high=0.9999)  # of sgd
    beta1: float = bounded(0.9, low=0, high=0.9999)  # of adam and adamw
    beta2: float = bounded(0.999, low=0, high=0.999999)
    weight_decay: float = bounded(0.01, low=0)  # decoupled, adamw only
    schedule: Literal["constant", "cosine"] = "cosine"
    warmup_fraction: float = bounded(0.1, low=0, high=1)  # of all steps
    clip_norm: float = bounded(1.0, low=0)  # global gradient norm; 0 = no clipping
    l1: float = bounded(0.0, low=0)  # penalty on all weights, in the loss
    l2: float = bounded(0.0, low=0)
    # Factors of these penalties for parts of the network, by the beginning of their names (table_,
    # text_, fusion): 0 spares a part, what is not named counts 1.
    l1_groups: Mapping[str, float] = field(default_factory=dict)
    l2_groups: Mapping[str, float] = field(default_factory=dict)
    weight_decay_groups: Mapping[str, float] = field(default_factory=dict)
    # Of the learning rate, for a pretrained encoder that is not frozen.
    pretrained_rate: float = bounded(0.02, low=0, high=1)
    ema: float = bounded(0.98, low=0, high=0.99999)  # parameter averaging; 0 = none


@dataclass(frozen=True)
class TrainConfig:
    """The loop."""

    batch_size: int = bounded(256, low=1)
    # So many networks, each from its own draw, trained on the same batches in one program; what
    # they say is averaged (deep ensemble, Lakshminarayanan et al. 2017).
    ensemble: int = bounded(1, low=1, high=64)
    epochs: int = bounded(12, low=1)
    # A final fit, of `mfp train --refit`: so many epochs of the schedule on train and validation
    # films together, without validation and without choosing. 0: validation chooses the epoch.
    final_epochs: int = bounded(0, low=0)
    patience: int = bounded(4, low=1)  # epochs without a better validation loss before stopping
    # Shapes that long texts are padded to: films of like length share a batch, and a batch is
    # padded to the next of this many lengths. One compilation each; 1 pads all to the longest.
    length_buckets: int = bounded(1, low=1, high=16)
    # In the loss of training, and only there, a film counts half as much as one released so many
    # years later; 0 counts all alike.
    recency_half_life_years: float = bounded(0.0, low=0)
    # A batch is computed in so many parts, one after another, and their gradients are added: the
    # same step in less memory.
    accumulate: int = bounded(1, low=1)
    # What of the forward pass is computed again for the gradient instead of being kept: nothing,
    # or all but the results of matrix products.
    rematerialise: Literal["none", "elementwise"] = "none"
    log_every: int = bounded(10, low=1)  # steps
    # Of work that a sudden end (kill -9, power) may lose, in steps and in minutes; 0 = no limit.
    # Checkpoints are written twice as often, while training goes on, and after each epoch.
    checkpoint_every: int = bounded(50, low=0)
    checkpoint_minutes: float = bounded(0.0, low=0)


@dataclass(frozen=True)
class ParallelConfig:
    """How a step is spread over devices and processes.

    jit: one device. pmap: the batch is split over all devices, each holds the whole state.
    sharded: so is the batch, and large parameters are split too, over a mesh.
    """

    mode: Literal["jit", "pmap", "sharded"] = "jit"
    # sharded: so many devices of one machine share large parameters; the rest split the batch.
    model_devices: int = bounded(1, low=1)
    shard_at_least: int = bounded(65_536, low=1)  # elements of a parameter worth splitting
    # bfloat16: the network computes in it; parameters, losses and reductions stay float32.
    precision: Literal["float32", "bfloat16"] = "float32"
    # Several processes: seconds without a sign of life until the others give one up for dead.
    dead_after: int = bounded(60, low=2)


@dataclass(frozen=True)
class SearchConfig:
    """Where one key is searched: a range, or choices. Its type and bounds are those of the key."""

    low: float = 0.0
    high: float = 0.0  # inclusive
    log: bool = False  # evenly over orders of magnitude
    choices: tuple[Any, ...] = ()


@dataclass(frozen=True)
class TuneConfig:
    """The search of `mfp tune` for a better config, on validation films alone."""

    # What is optimised: the validation loss, or <target>/<metric> of validation films, as
    # rating/r2, at the epoch of the smallest validation loss.
    metric: str = "loss"
    startup_trials: int = bounded(10, low=0)  # drawn at random before the others learn from them
    # Successive halving (Li et al. 2018, ASHA): after so many epochs, and each time that
    # `reduction` times as many are done, only the best 1/reduction of the trials go on.
    first_rung: int = bounded(2, low=1)
    reduction: int = bounded(3, low=2)
    # "optimizer.learning_rate" = { low = 3e-4, high = 5e-3, log = true }; the name in quotes.
    space: Mapping[str, SearchConfig] = field(default_factory=dict)
