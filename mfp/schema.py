"""The schema of a config: every key, its type, its default and its bounds. Values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from mfp.typed_toml import bounded


@dataclass(frozen=True)
class SplitConfig:
    """Last release day (inclusive) of each split; films released later are left out."""

    train_until: str = "2008-12-31"
    validation_until: str = "2010-12-31"
    test_until: str = "2014-12-31"
    # Where the rows of a table are not to be split by date: the column that says train, validation
    # or test of each. A row that is split so needs no release_date.
    column: str = ""


@dataclass(frozen=True)
class DataConfig:
    """Where films come from and how they are split."""

    # bundled, table, reviews (bundled review texts), tfds:<name> (any labelled TFDS text set), or
    # what another package adds, see CONTRIBUTING.md
    source: str = "bundled"
    table: str = ""  # path of a .csv, .jsonl or .json file; needed when source = "table"
    media: str = ""  # folder that the table's poster and trailer paths are relative to
    prepared: str = "runs/prepared"  # where the TFDS dataset `movie_feedback` is kept
    split: SplitConfig = field(default_factory=SplitConfig)
    image_size: int = bounded(64, low=8, high=512)  # pixels; media are resized once, here
    video_frames: int = bounded(8, low=1, high=64)  # spread over a clip
    # source = "reviews": imdb, rotten_tomatoes. The first is split, the others only train.
    review_origins: tuple[str, ...] = ("imdb", "rotten_tomatoes")


@dataclass(frozen=True)
class TextConfig:
    """From a text to tokens (seed 3.2), the same for every text field."""

    unicode: Literal["NFKC", "NFC", "none"] = "NFKC"
    strip_html: bool = True  # tags become spaces, entities characters
    lowercase: bool = True
    stop_words: bool = False  # remove the language's stop words
    stem: bool = False  # Snowball stems of the language
    language: str = "en"  # ISO 639-1, of stop words and stems
    # subwords: BPE trained on the training split. pretrained: those of the published encoder, which
    # read the text as it stands: no other key of this section applies.
    tokens: Literal["words", "subwords", "pretrained"] = "words"
    ngrams: int = bounded(
        0, low=0, high=5
    )  # longest n-gram of the bag beside the sequence; 0: none
    max_ngrams: int = bounded(200_000, low=1)  # in the vocabulary
    min_ngram_films: int = bounded(3, low=1)  # an n-gram seen in fewer training films is left out
    text_ngrams: int = bounded(1024, low=1)  # kept of one text
    vectors: str = ""  # word vectors to start embeddings from: a text file of "word v1 v2 ..."


@dataclass(frozen=True)
class HistoryConfig:
    """The track record of a film's people and companies, as known when the film opened."""

    fields: tuple[str, ...] = ()  # set fields whose members have a record; none = no records
    outcomes: tuple[str, ...] = ("rating", "revenue")  # of earlier films
    any_role: bool = False  # also of all films of a director, writer or actor, in whatever role
    # Fields of few members, where best, last and count only tell the year: their mean and spread.
    clocks: tuple[str, ...] = ("genres", "countries", "languages", "certificate")
    shrinkage: float = bounded(3.0, low=0)  # films of average outcome that a mean starts from
    half_life_years: float = bounded(6.0, low=0)  # of an outcome's weight; 0 = it keeps its weight
    # An outcome enters as its difference from the mean known when its film opened.
    stationary: bool = True
    # What members add to an outcome, all of a film's estimated together: the variance of effects
    # in that of the noise; 0 leaves it out. See data/joint.py.
    joint: float = bounded(0.0, low=0)
    # After its release an outcome counts as known; after the end of the month or year where only
    # that is known of it.
    delay_days: int = bounded(30, low=0, high=3650)


@dataclass(frozen=True)
class FeaturesConfig:
    """Which fields enter the network, and how they are turned into arrays."""

    # Number fields, derived numbers (see film.py), and numbers of the table's own: a column called
    # "number:altitude", say, which is known before release.
    numbers: tuple[str, ...] = ()
    number_scaling: Literal["quantile", "standard"] = "quantile"
    texts: tuple[str, ...] = ()  # text fields, each a modality of its own
    # A set modality is a name and the fields it joins, for example crew = ["directors", "cast"].
    sets: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    images: tuple[str, ...] = ()  # "poster"
    videos: tuple[str, ...] = ()  # "trailer"
    added: tuple[str, ...] = ()  # modalities that other packages add, see CONTRIBUTING.md
    # Set fields whose order carries meaning (billing). The bundled cast is alphabetical.
    ordered: tuple[str, ...] = ()
    min_films: int = bounded(2, low=1)  # a name seen in fewer training films is "unknown"
    max_names: int = bounded(50_000, low=1)  # per vocabulary, the most frequent are kept
    max_members: int = bounded(12, low=1)  # members kept of each set field of a film
    max_tokens: int = bounded(128, low=1)  # tokens kept of each text
    min_word_films: int = bounded(3, low=1)  # a word seen in fewer training films is "unknown"
    max_words: int = bounded(30_000, low=1)
    max_reviews: int = bounded(8, low=1)  # reviews kept of one film
    text: TextConfig = field(default_factory=TextConfig)
    history: HistoryConfig = field(default_factory=HistoryConfig)


@dataclass(frozen=True)
class RatingConfig:
    """Rating on the scale 0-10: regression by mean squared error."""

    loss_weight: float = bounded(1.0, low=0)
    # A mean of few votes is noisy: in the loss, and only there, a film's rating counts
    # votes / (votes + votes_half), where its vote_count is known. 0 counts all alike.
    votes_half: float = bounded(0.0, low=0)


@dataclass(frozen=True)
class RevenueConfig:
    """Box office: regression on log10 dollars by mean squared error."""

    loss_weight: float = bounded(0.4, low=0)
    minimum_usd: float = bounded(1.0, low=1.0)  # smaller reported revenues are not trusted


@dataclass(frozen=True)
class HitConfig:
    """A hit is any enabled rule that holds; 0 turns a rule off. Binary cross-entropy."""

    loss_weight: float = bounded(0.3, low=0)
    rating_at_least: float = bounded(7.0, low=0, high=10)
    revenue_at_least_usd: float = bounded(0.0, low=0)
    revenue_over_budget: float = bounded(0.0, low=0)
    label_smoothing: float = bounded(0.0, low=0, high=1)  # in the loss of training alone


@dataclass(frozen=True)
class VerdictConfig:
    """flop / average / hit / superhit by three rising thresholds. Softmax cross-entropy."""

    loss_weight: float = bounded(0.0, low=0)
    by: Literal["rating", "revenue_over_budget"] = "rating"
    thresholds: tuple[float, ...] = (5.0, 6.5, 8.0)
    label_smoothing: float = bounded(0.0, low=0, high=1)


@dataclass(frozen=True)
class SentimentConfig:
    """Whether a review praises (1) or pans (0). Binary cross-entropy."""

    loss_weight: float = bounded(0.0, low=0)
    label_smoothing: float = bounded(0.0, low=0, high=1)


TARGETS = ("rating", "revenue", "hit", "verdict", "sentiment")  # mfp's own


@dataclass(frozen=True)
class TargetsConfig:
    """What is predicted. A loss weight of 0 leaves the target (and its head) out."""

    rating: RatingConfig = field(default_factory=RatingConfig)
    revenue: RevenueConfig = field(default_factory=RevenueConfig)
    hit: HitConfig = field(default_factory=HitConfig)
    verdict: VerdictConfig = field(default_factory=VerdictConfig)
    sentiment: SentimentConfig = field(default_factory=SentimentConfig)
    # uncertainty: besides, each loss counts by how well its target can be told, which is learned
    # (Kendall et al. 2018). Epochs are compared by the fixed weights all the same.
    weighting: Literal["fixed", "uncertainty"] = "fixed"
    # Numbers that other packages add, each with its loss weight, see CONTRIBUTING.md.
    added: Mapping[str, float] = field(default_factory=dict)

    @property
    def enabled(self) -> tuple[str, ...]:
        """Names of the targets with a positive loss weight, in a fixed order."""
        return tuple(name for name in (*TARGETS, *self.added) if self.loss_weight(name) > 0)

    def loss_weight(self, name: str) -> float:
        """By how much a target's loss is multiplied."""
        return self.added[name] if name in self.added else getattr(self, name).loss_weight


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
class ModelConfig:
    """The network: one encoder per modality, a fusion, a head per target."""

    numbers: NumbersModelConfig = field(default_factory=NumbersModelConfig)
    sets: SetsModelConfig = field(default_factory=SetsModelConfig)
    text: TextModelConfig = field(default_factory=TextModelConfig)
    image: ImageModelConfig = field(default_factory=ImageModelConfig)
    video: VideoModelConfig = field(default_factory=VideoModelConfig)
    fusion: FusionConfig = field(default_factory=FusionConfig)


@dataclass(frozen=True)
class OptimizerConfig:
    """Optimizer, schedule and penalties."""

    name: Literal["sgd", "adam", "adamw"] = "adamw"
    learning_rate: float = bounded(1.5e-3, low=0)
    momentum: float = bounded(0.9, low=0, high=0.9999)  # of sgd
    beta1: float = bounded(0.9, low=0, high=0.9999)  # of adam and adamw
    beta2: float = bounded(0.999, low=0, high=0.999999)
    weight_decay: float = bounded(0.01, low=0)  # decoupled, adamw only
    schedule: Literal["constant", "cosine"] = "cosine"
    warmup_fraction: float = bounded(0.1, low=0, high=1)  # of all steps
    clip_norm: float = bounded(1.0, low=0)  # global gradient norm; 0 = no clipping
    l1: float = bounded(0.0, low=0)  # penalty on all weights, in the loss
    l2: float = bounded(0.0, low=0)
    # Factors of these penalties for parts of the network, by the beginning of their names (table_,
    # text_, fusion): 0 spares a part, what is not named counts 1.
    l1_groups: Mapping[str, float] = field(default_factory=dict)
    l2_groups: Mapping[str, float] = field(default_factory=dict)
    weight_decay_groups: Mapping[str, float] = field(default_factory=dict)
    # Of the learning rate, for a pretrained encoder that is not frozen.
    pretrained_rate: float = bounded(0.02, low=0, high=1)
    ema: float = bounded(0.98, low=0, high=0.99999)  # parameter averaging; 0 = none


@dataclass(frozen=True)
class TrainConfig:
    """The loop."""

    batch_size: int = bounded(256, low=1)
    # So many networks, each from its own draw, trained on the same batches in one program; what
    # they say is averaged (deep ensemble, Lakshminarayanan et al. 2017).
    ensemble: int = bounded(1, low=1, high=64)
    epochs: int = bounded(12, low=1)
    # A final fit, of `mfp train --refit`: so many epochs of the schedule on train and validation
    # films together, without validation and without choosing. 0: validation chooses the epoch.
    final_epochs: int = bounded(0, low=0)
    patience: int = bounded(4, low=1)  # epochs without a better validation loss before stopping
    # Shapes that long texts are padded to: films of like length share a batch, and a batch is
    # padded to the next of this many lengths. One compilation each; 1 pads all to the longest.
    length_buckets: int = bounded(1, low=1, high=16)
    # In the loss of training, and only there, a film counts half as much as one released so many
    # years later; 0 counts all alike.
    recency_half_life_years: float = bounded(0.0, low=0)
    # A batch is computed in so many parts, one after another, and their gradients are added: the
    # same step in less memory.
    accumulate: int = bounded(1, low=1)
    # What of the forward pass is computed again for the gradient instead of being kept: nothing,
    # or all but the results of matrix products.
    rematerialise: Literal["none", "elementwise"] = "none"
    log_every: int = bounded(10, low=1)  # steps
    # Of work that a sudden end (kill -9, power) may lose, in steps and in minutes; 0 = no limit.
    # Checkpoints are written twice as often, while training goes on, and after each epoch.
    checkpoint_every: int = bounded(50, low=0)
    checkpoint_minutes: float = bounded(0.0, low=0)


@dataclass(frozen=True)
class ParallelConfig:
    """How a step is spread over devices and processes.

    jit: one device. pmap: the batch is split over all devices, each holds the whole state.
    sharded: so is the batch, and large parameters are split too, over a mesh.
    """

    mode: Literal["jit", "pmap", "sharded"] = "jit"
    # sharded: so many devices of one machine share large parameters; the rest split the batch.
    model_devices: int = bounded(1, low=1)
    shard_at_least: int = bounded(65_536, low=1)  # elements of a parameter worth splitting
    # bfloat16: the network computes in it; parameters, losses and reductions stay float32.
    precision: Literal["float32", "bfloat16"] = "float32"
    # Several processes: seconds without a sign of life until the others give one up for dead.
    dead_after: int = bounded(60, low=2)


@dataclass(frozen=True)
class SearchConfig:
    """Where one key is searched: a range, or choices. Its type and bounds are those of the key."""

    low: float = 0.0
    high: float = 0.0  # inclusive
    log: bool = False  # evenly over orders of magnitude
    choices: tuple[Any, ...] = ()


@dataclass(frozen=True)
class TuneConfig:
    """The search of `mfp tune` for a better config, on validation films alone."""

    # What is optimised: the validation loss, or <target>/<metric> of validation films, as
    # rating/r2, at the epoch of the smallest validation loss.
    metric: str = "loss"
    startup_trials: int = bounded(10, low=0)  # drawn at random before the others learn from them
    # Successive halving (Li et al. 2018, ASHA): after so many epochs, and each time that
    # `reduction` times as many are done, only the best 1/reduction of the trials go on.
    first_rung: int = bounded(2, low=1)
    reduction: int = bounded(3, low=2)
    # "optimizer.learning_rate" = { low = 3e-4, high = 5e-3, log = true }; the name in quotes.
    space: Mapping[str, SearchConfig] = field(default_factory=dict)


@dataclass(frozen=True)
class Config:
    """Everything that decides a run."""

    name: str = "base"  # the run folder is runs/<name>
    seed: int = bounded(0, low=0, high=2**32 - 1)
    as_of: Literal["pre_release", "post_release"] = "pre_release"
    data: DataConfig = field(default_factory=DataConfig)
    features: FeaturesConfig = field(default_factory=FeaturesConfig)
    targets: TargetsConfig = field(default_factory=TargetsConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    parallel: ParallelConfig = field(default_factory=ParallelConfig)
    tune: TuneConfig = field(default_factory=TuneConfig)
