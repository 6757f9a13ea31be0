"""Training in memory takes the steps of the loop, and keeps what the loop keeps."""

from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor

import jax
import numpy as np
import pytest

from mfp.report.progress import TrainingProgress
from mfp.training import in_memory, loop
from mfp.training.run import RunFolder


def with_train(config, **settings):
    return dataclasses.replace(config, train=dataclasses.replace(config.train, **settings))


@pytest.fixture(scope="module")
def one(tiny, few, tmp_path_factory):
    """A run of the loop, and the same in memory."""
    folder = RunFolder(tmp_path_factory.mktemp("runs") / "tiny")
    run = loop.train(tiny, few, folder, TrainingProgress(quiet=True))
    return run, in_memory.train(tiny, run.spec, run.splits)


def test_it_ends_where_the_loop_ends(one, tiny):
    run, found = one
    per_epoch = -(-len(run.splits["train"]) // tiny.train.batch_size)
    assert found.epochs == [run.step // per_epoch]
    ours, theirs = (jax.tree.leaves_with_path(p) for p in (found.params[0], run.params))
    for (path, a), (other, b) in zip(ours, theirs, strict=True):
        assert path == other
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-6)


def test_members_are_networks_of_their_own_and_threads_change_nothing(one, tiny):
    run, _ = one
    config = with_train(tiny, ensemble=2, epochs=2)
    with ThreadPoolExecutor(2) as threads:
        first, again = threads.map(
            lambda c: in_memory.train(c, run.spec, run.splits), (config, config)
        )
    a, b = first.predictions(run.splits["test"])
    assert np.abs(a["rating"] - b["rating"]).max() > 1e-3
    for ours, theirs in zip(first.params, again.params, strict=True):
        for x, y in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
            np.testing.assert_array_equal(x, y)
    assert len(first.scores(run.splits["test"])) == 2
    assert first.step_bytes > 4 * first.parameters  # float32, and more than the parameters
    assert 0 < first.step_seconds(3) < 10


def test_it_stops_when_nothing_becomes_better(one, tiny):
    run, _ = one
    still = dataclasses.replace(
        with_train(tiny, epochs=5, patience=2),
        optimizer=dataclasses.replace(tiny.optimizer, learning_rate=0.0, ema=0.0),
    )
    told = []
    in_memory.train(still, run.spec, run.splits, lambda epoch, losses: told.append(losses[0]))
    assert told == [told[0]] * 3
