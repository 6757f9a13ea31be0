"""Text to token ids, and to a bag of n-grams: cleaned, split, looked up in a fitted vocabulary.

The steps are those of the seed's 3.2, each a config choice: Unicode normalisation, HTML removed,
words or subwords, stop words, stems, vocabulary with an unknown token. Chinese, Japanese and
Korean, which put no space between words, are split per character.

Letters: T tokens, G n-grams.
"""

from __future__ import annotations

import functools
import html
import json
import re
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

from mfp import typed_toml
from mfp.config import ConfigError, TextConfig
from mfp.data import pretrained
from mfp.data.tabular import FIRST_NAME, PADDING, UNKNOWN

_SPECIAL = {"[PAD]": PADDING, "[UNK]": UNKNOWN}
_CJK = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}]"
_TAG = r"</?[A-Za-z!][^<>]{0,500}>"
# What html.unescape replaces.
_REFERENCE = re.compile(r"&(?:#[0-9]+;?|#[xX][0-9a-fA-F]+;?|[^\t\n\f <&#;]{1,32};?)")
_STEPS = {"BertNormalizer", "BertPreTokenizer", "TemplateProcessing", "WordPiece", "BPEDecoder"}
_END = "</w>"  # a subword that ends its word
# Texts that subwords are trained on, at most: more change little and cost memory.
_SUBWORD_TEXTS = 100_000
_LONGEST = 512  # pretrained tokens of a text, at most
# N-grams are counted by hash, so that memory is bounded whatever the texts.
_HASHES = 1 << 24

# Snowball's name of each language.
_SNOWBALL = {
    "ar": "arabic", "ca": "catalan", "da": "danish", "de": "german", "el": "greek",
    "en": "english", "es": "spanish", "eu": "basque", "fi": "finnish", "fr": "french",
    "ga": "irish", "hi": "hindi", "hu": "hungarian", "hy": "armenian", "id": "indonesian",
    "it": "italian", "lt": "lithuanian", "ne": "nepali", "nl": "dutch", "no": "norwegian",
    "pt": "portuguese", "ro": "romanian", "ru": "russian", "sr": "serbian", "sv": "swedish",
    "ta": "tamil", "tr": "turkish", "yi": "yiddish",
}  # fmt: skip


def stop_words(language: str) -> tuple[str, ...]:
    """The stop words of a language (ISO 639-1), sorted.

    Raises:
      ConfigError: no list is known for it.
    """
    import stopwordsiso

    if not stopwordsiso.has_lang(language):
        raise ConfigError(f"features.text.language: no stop words are known for '{language}'")
    return tuple(sorted(stopwordsiso.stopwords(language)))


class Word(NamedTuple):
    """A word as the network knows it, and the characters [start, end) of the text it came from."""

    word: str
    start: int
    end: int


class Preprocessor:
    """Text to words, by a config; pure once built."""

    def __init__(self, config: TextConfig, stopped: Sequence[str]):
        if config.stem and config.language not in _SNOWBALL:
            raise ConfigError(
                f"features.text.language: no Snowball stemmer for '{config.language}'; "
                f"one of {', '.join(_SNOWBALL)}"
            )
        self._config, self._stopped = config, frozenset(stopped)
        steps: list[Any] = []
        if config.strip_html:
            steps.append(normalizers.Replace(tokenizers.Regex(_TAG), " "))
        if config.unicode != "none":
            steps.append(getattr(normalizers, config.unicode)())
        if config.lowercase:
            steps.append(normalizers.Lowercase())
        self._normalizer = normalizers.Sequence(steps)
        self._splitter = pre_tokenizers.Sequence(
            [
                pre_tokenizers.WhitespaceSplit(),
                pre_tokenizers.Split(tokenizers.Regex(_CJK), "isolated"),
                pre_tokenizers.Punctuation("isolated"),
            ]
        )
        self._stem = _stemmer(_SNOWBALL[config.language]) if config.stem else None

    def __call__(self, text: str) -> list[str]:
        if self._config.strip_html and "&" in text:
            text = html.unescape(text)
        normalized = self._normalizer.normalize_str(text)
        words = [word for word, _ in self._splitter.pre_tokenize_str(normalized)]
        if self._stopped:
            words = [word for word in words if word not in self._stopped]
        return words if self._stem is None else [self._stem(word) for word in words]

    def located(self, text: str) -> list[Word]:
        """The same words with their places in the text. Slower: for explanations."""
        starts, ends = list(range(len(text))), list(range(1, len(text) + 1))
        if self._config.strip_html and "&" in text:
            text, starts, ends = _unescaped(text)
        pieces = tokenizers.PreTokenizedString(text)
        pieces.normalize(lambda piece: self._normalizer.normalize(piece))
        self._splitter.pre_tokenize(pieces)
        found = pieces.get_splits(offset_referential="original", offset_type="char")
        return [
            Word(word if self._stem is None else self._stem(word), starts[a], ends[b - 1])
            for word, (a, b), _ in found
            if word not in self._stopped
        ]


def _unescaped(text: str) -> tuple[str, list[int], list[int]]:
    """html.unescape(text), and of each character where what it came from starts and ends."""
    pieces: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    after = 0
    for match in (*_REFERENCE.finditer(text), None):
        plain = range(after, match.start() if match else len(text))
        pieces.append(text[plain.start : plain.stop])
        starts += plain
        ends += range(plain.start + 1, plain.stop + 1)
        if match:
            replaced = html.unescape(match.group())
            pieces.append(replaced)
            starts += [match.start()] * len(replaced)
            ends += [match.end()] * len(replaced)
            after = match.end()
    return "".join(pieces), starts, ends


@functools.cache
def _stemmer(language: str) -> Any:
    import snowballstemmer

    return functools.lru_cache(maxsize=200_000)(snowballstemmer.stemmer(language).stemWord)


class TextCounter:
    """Counts what a vocabulary needs of the training texts, in one pass."""

    def __init__(self, config: TextConfig) -> None:
        self._config = config
        self._stopped = stop_words(config.language) if config.stop_words else ()
        self._preprocess = Preprocessor(config, self._stopped)
        self.films: Counter[str] = Counter()  # in how many texts each word stands
        self.lengths: Counter[int] = Counter()  # words of each text
        self._sample: list[str] = []  # what subwords are trained on
        self._ngram_texts = np.zeros(_HASHES if config.ngrams else 0, np.int32)
        self._published: TextTransform | None = None
        if config.tokens == "pretrained":
            tokenizer = _canonical(pretrained.tokenizer_json())
            self._published = TextTransform(config, (), tokenizer, ())

    def add(self, text: str) -> None:
        if self._published is not None:
            encoding = self._published.published(text)
            self.lengths[len(encoding)] += 1
            self.films.update(set(encoding.tokens))
            return
        words = self._preprocess(text)
        self.lengths[len(words)] += 1
        self.films.update(set(words))
        if self._config.tokens == "subwords" and len(self._sample) < _SUBWORD_TEXTS and words:
            self._sample.append(" ".join(words))
        if self._config.ngrams:
            self._ngram_texts[ngram_hashes(words, self._config.ngrams)] += 1

    def fit(self, min_films: int, max_words: int) -> TextTransform:
        """The transform of all texts added: most frequent first, ties in alphabetical order."""
        config = self._config
        if self._published is not None:
            return self._published
        if config.tokens == "subwords":
            tokenizer = _train_subwords(self._sample, min_films, max_words)
        else:
            kept = sorted(
                (w for w, n in self.films.items() if n >= min_films and w not in _SPECIAL),
                key=lambda word: (-self.films[word], word),
            )
            words = {word: i for i, word in enumerate(kept[:max_words], start=FIRST_NAME)}
            tokenizer = tokenizers.Tokenizer(models.WordLevel(_SPECIAL | words, unk_token="[UNK]"))
        frequent = np.flatnonzero(self._ngram_texts >= config.min_ngram_films)
        order = np.argsort(-self._ngram_texts[frequent], kind="stable")
        hashes = np.sort(frequent[order[: config.max_ngrams]])
        return TextTransform(
            config, self._stopped, _canonical(tokenizer.to_str()), tuple(hashes.tolist())
        )


def _train_subwords(texts: list[str], min_films: int, size: int) -> tokenizers.Tokenizer:
    """Byte-pair encoding (Sennrich et al. 2016) of words."""
    tokenizer = tokenizers.Tokenizer(models.BPE(unk_token="[UNK]", end_of_word_suffix=_END))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.decoder = decoders.BPEDecoder(suffix=_END)
    trainer = trainers.BpeTrainer(
        vocab_size=max(size, 64),
        min_frequency=min_films,
        special_tokens=list(_SPECIAL),  # in the order of their ids
        end_of_word_suffix=_END,
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.pre_tokenizer = None  # words are split already
    return tokenizer


def ngram_hashes(words: Sequence[str], longest: int) -> np.ndarray:
    """The distinct hashes of all n-grams of 1 to `longest` words, sorted."""
    found = set()
    encoded = [word.encode("utf-8", "replace") for word in words]
    for n in range(1, longest + 1):
        for start in range(len(encoded) - n + 1):
            found.add(zlib.crc32(b" ".join(encoded[start : start + n])) & (_HASHES - 1))
    return np.array(sorted(found), np.int64)


def _cut(text: str, words: int) -> str:
    # Words average far fewer than 40 characters: a book need not be split to its end.
    return text[: 40 * words]


def _words_of(encoding: tokenizers.Encoding, text: str, tokens: int) -> list[Word]:
    """The words of the first pretrained tokens, which are parts of words."""
    spans: dict[int, tuple[int, int]] = {}
    # The last that is read marks the end.
    pairs = list(zip(encoding.word_ids, encoding.offsets, strict=True))[: tokens - 1]
    for word, (start, end) in pairs:
        if word is not None:  # no mark
            spans[word] = (spans.get(word, (start, end))[0], end)
    return [Word(text[start:end], start, end) for start, end in spans.values()]


def _canonical(text: str) -> str:
    return json.dumps(json.loads(text), sort_keys=True)


@dataclass(frozen=True)
class TextTransform:
    """A fitted text pipeline; the vocabulary is the `tokenizers` library's own JSON."""

    config: TextConfig
    stopped: tuple[str, ...]
    tokenizer_json: str
    ngram_vocabulary: tuple[int, ...]  # kept n-gram hashes, rising; their ids start at 2

    @cached_property
    def _tokenizer(self) -> tokenizers.Tokenizer:
        return tokenizers.Tokenizer.from_str(self.tokenizer_json)

    @cached_property
    def _vocabulary(self) -> dict[str, int]:
        return self._tokenizer.get_vocab()

    @cached_property
    def _preprocess(self) -> Preprocessor:
        return Preprocessor(self.config, self.stopped)

    @cached_property
    def _ngrams(self) -> np.ndarray:
        return np.array(self.ngram_vocabulary, np.int64)

    @property
    def size(self) -> int:
        """Number of token ids, padding and unknown included."""
        return self._tokenizer.get_vocab_size()

    @property
    def ngram_size(self) -> int:
        """Number of n-gram ids, padding and unknown included; 0 without n-grams."""
        return len(self.ngram_vocabulary) + FIRST_NAME if self.config.ngrams else 0

    @cached_property
    def words(self) -> dict[int, str]:
        """The word or subword of each id."""
        return {i: word for word, i in self._vocabulary.items()}

    def encode(self, text: str, length: int) -> np.ndarray:
        """Ids [T = length] of the first tokens, padded with 0."""
        if self.config.tokens == "pretrained":
            ids = self.published(text).ids
            if len(ids) > length:
                ids = [*ids[: length - 1], ids[-1]]  # with the mark of its end
            return np.array(ids + [0] * (length - len(ids)), np.int32)
        return self._ids(self._words(text, length), length)

    def encode_bag(self, text: str, length: int) -> np.ndarray:
        """Distinct known n-gram ids [G = length], padded with 0."""
        return self._bag(self._words(text, 4 * length), length)

    def encode_both(self, text: str, tokens: int, ngrams: int) -> tuple[np.ndarray, np.ndarray]:
        """`encode` and `encode_bag` with one pass over the text."""
        words = self._words(text, max(tokens, ngrams))
        return self._ids(words, tokens), self._bag(words, ngrams)

    def read(self, text: str, tokens: int) -> list[Word]:
        """The words that `encode` and `encode_bag` read of a text, with their places in it.

        Of subwords it may name a last few words that `encode` has no room for.
        """
        if self.config.tokens == "pretrained":
            return _words_of(self.published(text), text, tokens)
        if self.config.ngrams:  # the bag reads on where the tokens end
            return self._preprocess.located(_cut(text, max(tokens, self.config.text_ngrams)))
        return self._preprocess.located(_cut(text, tokens))[:tokens]

    def published(self, text: str) -> tokenizers.Encoding:
        """A text as pretrained tokens, between the marks of its start and end."""
        return self._tokenizer.encode(_cut(text, _LONGEST))

    def _words(self, text: str, most: int) -> list[str]:
        return self._preprocess(_cut(text, most))

    def _ids(self, words: list[str], length: int) -> np.ndarray:
        row = np.zeros(length, np.int32)
        if self.config.tokens == "subwords":
            ids = self._tokenizer.encode(words[:length], is_pretokenized=True).ids[:length]
        else:
            ids = [self._vocabulary.get(word, UNKNOWN) for word in words[:length]]
        row[: len(ids)] = ids
        return row

    def _bag(self, words: list[str], length: int) -> np.ndarray:
        hashes = ngram_hashes(words, self.config.ngrams)
        row = np.zeros(length, np.int32)
        if len(self._ngrams):
            at = np.searchsorted(self._ngrams, hashes)
            found = at[self._ngrams[np.minimum(at, len(self._ngrams) - 1)] == hashes]
            row[: min(length, len(found))] = found[:length] + FIRST_NAME
        return row

    def to_json(self) -> dict[str, Any]:
        return {
            "config": asdict(self.config),
            "stop_words": list(self.stopped),
            "tokenizer": json.loads(self.tokenizer_json),
            "ngrams": list(self.ngram_vocabulary),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> TextTransform:
        """Raises ValueError where the values are no text transform."""
        text = json.dumps(values["tokenizer"], sort_keys=True)
        ngrams = tuple(map(int, values["ngrams"]))
        config = typed_toml.build(TextConfig, values["config"], "features.text")
        found = cls(config, tuple(values["stop_words"]), text, ngrams)
        # Ours have none of the library's steps but those of the published encoder. Others search
        # by a pattern, which can be made to take for ever.
        if not isinstance(values["tokenizer"], dict):
            raise ValueError("not a tokenizer: it is no table")
        for part in ("normalizer", "pre_tokenizer", "post_processor", "decoder"):
            step = values["tokenizer"].get(part)
            if step is not None and step["type"] not in _STEPS:
                raise ValueError(f"not a tokenizer of ours: {part}")
        try:
            _ = found._tokenizer, found._preprocess
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # the library raises bare Exception, and panics
            raise ValueError(f"not a tokenizer: {error}") from None
        return found
