"""Scale a bag of n-grams by naive Bayes: an n-gram counts by how it tells two classes apart.

Wang and Manning 2012, "Baselines and Bigrams": with p_g and q_g the smoothed shares of an n-gram
in the texts of class 1 and class 0, its log-count ratio is log p_g / q_g. Learning the weights on
top of the ratios, and not from nothing, is what makes NBSVM strong.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

from mfp.config import Config, ConfigError
from mfp.data.batches import FilmArrays
from mfp.data.features import FeatureSpec
from mfp.models.heads import BINARY

# Ratios are of size 0.5, where embeddings of 0.1 and steps of 0.001 are at home: they are
# multiplied, so that n-grams learn at the pace of a linear model (validated on real reviews).
_PACE = 10.0


def log_count_ratios(
    ids_NxG: np.ndarray, target_N: np.ndarray, weight_N: np.ndarray, size: int
) -> np.ndarray:
    """log p_g / q_g of every n-gram id, counts smoothed by 1; 0 for padding and unknown. [size].

    Args:
      ids_NxG: distinct n-gram ids of each text, padded with 0.
      target_N: the class of each text, 0 or 1.
      weight_N: 0 where it is unknown.
    """
    classes = []
    for label in (1, 0):
        chosen = ids_NxG[(target_N == label) & (weight_N > 0)]
        counts = np.bincount(chosen.ravel(), minlength=size) + 1.0
        counts[:2] = 0  # padding and unknown
        classes.append(counts)
    p, q = classes
    ratios = np.zeros(size)
    ratios[2:] = np.log(p[2:] / p.sum()) - np.log(q[2:] / q.sum())
    return ratios.astype(np.float32)


def start_from_naive_bayes(
    params: Any, spec: FeatureSpec, films: FilmArrays, config: Config
) -> Any:
    """Parameters with the n-gram scales of every text field set from the training films.

    Raises:
      ConfigError: no target has two classes.
    """
    if config.model.text.ngram_scale == "even" or not config.features.text.ngrams:
        return params
    binary = [name for name in spec.targets.names if name in BINARY]
    if not binary:
        raise ConfigError(
            "model.text.ngram_scale: 'naive_bayes' needs a target of two classes; give "
            f"{' or '.join(sorted(BINARY))} a loss_weight, or set it to 'even'"
        )
    target, weight = (films.columns[f"{kind}/{binary[0]}"] for kind in ("targets", "weights"))
    changed = dict(params)
    for field, text in spec.texts.items():
        ids = films.columns[f"ngrams/{field}"].reshape(len(films), -1)
        ratios = log_count_ratios(ids, target, weight, text.ngram_size)
        module = f"text_{field}"
        scale = params[module]["ngrams"]["scale"]  # of a deep ensemble [E, size]
        scale = jnp.broadcast_to(jnp.asarray(_PACE * ratios), scale.shape)
        ngrams = {**params[module]["ngrams"], "scale": scale}
        changed[module] = {**params[module], "ngrams": ngrams}
    return changed
