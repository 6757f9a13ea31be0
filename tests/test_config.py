"""The schema of a run: shipped files load, impossible combinations are refused by name."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from benchmarks import reproduce
from conftest import ROOT

from mfp import config as configs
from mfp import film
from mfp.config import Config, ConfigError

SHIPPED = sorted((ROOT / "configs").glob("*.toml"))


def load(tmp_path: Path, text: str = "", *overrides: str) -> Config:
    path = tmp_path / "mine.toml"
    path.write_text(f"extends = {json.dumps(str(ROOT / 'configs' / 'base.toml'))}\n{text}")
    return configs.load(path, overrides)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_a_shipped_config_loads_and_survives_json(path: Path):
    config = configs.load(path)
    assert config.name == path.stem  # so that runs/<name> is found
    text = json.dumps(configs.to_json(config))
    assert configs.from_json(json.loads(text), "x") == config


@pytest.mark.parametrize(
    ("common", "options"),
    [(common, row) for common, rows in reproduce.ABLATION.values() for row in rows.values()],
)
def test_what_an_ablation_changes_is_a_config(common, options):
    base = ROOT / "configs" / "base.toml"
    first = configs.load(base, [*reproduce.EARLY, *common])
    found = configs.load(base, [*reproduce.EARLY, *common, *options])
    assert configs.differences(first, found)


def test_debug_is_base_but_smaller():
    base, debug = (configs.load(ROOT / "configs" / f"{n}.toml") for n in ("base", "debug"))
    assert debug.features == base.features
    assert debug.train.epochs < base.train.epochs
    assert any(line.startswith("train.epochs: ") for line in configs.differences(base, debug))


def test_differences_name_every_key_that_differs(tmp_path: Path):
    base = load(tmp_path)
    assert configs.differences(base, base) == []
    other = load(tmp_path, "", "train.epochs=3", 'features.sets.content=["genres"]')
    assert configs.differences(base, other) == [
        "features.sets.content: ['genres', 'keywords', 'certificate'] -> ['genres']",
        f"train.epochs: {base.train.epochs} -> 3",
    ]


POST_RELEASE = [
    (key, name)
    for key, names in (("numbers", film.NUMBER_INPUTS), ("texts", film.TEXT_FIELDS))
    for name in names
    if film.is_post_release(name)
]


@pytest.mark.parametrize(("key", "name"), POST_RELEASE)
def test_a_post_release_field_is_refused_by_name_before_release(
    tmp_path: Path, key: str, name: str
):
    text = f'features.{key} = ["{name}"]'
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    message = str(caught.value)
    assert "mine.toml" in message
    assert f"features.{key}: '{name}' is known only after release" in message
    assert "set as_of = 'post_release'" in message
    after = load(tmp_path, text, "as_of=post_release")
    assert name in getattr(after.features, key)


def test_there_are_post_release_fields():
    assert {name for _, name in POST_RELEASE} == {"vote_count", "popularity", "reviews"}


@pytest.mark.parametrize("name", film.TARGET_FIELDS)
@pytest.mark.parametrize("as_of", ["pre_release", "post_release"])
def test_a_target_is_never_an_input(tmp_path: Path, name: str, as_of: str):
    for key in ("numbers", "texts", "sets.x"):
        with pytest.raises(ConfigError, match=f"{key}: '{name}' is a target"):
            load(tmp_path, f'as_of="{as_of}"\nfeatures.{key} = ["{name}"]')


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('features.numbers=["budget"]', "features.numbers: .*did you mean 'budget_usd'"),
        ('features.texts=["plto"]', "features.texts: .*did you mean 'plot'"),
        ('features.sets.x=["companis"]', "features.sets.x: .*did you mean 'companies'"),
        ('features.sets.x=["cast"]', "features.sets.*'cast' is already used by features.sets"),
        ('features.numbers=["cast_count", "cast_count"]', "'cast_count' is already used"),
        ('features.ordered=["casts"]', "features.ordered: .*did you mean 'cast'"),
        ('model.sets.multi_hot=["genre"]', "model.sets.multi_hot: .*did you mean 'genres'"),
        ("[features.sets]\npeople=[]\nnumbers=[]", "features.sets: 'numbers' is the name of"),
        ("[features.sets]\ntitle=[]", "features.sets: 'title' is the name of"),
        (
            "[features]\nnumbers=[]\ntexts=[]\nsets.people=[]\nsets.content=[]\nsets.origin=[]",
            "features: no inputs; name some",
        ),
        ('data.source="table"', "data.table: is empty; name the"),
        ('data.split.train_until="2008-13"', "data.split.train_until: '2008-13' is not a day"),
        ('data.split.train_until="soon"', "data.split.train_until: .*write YYYY-MM-DD"),
        ("data.split.train_until=2010-12-31", "train_until < validation_until < test_until"),
        ("data.split.test_until=1990-12-31", "train_until < validation_until < test_until"),
        (
            "[targets]\nrating.loss_weight=0\nrevenue.loss_weight=0\nhit.loss_weight=0",
            "targets: every loss_weight is 0",
        ),
        ("targets.hit.rating_at_least=0", "targets.hit: every rule is off"),
        ("targets.verdict.thresholds=[1, 2]", "targets.verdict.thresholds: must be three rising"),
        ("targets.verdict.thresholds=[1, 3, 2]", "thresholds: must be three rising"),
        ("targets.verdict.thresholds=[1, 1, 2]", "thresholds: must be three rising"),
        ('name=""', "name: '' cannot be a folder name"),
        ('name="../x"', "cannot be a folder name"),
        ('name="/x"', "cannot be a folder name"),
        ('name="."', "cannot be a folder name"),
        ("model.fusion.hidden=[]", "model.fusion.hidden: must be"),
        ("model.fusion.hidden=[4, 0]", "model.fusion.hidden: must be"),
        ("train.batch_size=0", "train.batch_size: must be at least 1"),
        ("model.fusion.dropout=1", "model.fusion.dropout: must be at most 0.99"),
        ("seed=-1", "seed: must be at least 0"),
        ("train.epoch=3", "train.epoch: unknown key; did you mean 'epochs'"),
        ("train.final_epochs=99", r"train\.final_epochs: 99 are more than train\.epochs"),
        ("[optimizer]\nl1_groups.fusion=-1", r"l1_groups\.fusion: must be at least 0"),
        ("model.fusion.stochastic_depth=0.1", r"stochastic_depth: needs model\.fusion\.residual"),
        ('optimizer.name="adamx"', "optimizer.name: .*did you mean 'adam"),
        ('as_of="before"', "as_of: 'before' is not a choice"),
        *(
            (f"tune.space.{text}", message)
            for text, message in (
                (
                    '"optimizer.learning_rte".low=1',
                    "tune.space: optimizer.learning_rte: unknown key; did you mean 'learning_rate'",
                ),
                ('"optimiser.l1".low=1', "tune.space: optimiser: unknown .* mean 'optimizer'"),
                ('"optimizer.l1.x".low=1', "tune.space: optimizer.l1.x: unknown key; 'l1' is no"),
                ("optimizer.l1.low=1", '.*stands in quotes: "optimizer.l1"'),
                ('"optimizer.l1"={lo=1}', "tune.space.optimizer.l1.lo: .*did you mean 'low'"),
                ('"optimizer.l1"={}', "tune.space.'optimizer.l1': give either low and high, or"),
                ('"optimizer.l1"={low=1,high=2,choices=[1.0]}', "give either low and high, or"),
                ('"optimizer.l1"={low=2,high=1}', "low must be less than high"),
                ('"optimizer.l1"={high=1,log=true}', "low must be more than 0"),
                ('"optimizer.l1"={low=-1,high=1}', "optimizer.l1: must be at least 0, got -1"),
                ('"model.fusion.dropout"={high=1}', "dropout: must be at most 0.99, got 1"),
                ('"train.batch_size"={low=0,high=9}', "train.batch_size: must be at least 1"),
                ('"train.batch_size"={low=1.5,high=9}', "must be a whole number, got 1.5"),
                ('"train.batch_size".choices=[8, "x"]', "must be a whole number, got 'x'"),
                ('"model.fusion.kind".choices=["gate"]', "'gate' is not a choice; .*'gated'"),
                ('"model.fusion.kind"={low=1,high=2}', "'concatenation' is no number: give choi"),
                ('"model.text.bidirectional".high=1', "True is no number: give choices"),
                ('"model.fusion.hidden".choices=[[8],[]]', "must be a list of positive widths"),
                ('"seed"={low=1,high=2}', "cannot be searched; keys of features, model, optimi"),
                ('"data.split.train_until".choices=["2000"]', "cannot be searched"),
                ('"targets.hit.rating_at_least"={high=9}', "cannot be searched"),
                ('"targets.hit.loss_weight"={high=1}', "changes the loss itself; name a tune"),
            )
        ),
    ],
)
def test_an_error_names_file_key_and_remedy(tmp_path: Path, text: str, message: str):
    with pytest.raises(ConfigError, match=rf"mine\.toml: .*{message}") as caught:
        load(tmp_path, text)
    assert "\n" not in str(caught.value)


def test_an_error_says_that_set_was_there(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"mine\.toml with --set: name: "):
        load(tmp_path, "", "name=a/b")
    values = configs.to_json(load(tmp_path)) | {"name": "a/b"}
    with pytest.raises(ConfigError, match=r"^run/config\.json: name: "):
        configs.from_json(values, "run/config.json")


def test_numbers_of_the_table_s_own(tmp_path: Path):
    text = "features.numbers = ['number:bmi', 'budget_usd']"
    assert load(tmp_path, text).features.numbers == ("number:bmi", "budget_usd")
    for name in ("number:BMI", "number:"):
        with pytest.raises(ConfigError, match=f"'{name}' cannot be used here; .*number:<lower"):
            load(tmp_path, f"features.numbers = ['{name}']")
    with pytest.raises(ConfigError, match="number:bmi' cannot be used here"):
        load(tmp_path, "features.texts = ['number:bmi']")
    with pytest.raises(ConfigError, match=r"data\.split\.column: is of a table"):
        load(tmp_path, "data.split.column = 'fold'")


def test_enabled_targets_stand_in_a_fixed_order(tmp_path: Path):
    text = "[targets]\nverdict.loss_weight=1\nrevenue.loss_weight=0"
    assert load(tmp_path, text).targets.enabled == ("rating", "hit", "verdict")


def test_a_config_is_frozen_all_the_way(tmp_path: Path):
    def check(part) -> None:
        for item in dataclasses.fields(part):
            value = getattr(part, item.name)
            with pytest.raises(dataclasses.FrozenInstanceError):
                setattr(part, item.name, value)
            if dataclasses.is_dataclass(value):
                check(value)

    check(load(tmp_path))


def test_other_values_of_dotted_keys(tmp_path: Path):
    config = load(tmp_path)
    values = {"optimizer.learning_rate": 0.5, "model.fusion.hidden": [4], "features.sets.x": []}
    found = configs.with_values(config, values, "here")
    assert configs.value_of(found, "optimizer.learning_rate") == 0.5
    assert found.model.fusion.hidden == (4,)
    assert configs.changes(config, found) == {
        "features.sets.x": (None, []),
        "model.fusion.hidden": ([256], [4]),
        "optimizer.learning_rate": (0.0015, 0.5),
    }
    with pytest.raises(ConfigError, match=r"^here: train\.epoch: .*'epochs'"):
        configs.with_values(config, {"train.epoch": 3}, "here")
