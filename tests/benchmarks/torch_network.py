"""The network of `mfp/models` in PyTorch, as its users would write it; parameters are copied.

Covered is what the workloads use: numbers, sets, texts read by a BiLSTM, posters, fusion by
concatenation. Module names follow ours, so that `load` finds each parameter by its path.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from mfp.config import ModelConfig
from mfp.models.image import DEVIATION, MEAN
from mfp.models.network import NetworkShape

EPSILON = 1e-6  # of Flax's norms
Batch = Mapping[str, torch.Tensor]


class Attention(nn.Module):
    """Additive attention over masked positions."""

    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.project = nn.Linear(width, hidden)
        self.score = nn.Linear(hidden, 1, bias=False)

    def forward(self, x, mask):
        scores = self.score(torch.tanh(self.project(x)))[..., 0]
        # A row without any position: even weights on nothing, then zero.
        weights = torch.softmax(scores.masked_fill(~mask, -1e9), -1) * mask
        return torch.bmm(weights[:, None], x)[:, 0]


class Numbers(nn.Module):
    def __init__(self, count: int, config: ModelConfig):
        super().__init__()
        self.hidden = nn.Linear(2 * count, config.numbers.hidden)
        self.output = nn.Linear(config.numbers.hidden, config.numbers.hidden)

    def forward(self, values, known):
        x = torch.cat([values * known, known], -1)
        return F.relu(self.output(F.relu(self.hidden(x))))


class Set(nn.Module):
    def __init__(self, config: ModelConfig):
        super().__init__()
        self.config = config.sets
        self.attention = Attention(config.sets.embedding, config.sets.embedding)

    def forward(self, table, ids):
        mask = ids > 0
        if self.training and self.config.unknown_dropout:
            hide = torch.rand(ids.shape) < self.config.unknown_dropout
            ids = torch.where(hide & mask, 1, ids)
        return F.dropout(self.attention(table(ids), mask), self.config.dropout, self.training)


class Text(nn.Module):
    """Embedding, BiLSTM, attention. `packed`: padding is skipped, as ours skips it."""

    def __init__(self, size: int, config: ModelConfig, packed: bool):
        super().__init__()
        text = config.text
        self.embedding = nn.Embedding(size, text.embedding)
        self.lstm = nn.LSTM(text.embedding, text.hidden, batch_first=True, bidirectional=True)
        self.attention = Attention(2 * text.hidden, text.hidden)
        self.dropout, self.packed = text.dropout, packed

    def forward(self, ids):
        mask = ids > 0
        x = F.dropout(self.embedding(ids), self.dropout, self.training)
        if self.packed:
            lengths = mask.sum(1).clamp(min=1)
            packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
            x, _ = pad_packed_sequence(
                self.lstm(packed)[0], batch_first=True, total_length=ids.shape[1]
            )
        else:
            x, _ = self.lstm(x)
        return F.dropout(self.attention(x, mask), self.dropout, self.training)


def _groups(channels: int) -> int:
    return max(n for n in range(1, 9) if n == 1 or (channels % n == 0 and channels >= 4 * n))


class Convolution(nn.Module):
    """Padding SAME, which at stride 2 pads after the picture more than before it."""

    def __init__(self, before: int, after: int, size: int, stride: int):
        super().__init__()
        self.stride, self.size = stride, size
        padding = size // 2 if stride == 1 else 0
        self.conv = nn.Conv2d(before, after, size, stride, padding, bias=False)

    def forward(self, x):
        if self.stride > 1 and self.size > 1:
            total = self.size - self.stride  # of even sizes
            x = F.pad(x, (total // 2, total - total // 2) * 2)
        return self.conv(x)


class Block(nn.Module):
    def __init__(self, before: int, channels: int, stride: int):
        super().__init__()
        self.norm1 = nn.GroupNorm(_groups(before), before, eps=EPSILON)
        self.norm2 = nn.GroupNorm(_groups(channels), channels, eps=EPSILON)
        if stride > 1 or before != channels:
            self.skip = Convolution(before, channels, 1, stride)
        self.conv1 = Convolution(before, channels, 3, stride)
        self.conv2 = Convolution(channels, channels, 3, 1)

    def forward(self, x):
        active = F.relu(self.norm1(x))
        skip = self.skip(active) if hasattr(self, "skip") else x
        return skip + self.conv2(F.relu(self.norm2(self.conv1(active))))


class Image(nn.Module):
    def __init__(self, config: ModelConfig, channels_last: bool):
        super().__init__()
        image = config.image
        self.stem = Convolution(3, image.widths[0], 3, 1)
        blocks, before = {}, image.widths[0]
        for stage, width in enumerate(image.widths):
            for block in range(image.blocks):
                blocks[f"stage{stage}_block{block}"] = Block(before, width, 2 if block == 0 else 1)
                before = width
        self.blocks = nn.ModuleDict(blocks)
        self.norm = nn.GroupNorm(_groups(before), before, eps=EPSILON)
        self.output = nn.Linear(before, image.output)
        self.dropout = image.dropout
        self.format = torch.channels_last if channels_last else torch.contiguous_format
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None])
        self.register_buffer("deviation", torch.tensor(DEVIATION)[:, None, None])

    def forward(self, pixels):
        x = pixels.permute(0, 3, 1, 2).float() / 255
        x = ((x - self.mean) / self.deviation).contiguous(memory_format=self.format)
        x = self.stem(x)
        for block in self.blocks.values():
            x = block(x)
        x = F.relu(self.norm(x)).mean((2, 3))
        return F.dropout(self.output(x), self.dropout, self.training)


class Fusion(nn.Module):
    def __init__(self, widths: Mapping[str, int], config: ModelConfig):
        super().__init__()
        self.config = config.fusion
        self.missing = nn.ParameterDict(
            {n: nn.Parameter(torch.zeros(w)) for n, w in widths.items()}
        )
        before, self.dense, self.norm = sum(widths.values()), nn.ModuleList(), nn.ModuleList()
        for width in config.fusion.hidden:
            self.dense.append(nn.Linear(before, width))
            self.norm.append(nn.LayerNorm(width, eps=EPSILON))
            before = width

    def forward(self, vectors, batch):
        parts = []
        for name, vector in vectors.items():
            seen = batch[f"present/{name}"]
            if self.training and self.config.modality_dropout:
                seen = seen * (torch.rand(seen.shape) >= self.config.modality_dropout)
            parts.append(torch.where(seen[:, None] > 0, vector, self.missing[name]))
        x = torch.cat(parts, -1)
        for dense, norm in zip(self.dense, self.norm, strict=True):
            x = F.gelu(norm(dense(x)), approximate="tanh")
            x = F.dropout(x, self.config.dropout, self.training)
        return x


class Net(nn.Module):
    """Batch -> {target: [B]}."""

    def __init__(
        self,
        shape: NetworkShape,
        config: ModelConfig,
        packed: bool = True,
        channels_last: bool = True,
    ):
        super().__init__()
        self.shape = shape
        vocabulary = dict(shape.vocabulary_of)
        self.tables_of = vocabulary
        self.numbers = Numbers(shape.numbers, config) if shape.numbers else None
        width = config.sets.embedding
        self.tables = nn.ModuleDict(
            {name: nn.Embedding(size, width) for name, size in shape.vocabulary_sizes}
        )
        self.sets = nn.ModuleDict({field: Set(config) for field in vocabulary})
        self.texts = nn.ModuleDict({f: Text(size, config, packed) for f, size, _ in shape.texts})
        self.images = nn.ModuleDict({f: Image(config, channels_last) for f in shape.images})
        widths = {"numbers": config.numbers.hidden} if shape.numbers else {}
        widths |= {modality: width * len(fields) for modality, fields in shape.sets}
        widths |= {field: 2 * config.text.hidden for field, _, _ in shape.texts}
        widths |= dict.fromkeys(shape.images, config.image.output)
        self.fusion = Fusion(widths, config)
        self.heads = nn.ModuleDict(
            {t: nn.Linear(config.fusion.hidden[-1], 1) for t in shape.targets}
        )

    def forward(self, batch: Batch) -> dict[str, torch.Tensor]:
        vectors = {}
        if self.numbers is not None:
            vectors["numbers"] = self.numbers(batch["numbers/values"], batch["numbers/known"])
        for modality, fields in self.shape.sets:
            pooled = [
                self.sets[f](self.tables[self.tables_of[f]], batch[f"sets/{f}"]) for f in fields
            ]
            vectors[modality] = torch.cat(pooled, -1)
        for field, text in self.texts.items():
            vectors[field] = text(batch[f"texts/{field}"])
        for field, image in self.images.items():
            vectors[field] = image(batch[f"images/{field}"])
        fused = self.fusion(vectors, batch)
        return {name: head(fused)[:, 0] for name, head in self.heads.items()}


def load(net: Net, params: Mapping[str, np.ndarray]) -> None:
    """Copy our parameters, named by their paths, into a network; every one must be used."""
    left = dict(params)

    def put(parameter, path, change=lambda array: array):
        value = torch.from_numpy(np.ascontiguousarray(change(left.pop(path))))
        assert parameter.shape == value.shape, (path, parameter.shape, value.shape)
        with torch.no_grad():
            parameter.copy_(value)

    def linear(module, path):
        put(module.weight, f"{path}/kernel", np.transpose)
        if module.bias is not None:
            put(module.bias, f"{path}/bias")

    def norm(module, path):
        put(module.weight, f"{path}/scale")
        put(module.bias, f"{path}/bias")

    def attention(module, path):
        linear(module.project, f"{path}/project")
        linear(module.score, f"{path}/score")

    def convolution(module, path):
        put(module.conv.weight, f"{path}/kernel", lambda k: k.transpose(3, 2, 0, 1))

    if net.numbers is not None:
        linear(net.numbers.hidden, "numbers/hidden")
        linear(net.numbers.output, "numbers/output")
    for name, table in net.tables.items():
        put(table.weight, f"table_{name}/embedding")
    for field, module in net.sets.items():
        attention(module.attention, f"set_{field}/attention")
    for field, text in net.texts.items():
        path = f"text_{field}"
        put(text.embedding.weight, f"{path}/embedding/embedding")
        for direction, suffix in (("forward", ""), ("backward", "_reverse")):
            own = f"{path}/sequence/{direction}"
            put(getattr(text.lstm, f"weight_ih_l0{suffix}"), f"{own}/input/kernel", np.transpose)
            put(getattr(text.lstm, f"weight_hh_l0{suffix}"), f"{own}/recurrent", np.transpose)
            put(getattr(text.lstm, f"bias_ih_l0{suffix}"), f"{own}/input/bias")
            nn.init.zeros_(getattr(text.lstm, f"bias_hh_l0{suffix}"))
        attention(text.attention, f"{path}/pooling/attention")
    for field, image in net.images.items():
        path = f"image_{field}"
        convolution(image.stem, f"{path}/stem")
        for name, block in image.blocks.items():
            for i in (1, 2):
                norm(getattr(block, f"norm{i}"), f"{path}/{name}/norm{i}/group")
                convolution(getattr(block, f"conv{i}"), f"{path}/{name}/conv{i}")
            if hasattr(block, "skip"):
                convolution(block.skip, f"{path}/{name}/skip")
        norm(image.norm, f"{path}/norm/group")
        linear(image.output, f"{path}/output")
    for name, parameter in net.fusion.missing.items():
        put(parameter, f"fusion/missing_{name}")
    for i, (dense, layer) in enumerate(zip(net.fusion.dense, net.fusion.norm, strict=True)):
        linear(dense, f"fusion/dense_{i}")
        norm(layer, f"fusion/norm_{i}")
    for name, head in net.heads.items():
        linear(head, f"heads/{name}")
    assert not left, sorted(left)
