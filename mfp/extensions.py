"""What other packages add to mfp: a lookup from a kind and a name to what a package offers.

A package that is installed beside mfp offers something under a name in its own pyproject.toml, as
an entry point of the group of its kind, and a config says the name:

    [project.entry-points."mfp.encoders"]
    smoothing = "my_package.smoothing:Smoothing"

Nothing is registered while a program runs, and nothing here is kept: the table is that of the
installed packages. A config or a bundle can name what the user has installed and nothing else;
what mfp has itself is never looked up here. CONTRIBUTING.md tells what each kind must offer.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import sys
from importlib.metadata import EntryPoint
from typing import Any, Literal

from mfp.typed_toml import ConfigError, nearest

Kind = Literal["source", "encoder", "modality", "target"]
GROUPS: dict[Kind, str] = {
    "source": "mfp.sources",
    "encoder": "mfp.encoders",
    "modality": "mfp.modalities",
    "target": "mfp.targets",
}


class ExtensionError(ConfigError):
    """Something that an installed package should have added and has not; in one line."""


def names(kind: Kind) -> tuple[str, ...]:
    """What the installed packages add; no code of theirs is run."""
    return tuple(sorted({point.name for point in _group(kind)}))


def check(kind: Kind, name: str, own: tuple[str, ...], key: str) -> None:
    """Whether a name is one of mfp's own or of an installed package.

    Args:
      key: of the config, to begin the error with.

    Raises:
      ExtensionError: listing what is known, and how a package adds to it.
    """
    if name in own:
        return
    known = (*own, *names(kind))
    if name not in known:
        hint = nearest(name, known) if known else "no package adds any"
        raise ExtensionError(
            f"{key}: '{name}' is not a choice; {hint} (a package adds its own by an entry point "
            f"in the group {GROUPS[kind]}, see CONTRIBUTING.md)"
        )


def load(kind: Kind, name: str, package: str = "") -> Any:
    """What a package offers under a name.

    Args:
      package: that offered it when the name was last used, to name in the error.

    Raises:
      ExtensionError: no package offers it, several do, or its module cannot be imported.
    """
    point = _point(kind, name, package)
    try:
        return point.load()
    except (ImportError, AttributeError) as error:
        raise ExtensionError(
            f"the {kind} '{name}' of the package {package_of(kind, name)} cannot be loaded: {error}"
        ) from None


def package_of(kind: Kind, name: str) -> str:
    """The name of the package that offers it."""
    distribution = _point(kind, name).dist
    return distribution.metadata["Name"] if distribution else _point(kind, name).module


def digest(kind: Kind, name: str) -> str:
    """SHA-256 of the module that offers it: what was computed by other code is not used again."""
    load(kind, name)
    file = getattr(sys.modules[_point(kind, name).module], "__file__", None)
    if file is None:  # a package without an __init__.py
        return ""
    with open(file, "rb") as module:
        return hashlib.file_digest(module, "sha256").hexdigest()


def _group(kind: Kind) -> tuple[EntryPoint, ...]:
    return tuple(importlib.metadata.entry_points(group=GROUPS[kind]))


def _point(kind: Kind, name: str, package: str = "") -> EntryPoint:
    # A package that is found twice, as in an editable install, offers the same thing twice.
    found = {point.value: point for point in _group(kind) if point.name == name}
    if not found:
        remedy = f"run: pip install {package}" if package else "install the package that has it"
        raise ExtensionError(
            f"the {kind} '{name}' is added by another package, which is not installed; {remedy}"
        )
    if len(found) > 1:
        raise ExtensionError(
            f"the {kind} '{name}' is added by several packages ({', '.join(sorted(found))}); "
            "uninstall all but one"
        )
    return next(iter(found.values()))
