"""The four networks that are measured: our own modules, on real words, names and numbers.

    text     BiLSTM and attention over 200 tokens, batch 64; every text is full
    poster   the picture encoder, 96 x 96 pixels, batch 64
    tabular  numbers and sets of configs/base.toml, batch 256
    fused    all of these and the title in one network, batch 64: texts of real lengths, up to
             200 tokens, films of like length in a batch, each batch padded to the next of 4 lengths

The films are the bundled ones. They have no plots and posters: a film's plot is a bundled review
(its real words, its real length: 230 words of IMDb, or a sentence of Rotten Tomatoes), its poster
noise of one shade, which costs what a picture costs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import jax
import numpy as np

from mfp import config as configs
from mfp.config import Config
from mfp.data.batches import TrainingBatches, film_arrays
from mfp.data.fit import fit
from mfp.data.reviews import ORIGINS, BundledReviews
from mfp.data.sources import BundledFilms
from mfp.film import Film, Outcome
from mfp.models.network import Network, NetworkShape
from mfp.tables import Record
from mfp.training import assemble
from mfp.training.step import Objective

ROOT = Path(__file__).resolve().parent.parent.parent
NAMES = ("text", "poster", "tabular", "fused")
FILMS = 4096
TOKENS = 200
PIXELS = 96

# The picture encoder alone: augmentation is not part of the network.
_STILL = ["model.image.flip=false", "model.image.crop=0.0", "model.image.colour=0.0"]
_TEXT = [
    "model.text.embedding=64",
    "model.text.hidden=64",
    f"features.max_tokens={TOKENS}",
    "features.max_words=20000",
]
_ALONE = [
    "features.numbers=[]",
    *(f"features.sets.{m}=[]" for m in ("people", "content", "origin")),
]
# The network that PyTorch and Keras are given too, whatever base.toml turns to.
_PINNED = [
    "features.history.fields=[]",
    "targets.rating.votes_half=0.0",
    'model.numbers.embedding="plain"',
    "model.numbers.hidden=64",
    "model.sets.dropout=0.2",
    "model.sets.unknown_dropout=0.3",
    "model.sets.multi_hot=[]",
    'model.text.encoder="lstm"',
    "model.fusion.hidden=[256,128]",
    "model.fusion.dropout=0.2",
    "model.fusion.modality_dropout=0.1",
    "model.kernel.share=0",
    "model.trees.share=0",
]
_OVERRIDES = {
    "text": [
        'features.texts=["plot"]',
        *_ALONE,
        "train.batch_size=64",
        "model.fusion.hidden=[64]",
        *_TEXT,
    ],
    "poster": [
        'features.images=["poster"]',
        "features.texts=[]",
        *_ALONE,
        f"data.image_size={PIXELS}",
        "train.batch_size=64",
        "model.fusion.hidden=[64]",
        *_STILL,
    ],
    "tabular": ["features.texts=[]"],
    "fused": [
        'features.texts=["title", "plot"]',
        'features.images=["poster"]',
        f"data.image_size={PIXELS}",
        "train.batch_size=64",
        "train.length_buckets=4",
        *_STILL,
        *_TEXT,
    ],
}


@dataclass(frozen=True)
class Workload:
    """A network, its first parameters, and batches of real films. Can be pickled."""

    name: str
    config: Config
    shape: NetworkShape
    objective: Objective
    params: Any
    batches: list[dict[str, np.ndarray]]

    @property
    def network(self) -> Network:
        return Network(self.shape, self.config.model)

    @property
    def flat_params(self) -> dict[str, np.ndarray]:
        """Parameters by their path, "text_plot/embedding/embedding"."""
        leaves = jax.tree_util.tree_leaves_with_path(self.params)
        return {"/".join(key.key for key in path): np.asarray(leaf) for path, leaf in leaves}

    def inputs(self, size: int) -> dict[str, np.ndarray]:
        """`size` films to predict: rows of the batches, of the longest texts, repeated."""
        widest = max(self.batches, key=lambda batch: sum(x.nbytes for x in batch.values()))
        inputs = {n: x for n, x in widest.items() if not n.startswith(("targets/", "weights/"))}
        return {n: np.resize(x, (size, *x.shape[1:])) for n, x in inputs.items()}


class _Films(list):
    """(Film, Outcome) pairs that have posters."""

    def __init__(self, pairs: list[tuple[Film, Outcome]], size: int):
        super().__init__(pairs)
        self._size = size

    def pixels(self, index: int) -> Mapping[str, bytes]:
        rng = np.random.default_rng(index)
        shape = (self._size, self._size, 3)
        picture = rng.integers(0, 64, shape) + rng.integers(0, 192, 3)
        return {"poster": picture.astype(np.uint8).tobytes()}


def _films(full: bool, pixels: int) -> _Films:
    """Bundled films with a review for a plot; with `full`, only reviews of TOKENS words or more."""
    films = (r for r in BundledFilms().records() if isinstance(r, Record))
    reviews = (r for r in BundledReviews(ORIGINS).records() if isinstance(r, Record))
    texts = [r.film.reviews[0] for r in reviews]
    texts = [texts[i] for i in np.random.default_rng(0).permutation(len(texts))]
    if full:
        texts = [text for text in texts if len(text.split()) >= 1.2 * TOKENS]
    pairs = [
        (dataclasses.replace(r.film, plot=text, poster="poster.jpg"), r.outcome)
        for r, text in zip(islice(films, FILMS), texts, strict=False)
    ]
    return _Films(pairs, pixels)


def build(name: str, batches: int = 16) -> Workload:
    """A workload by its name; the same bits each time."""
    settings = [
        *_PINNED,
        *_OVERRIDES[name],
        'optimizer.schedule="constant"',
        "optimizer.warmup_fraction=0.0",
    ]
    config = configs.load(ROOT / "configs" / "base.toml", settings)
    films = _films(full=name == "text", pixels=config.data.image_size)
    spec = fit(films, config)
    params = assemble.init_params(assemble.build_network(config, spec), spec, config.seed)
    # Heads start at zero, which would hide every other parameter from a comparison of losses.
    rng = np.random.default_rng(0)
    params = jax.tree.map(
        lambda leaf: leaf if np.any(leaf) else rng.normal(0, 0.1, leaf.shape).astype(np.float32),
        jax.device_get(params),
    )
    train = config.train
    arrays = film_arrays(films, spec, config.targets)
    order = TrainingBatches(arrays, train.batch_size, config.seed, train.length_buckets)
    return Workload(
        name,
        config,
        assemble.network_shape(spec),
        assemble.objective(config, spec),
        params,
        [order[k] for k in range(batches)],
    )
