"""What is searched and what is optimised."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT

from mfp import config as configs
from mfp.config import Config, ConfigError
from mfp.training import space
from mfp.training.space import Goal

FOUND = {"loss": 0.5, "rating": {"r2": 0.25, "rmse": 1.5, "n": 9}, "hit": {"log_loss": 0.75}}


@pytest.fixture(scope="module")
def config() -> Config:
    return configs.load(ROOT / "configs" / "tune.toml")


def with_goal(config: Config, metric: str) -> Config:
    return dataclasses.replace(config, tune=dataclasses.replace(config.tune, metric=metric))


@pytest.mark.parametrize(
    ("metric", "more", "value"),
    [
        ("loss", False, 0.5),
        ("rating/r2", True, 0.25),
        ("rating/rmse", False, 1.5),
        ("hit/log_loss", False, 0.75),
    ],
)
def test_the_direction_is_that_of_the_metric(config, metric, more, value):
    goal = Goal.of(with_goal(config, metric))
    assert (goal.more, goal.value(FOUND)) == (more, value)


@pytest.mark.parametrize(
    ("metric", "hint"),
    [
        ("rating/r", "did you mean 'rating/r2'"),
        ("los", "did you mean 'loss'"),
        ("rating/n", "rating/"),
        ("sentiment/auc", "hit/auc"),  # no target of this config
    ],
)
def test_an_unknown_metric_is_refused_with_the_nearest(config, metric, hint):
    with pytest.raises(ConfigError, match=f"tune.metric: '{metric}' is not a choice; .*{hint}"):
        Goal.of(with_goal(config, metric))


def test_a_metric_that_validation_films_do_not_have(config):
    with pytest.raises(ConfigError, match="hit/auc is not defined on the validation films"):
        Goal.of(with_goal(config, "hit/auc")).value(FOUND)


def test_the_shipped_space_begins_at_the_config_and_survives_coding(config):
    parameters = space.parameters(config)
    assert {p.key for p in parameters} == set(config.tune.space)
    first = space.start(config, parameters)
    assert first is not None
    assert first["model.fusion.hidden"] == "[256]"
    assert first["train.batch_size"] == 256
    plain = dataclasses.replace(config, tune=configs.TuneConfig())
    assert space.applied(config, space.decode(parameters, first)) == plain
    assert [p.whole for p in parameters if not p.search.choices] == [
        type(first[p.key]) is int for p in parameters if not p.search.choices
    ]


def test_every_end_of_the_shipped_space_is_a_config(config):
    for parameter in space.parameters(config):
        ends = parameter.labels.values() or (parameter.search.low, parameter.search.high)
        for end in ends:
            value = int(end) if parameter.whole else end
            found = space.applied(config, {parameter.key: value})
            assert parameter.encode(configs.value_of(found, parameter.key)) is not None


def test_a_config_outside_its_space_has_no_start(config):
    outside = configs.with_values(config, {"optimizer.learning_rate": 0.1}, "x")
    assert space.start(outside, space.parameters(outside)) is None
    choice = configs.with_values(config, {"model.fusion.hidden": [7]}, "x")
    assert space.start(choice, space.parameters(choice)) is None


def test_values_that_do_not_go_together_are_told(config):
    config = configs.with_values(config, {"train.accumulate": 4}, "x")
    with pytest.raises(ConfigError, match=r"these values together: train\.batch_size: 130"):
        space.applied(config, {"train.batch_size": 130})


def test_nothing_to_search(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"tune\.space: is empty; name keys"):
        space.parameters(configs.load(ROOT / "configs" / "base.toml"))


def test_random_values_lie_where_they_are_searched_and_make_a_config(config):
    parameters, rng = space.parameters(config), np.random.default_rng(0)
    drawn = [space.draw(parameters, rng) for _ in range(200)]
    for parameter in parameters:
        values = [values[parameter.key] for values in drawn]
        assert None not in map(parameter.encode, values)
        assert len({str(value) for value in values}) > 2
    assert space.applied(config, drawn[0]).name == config.name
    rates = np.log([values["optimizer.learning_rate"] for values in drawn])
    low, high = np.log([3e-4, 5e-3])
    assert abs(rates.mean() - (low + high) / 2) < 0.2  # evenly over magnitudes
    again = np.random.default_rng(0)
    assert drawn == [space.draw(parameters, again) for _ in drawn]
