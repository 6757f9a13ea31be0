"""Configuration: frozen dataclasses read from TOML, with `extends` and `section.key=value`.

A config holds values only: numbers, words, lists of field names. Every key is typed, every
unknown key, wrong type and impossible value is an error that names the key, the file it came
from and the nearest valid choice. The resolved config is plain JSON, so it travels inside
checkpoints and bundles.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from mfp import film, typed_toml
from mfp.dates import PartialDate
from mfp.typed_toml import ConfigError, bounded


@dataclass(frozen=True)
class SplitConfig:
    """Last release day (inclusive) of each split; films released later are left out."""

    train_until: str = "2008-12-31"
    validation_until: str = "2010-12-31"
    test_until: str = "2014-12-31"


@dataclass(frozen=True)
class DataConfig:
    """Where films come from and how they are split."""

    source: Literal["bundled", "table"] = "bundled"
    table: str = ""  # path of a .csv, .jsonl or .json file; needed when source = "table"
    media: str = ""  # folder that the table's poster and trailer paths are relative to
    prepared: str = "runs/prepared"  # where the TFDS dataset `movie_feedback` is kept
    split: SplitConfig = field(default_factory=SplitConfig)


@dataclass(frozen=True)
class FeaturesConfig:
    """Which fields enter the network, and how they are turned into arrays."""

    numbers: tuple[str, ...] = ()  # number fields and derived numbers, see data/tabular.py
    texts: tuple[str, ...] = ()  # text fields, each a modality of its own
    # A set modality is a name and the fields it joins, for example crew = ["directors", "cast"].
    sets: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    # Set fields whose order carries meaning (billing). The bundled cast is alphabetical.
    ordered: tuple[str, ...] = ()
    min_films: int = bounded(2, low=1)  # a name seen in fewer training films is "unknown"
    max_names: int = bounded(50_000, low=1)  # per vocabulary, the most frequent are kept
    max_members: int = bounded(12, low=1)  # members kept of each set field of a film
    max_tokens: int = bounded(128, low=1)  # tokens kept of each text
    min_word_films: int = bounded(3, low=1)  # a word seen in fewer training films is "unknown"
    max_words: int = bounded(30_000, low=1)


@dataclass(frozen=True)
class RatingConfig:
    """Rating on the scale 0-10: regression by mean squared error."""

    loss_weight: float = bounded(1.0, low=0)


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


@dataclass(frozen=True)
class VerdictConfig:
    """flop / average / hit / superhit by three rising thresholds. Softmax cross-entropy."""

    loss_weight: float = bounded(0.0, low=0)
    by: Literal["rating", "revenue_over_budget"] = "rating"
    thresholds: tuple[float, ...] = (5.0, 6.5, 8.0)


@dataclass(frozen=True)
class TargetsConfig:
    """What is predicted. A loss weight of 0 leaves the target (and its head) out."""

    rating: RatingConfig = field(default_factory=RatingConfig)
    revenue: RevenueConfig = field(default_factory=RevenueConfig)
    hit: HitConfig = field(default_factory=HitConfig)
    verdict: VerdictConfig = field(default_factory=VerdictConfig)

    @property
    def enabled(self) -> tuple[str, ...]:
        """Names of the targets with a positive loss weight, in a fixed order."""
        names = ("rating", "revenue", "hit", "verdict")
        return tuple(name for name in names if getattr(self, name).loss_weight > 0)


@dataclass(frozen=True)
class NumbersModelConfig:
    """Encoder of the numbers: a small perceptron over values and missing indicators."""

    hidden: int = bounded(64, low=1)


@dataclass(frozen=True)
class SetsModelConfig:
    """Encoder of set-valued fields: embeddings pooled by attention."""

    embedding: int = bounded(16, low=1)
    dropout: float = bounded(0.2, low=0, high=0.99)
    # Share of members shown as "unknown" in training, so that a debut is familiar.
    unknown_dropout: float = bounded(0.3, low=0, high=0.99)


@dataclass(frozen=True)
class TextModelConfig:
    """Encoder of texts: embedding, LSTM, additive attention."""

    embedding: int = bounded(32, low=1)
    hidden: int = bounded(32, low=1)
    bidirectional: bool = True
    dropout: float = bounded(0.3, low=0, high=0.99)


@dataclass(frozen=True)
class FusionConfig:
    """How modality vectors become one: concatenation and a perceptron."""

    hidden: tuple[int, ...] = (256, 128)
    dropout: float = bounded(0.2, low=0, high=0.99)
    # Share of present modalities hidden in training, so that any may be missing later.
    modality_dropout: float = bounded(0.1, low=0, high=0.99)


@dataclass(frozen=True)
class ModelConfig:
    """The network: one encoder per modality, a fusion, a head per target."""

    numbers: NumbersModelConfig = field(default_factory=NumbersModelConfig)
    sets: SetsModelConfig = field(default_factory=SetsModelConfig)
    text: TextModelConfig = field(default_factory=TextModelConfig)
    fusion: FusionConfig = field(default_factory=FusionConfig)


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
    ema: float = bounded(0.98, low=0, high=0.99999)  # parameter averaging; 0 = none


@dataclass(frozen=True)
class TrainConfig:
    """The loop."""

    batch_size: int = bounded(256, low=1)
    epochs: int = bounded(12, low=1)
    patience: int = bounded(4, low=1)  # epochs without a better validation loss before stopping
    log_every: int = bounded(10, low=1)  # steps
    checkpoint_every: int = bounded(50, low=1)  # steps, besides one at the end of each epoch


@dataclass(frozen=True)
class ParallelConfig:
    """How a step is spread over the devices of this machine."""

    mode: Literal["jit", "pmap"] = "jit"  # pmap: the batch is split over all local devices


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


def load(path: str | Path, overrides: Iterable[str] = ()) -> Config:
    """Read a TOML config, follow `extends`, apply `section.key=value` overrides, validate.

    Raises:
      ConfigError: naming file, key and remedy.
    """
    overrides = tuple(overrides)
    origin = f"{path} with --set" if overrides else str(path)
    return _validated(typed_toml.read(Config, Path(path), overrides), origin)


def from_json(values: Mapping[str, Any], origin: str) -> Config:
    """The config of `to_json`, checked like a file; `origin` names it in errors."""
    return _validated(typed_toml.build(Config, values, origin), origin)


def to_json(config: Config) -> dict[str, Any]:
    """Plain JSON values; `from_json` is its inverse."""
    return json.loads(json.dumps(dataclasses.asdict(config)))


def differences(old: Config, new: Config) -> list[str]:
    """Lines 'key: old -> new' for every key that differs."""
    a, b = _flatten(to_json(old)), _flatten(to_json(new))
    return [
        f"{key}: {a.get(key)!r} -> {b.get(key)!r}"
        for key in sorted(a.keys() | b.keys())
        if a.get(key) != b.get(key)
    ]


def _flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def _validated(config: Config, origin: str) -> Config:
    try:
        _check(config)
    except ConfigError as error:
        raise ConfigError(f"{origin}: {error}") from None
    return config


def _check(config: Config) -> None:
    """Checks that need more than one key."""
    _check_split(config.data.split)
    if config.data.source == "table" and not config.data.table:
        raise ConfigError("data.table: is empty; name the .csv, .jsonl or .json file of your films")
    _check_features(config)
    if not config.targets.enabled:
        raise ConfigError("targets: every loss_weight is 0; give at least one target a weight")
    hit = config.targets.hit
    if hit.loss_weight > 0 and not (
        hit.rating_at_least or hit.revenue_at_least_usd or hit.revenue_over_budget
    ):
        raise ConfigError("targets.hit: every rule is off (0); set one, or loss_weight = 0")
    thresholds = config.targets.verdict.thresholds
    if len(thresholds) != 3 or list(thresholds) != sorted(set(thresholds)):
        raise ConfigError("targets.verdict.thresholds: must be three rising numbers")
    if not config.name or Path(config.name).name != config.name or config.name.startswith("."):
        raise ConfigError(f"name: {config.name!r} cannot be a folder name")
    if any(width < 1 for width in config.model.fusion.hidden) or not config.model.fusion.hidden:
        raise ConfigError("model.fusion.hidden: must be a list of positive widths")


def _check_split(split: SplitConfig) -> None:
    dates = []
    for key in ("train_until", "validation_until", "test_until"):
        try:
            dates.append(PartialDate.parse(getattr(split, key)).last_day())
        except ValueError as error:
            raise ConfigError(f"data.split.{key}: {error}") from None
    if not dates[0] < dates[1] < dates[2]:
        raise ConfigError("data.split: train_until < validation_until < test_until must hold")


def _check_features(config: Config) -> None:
    features = config.features
    groups = {
        "features.numbers": (features.numbers, film.NUMBER_INPUTS),
        "features.texts": (features.texts, film.TEXT_FIELDS),
        **{
            f"features.sets.{name}": (fields, film.SET_FIELDS)
            for name, fields in features.sets.items()
        },
    }
    used: dict[str, str] = {}
    for key, (names, valid) in groups.items():
        for name in names:
            if name in film.TARGET_FIELDS:
                raise ConfigError(f"{key}: '{name}' is a target, it cannot be an input")
            if config.as_of == "pre_release" and film.is_post_release(name):
                raise ConfigError(
                    f"{key}: '{name}' is known only after release and as_of = 'pre_release'; "
                    "remove it, or set as_of = 'post_release'"
                )
            if name not in valid:
                raise ConfigError(
                    f"{key}: '{name}' cannot be used here; {typed_toml.nearest(name, valid)}"
                )
            if name in used:
                raise ConfigError(f"{key}: '{name}' is already used by {used[name]}")
            used[name] = key
    for name in features.ordered:
        if name not in film.SET_FIELDS:
            hint = typed_toml.nearest(name, film.SET_FIELDS)
            raise ConfigError(f"features.ordered: '{name}' is not a set field; {hint}")
    if not used:
        raise ConfigError("features: no inputs; name some numbers, texts or sets")
    clash = {"numbers", *features.texts} & set(features.sets)
    if clash:
        raise ConfigError(f"features.sets: '{min(clash)}' is the name of another modality")
