"""Fixtures of the training tests: a few real films and a network that trains in a second."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import compilation
import pytest

from mfp import config as configs
from mfp.config import Config, HistoryConfig
from mfp.data.batches import FilmArrays, film_arrays
from mfp.data.dataset import Dataset
from mfp.data.features import FeatureSpec
from mfp.data.fit import fit
from mfp.training import assemble
from mfp.training.step import Apply


@pytest.fixture(scope="package", autouse=True)
def compiled_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with compilation.cached(tmp_path_factory) as folder:
        yield folder


def tiny_config(config: Config, **train) -> Config:
    """Numbers and genres only, seven steps an epoch."""
    features = dataclasses.replace(
        config.features,
        numbers=("runtime_minutes", "release_year"),
        sets={"content": ("genres",)},
        texts=(),
        history=HistoryConfig(),
    )
    fusion = dataclasses.replace(config.model.fusion, hidden=(8,))
    settings = {"batch_size": 32, "epochs": 3, "log_every": 2, "checkpoint_every": 4} | train
    return dataclasses.replace(
        config,
        name="tiny",
        features=features,
        model=dataclasses.replace(config.model, fusion=fusion),
        train=dataclasses.replace(config.train, **settings),
    )


@pytest.fixture(scope="session")
def tiny(debug_config: Config) -> Config:
    config = tiny_config(debug_config)
    assert configs.from_json(configs.to_json(config), "test") == config
    return config


@pytest.fixture(scope="session")
def few(dataset: Dataset) -> Dataset:
    """The first films of each split, in memory."""
    sizes = {"train": 200, "validation": 80, "test": 60}
    splits = {name: dataset.splits[name][:n] for name, n in sizes.items()}
    return Dataset(dataset.folder, "few films", splits, [])


@dataclass(frozen=True)
class Network:
    """The tiny network over the few films, without dropout."""

    config: Config
    spec: FeatureSpec
    splits: dict[str, FilmArrays]
    apply: Apply
    params: Any  # as initialised


@pytest.fixture(scope="session")
def still(tiny: Config, few: Dataset) -> Network:
    """Without dropout of any kind, so that every way to compute a step must agree."""
    model = dataclasses.replace(
        tiny.model,
        sets=dataclasses.replace(tiny.model.sets, dropout=0.0, unknown_dropout=0.0),
        fusion=dataclasses.replace(tiny.model.fusion, dropout=0.0, modality_dropout=0.0),
    )
    config = dataclasses.replace(tiny, model=model)
    spec = fit(few.splits["train"], config)
    splits = {s: film_arrays(films, spec, config.targets) for s, films in few.splits.items()}
    network = assemble.build_network(config, spec)
    params = assemble.init_params(network, spec, seed=0)
    return Network(config, spec, splits, assemble.apply_function(network), params)
