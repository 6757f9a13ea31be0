"""Training in memory: the steps of `loop.py` without folder, checkpoints, signals or resume.

For comparisons of many small networks, in notebooks for example: compiling is most of such a
training, and `train` may be called from several threads, so that several programs are compiled at
once. It takes the steps that `mfp train` takes and keeps what that keeps: the averaged parameters
of the epoch of least validation loss (tests/training/test_in_memory.py).

A deep ensemble (`train.ensemble`) serves here as so many independent draws of one network: each
member is validated, kept and judged by itself.

Letters: N films, K members.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np

from mfp.config import Config
from mfp.data.batches import FilmArrays, TrainingBatches
from mfp.data.features import FeatureSpec
from mfp.models.network import Network
from mfp.training import assemble, metrics, optim, parallel
from mfp.training.beside import fit_beside
from mfp.training.evaluate import Evaluator
from mfp.training.metrics import Metrics
from mfp.training.step import TrainState, init_state


@dataclass(frozen=True)
class Members:
    """K trained networks of one config."""

    network: Network
    params: list[Any]  # of each member, NumPy arrays
    epochs: list[int]  # of the least validation loss, counted from 1
    losses: list[float]  # that loss
    evaluator: Evaluator
    step: Any  # the compiled step of all members together
    sample: tuple[TrainState, Mapping[str, np.ndarray], jax.Array]  # what `step` can be called with

    @property
    def parameters(self) -> int:
        """Numbers that one member consists of."""
        return sum(leaf.size for leaf in jax.tree.leaves(self.params[0]))

    @property
    def step_bytes(self) -> int:
        """Memory of a step: parameters, optimizer, batch, and all between, of all members."""
        found = self.step.memory_analysis()
        kinds = ("argument_size_in_bytes", "output_size_in_bytes", "temp_size_in_bytes")
        return sum(int(getattr(found, kind)) for kind in kinds)

    def step_seconds(self, steps: int = 20) -> float:
        """Median time of a step of all members; call it while nothing else runs."""
        times = []
        for _ in range(steps):
            started = time.perf_counter()
            jax.block_until_ready(self.step(*self.sample))
            times.append(time.perf_counter() - started)
        return float(np.median(times))

    def predictions(self, films: FilmArrays) -> list[dict[str, np.ndarray]]:
        """What each member says: {target: [N]} in natural units."""
        return [self.evaluator(params, films)[0] for params in self.params]

    def scores(self, films: FilmArrays) -> list[dict[str, Metrics]]:
        """The metrics of each member."""
        return [metrics.evaluate(films.truth, said) for said in self.predictions(films)]


def train(
    config: Config,
    spec: FeatureSpec,
    splits: Mapping[str, FilmArrays],
    on_epoch: Callable[[int, list[float]], None] = lambda epoch, losses: None,
) -> Members:
    """Train on `splits["train"]`, choose each member's epoch on `splits["validation"]`.

    It ends when no member has become better for `train.patience` epochs. Word vectors, a published
    encoder and the start from naive Bayes are for `loop.py` alone.

    Args:
      on_epoch: told of each epoch, and of the validation loss of each member.
    """
    size, members = config.train.batch_size, config.train.ensemble
    batches = TrainingBatches(
        splits["train"],
        size,
        config.seed,
        config.train.length_buckets,
        half_life=config.train.recency_half_life_years,
    )
    total = batches.per_epoch * config.train.epochs
    network = assemble.build_network(config, spec)
    tx = optim.optimizer(config.optimizer, total)
    params = assemble.init_params(network, spec, config.seed, members)
    params = fit_beside(params, network, splits["train"], config)
    state = init_state(assemble.with_uncertainty(params, config, spec), tx, members)
    key = jax.random.key(config.seed)
    sample = (state, batches[0], key)
    # Nothing is donated, so that the step can be called, and timed, with the same state again.
    compiled: Any = parallel.compile_evaluation(assemble.step_function(network, config, spec, tx))
    step = compiled.lower(*sample).compile()
    alone = replace(config, train=replace(config.train, ensemble=1))
    evaluator = Evaluator.build(network, spec, alone)
    best: list[Any] = [None] * members
    losses, epochs, stale = [np.inf] * members, [0] * members, 0
    for epoch in range(1, config.train.epochs + 1):
        for k in range((epoch - 1) * batches.per_epoch, epoch * batches.per_epoch):
            state, _ = step(state, batches[k], key)
        found = []
        stale += 1
        for m, params in enumerate(_each(parallel.on_host(state.ema), members)):
            loss = evaluator(assemble.of_network(params), splits["validation"])[1]["loss"]
            found.append(loss)
            if loss <= losses[m]:  # of equal ones the latest, as a checkpoint keeps it
                stale = 0 if loss < losses[m] else stale
                best[m], losses[m], epochs[m] = assemble.of_network(params), loss, epoch
        on_epoch(epoch, found)
        if stale >= config.train.patience:
            break
    return Members(network, best, epochs, losses, evaluator, step, sample)


def _each(params: Any, members: int) -> list[Any]:
    """The parameters of each member."""
    if members == 1:
        return [params]
    return [jax.tree.map(lambda leaf, m=m: leaf[m], params) for m in range(members)]
