"""The network: `model` of a config."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from mfp.typed_toml import bounded


@dataclass(frozen=True)
class NumbersModelConfig:
    """Encoder of the numbers: embeddings of each, then a small perceptron.

    periodic and piecewise: Gorishniy et al. 2022, "On Embeddings for Numerical Features".
    """

    embedding: Literal["plain", "periodic", "piecewise"] = "plain"
    width: int = bounded(8, low=1)  # of each number's embedding (periodic, piecewise)
    frequencies: int = bounded(8, low=1)  # periodic: sines and cosines of each number
    sigma: float = bounded(0.1, low=0)  # periodic: deviation of the first frequencies
    bins: int = bounded(16, low=2)  # piecewise: bins of each number
    hidden: int = bounded(64, low=0)  # of the perceptron; 0: none, the fusion reads the embeddings


@dataclass(frozen=True)
class SetsModelConfig:
    """Encoder of set-valued fields: embeddings pooled by attention."""

    embedding: int = bounded(16, low=1)
    dropout: float = bounded(0.2, low=0, high=0.99)
    # Share of members shown as "unknown" in training, so that a debut is familiar.
    unknown_dropout: float = bounded(0.3, low=0, high=0.99)
    # Fields of few names that every film has some of, such as genres: beside their embeddings these
    # enter as they are, a 0 or 1 of each name, and none is shown as "unknown".
    multi_hot: tuple[str, ...] = ()


TEXT_ENCODERS = ("rnn", "gru", "lstm", "cnn", "transformer", "bag", "pretrained")  # mfp's own


@dataclass(frozen=True)
class TextModelConfig:
    """Encoder of texts: embeddings, a sequence encoder, pooling; and a bag of n-grams beside it."""

    embedding: int = bounded(32, low=1)
    # bag: the embeddings themselves, without a sequence encoder. pretrained: one published encoder
    # (all-MiniLM-L6-v2) for all texts, with features.text.tokens = "pretrained". Or what another
    # package adds, see CONTRIBUTING.md.
    encoder: str = "lstm"
    frozen: bool = True  # pretrained: as published, and computed once a text; else trained on
    bidirectional: bool = True  # rnn, gru and lstm in both directions
    pooling: Literal["attention", "last", "mean", "max"] = "attention"
    hidden: int = bounded(32, low=1)
    windows: tuple[int, ...] = (3, 4, 5)  # cnn: words each filter sees
    heads: int = bounded(4, low=1)  # transformer
    layers: int = bounded(1, low=1)  # transformer
    ngram_embedding: int = bounded(8, low=1)
    # naive_bayes: each n-gram counts in proportion to its log-count ratio between the two classes
    # of the first binary target, in the training films (NBSVM, Wang and Manning 2012).
    ngram_scale: Literal["even", "naive_bayes"] = "even"
    dropout: float = bounded(0.3, low=0, high=0.99)


@dataclass(frozen=True)
class ImageModelConfig:
    """Encoder of pictures: a small residual CNN with GroupNorm."""

    widths: tuple[int, ...] = (16, 32, 64)  # channels of each stage; each halves height and width
    blocks: int = bounded(1, low=1)  # residual blocks of each stage
    # Rate at which the last block is left out of a picture's way, earlier ones less.
    stochastic_depth: float = bounded(0.0, low=0, high=0.99)
    output: int = bounded(64, low=1)
    dropout: float = bounded(0.3, low=0, high=0.99)
    flip: bool = True  # augmentation in training: mirrored
    crop: float = bounded(0.1, low=0, high=0.5)  # shifted by up to this share of the size
    colour: float = bounded(0.2, low=0, high=1)  # brightness and contrast changed by up to this


@dataclass(frozen=True)
class VideoModelConfig:
    """Encoder of clips: the picture encoder on each frame, then attention or an LSTM over time."""

    temporal: Literal["attention", "lstm"] = "attention"
    hidden: int = bounded(64, low=1)


@dataclass(frozen=True)
class FusionConfig:
    """How modality vectors become one, before a perceptron.

    gated: Arevalo et al. 2017. bilinear: low-rank products of all pairs (Kim et al. 2017).
    attention: one token per modality, self-attention over them.
    """

    kind: Literal["concatenation", "gated", "bilinear", "attention"] = "concatenation"
    width: int = bounded(64, low=1)  # of each modality's token; all but concatenation
    rank: int = bounded(32, low=1)  # bilinear
    heads: int = bounded(4, low=1)  # attention
    hidden: tuple[int, ...] = (256, 128)
    # Members that share the perceptron and differ in adapters and heads, see models/ensemble.py.
    members: int = bounded(1, low=1, high=64)
    ensemble: Literal["tabm", "tabm_mini", "batch"] = "tabm"
    residual: int = bounded(0, low=0, high=16)  # residual layers after each layer of the perceptron
    # Residual layers are left out of a film's way at random, the last one at this rate, the first
    # ones less (Huang et al. 2016).
    stochastic_depth: float = bounded(0.0, low=0, high=0.99)
    dropout: float = bounded(0.2, low=0, high=0.99)
    # Share of present modalities hidden in training, so that any may be missing later.
    modality_dropout: float = bounded(0.1, low=0, high=0.99)


@dataclass(frozen=True)
class KernelModelConfig:
    """A Gaussian process beside the network, whose mean enters the regressions it predicts.

    It reads numbers, track records and the fields of `sets.multi_hot`, and is solved for on the
    training films, see models/kernel.py. Targets have variance 1.
    """

    share: float = bounded(0.0, low=0, high=1)  # of the regressions; 0: the network alone
    anchors: int = bounded(2000, low=1)  # training films that it remembers, per target
    numbers: float = bounded(0.08, low=0)  # how fast it varies with a number, per deviation
    names: float = bounded(0.2, low=0)  # with a name that is there or not
    linear: float = bounded(0.06, low=0)  # deviation of its linear part, per deviation
    noise: float = bounded(0.2, low=0.001)  # variance of what it cannot explain
    # Of learning how fast it varies with each number and name; 0: for all as the three above say.
    steps: int = bounded(100, low=0)
    # Added to the variance of each anchor. Less makes weights of anchors that are large and cancel,
    # and float32 then loses what an exported program must agree on.
    nugget: float = bounded(0.3, low=1e-6)


@dataclass(frozen=True)
class TreesModelConfig:
    """Boosted trees beside the network, whose sum enters the regressions that it predicts.

    They read what the Gaussian process reads, and are grown on the training films, see
    models/trees.py. Targets have variance 1.
    """

    share: float = bounded(0.0, low=0, high=1)  # of the regressions; 0: no trees
    count: int = bounded(1200, low=1)  # trees of each target
    depth: int = bounded(4, low=1, high=8)  # questions of a tree
    rate: float = bounded(0.03, low=1e-4, high=1)  # how much of what is left a tree explains
    # Of the features (as many as questions at the least) and of the films, the shares that a tree
    # is grown on.
    features: float = bounded(0.2, low=0.001, high=1)
    films: float = bounded(0.8, low=0.001, high=1)
    l2: float = bounded(5.0, low=0)  # added to the weight of a leaf's films: less sure, nearer 0


@dataclass(frozen=True)
class ModelConfig:
    """The network: one encoder per modality, a fusion, a head per target."""

    numbers: NumbersModelConfig = field(default_factory=NumbersModelConfig)
    sets: SetsModelConfig = field(default_factory=SetsModelConfig)
    text: TextModelConfig = field(default_factory=TextModelConfig)
    image: ImageModelConfig = field(default_factory=ImageModelConfig)
    video: VideoModelConfig = field(default_factory=VideoModelConfig)
    fusion: FusionConfig = field(default_factory=FusionConfig)
    kernel: KernelModelConfig = field(default_factory=KernelModelConfig)
    trees: TreesModelConfig = field(default_factory=TreesModelConfig)
