"""Text to token ids: normalised, split into words, looked up in a vocabulary of training texts.

Words are split by the `tokenizers` library; Chinese, Japanese and Korean, which put no space
between words, are split per character. Letter: T tokens.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import tokenizers
from tokenizers import models, normalizers, pre_tokenizers

from mfp.data.tabular import FIRST_NAME, PADDING, UNKNOWN

_SPECIAL = {"[PAD]": PADDING, "[UNK]": UNKNOWN}
_CJK = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}]"


def _pipeline(vocabulary: dict[str, int]) -> tokenizers.Tokenizer:
    tokenizer = tokenizers.Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.WhitespaceSplit(),
            pre_tokenizers.Split(tokenizers.Regex(_CJK), "isolated"),
            pre_tokenizers.Punctuation("isolated"),
        ]
    )
    return tokenizer


class WordCounter:
    """Counts in how many films each word stands: one pass, constant work per text."""

    def __init__(self) -> None:
        self._tokenizer = _pipeline(dict(_SPECIAL))
        self.counts: Counter[str] = Counter()

    def add(self, text: str) -> None:
        self.counts.update(set(self.words(text)))

    def words(self, text: str) -> list[str]:
        normalized = self._tokenizer.normalizer.normalize_str(text)
        return [word for word, _ in self._tokenizer.pre_tokenizer.pre_tokenize_str(normalized)]


@dataclass(frozen=True)
class TextTransform:
    """A fitted tokenizer, held as the `tokenizers` library's own JSON."""

    tokenizer_json: str

    @classmethod
    def fit(cls, texts: Iterable[str], min_films: int, max_words: int) -> TextTransform:
        counter = WordCounter()
        for text in texts:
            counter.add(text)
        return cls.from_counts(counter.counts, min_films, max_words)

    @classmethod
    def from_counts(cls, counts: Counter[str], min_films: int, max_words: int) -> TextTransform:
        """The most frequent words, ties in alphabetical order."""
        kept = sorted(
            (w for w, count in counts.items() if count >= min_films and w not in _SPECIAL),
            key=lambda word: (-counts[word], word),
        )
        words = {word: i for i, word in enumerate(kept[:max_words], start=FIRST_NAME)}
        return cls.from_json(json.loads(_pipeline(_SPECIAL | words).to_str()))

    @cached_property
    def _tokenizer(self) -> tokenizers.Tokenizer:
        return tokenizers.Tokenizer.from_str(self.tokenizer_json)

    @property
    def size(self) -> int:
        """Number of ids, padding and unknown included."""
        return self._tokenizer.get_vocab_size()

    @cached_property
    def words(self) -> dict[int, str]:
        """The word of each id."""
        return {i: word for word, i in self._tokenizer.get_vocab().items()}

    def encode(self, text: str, length: int) -> np.ndarray:
        """Ids [T = length] of the first words, padded with 0."""
        # No token is shorter than a character: a long text need not be split to its end. Words
        # of a language average far fewer than 40 characters.
        ids = self._tokenizer.encode(text[: 40 * length]).ids[:length]
        row = np.zeros(length, np.int32)
        row[: len(ids)] = ids
        return row

    def to_json(self) -> dict:
        return json.loads(self.tokenizer_json)

    @classmethod
    def from_json(cls, values: dict) -> TextTransform:
        """Raises ValueError where the values are no tokenizer."""
        text = json.dumps(values)
        try:
            tokenizers.Tokenizer.from_str(text)
        except Exception as error:  # the library raises bare Exception
            raise ValueError(f"not a tokenizer: {error}") from None
        return cls(text)
