"""A frozen dataclass from TOML files and overrides, with every value's place kept for errors.

Knows nothing of films: `mfp/config.py` holds the schema.
"""

from __future__ import annotations

import dataclasses
import datetime
import difflib
import json
import math
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

T = TypeVar("T")


MAX_BYTES = 1_000_000  # of a config file


class ConfigError(ValueError):
    """A config that cannot be used; the message names the file, the key and the remedy."""


def bounded(default: float, low: float | None = None, high: float | None = None) -> Any:
    """A numeric key with inclusive bounds."""
    return field(default=default, metadata={"low": low, "high": high})


def read(cls: type[T], path: Path, overrides: Iterable[str] = ()) -> T:
    """The dataclass `cls` from a file, the files it extends, and `section.key=value` texts.

    Raises:
      ConfigError: naming file, key and remedy.
    """
    try:
        tree = _read(path, ())
        for text in overrides:
            _override(tree, text)
        return _build(cls, tree, "")
    except RecursionError:
        raise ConfigError(f"{path}: is nested too deeply") from None


def build(cls: type[T], values: Mapping[str, Any], origin: str) -> T:
    """The dataclass `cls` from plain values; `origin` names their place in errors."""
    try:
        return _build(cls, _leaves(values, origin), "")
    except RecursionError:
        raise ConfigError(f"{origin}: is nested too deeply") from None


def dump(values: Mapping[str, Any]) -> str:
    """TOML of dotted keys: {"a.b": 1} -> 'a.b = 1'. Values as JSON knows them, without null."""
    return "".join(f"{_key(key)} = {_text(value)}\n" for key, value in values.items())


def _key(dotted: str) -> str:
    names = dotted.split(".")
    return ".".join(n if re.fullmatch(r"[A-Za-z0-9_-]+", n) else _text(n) for n in names)


def _text(value: Any) -> str:
    """JSON's numbers, words and lists are TOML's too; but DEL must be escaped."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def nearest(name: Any, choices: Iterable[str]) -> str:
    """A hint for a wrong name: the closest valid one, or all of them."""
    choices = list(choices)
    close = difflib.get_close_matches(str(name), choices, n=1, cutoff=0.5)
    return f"did you mean '{close[0]}'?" if close else f"valid: {', '.join(sorted(choices))}"


_Tree = dict[str, Any]  # sections of sections of leaves


class _Section(dict[str, Any]):
    """A tree that knows the file it came from, so that an error in an empty one can name it."""

    def __init__(self, values: Mapping[str, Any], origin: str):
        super().__init__(values)
        self.origin = origin


@dataclass(frozen=True)
class _Leaf:
    """A value and the file (or "--set") that it came from, so that errors can name it."""

    value: Any
    origin: str


def _read(path: Path, seen: tuple[Path, ...]) -> _Tree:
    """One file over the file that it extends, leaf by leaf."""
    resolved = path.resolve()
    if resolved in seen:
        raise ConfigError(f"{path}: extends itself through {' -> '.join(map(str, seen))}")
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise ConfigError(f"{path}: is larger than {MAX_BYTES} bytes, which no config is")
        values = tomllib.loads(content.decode("utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such config file") from None
    except IsADirectoryError:
        raise ConfigError(f"{path}: is a folder; name a .toml file") from None
    except ConfigError:
        raise
    except (OSError, ValueError, RecursionError) as error:  # not TOML, not UTF-8, a huge number
        raise ConfigError(f"{path}: cannot be read as TOML: {error}") from None
    parent = values.pop("extends", None)
    tree: _Tree = {}
    if parent is not None:
        if not isinstance(parent, str) or "\0" in parent:
            raise ConfigError(f"{path}: extends: must be a file name, got {parent!r}")
        origin = path.parent / parent
        if origin.exists() and not origin.is_file() and not origin.is_dir():
            raise ConfigError(f"{path}: extends: {origin} is not a file")  # reading may never end
        tree = _read(origin, (*seen, resolved))
    _merge(tree, _leaves(values, str(path)))
    return tree


def _leaves(values: Mapping[str, Any], origin: str) -> _Tree:
    tree = {
        key: _leaves(value, origin) if isinstance(value, Mapping) else _Leaf(value, origin)
        for key, value in values.items()
    }
    return _Section(tree, origin)


def _merge(base: _Tree, over: _Tree) -> None:
    for key, value in over.items():
        if isinstance(value, dict) and isinstance(base.get(key), dict):
            _merge(base[key], value)
        else:
            base[key] = value


def _override(tree: _Tree, text: str) -> None:
    key, separator, raw = text.partition("=")
    names = [name.strip() for name in key.split(".")]
    if not separator or not all(names):
        raise ConfigError(f"--set {text}: write section.key=value")
    try:
        value: Any = tomllib.loads(f"value = {raw}")["value"]
    except (ValueError, RecursionError):
        value = raw.strip()  # a bare word is a string: --set optimizer.name=sgd
    for name in reversed(names):
        value = {name: value}
    _merge(tree, _leaves(value, "--set"))


def _build(cls: Any, tree: _Tree, prefix: str) -> Any:
    """A dataclass from a tree of leaves, checking names, types and bounds."""
    hints = get_type_hints(cls)
    known = {f.name: f for f in dataclasses.fields(cls)}
    arguments: dict[str, Any] = {}
    for key, node in tree.items():
        path = f"{prefix}{key}"
        if key not in known:
            raise ConfigError(f"{_origin(node)}: {path}: unknown key; {nearest(key, known)}")
        hint = hints[key]
        if dataclasses.is_dataclass(hint):
            if isinstance(node, _Leaf):
                raise ConfigError(f"{node.origin}: {path}: is a section; write {path}.<key>")
            arguments[key] = _build(hint, node, f"{path}.")
        elif get_origin(hint) is not None and issubclass(_plain(hint), Mapping):
            if isinstance(node, _Leaf):
                raise ConfigError(f"{node.origin}: {path}: is a table; write {path}.<name>")
            inner = get_args(hint)[1]
            arguments[key] = {name: _entry(inner, n, f"{path}.{name}") for name, n in node.items()}
        else:
            arguments[key] = _value(hint, node, path)
            _check_bounds(known[key].metadata, arguments[key], node, path)
    return cls(**arguments)


def _entry(hint: Any, node: _Leaf | _Tree, path: str) -> Any:
    """What stands under a free name: a value, or a dataclass."""
    if not dataclasses.is_dataclass(hint):
        return _value(hint, node, path)
    if isinstance(node, _Leaf):
        raise ConfigError(f"{node.origin}: {path}: is a table; write {path} = {{ ... }}")
    known = {f.name for f in dataclasses.fields(hint)}
    for name, inner in node.items():
        if isinstance(inner, dict) and name not in known:
            *_, last = path.split(".")
            raise ConfigError(
                f'{_origin(inner)}: {path}: a name with dots stands in quotes: "{last}.{name}"'
            )
    return _build(hint, node, f"{path}.")


def _plain(hint: Any) -> type:
    origin = get_origin(hint)
    return origin if isinstance(origin, type) else object


def _value(hint: Any, node: _Leaf | _Tree, path: str) -> Any:
    """A leaf checked against its type: bool, int, float, str, a Literal, or a tuple of these."""
    if not isinstance(node, _Leaf):
        raise ConfigError(f"{_origin(node)}: {path}: is a value, not a section")
    value = node.value
    if isinstance(value, int) and hint is not float and not -(2**63) <= value < 2**63:
        raise ConfigError(f"{node.origin}: {path}: has more than 64 bits")
    if hint is Any:
        return value
    if get_origin(hint) is Literal:
        choices = get_args(hint)
        if value not in choices:
            raise ConfigError(
                f"{node.origin}: {path}: {value!r} is not a choice; {nearest(value, choices)}"
            )
        return value
    if get_origin(hint) is tuple:
        if not isinstance(value, list | tuple):
            raise ConfigError(f"{node.origin}: {path}: must be a list, got {value!r}")
        inner = get_args(hint)[0]
        return tuple(
            _value(inner, _Leaf(item, node.origin), f"{path}[{i}]") for i, item in enumerate(value)
        )
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value) if abs(value) < 1e308 else math.inf
    if hint is str and isinstance(value, datetime.date):
        value = value.isoformat()  # TOML reads an unquoted 2008-12-31 as a date
    if type(value) is not hint:
        raise ConfigError(
            f"{node.origin}: {path}: must be {_TYPE_NAMES[hint]}, got {value!r}"
            f" ({_TYPE_NAMES.get(type(value), type(value).__name__)})"
        )
    if hint is float and value - value != 0:
        raise ConfigError(f"{node.origin}: {path}: must be finite, got {value!r}")
    return value


_TYPE_NAMES = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a string",
    list: "a list",
}


def _check_bounds(metadata: Mapping[str, Any], value: Any, node: Any, path: str) -> None:
    low, high = metadata.get("low"), metadata.get("high")
    if low is not None and value < low:
        raise ConfigError(f"{node.origin}: {path}: must be at least {low:g}, got {value!r}")
    if high is not None and value > high:
        raise ConfigError(f"{node.origin}: {path}: must be at most {high:g}, got {value!r}")


def _origin(node: _Leaf | _Tree) -> str:
    while isinstance(node, dict) and node:
        node = next(iter(node.values()))
    assert isinstance(node, _Leaf | _Section)
    return node.origin
