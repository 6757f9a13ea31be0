"""The schema of a config: every key, its type, its default and its bounds. Values only.

Its sections are modules: data.py (data, features), targets.py, model.py, training.py (optimizer,
train, parallel, tune).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from mfp.schema.data import DataConfig, FeaturesConfig, HistoryConfig, SplitConfig, TextConfig
from mfp.schema.model import (
    TEXT_ENCODERS,
    FusionConfig,
    ImageModelConfig,
    KernelModelConfig,
    ModelConfig,
    NumbersModelConfig,
    SetsModelConfig,
    TextModelConfig,
    TreesModelConfig,
    VideoModelConfig,
)
from mfp.schema.targets import (
    TARGETS,
    HitConfig,
    RatingConfig,
    RevenueConfig,
    SentimentConfig,
    TargetsConfig,
    VerdictConfig,
)
from mfp.schema.training import (
    OptimizerConfig,
    ParallelConfig,
    SearchConfig,
    TrainConfig,
    TuneConfig,
)
from mfp.typed_toml import bounded

__all__ = [
    "TARGETS",
    "TEXT_ENCODERS",
    "Config",
    "DataConfig",
    "FeaturesConfig",
    "FusionConfig",
    "HistoryConfig",
    "HitConfig",
    "ImageModelConfig",
    "KernelModelConfig",
    "ModelConfig",
    "NumbersModelConfig",
    "OptimizerConfig",
    "ParallelConfig",
    "RatingConfig",
    "RevenueConfig",
    "SearchConfig",
    "SentimentConfig",
    "SetsModelConfig",
    "SplitConfig",
    "TargetsConfig",
    "TextConfig",
    "TextModelConfig",
    "TrainConfig",
    "TreesModelConfig",
    "TuneConfig",
    "VerdictConfig",
    "VideoModelConfig",
]


@dataclass(frozen=True)
class Config:
    """Everything that decides a run."""

    name: str = "base"  # the run folder is runs/<name>
    seed: int = bounded(0, low=0, high=2**32 - 1)
    as_of: Literal["pre_release", "post_release"] = "pre_release"
    data: DataConfig = field(default_factory=DataConfig)
    features: FeaturesConfig = field(default_factory=FeaturesConfig)
    targets: TargetsConfig = field(default_factory=TargetsConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    parallel: ParallelConfig = field(default_factory=ParallelConfig)
    tune: TuneConfig = field(default_factory=TuneConfig)
