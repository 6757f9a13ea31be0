"""The multimodal network: an encoder per modality, a fusion, a head per target."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from mfp import extensions
from mfp.config import ModelConfig
from mfp.models.beside import PROCESS, TREES, mixed
from mfp.models.fusion import Fusion
from mfp.models.heads import BINARY, Heads, width
from mfp.models.image import ImageEncoder
from mfp.models.kernel import KernelRegression
from mfp.models.pretrained import MiniLM, SentenceReader
from mfp.models.tabular import NumbersEncoder, SetEncoder
from mfp.models.text import ReviewsEncoder, TextEncoder
from mfp.models.trees import TreesRegression, features
from mfp.models.video import VideoEncoder


@dataclass(frozen=True)
class NetworkShape:
    """What the fitted features decide of the network; hashable."""

    numbers: int  # D; 0 for none
    sets: tuple[tuple[str, tuple[str, ...]], ...]  # (modality, its set fields)
    vocabulary_of: tuple[tuple[str, str], ...]  # (set field, vocabulary name)
    vocabulary_sizes: tuple[tuple[str, int], ...]
    texts: tuple[tuple[str, int, int], ...]  # (text field, vocabulary size, n-grams)
    images: tuple[str, ...]
    videos: tuple[str, ...]
    ordered: frozenset[str]
    targets: tuple[str, ...]
    history: int = 0  # numbers of the track record; 0 for none
    added: tuple[tuple[str, str], ...] = ()  # (modality of another package, its state as JSON)

    @property
    def regressions(self) -> tuple[str, ...]:
        """Targets that are numbers."""
        return tuple(n for n in self.targets if width(n) == 1 and n not in BINARY)

    def named(self, fields: Sequence[str]) -> dict[str, tuple[str, int]]:
        """{set field: (its modality, size of its vocabulary)} of those fields that are read."""
        sizes, vocabulary_of = dict(self.vocabulary_sizes), dict(self.vocabulary_of)
        read = [(modality, field) for modality, within in self.sets for field in within]
        return {f: (m, sizes[vocabulary_of[f]]) for m, f in read if f in fields}


class Network(nn.Module):
    """Inputs of `mfp/data/features.py` to outputs, attention weights and the fused vector."""

    shape: NetworkShape
    config: ModelConfig
    dtype: Any = jnp.float32  # of the modality vectors and the fusion; the heads are in float32

    @nn.compact
    def __call__(self, inputs: Mapping[str, jax.Array], *, train: bool = False) -> dict[str, Any]:
        """A batch of films to

        outputs    {target: [B] or [B, 4]}, see `Heads`; of K members [B, K] or [B, K, 4]
        attention  {input array name: [B, P], [B, T], [B, R, T] or [B, F]}, and reviews [B, R];
                   rows sum to 1 (0 where nothing is)
        maps       {image field: [B, h, w, C]}, the last feature maps
        embedding  [B, D], the fused vector; of K members [B, K, D]
        """
        shape, config = self.shape, self.config
        vectors: dict[str, jax.Array] = {}
        bags: dict[str, jax.Array] = {}  # of n-grams: they go to the heads, past the fusion
        attention: dict[str, jax.Array] = {}
        if shape.numbers:
            vectors["numbers"] = NumbersEncoder(config.numbers, name="numbers")(
                inputs["numbers/values"], inputs["numbers/known"]
            )
        if shape.history:
            vectors["history"] = NumbersEncoder(config.numbers, name="history")(
                inputs["history/values"], inputs["history/known"]
            )
        tables = {
            name: nn.Embed(
                size,
                config.sets.embedding,
                embedding_init=nn.initializers.normal(0.1),
                name=f"table_{name}",
            )
            for name, size in shape.vocabulary_sizes
        }
        vocabulary_of = dict(shape.vocabulary_of)
        for modality, fields in shape.sets:
            pooled = []
            for field in fields:
                encoder = SetEncoder(
                    config.sets,
                    field in shape.ordered,
                    field in config.sets.multi_hot,
                    name=f"set_{field}",
                )
                vector, attention[f"sets/{field}"] = encoder(
                    tables[vocabulary_of[field]], inputs[f"sets/{field}"], train=train
                )
                pooled.append(vector)
            vectors[modality] = jnp.concatenate(pooled, axis=-1)
        published = config.text.encoder == "pretrained"
        sentences = MiniLM(name="pretrained") if published and not config.text.frozen else None
        for field, size, ngram_size in shape.texts:
            ids, ngrams = inputs[f"texts/{field}"], inputs.get(f"ngrams/{field}")
            if published:
                reader = SentenceReader(config.text, name=f"text_{field}")
                found = sentences(ids) if sentences else inputs[f"vectors/{field}"]
                vectors[field], shares, attention[f"texts/{field}"] = reader(
                    ids, found, train=train
                )
                if field == "reviews":
                    attention[field] = shares
                continue
            words = TextEncoder(size, ngram_size, config.text, name=f"text_{field}")
            if field == "reviews":
                several = ReviewsEncoder(words, name="reviews")
                vectors[field], attention[field], attention[f"texts/{field}"] = several(
                    ids, ngrams, train=train
                )
            else:
                vectors[field], attention[f"texts/{field}"] = words(ids, ngrams, train=train)
            if ngram_size:
                width = config.text.ngram_embedding
                bags[field] = vectors[field][:, -width:] * inputs[f"present/{field}"][:, None]
                vectors[field] = vectors[field][:, :-width]
        maps: dict[str, jax.Array] = {}
        for field in shape.images:
            picture = ImageEncoder(config.image, name=f"image_{field}")
            vectors[field], maps[field] = picture(inputs[f"images/{field}"], train=train)
        for field in shape.videos:
            clip = VideoEncoder(config.video, config.image, name=f"video_{field}")
            vectors[field], attention[f"videos/{field}"] = clip(
                inputs[f"videos/{field}"], inputs[f"frames/{field}"], train=train
            )
        for name, state in shape.added:
            encoder = extensions.load("modality", name).encoder(json.loads(state), f"added_{name}")
            vectors[name] = encoder(inputs[f"added/{name}/values"], train=train)
        present = {name: inputs[f"present/{name}"] for name in vectors}
        vectors = {name: vector.astype(self.dtype) for name, vector in vectors.items()}
        fused = Fusion(config.fusion, name="fusion")(vectors, present, train=train)
        fused = fused.astype(jnp.float32)
        outputs = Heads(shape.targets, config.fusion.ensemble, name="heads")(
            fused, list(bags.values())
        )
        if not train:  # what is trained is the network alone
            outputs = mixed(outputs, self._beside(inputs))
        return {"outputs": outputs, "attention": attention, "maps": maps, "embedding": fused}

    def _beside(self, inputs: Mapping[str, jax.Array]) -> list[tuple[float, dict[str, jax.Array]]]:
        """The share of each regression beside the network, and what it says {target: [B]}."""
        shape, config = self.shape, self.config
        names = shape.named(config.sets.multi_hot)
        found: list[tuple[float, dict[str, jax.Array]]] = []
        if not (shape.regressions and (shape.numbers or shape.history or names)):
            return found  # nothing to say, or nothing to read
        if config.kernel.share:
            process = KernelRegression(config.kernel, shape.regressions, name=PROCESS)
            found.append((config.kernel.share, process(inputs, names)))
        if config.trees.share:
            grown = TreesRegression(config.trees, shape.regressions, name=TREES)
            found.append((config.trees.share, grown(features(inputs, names))))
        return found
