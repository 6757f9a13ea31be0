"""What `mfp tune` searches and what it optimises, apart from how: pure functions of a config."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mfp import config as configs
from mfp.config import Config, ConfigError, SearchConfig, TuneConfig
from mfp.report.tables import metric_rows
from mfp.typed_toml import nearest


@dataclass(frozen=True)
class Goal:
    """One number of the validation films."""

    name: str  # "loss", or "<target>/<metric>"
    more: bool  # whether more of it is better

    @classmethod
    def of(cls, config: Config) -> Goal:
        """The goal of a config. Raises ConfigError, naming the nearest, where it has no such."""
        known = {"loss": False} | {
            f"{target}/{metric}": more
            for target, metric, _, more in metric_rows(config.targets.enabled)
            if target in config.targets.enabled
        }
        name = config.tune.metric
        if name not in known:
            raise ConfigError(f"tune.metric: '{name}' is not a choice; {nearest(name, known)}")
        return cls(name, known[name])

    def value(self, found: Mapping[str, Any]) -> float:
        """The number among an epoch's validation losses and metrics. Raises ConfigError if none."""
        target, _, metric = self.name.rpartition("/")
        scores = found.get(target, {}) if target else found
        if metric not in scores:
            raise ConfigError(
                f"tune.metric: {self.name} is not defined on the validation films: "
                f"too few of them have a known {target}"
            )
        return float(scores[metric])

    def better(self, a: float, b: float) -> bool:
        """Whether a is better than b."""
        return a > b if self.more else a < b


@dataclass(frozen=True)
class Parameter:
    """A key that is searched, as an optimizer of black boxes sees it."""

    key: str
    search: SearchConfig
    whole: bool  # of a range: whole numbers only

    @property
    def labels(self) -> dict[Any, Any]:
        """{what stands for a choice: the choice}; a list stands as its JSON."""
        return {
            json.dumps(choice) if isinstance(choice, list | tuple) else choice: choice
            for choice in self.search.choices
        }

    def decode(self, value: Any) -> Any:
        return self.labels[value] if self.search.choices else value

    def encode(self, value: Any) -> Any:
        """The inverse of `decode`; None where the value lies outside what is searched."""
        if self.search.choices:
            # As JSON, so that a list equals the tuple of a config, and 1 is not True.
            same = (n for n, v in self.labels.items() if json.dumps(v) == json.dumps(value))
            return next(same, None)
        return value if self.search.low <= value <= self.search.high else None

    def draw(self, rng: np.random.Generator) -> Any:
        """A value at random: evenly, or evenly over magnitudes."""
        search = self.search
        if search.choices:
            return search.choices[int(rng.integers(len(search.choices)))]
        low, high = (np.log([search.low, search.high])) if search.log else (search.low, search.high)
        value = float(rng.uniform(low, high))
        value = math.exp(value) if search.log else value
        value = min(max(value, search.low), search.high)  # exp and log round
        return round(value) if self.whole else value

    def __str__(self) -> str:
        if self.search.choices:
            return ", ".join(map(str, self.labels))
        scale = ", over magnitudes" if self.search.log else ""
        return f"{self.search.low:g} to {self.search.high:g}{scale}"


def parameters(config: Config) -> tuple[Parameter, ...]:
    """What is searched. Raises ConfigError where that is nothing."""
    if not config.tune.space:
        raise ConfigError(
            "tune.space: is empty; name keys to search, as configs/tune.toml does, for example "
            '"optimizer.learning_rate" = { low = 3e-4, high = 5e-3, log = true }'
        )
    return tuple(
        Parameter(key, search, type(configs.value_of(config, key)) is int)
        for key, search in config.tune.space.items()
    )


def draw(space: tuple[Parameter, ...], rng: np.random.Generator) -> dict[str, Any]:
    """The values, by key, of a trial that knows nothing of others: each key by itself."""
    return {p.key: p.draw(rng) for p in space}


def start(config: Config, space: tuple[Parameter, ...]) -> dict[str, Any] | None:
    """The config's own values, encoded, for a first trial; None where one lies outside."""
    found = {p.key: p.encode(configs.value_of(config, p.key)) for p in space}
    return None if None in found.values() else found


def decode(space: tuple[Parameter, ...], encoded: Mapping[str, Any]) -> dict[str, Any]:
    return {p.key: p.decode(encoded[p.key]) for p in space}


def applied(config: Config, values: Mapping[str, Any]) -> Config:
    """The config of a trial: those values in it, and no search. Raises ConfigError."""
    plain = dataclasses.replace(config, tune=TuneConfig())
    return configs.with_values(plain, values, "these values together")
