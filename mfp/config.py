"""Configuration: the schema (`mfp/schema/`) read from TOML, with `extends` and overrides.

A config holds values only: numbers, words, lists of field names. Every key is typed, every
unknown key, wrong type and impossible value is an error that names the key, the file it came
from and the nearest valid choice. The resolved config is plain JSON, so it travels inside
checkpoints and bundles.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mfp import extensions, film, typed_toml
from mfp.dates import PartialDate
from mfp.schema import (
    TARGETS,
    TEXT_ENCODERS,
    Config,
    DataConfig,
    FeaturesConfig,
    FusionConfig,
    HistoryConfig,
    HitConfig,
    ImageModelConfig,
    KernelModelConfig,
    ModelConfig,
    NumbersModelConfig,
    OptimizerConfig,
    ParallelConfig,
    RatingConfig,
    RevenueConfig,
    SearchConfig,
    SentimentConfig,
    SetsModelConfig,
    SplitConfig,
    TargetsConfig,
    TextConfig,
    TextModelConfig,
    TrainConfig,
    TreesModelConfig,
    TuneConfig,
    VerdictConfig,
    VideoModelConfig,
)
from mfp.typed_toml import ConfigError

__all__ = [
    "Config",
    "ConfigError",
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
    "changes",
    "differences",
    "from_json",
    "load",
    "to_json",
    "value_of",
    "with_values",
]


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
    return [f"{key}: {a!r} -> {b!r}" for key, (a, b) in changes(old, new).items()]


def changes(old: Config, new: Config) -> dict[str, tuple[Any, Any]]:
    """{dotted key: (old, new)} of JSON values, for every key that differs; None where absent."""
    a, b = _flatten(to_json(old)), _flatten(to_json(new))
    pairs = {key: (a.get(key), b.get(key)) for key in sorted(a.keys() | b.keys())}
    return {key: (old, new) for key, (old, new) in pairs.items() if old != new}


def with_values(config: Config, values: Mapping[str, Any], origin: str) -> Config:
    """The config with other values of some dotted keys, checked like a file.

    Raises:
      ConfigError: as `from_json`.
    """
    tree = to_json(config)
    for key, value in values.items():
        *sections, last = key.split(".")
        node: Any = tree
        for name in sections:
            node = node.setdefault(name, {})
            if not isinstance(node, dict):
                raise ConfigError(f"{origin}: {key}: unknown key; '{name}' is no section")
        node[last] = value
    return from_json(tree, origin)


def value_of(config: Config, key: str) -> Any:
    """The value of a dotted key that the config has."""
    found: Any = config
    for name in key.split("."):
        found = getattr(found, name)
    return found


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
    if not config.data.source.startswith("tfds:"):
        own = ("bundled", "table", "reviews", "tfds:<name>")
        extensions.check("source", config.data.source, own, "data.source")
    extensions.check("encoder", config.model.text.encoder, TEXT_ENCODERS, "model.text.encoder")
    if config.data.source == "table" and not config.data.table:
        raise ConfigError("data.table: is empty; name the .csv, .jsonl or .json file of your films")
    if config.data.split.column and config.data.source != "table":
        raise ConfigError("data.split.column: is of a table; it needs data.source = 'table'")
    _check_features(config)
    _check_added(config)
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
    if config.train.batch_size % config.train.accumulate:
        raise ConfigError(
            f"train.batch_size: {config.train.batch_size} cannot be divided into "
            f"{config.train.accumulate} parts (train.accumulate)"
        )
    if config.parallel.model_devices > 1 and config.parallel.mode != "sharded":
        raise ConfigError("parallel.model_devices: needs parallel.mode = 'sharded'")
    if config.train.final_epochs > config.train.epochs:
        raise ConfigError(
            f"train.final_epochs: {config.train.final_epochs} are more than train.epochs, "
            f"{config.train.epochs}, which the schedule is made for"
        )
    for key in ("l1_groups", "l2_groups", "weight_decay_groups"):
        for group, factor in getattr(config.optimizer, key).items():
            if factor < 0:
                raise ConfigError(f"optimizer.{key}.{group}: must be at least 0, got {factor!r}")
    if config.model.fusion.stochastic_depth and not config.model.fusion.residual:
        raise ConfigError("model.fusion.stochastic_depth: needs model.fusion.residual of 1 or more")
    if any(width < 1 for width in config.model.fusion.hidden) or not config.model.fusion.hidden:
        raise ConfigError("model.fusion.hidden: must be a list of positive widths")
    beside = config.model.kernel.share + config.model.trees.share
    if beside > 1:
        raise ConfigError(
            f"model.trees.share: together with model.kernel.share it is {beside:g}; "
            "the regressions have shares of 1 in all"
        )
    _check_pretrained(config)
    _check_space(config)


def _check_added(config: Config) -> None:
    """Modalities and targets of other packages."""
    features = config.features
    taken = {"numbers", "history", *features.sets}
    taken |= {*features.texts, *features.images, *features.videos}
    for name in features.added:
        extensions.check("modality", name, (), "features.added")
        if name in taken:
            raise ConfigError(f"features.added: '{name}' is the name of another modality")
        taken.add(name)
    for name, weight in config.targets.added.items():
        extensions.check("target", name, (), "targets.added")
        if name in TARGETS:
            raise ConfigError(f"targets.added: '{name}' is one of mfp's own targets")
        if weight < 0:
            raise ConfigError(f"targets.added.{name}: must be at least 0, got {weight!r}")


_PRETRAINED_TOKENS = 512  # what the published encoder has positions for


def _check_pretrained(config: Config) -> None:
    text = config.features.text
    if (text.tokens == "pretrained") != (config.model.text.encoder == "pretrained"):
        raise ConfigError(
            "features.text.tokens and model.text.encoder: 'pretrained' is either both or none"
        )
    if text.tokens != "pretrained":
        return
    if text.ngrams or text.vectors:
        raise ConfigError("features.text: ngrams and vectors do not go with pretrained tokens")
    if config.features.max_tokens > _PRETRAINED_TOKENS:
        raise ConfigError(
            f"features.max_tokens: at most {_PRETRAINED_TOKENS} with pretrained tokens"
        )


# Sections that may be searched. Other data or another target is another question, whose loss
# cannot be compared.
_SEARCHED = ("features", "model", "optimizer", "train")


def _check_space(config: Config) -> None:
    plain = dataclasses.replace(config, tune=TuneConfig())
    for key, search in config.tune.space.items():
        try:
            now = value_of(plain, key)
        except AttributeError:
            with_values(plain, {key: 0}, "tune.space")  # says what is wrong with the key
            raise
        place = f"tune.space.'{key}'"
        weight = key.startswith("targets.") and key.endswith(".loss_weight")
        if not (key.startswith(tuple(f"{name}." for name in _SEARCHED)) or weight):
            raise ConfigError(
                f"{place}: cannot be searched; keys of {', '.join(_SEARCHED)} can, and the loss "
                "weights of targets"
            )
        if weight and config.tune.metric == "loss":
            raise ConfigError(
                f"{place}: changes the loss itself; name a tune.metric, for example rating/r2"
            )
        _check_search(place, search, now)
        for value in search.choices or (search.low, search.high):
            # Ends of ranges are floats, the key may be whole.
            whole = type(now) is int and type(value) is float and value.is_integer()
            with_values(plain, {key: int(value) if whole else value}, "tune.space")


def _check_search(place: str, search: SearchConfig, now: Any) -> None:
    """A range fits a key's type, and choices are not given with a range."""
    ranged = bool(search.low or search.high or search.log)
    if bool(search.choices) == ranged:
        raise ConfigError(f"{place}: give either low and high, or choices")
    if not ranged:
        return
    if type(now) not in (int, float):
        raise ConfigError(f"{place}: {now!r} is no number: give choices")
    if not search.low < search.high:
        raise ConfigError(f"{place}: low must be less than high")
    if search.log and search.low <= 0:
        raise ConfigError(f"{place}: low must be more than 0 for a range over magnitudes (log)")


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
        "features.images": (features.images, film.IMAGE_FIELDS),
        "features.videos": (features.videos, film.VIDEO_FIELDS),
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
            own = valid is film.NUMBER_INPUTS and film.is_own_number(name)
            if name not in valid and not own:
                choices = (*valid, "number:<lower_case>") if valid is film.NUMBER_INPUTS else valid
                raise ConfigError(
                    f"{key}: '{name}' cannot be used here; {typed_toml.nearest(name, choices)}"
                )
            if name in used:
                raise ConfigError(f"{key}: '{name}' is already used by {used[name]}")
            used[name] = key
    of_sets = {
        "features.ordered": features.ordered,
        "model.sets.multi_hot": config.model.sets.multi_hot,
    }
    for key, names in of_sets.items():
        for name in names:
            if name not in film.SET_FIELDS:
                hint = typed_toml.nearest(name, film.SET_FIELDS)
                raise ConfigError(f"{key}: '{name}' is not a set field; {hint}")
    _check_history(features.history)
    if not used and not features.added:
        raise ConfigError("features: no inputs; name some numbers, texts or sets")
    clash = {"numbers", "history", *features.texts, *features.images, *features.videos} & set(
        features.sets
    )
    if clash:
        raise ConfigError(f"features.sets: '{min(clash)}' is the name of another modality")


def _check_history(history: HistoryConfig) -> None:
    choices = {
        "fields": film.SET_FIELDS,
        "clocks": film.SET_FIELDS,
        "outcomes": ("rating", "revenue", "hit", "verdict"),
    }
    for key, valid in choices.items():
        chosen = getattr(history, key)
        for name in chosen:
            if name not in valid:
                hint = typed_toml.nearest(name, valid)
                raise ConfigError(f"features.history.{key}: '{name}' cannot be used here; {hint}")
        if len(set(chosen)) < len(chosen):
            raise ConfigError(f"features.history.{key}: names one of them twice")
    if history.fields and not history.outcomes:
        raise ConfigError("features.history.outcomes: is empty; name rating or revenue")
    if 0 < history.half_life_years < 0.5:  # 2 to the power of all years over it must be finite
        raise ConfigError("features.history.half_life_years: must be 0 (none) or at least 0.5")
