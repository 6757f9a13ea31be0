"""The network of `mfp/models` in Keras 3, as its users would write it; parameters are copied.

Covered is what the workloads use, as in `torch_network.py`.
"""

from __future__ import annotations

from collections.abc import Mapping

import keras
import numpy as np
from keras import layers, ops

from mfp.config import ModelConfig
from mfp.models.image import DEVIATION, MEAN
from mfp.models.network import NetworkShape

EPSILON = 1e-6  # of Flax's norms


class Attention(layers.Layer):
    """Additive attention over masked positions."""

    def __init__(self, hidden: int):
        super().__init__()
        self.project = layers.Dense(hidden, activation="tanh")
        self.score = layers.Dense(1, use_bias=False)

    def call(self, x, mask):
        scores = ops.where(mask, self.score(self.project(x))[..., 0], -1e9)
        weights = ops.softmax(scores, axis=-1) * ops.cast(mask, "float32")
        return ops.einsum("bt,btd->bd", weights, x)


class Text(layers.Layer):
    def __init__(self, size: int, config: ModelConfig):
        super().__init__()
        text = config.text
        self.embedding = layers.Embedding(size, text.embedding)
        self.before = layers.Dropout(text.dropout)
        self.lstm = layers.Bidirectional(layers.LSTM(text.hidden, return_sequences=True))
        self.attention = Attention(text.hidden)
        self.after = layers.Dropout(text.dropout)

    def call(self, ids, training=False):
        mask = ids > 0
        x = self.before(self.embedding(ids), training=training)
        x = self.lstm(x, mask=mask, training=training)
        return self.after(self.attention(x, mask), training=training)


def _groups(channels: int) -> int:
    return max(n for n in range(1, 9) if n == 1 or (channels % n == 0 and channels >= 4 * n))


def convolution(channels: int, size: int, stride: int) -> layers.Conv2D:
    return layers.Conv2D(channels, size, stride, padding="same", use_bias=False)


def group_norm(channels: int) -> layers.GroupNormalization:
    return layers.GroupNormalization(_groups(channels), epsilon=EPSILON)


class Block(layers.Layer):
    def __init__(self, before: int, channels: int, stride: int):
        super().__init__()
        self.norm1, self.norm2 = group_norm(before), group_norm(channels)
        self.skip = None
        if stride > 1 or before != channels:
            self.skip = convolution(channels, 1, stride)
        self.conv1 = convolution(channels, 3, stride)
        self.conv2 = convolution(channels, 3, 1)

    def call(self, x):
        active = ops.relu(self.norm1(x))
        skip = x if self.skip is None else self.skip(active)
        return skip + self.conv2(ops.relu(self.norm2(self.conv1(active))))


class Image(layers.Layer):
    def __init__(self, config: ModelConfig):
        super().__init__()
        image = config.image
        self.stem = convolution(image.widths[0], 3, 1)
        self.blocks, self.names, before = [], [], image.widths[0]
        for stage, width in enumerate(image.widths):
            for block in range(image.blocks):
                self.blocks.append(Block(before, width, 2 if block == 0 else 1))
                self.names.append(f"stage{stage}_block{block}")
                before = width
        self.norm = group_norm(before)
        self.project = layers.Dense(image.output)
        self.drop = layers.Dropout(image.dropout)

    def call(self, pixels, training=False):
        x = self.stem((ops.cast(pixels, "float32") / 255 - np.array(MEAN)) / np.array(DEVIATION))
        for block in self.blocks:
            x = block(x)
        x = ops.mean(ops.relu(self.norm(x)), axis=(1, 2))
        return self.drop(self.project(x), training=training)


class Net(keras.Model):
    """Batch -> {target: [B, 1]}."""

    def __init__(self, shape: NetworkShape, config: ModelConfig):
        super().__init__()
        self.shape_, self.config = shape, config
        self.vocabulary_of = dict(shape.vocabulary_of)
        self.seeds = keras.random.SeedGenerator(0)
        width = config.sets.embedding
        if shape.numbers:
            self.hidden = layers.Dense(config.numbers.hidden, activation="relu")
            self.narrow = layers.Dense(config.numbers.hidden, activation="relu")
        self.tables = {n: layers.Embedding(size, width) for n, size in shape.vocabulary_sizes}
        self.sets = {field: Attention(width) for field in self.vocabulary_of}
        self.set_dropout = layers.Dropout(config.sets.dropout)
        self.texts = {field: Text(size, config) for field, size, _ in shape.texts}
        self.images = {field: Image(config) for field in shape.images}
        widths = {"numbers": config.numbers.hidden} if shape.numbers else {}
        widths |= {modality: width * len(fields) for modality, fields in shape.sets}
        widths |= {field: 2 * config.text.hidden for field, _, _ in shape.texts}
        widths |= dict.fromkeys(shape.images, config.image.output)
        self.missing = {n: self.add_weight(shape=(w,), name=n) for n, w in widths.items()}
        self.dense = [layers.Dense(w) for w in config.fusion.hidden]
        self.norms = [layers.LayerNormalization(epsilon=EPSILON) for _ in config.fusion.hidden]
        self.fusion_dropout = layers.Dropout(config.fusion.dropout)
        self.heads = {target: layers.Dense(1) for target in shape.targets}

    def _chance(self, probability, shape):
        return keras.random.uniform(shape, seed=self.seeds) < probability

    def call(self, batch, training=False):
        vectors = {}
        if self.shape_.numbers:
            known = batch["numbers/known"]
            x = ops.concatenate([batch["numbers/values"] * known, known], -1)
            vectors["numbers"] = self.narrow(self.hidden(x))
        for modality, fields in self.shape_.sets:
            pooled = []
            for field in fields:
                ids = batch[f"sets/{field}"]
                mask = ids > 0
                if training and self.config.sets.unknown_dropout:
                    hide = self._chance(self.config.sets.unknown_dropout, ops.shape(ids))
                    ids = ops.where(hide & mask, 1, ids)
                x = self.sets[field](self.tables[self.vocabulary_of[field]](ids), mask)
                pooled.append(self.set_dropout(x, training=training))
            vectors[modality] = ops.concatenate(pooled, -1)
        for field, text in self.texts.items():
            vectors[field] = text(batch[f"texts/{field}"], training=training)
        for field, image in self.images.items():
            vectors[field] = image(batch[f"images/{field}"], training=training)
        parts = []
        for name, vector in vectors.items():
            seen = batch[f"present/{name}"] > 0
            if training and self.config.fusion.modality_dropout:
                seen &= ~self._chance(self.config.fusion.modality_dropout, ops.shape(seen))
            missing = ops.convert_to_tensor(self.missing[name])
            parts.append(ops.where(seen[:, None], vector, missing))
        x = ops.concatenate(parts, -1)
        for dense, norm in zip(self.dense, self.norms, strict=True):
            x = self.fusion_dropout(ops.gelu(norm(dense(x)), approximate=True), training=training)
        return {name: head(x) for name, head in self.heads.items()}


def load(net: Net, params: Mapping[str, np.ndarray]) -> None:
    """Copy our parameters, named by their paths, into a built network; every one must be used."""
    left = dict(params)

    def put(variable, path):
        variable.assign(left.pop(path))

    def dense(layer, path):
        put(layer.kernel, f"{path}/kernel")
        if layer.use_bias:
            put(layer.bias, f"{path}/bias")

    def norm(layer, path):
        put(layer.gamma, f"{path}/scale")
        put(layer.beta, f"{path}/bias")

    def attention(layer, path):
        dense(layer.project, f"{path}/project")
        dense(layer.score, f"{path}/score")

    if net.shape_.numbers:
        dense(net.hidden, "numbers/hidden")
        dense(net.narrow, "numbers/output")
    for name, table in net.tables.items():
        put(table.embeddings, f"table_{name}/embedding")
    for field, layer in net.sets.items():
        attention(layer, f"set_{field}/attention")
    for field, text in net.texts.items():
        path = f"text_{field}"
        put(text.embedding.embeddings, f"{path}/embedding/embedding")
        for direction in ("forward", "backward"):
            cell = getattr(text.lstm, f"{direction}_layer").cell
            put(cell.kernel, f"{path}/sequence/{direction}/input/kernel")
            put(cell.bias, f"{path}/sequence/{direction}/input/bias")
            put(cell.recurrent_kernel, f"{path}/sequence/{direction}/recurrent")
        attention(text.attention, f"{path}/pooling/attention")
    for field, image in net.images.items():
        path = f"image_{field}"
        put(image.stem.kernel, f"{path}/stem/kernel")
        for name, block in zip(image.names, image.blocks, strict=True):
            for i in (1, 2):
                norm(getattr(block, f"norm{i}"), f"{path}/{name}/norm{i}/group")
                put(getattr(block, f"conv{i}").kernel, f"{path}/{name}/conv{i}/kernel")
            if block.skip is not None:
                put(block.skip.kernel, f"{path}/{name}/skip/kernel")
        norm(image.norm, f"{path}/norm/group")
        dense(image.project, f"{path}/output")
    for name, variable in net.missing.items():
        put(variable, f"fusion/missing_{name}")
    for i, (layer, after) in enumerate(zip(net.dense, net.norms, strict=True)):
        dense(layer, f"fusion/dense_{i}")
        norm(after, f"fusion/norm_{i}")
    for name, head in net.heads.items():
        dense(head, f"heads/{name}")
    assert not left, sorted(left)
