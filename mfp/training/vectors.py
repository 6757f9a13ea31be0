"""Start word embeddings from a text file of vectors ("word v1 v2 ...", as GloVe and fastText)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import numpy as np

from mfp.config import Config, ConfigError
from mfp.data.features import FeatureSpec


def start_from_vectors(params: Any, spec: FeatureSpec, config: Config) -> Any:
    """Parameters with the embedding rows of known words replaced; the others stay as they were.

    Raises:
      ConfigError: the file is missing, or its width is not that of the embeddings.
    """
    path = config.features.text.vectors
    if not path:
        return params
    wanted = {word for text in spec.texts.values() for word in text.words.values()}
    found = read_vectors(Path(path), wanted, config.model.text.embedding)

    def replace(keys: tuple[Any, ...], leaf: jax.Array) -> jax.Array:
        names = [key.key for key in keys]
        field = names[0].removeprefix("text_")
        if names[-2:] != ["embedding", "embedding"] or field not in spec.texts:
            return leaf
        table = np.array(leaf)
        for i, word in spec.texts[field].words.items():
            if word in found:
                table[..., i, :] = found[word]  # of every member of a deep ensemble
        return jax.numpy.asarray(table)

    return jax.tree_util.tree_map_with_path(replace, params)


def read_vectors(path: Path, wanted: set[str], width: int) -> dict[str, np.ndarray]:
    """The vectors of the wanted words, float32 [D = width], scaled to the spread of a fresh table.

    Raises:
      ConfigError: naming file, line and remedy.
    """
    found: dict[str, np.ndarray] = {}
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            for number, line in enumerate(file, start=1):
                word, _, rest = line.rstrip().partition(" ")
                if number == 1 and rest.count(" ") == 0:
                    continue  # fastText's header: how many words, how wide
                if word not in wanted:
                    continue
                vector = np.array(rest.split(), np.float32)
                if vector.shape != (width,):
                    raise ConfigError(
                        f"{path}, line {number}: has {len(vector)} numbers; "
                        f"model.text.embedding is {width}: set it to {len(vector)}"
                    )
                found[word] = vector
    except (OSError, ValueError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"features.text.vectors: {path}: {error}") from None
    if not found:
        raise ConfigError(f"features.text.vectors: {path}: has none of the vocabulary's words")
    spread = float(np.std(np.stack(list(found.values())))) or 1.0
    return {word: vector * (_FRESH / spread) for word, vector in found.items()}


_FRESH = 0.1  # deviation of a fresh embedding table, models/text.py
