"""Where films come from, and what of them is read: `data` and `features` of a config."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

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
