"""Outcome to training targets: scaled on the training films, derived by the config's rules.

A target that is not known has weight 0; it is never filled in.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from mfp import extensions
from mfp.config import ConfigError, TargetsConfig
from mfp.film import VERDICTS, Film, Outcome

_CLASSES = ("hit", "verdict", "sentiment")


class Target(Protocol):
    """What an entry point of the group mfp.targets names: a module, or any object.

    A number of its own scale, learned by mean squared error.
    """

    def value(self, film: Film, outcome: Outcome) -> float | None:
        """The target of a film that has opened, None where it is unknown."""
        ...


def is_regression(name: str) -> bool:
    """Whether a target is a number, learned by mean squared error; else a class."""
    return name not in _CLASSES


def value(name: str, film: Film, outcome: Outcome, config: TargetsConfig) -> float | None:
    """A target in its natural unit, None where unknown.

    rating: 0-10. revenue: log10 of US dollars. hit and sentiment: 0 or 1. verdict: its index
    in VERDICTS. Of another package's target whatever unit it has.
    """
    if name in config.added:
        offered: Target = extensions.load("target", name)
        return offered.value(film, outcome)
    if name == "rating":
        return outcome.rating
    if name == "revenue":
        revenue = outcome.revenue_usd
        if revenue is None or revenue < config.revenue.minimum_usd:
            return None
        return math.log10(revenue)
    if name == "sentiment":
        return outcome.sentiment
    return _hit(film, outcome, config) if name == "hit" else _verdict(film, outcome, config)


def weight(name: str, film: Film, config: TargetsConfig) -> float:
    """How much a known target counts in the loss, 0 to 1."""
    half = config.rating.votes_half
    if name != "rating" or not half or film.vote_count is None:
        return 1.0
    return film.vote_count / (film.vote_count + half)


def _hit(film: Film, outcome: Outcome, config: TargetsConfig) -> float | None:
    """Any enabled rule that holds makes a hit; "no" needs every rule to be known (Kleene's or)."""
    rules = [
        (outcome.rating, config.hit.rating_at_least),
        (outcome.revenue_usd, config.hit.revenue_at_least_usd),
        (_return(film, outcome), config.hit.revenue_over_budget),
    ]
    answers = [None if known is None else known >= least for known, least in rules if least > 0]
    if True in answers:
        return 1.0
    return None if None in answers else 0.0


def _verdict(film: Film, outcome: Outcome, config: TargetsConfig) -> float | None:
    if outcome.verdict is not None:
        return float(VERDICTS.index(outcome.verdict))
    by_rating = config.verdict.by == "rating"
    measure = outcome.rating if by_rating else _return(film, outcome)
    if measure is None:
        return None
    return float(sum(measure >= threshold for threshold in config.verdict.thresholds))


def _return(film: Film, outcome: Outcome) -> float | None:
    """Revenue over budget."""
    if not film.budget_usd or outcome.revenue_usd is None:
        return None
    return outcome.revenue_usd / film.budget_usd


def _deviation(values: list[float]) -> float:
    """The standard deviation; 1 where all values are equal, of which rounding may leave 1e-16."""
    deviation = float(np.std(values))
    return deviation if deviation > 1e-9 else 1.0


@dataclass(frozen=True)
class TargetSpec:
    """The targets of a network and the mean and deviation that scale the regressions."""

    names: tuple[str, ...]
    mean: Mapping[str, float]
    deviation: Mapping[str, float]

    @classmethod
    def fit(cls, films: Iterable[tuple[Film, Outcome]], config: TargetsConfig) -> TargetSpec:
        """From training films. A target known of no film is left out.

        Raises:
          ConfigError: no enabled target is known of any training film.
        """
        known: dict[str, list[float]] = {name: [] for name in config.enabled}
        for film, outcome in films:
            for name, values in known.items():
                number = value(name, film, outcome, config)
                if number is not None:
                    values.append(number)
        names = tuple(name for name in config.enabled if known[name])
        if not names:
            raise ConfigError(
                f"targets: no training film has any of {', '.join(config.enabled)}; "
                "the table needs a column 'rating' or 'revenue_usd'"
            )
        scaled = [name for name in names if is_regression(name)]
        return cls(
            names,
            {name: float(np.mean(known[name])) for name in scaled},
            {name: _deviation(known[name]) for name in scaled},
        )

    def scale(self, name: str, number: float) -> float:
        """From the natural unit to the network's: regressions to mean 0 and deviation 1."""
        if not is_regression(name):
            return number
        return (number - self.mean[name]) / self.deviation[name]

    def to_json(self) -> dict[str, Any]:
        return {
            "names": list(self.names),
            "mean": dict(self.mean),
            "deviation": dict(self.deviation),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> TargetSpec:
        names = tuple(values["names"])
        if not all(isinstance(name, str) for name in names):
            raise ValueError("the names of targets are texts")
        return cls(names, dict(values["mean"]), dict(values["deviation"]))
