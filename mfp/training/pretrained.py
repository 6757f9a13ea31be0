"""The published sentence encoder in training: its parameters, and vectors computed once a text.

Frozen, it takes no part in training: the vector of every text is computed once and kept beside the
prepared films, in vectors/<hash of the token ids>.npy, float32 [N, 384]. Its parameters join the
others when a bundle is written, and the bundle's program reads token ids: who forecasts needs
neither the wheel nor this file. Fine-tuned, its parameters are the network's own.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Callable
from typing import Any

import numpy as np

from mfp.config import Config, ConfigError
from mfp.data import pretrained
from mfp.data.batches import FilmArrays
from mfp.data.dataset import Dataset
from mfp.data.features import FeatureSpec
from mfp.data.prepared import only_one
from mfp.models.pretrained import WIDTH, MiniLM, from_published
from mfp.report.progress import TrainingProgress
from mfp.training import parallel

# Of token ids in the program that computes vectors: one compilation for each length.
_ROWS = 64
_LENGTH_STEP = 32
_CHUNK = 4096  # texts hashed and computed together


def used(config: Config) -> bool:
    return config.model.text.encoder == "pretrained"


def frozen(config: Config) -> bool:
    return used(config) and config.model.text.frozen


def published() -> dict[str, Any]:
    """The published parameters of `MiniLM`.

    Raises:
      ConfigError: wheel or reader are not installed, or the file is not what it should be.
    """
    try:
        from safetensors.numpy import load_file
    except ModuleNotFoundError:
        raise ConfigError(
            f"features.text.tokens: 'pretrained': safetensors is not installed; run: "
            f"{pretrained.INSTALL}"
        ) from None
    path = pretrained.folder() / "model.safetensors"
    try:
        return from_published(load_file(path))
    except (KeyError, ValueError) as error:
        raise ConfigError(f"{path}: {error}") from None


def start_from_published(params: Any, config: Config) -> Any:
    """Parameters with those of a fine-tuned encoder replaced by the published ones."""
    if not used(config) or frozen(config):
        return params
    return {**params, "pretrained": published()}


def with_encoder(params: Any, config: Config) -> Any:
    """The parameters of a bundle: those of a frozen encoder come along."""
    return {**params, "pretrained": published()} if frozen(config) else params


def with_vectors(
    splits: dict[str, FilmArrays],
    dataset: Dataset,
    spec: FeatureSpec,
    config: Config,
    progress: TrainingProgress,
) -> dict[str, FilmArrays]:
    """The splits with a column vectors/<field> for every text that a frozen encoder reads."""
    if not frozen(config):
        return splits
    texts = [films.columns[f"texts/{field}"] for films in splits.values() for field in spec.texts]
    found = {}
    with progress.counting("reading texts", sum(ids[..., 0].size for ids in texts)) as count:
        for name, films in splits.items():
            columns = dict(films.columns)
            for field in spec.texts:
                ids = films.columns[f"texts/{field}"]
                columns[f"vectors/{field}"] = _vectors(ids, dataset, count.advance)
            found[name] = dataclasses.replace(films, columns=columns)
    return found


def _vectors(ids: np.ndarray, dataset: Dataset, on_text: Callable[[int], None]) -> np.ndarray:
    """[N, T] or [N, R, T] -> [N, D] or [N, R, D], as a map of a file that is written once."""
    digest = hashlib.sha256(f"{pretrained.PACKAGE} {ids.shape}".encode())
    for start in range(0, len(ids), _CHUNK):
        digest.update(np.ascontiguousarray(ids[start : start + _CHUNK]).tobytes())
    path = dataset.folder / "vectors" / f"{digest.hexdigest()[:16]}.npy"
    with only_one(path.parent, path.name):
        if not path.exists():
            encode = Encoder()
            partial = path.with_name(f".{path.name}.partial")
            rows = np.lib.format.open_memmap(
                partial, mode="w+", dtype=np.float32, shape=(*ids.shape[:-1], WIDTH)
            )
            for start in range(0, len(ids), _CHUNK):
                part = ids[start : start + _CHUNK]
                flat = encode(part.reshape(-1, ids.shape[-1]), on_text)
                rows[start : start + _CHUNK] = flat.reshape(*part.shape[:-1], WIDTH)
            rows.flush()
            os.replace(partial, path)
    return np.asarray(np.load(path, mmap_mode="r"))


class Encoder:
    """The published encoder, compiled."""

    def __init__(self) -> None:
        self._params = parallel.to_device(published())
        self._apply = parallel.compile_evaluation(
            lambda params, ids: MiniLM().apply({"params": params}, ids)
        )

    def __call__(
        self, ids: np.ndarray, on_text: Callable[[int], None] = lambda count: None
    ) -> np.ndarray:
        """[N, T] -> [N, D]; texts of like length are computed together, missing ones are zeros."""
        lengths = np.count_nonzero(ids, axis=1)
        found = np.zeros((len(ids), WIDTH), np.float32)
        order = np.argsort(lengths, kind="stable")
        order = order[lengths[order] > 0]
        on_text(len(ids) - len(order))
        for start in range(0, len(order), _ROWS):
            which = order[start : start + _ROWS]
            longest = -(-lengths[which[-1]] // _LENGTH_STEP) * _LENGTH_STEP
            batch = np.zeros((_ROWS, longest), np.int32)
            part = ids[which, :longest]
            batch[: len(which), : part.shape[1]] = part
            vectors = parallel.on_host(self._apply(self._params, parallel.to_device(batch)))
            found[which] = vectors[: len(which)]
            on_text(len(which))
        return found
