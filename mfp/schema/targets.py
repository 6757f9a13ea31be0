"""What is forecast of a film: `targets` of a config."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from mfp.typed_toml import bounded


@dataclass(frozen=True)
class RatingConfig:
    """Rating on the scale 0-10: regression by mean squared error."""

    loss_weight: float = bounded(1.0, low=0)
    # A mean of few votes is noisy: in the loss, and only there, a film's rating counts
    # votes / (votes + votes_half), where its vote_count is known. 0 counts all alike.
    votes_half: float = bounded(0.0, low=0)


@dataclass(frozen=True)
class RevenueConfig:
    """Box office: regression on log10 dollars by mean squared error."""

    loss_weight: float = bounded(0.4, low=0)
    minimum_usd: float = bounded(1.0, low=1.0)  # smaller reported revenues are not trusted


@dataclass(frozen=True)
class HitConfig:
    """A hit is any enabled rule that holds; 0 turns a rule off. Binary cross-entropy."""

    loss_weight: float = bounded(0.3, low=0)
    rating_at_least: float = bounded(7.0, low=0, high=10)
    revenue_at_least_usd: float = bounded(0.0, low=0)
    revenue_over_budget: float = bounded(0.0, low=0)
    label_smoothing: float = bounded(0.0, low=0, high=1)  # in the loss of training alone


@dataclass(frozen=True)
class VerdictConfig:
    """flop / average / hit / superhit by three rising thresholds. Softmax cross-entropy.

    A class of hardly any films cannot be foretold: these leave a sixth of critics' ratings to the
    outer two each, and a third to the inner two. Viewers' ratings are closer: 5.4, 6.2, 7.0.
    """

    loss_weight: float = bounded(0.0, low=0)
    by: Literal["rating", "revenue_over_budget"] = "rating"
    thresholds: tuple[float, ...] = (4.5, 6.0, 7.2)
    label_smoothing: float = bounded(0.0, low=0, high=1)


@dataclass(frozen=True)
class SentimentConfig:
    """Whether a review praises (1) or pans (0). Binary cross-entropy."""

    loss_weight: float = bounded(0.0, low=0)
    label_smoothing: float = bounded(0.0, low=0, high=1)


TARGETS = ("rating", "revenue", "hit", "verdict", "sentiment")  # mfp's own


@dataclass(frozen=True)
class TargetsConfig:
    """What is predicted. A loss weight of 0 leaves the target (and its head) out."""

    rating: RatingConfig = field(default_factory=RatingConfig)
    revenue: RevenueConfig = field(default_factory=RevenueConfig)
    hit: HitConfig = field(default_factory=HitConfig)
    verdict: VerdictConfig = field(default_factory=VerdictConfig)
    sentiment: SentimentConfig = field(default_factory=SentimentConfig)
    # uncertainty: besides, each loss counts by how well its target can be told, which is learned
    # (Kendall et al. 2018). Epochs are compared by the fixed weights all the same.
    weighting: Literal["fixed", "uncertainty"] = "fixed"
    # Numbers that other packages add, each with its loss weight, see CONTRIBUTING.md.
    added: Mapping[str, float] = field(default_factory=dict)

    @property
    def enabled(self) -> tuple[str, ...]:
        """Names of the targets with a positive loss weight, in a fixed order."""
        return tuple(name for name in (*TARGETS, *self.added) if self.loss_weight(name) > 0)

    def loss_weight(self, name: str) -> float:
        """By how much a target's loss is multiplied."""
        return self.added[name] if name in self.added else getattr(self, name).loss_weight
