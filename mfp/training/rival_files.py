"""What rivals predict, in a file: they do not hang on the seed of a run, and fitting them is long.

A file is read again for the same films, features, code and versions, and replaced for others.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mfp.config import ConfigError
from mfp.data.batches import FilmArrays
from mfp.data.features import FeatureSpec
from mfp.files import named
from mfp.training import baselines, boosting, design, regressions, rivals
from mfp.training.rivals import Rival

_PACKAGES = ("lightgbm", "scikit-learn", "numpy", "scipy")
_CODE = (baselines, boosting, design, regressions, rivals)
_ABOUT = "about"  # the member that is JSON


def fit_once(
    path: Path | None,
    spec: FeatureSpec,
    splits: Mapping[str, FilmArrays],
    refit: bool,
    say: Callable[[str], None],
) -> dict[str, Rival]:
    """`rivals.fit`, or what the file says they predict of the same films.

    Args:
      path: None fits them and writes nothing.

    Raises:
      ConfigError: what is at `path` is no such file; or as `rivals.fit` does.
    """
    if path is None:
        return rivals.fit(spec, splits, refit, say)
    fitted_on = _fingerprint(spec, splits, refit)
    found = _read(path, fitted_on) if path.exists() else None
    if found is not None:
        say(f"rivals as in {path}")
        return found
    if path.exists():
        say(f"{path}: rivals of other films or features; fitting them anew")
    fitted = rivals.fit(spec, splits, refit, say)
    _write(path, fitted_on, fitted)
    return fitted


def _fingerprint(spec: FeatureSpec, splits: Mapping[str, FilmArrays], refit: bool) -> str:
    rivals.check_installed()
    digest = hashlib.sha256(json.dumps([spec.to_json(), refit, boosting.TRIALS]).encode())
    for package in _PACKAGES:
        digest.update(f"{package} {importlib.metadata.version(package)}".encode())
    for module in _CODE:
        digest.update(Path(str(module.__file__)).read_bytes())
    for split, films in sorted(splits.items()):
        arrays = [*films.columns.items(), *films.truth.items()]
        for name, array in sorted(arrays, key=lambda item: item[0]):
            digest.update(f"{split} {name} {array.dtype} {array.shape}".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _read(path: Path, fitted_on: str) -> dict[str, Rival] | None:
    """None: they are of others."""
    try:
        with np.load(path) as file:
            about = json.loads(str(file[_ABOUT]))
            if about["fitted_on"] != fitted_on:
                return None
            return {
                name: Rival({t: file[f"{name}/{t}"] for t in rival["targets"]}, rival["chosen"])
                for name, rival in about["rivals"].items()
            }
    except (ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ConfigError(
            f"--rivals {path}: is no file of rivals, or is damaged ({error}); remove it"
        ) from None


def _write(path: Path, fitted_on: str, fitted: Mapping[str, Rival]) -> None:
    about = {
        "fitted_on": fitted_on,
        "rivals": {
            name: {"targets": list(rival.predictions), "chosen": rival.chosen}
            for name, rival in fitted.items()
        },
    }
    arrays: dict[str, Any] = {_ABOUT: np.array(json.dumps(about))}
    for name, rival in fitted.items():
        arrays |= {f"{name}/{target}": y for target, y in rival.predictions.items()}
    temporary = path.with_name(f".{path.name}.partial")
    with named(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            np.savez_compressed(file, **arrays)
        os.replace(temporary, path)
