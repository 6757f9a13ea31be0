"""TOML into frozen dataclasses: inheritance, overrides, and errors that name their place."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfp import typed_toml
from mfp.typed_toml import ConfigError, bounded


@dataclass(frozen=True)
class Oven:
    degrees: float = bounded(180.0, low=0, high=300)
    minutes: int = bounded(30, low=1)
    fan: bool = False


@dataclass(frozen=True)
class Recipe:
    name: str = "bread"
    flour: Literal["wheat", "rye"] = "wheat"
    steps: tuple[str, ...] = ()
    oven: Oven = field(default_factory=Oven)
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    tools: Mapping[str, Oven] = field(default_factory=dict)
    notes: tuple[Any, ...] = ()


def write(folder: Path, name: str = "a.toml", text: str = "") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def read(path: Path, *overrides: str) -> Recipe:
    return typed_toml.read(Recipe, path, overrides)


def test_defaults_and_values(tmp_path: Path):
    assert read(write(tmp_path)) == Recipe()
    text = 'flour="rye"\nsteps=["mix", "bake"]\noven.minutes=5\ngroups.wet=["water"]'
    assert read(write(tmp_path, text=text)) == Recipe(
        flour="rye",
        steps=("mix", "bake"),
        oven=Oven(minutes=5),
        groups={"wet": ("water",)},
    )


def test_a_chain_of_files_is_merged_key_by_key(tmp_path: Path):
    write(tmp_path, "base.toml", 'name="base"\noven.minutes=1\noven.degrees=100\nsteps=["a", "b"]')
    (tmp_path / "inner").mkdir()
    write(tmp_path / "inner", "middle.toml", 'extends="../base.toml"\noven.minutes=2')
    top = write(tmp_path, "top.toml", 'extends="inner/middle.toml"\nsteps=["c"]')
    assert read(top, "oven.fan=true") == Recipe("base", steps=("c",), oven=Oven(100.0, 2, True))


@pytest.mark.parametrize("length", [1, 2, 3])
def test_a_cycle_of_files_is_told(tmp_path: Path, length: int):
    for i in range(length):
        write(tmp_path, f"{i}.toml", f'extends="{(i + 1) % length}.toml"')
    with pytest.raises(ConfigError, match=r"0\.toml: extends itself through .*0\.toml"):
        read(tmp_path / "0.toml")


def test_a_file_extended_twice_is_no_cycle(tmp_path: Path):
    write(tmp_path, "base.toml", 'name="base"')
    write(tmp_path, "middle.toml", 'extends="base.toml"')
    assert read(write(tmp_path, "top.toml", 'extends="middle.toml"')).name == "base"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("oven.minuets=3", r"a\.toml: oven\.minuets: unknown key; did you mean 'minutes'\?"),
        ("xyzzy=3", r"a\.toml: xyzzy: unknown key; valid: flour, groups, name, notes, oven,"),
        ("[oven.empty]", r"a\.toml: oven\.empty: unknown key"),
        ("oven=3", r"a\.toml: oven: is a section; write oven\.<key>"),
        ("name.x=3", r"a\.toml: name: is a value, not a section"),
        ("[name]", r"a\.toml: name: is a value, not a section"),
        ("name=3", r"a\.toml: name: must be a string, got 3 \(a whole number\)"),
        ("oven.minutes=3.0", r"a\.toml: oven\.minutes: must be a whole number, got 3\.0"),
        ("oven.minutes=true", r"a\.toml: oven\.minutes: must be a whole number, got True"),
        ("oven.degrees=true", r"a\.toml: oven\.degrees: must be a number"),
        ("oven.degrees=nan", r"a\.toml: oven\.degrees: must be finite"),
        ("oven.degrees=inf", r"a\.toml: oven\.degrees: must be finite"),
        ("oven.degrees=1" + "0" * 400, r"a\.toml: oven\.degrees: must be finite"),
        ("oven.degrees=1" + "0" * 5000, r"a\.toml: cannot be read as TOML"),
        ("oven.fan=1", r"a\.toml: oven\.fan: must be true or false, got 1"),
        ("oven.minutes=0", r"a\.toml: oven\.minutes: must be at least 1, got 0"),
        ("oven.degrees=301", r"a\.toml: oven\.degrees: must be at most 300, got 301"),
        ('flour="rey"', r"a\.toml: flour: 'rey' is not a choice; did you mean 'rye'\?"),
        ("flour=[]", r"a\.toml: flour: \[\] is not a choice"),
        ('steps="mix"', r"a\.toml: steps: must be a list, got 'mix'"),
        ('steps=["mix", 3]', r"a\.toml: steps\[1\]: must be a string, got 3"),
        ("groups=3", r"a\.toml: groups: is a table; write groups\.<name>"),
        ('groups.wet="water"', r"a\.toml: groups\.wet: must be a list"),
        ("extends=3", r"a\.toml: extends: must be a file name, got 3"),
        ('extends="none.toml"', r"none\.toml: no such config file"),
        ('extends="."', r"is a folder; name a \.toml file"),
        ("tools=3", r"a\.toml: tools: is a table; write tools\.<name>"),
        ("tools.whisk=3", r"a\.toml: tools\.whisk: is a table; write tools\.whisk = \{"),
        ("tools.whisk.minuets=3", r"a\.toml: tools\.whisk\.minuets: unknown key; did you mean"),
        ("tools.a.b.fan=true", r'tools\.a: a name with dots stands in quotes: "a\.b"'),
        ("name=", r"a\.toml: cannot be read as TOML: Invalid value"),
    ],
)
def test_an_error_names_file_key_and_remedy(tmp_path: Path, text: str, message: str):
    with pytest.raises(ConfigError, match=message):
        read(write(tmp_path, text=text))


def test_an_error_names_the_file_of_the_wrong_value(tmp_path: Path):
    write(tmp_path, "base.toml", "oven.minutes=0")
    top = write(tmp_path, "top.toml", 'extends="base.toml"\nname="top"\noven.degrees=3')
    with pytest.raises(ConfigError, match=r"base\.toml: oven\.minutes"):
        read(top)
    assert read(top, "oven.minutes=3").oven == Oven(3.0, 3)  # a later value replaces it


@pytest.mark.parametrize("parent", ["3", '"a\\u0000b.toml"', "[]"])
def test_what_is_no_file_name_is_not_extended(tmp_path: Path, parent: str):
    path = write(tmp_path, "top.toml", f"extends={parent}")
    with pytest.raises(ConfigError, match=r"top\.toml: extends: must be a file name, got"):
        read(path)


def test_a_file_that_is_not_utf8_is_told(tmp_path: Path):
    path = tmp_path / "latin.toml"
    path.write_bytes(b'name="caf\xe9"')
    with pytest.raises(ConfigError, match=r"latin\.toml: cannot be read as TOML"):
        read(path)


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("name=rolls", Recipe(name="rolls")),
        ('name="3"', Recipe(name="3")),
        ("name=a=b", Recipe(name="a=b")),
        ("name=", Recipe(name="")),
        ("name=2008-12-31", Recipe(name="2008-12-31")),  # TOML would make it a date
        (" oven . minutes = 4", Recipe(oven=Oven(minutes=4))),
        ("oven.degrees=4", Recipe(oven=Oven(degrees=4.0))),
        ("oven.degrees=1e2", Recipe(oven=Oven(degrees=100.0))),
        ("oven.fan=true", Recipe(oven=Oven(fan=True))),
        ('steps=["a"]', Recipe(steps=("a",))),
        ("steps=[]", Recipe()),
        ('groups.wet=["a"]', Recipe(groups={"wet": ("a",)})),
    ],
)
def test_overrides_are_typed(tmp_path: Path, override: str, expected: Recipe):
    assert read(write(tmp_path), override) == expected


def test_the_last_override_wins(tmp_path: Path):
    assert read(write(tmp_path), "oven.minutes=1", "oven.minutes=2").oven.minutes == 2


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("oven.minutes", "--set oven.minutes: write section.key=value"),
        ("=3", "--set =3: write section.key=value"),
        ("oven..minutes=3", "write section.key=value"),
        ("oven.minutes=three", "--set: oven.minutes: must be a whole number, got 'three'"),
        ("oven.minuets=3", "--set: oven.minuets: unknown key; did you mean 'minutes'?"),
        ("oven.minutes.x=3", "--set: oven.minutes: is a value, not a section"),
        ("name=3", "--set: name: must be a string, got 3 (a whole number)"),
        ("oven.minutes=1" + "0" * 5000, "--set: oven.minutes: must be a whole number"),
    ],
)
def test_a_wrong_override_is_told(tmp_path: Path, override: str, message: str):
    with pytest.raises(ConfigError) as caught:
        read(write(tmp_path), override)
    assert message in str(caught.value)


@settings(max_examples=50)
@given(
    st.integers(1, 10**6), st.floats(0, 300), st.booleans(), st.text(st.characters(codec="ascii"))
)
def test_plain_values_are_checked_like_a_file(minutes: int, degrees: float, fan: bool, name: str):
    values = {"name": name, "oven": {"minutes": minutes, "degrees": degrees, "fan": fan}}
    assert typed_toml.build(Recipe, values, "x") == Recipe(name, oven=Oven(degrees, minutes, fan))
    with pytest.raises(ConfigError, match=r"^x: oven\.minutes"):
        typed_toml.build(Recipe, {"oven": {"minutes": -minutes}}, "x")


def test_a_table_of_sections_and_values_of_any_type(tmp_path: Path):
    text = 'notes=[1, "x", [2.5]]\n[tools]\n"a.b" = { minutes = 5 }\nc.fan = true'
    found = read(write(tmp_path, text=text))
    assert found.tools == {"a.b": Oven(minutes=5), "c": Oven(fan=True)}
    assert found.notes == (1, "x", [2.5])


VALUES = st.recursive(
    st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=100)
@given(st.text(st.characters(codec="utf-8", exclude_characters=".")), VALUES)
def test_what_is_dumped_is_read_again(name: str, value: object):
    found = tomllib.loads(typed_toml.dump({f"a.{name}": value}))
    assert found == {"a": {name: value}}
    assert type(found["a"][name]) is type(value)
