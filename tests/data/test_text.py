"""Text to token ids."""

from __future__ import annotations

import html
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfp.config import ConfigError, TextConfig
from mfp.data.tabular import FIRST_NAME, PADDING, UNKNOWN
from mfp.data.text import (
    Preprocessor,
    TextCounter,
    TextTransform,
    _unescaped,
    ngram_hashes,
    stop_words,
)


def words(text: str, **choices: Any) -> list[str]:
    config = TextConfig(**choices)
    return Preprocessor(config, stop_words(config.language) if config.stop_words else ())(text)


def fit(texts: list[str], min_films: int, max_words: int, **choices: Any) -> TextTransform:
    counter = TextCounter(TextConfig(**choices))
    for text in texts:
        counter.add(text)
    return counter.fit(min_films, max_words)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The  Cat\tsat", ["the", "cat", "sat"]),
        ("Don't stop!", ["don", "'", "t", "stop", "!"]),
        ("ＦＵＬＬ　ｗｉｄｔｈ", ["full", "width"]),
        ("ﬁlm", ["film"]),  # NFKC takes the ligature apart
        ("", []),
        (" \n ", []),
    ],
)
def test_words(text: str, expected: list[str]):
    assert words(text) == expected


@pytest.mark.parametrize("text", ["七人の侍", "千と千尋", "기생충", "臥虎藏龍"])
def test_chinese_japanese_and_korean_are_split_per_character(text: str):
    assert words(text) == list(text)
    assert words(f"abc {text}def") == ["abc", *text, "def"]


def test_the_most_frequent_words_are_kept_and_a_film_counts_once():
    texts = ["b b b b", "a c", "a c", "c d"]  # a 2, b 1, c 3, d 1
    transform = fit(texts, min_films=1, max_words=9)
    found = [transform.words[i] for i in range(FIRST_NAME, transform.size)]
    assert found == ["c", "a", "b", "d"]
    assert fit(texts, min_films=2, max_words=9).size == FIRST_NAME + 2
    assert fit(texts, min_films=1, max_words=1).size == FIRST_NAME + 1


def test_encode_pads_truncates_and_knows_no_stranger():
    transform = fit(["a b c"], 1, 9)
    row = transform.encode("C zebra a", 5)
    assert row.dtype == np.int32
    assert row.tolist() == [4, UNKNOWN, 2, PADDING, PADDING]
    assert transform.encode("a b c", 2).tolist() == [2, 3]
    assert transform.encode("", 2).tolist() == [PADDING, PADDING]


def test_markers_in_a_text_are_no_markers():
    transform = fit(["[PAD] [UNK] a"], 1, 99)
    assert PADDING not in transform.encode("[PAD]", 3)
    assert transform.encode("a", 1).tolist() == [transform.encode("[PAD] a", 9).tolist()[3]]


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=200), st.integers(1, 20))
def test_any_text_is_encoded_within_the_vocabulary(text: str, length: int):
    transform = fit([text[: len(text) // 2], "known words"], 1, 20)
    row = transform.encode(text, length)
    assert row.shape == (length,)
    assert row.max() < transform.size
    count = len(words(text))
    assert (row != PADDING).sum() == min(count, length)  # padding stands at the end only
    assert not row[count:].any()


def test_a_long_text_costs_what_is_kept_of_it():
    transform = fit(["word other"], 1, 9)
    long = "word other " * 50
    assert transform.encode(long * 1000, 16).tolist() == transform.encode(long, 16).tolist()


def test_a_transform_survives_json():
    transform = fit(["Amélie, 七人の侍!", "a b"], 1, 99)
    again = TextTransform.from_json(json.loads(json.dumps(transform.to_json())))
    assert again == transform
    assert (
        again.encode("七人 b amélie x", 6).tolist()
        == transform.encode("七人 b amélie x", 6).tolist()
    )


@pytest.mark.parametrize("tokenizer", [{}, {"model": 3}, [], 3])
def test_what_is_no_tokenizer_is_refused(tokenizer: Any):
    values = fit(["a"], 1, 9).to_json() | {"tokenizer": tokenizer}
    with pytest.raises(ValueError, match="not a tokenizer"):
        TextTransform.from_json(values)


def test_each_step_may_be_chosen():
    assert words("<b>It&#39;s</b><br/>good") == ["it", "'", "s", "good"]
    assert words("<b>a", strip_html=False) == ["<", "b", ">", "a"]
    assert words("1 < 2 > 1") == ["1", "<", "2", ">", "1"]  # no tag
    assert words("The CAT", lowercase=False) == ["The", "CAT"]
    assert words("ﬁlm", unicode="NFC") == ["ﬁlm"]
    assert words("e\u0301", unicode="NFC") == ["\u00e9"]
    assert words("this is the best film", stop_words=True) == ["film"]
    assert words("the runners were running", stem=True) == ["the", "runner", "were", "run"]
    assert words("die Häuser", stem=True, language="de") == ["die", "haus"]
    with pytest.raises(ConfigError, match="no stop words are known for 'xx'"):
        words("a", stop_words=True, language="xx")
    with pytest.raises(ConfigError, match="no Snowball stemmer for 'zh'"):
        words("a", stem=True, language="zh")


def test_subwords_spell_words_that_were_never_seen():
    texts = ["low lower lowest newest widest"] * 20
    transform = fit(texts, 1, 100, tokens="subwords")
    row = transform.encode("slowest", 9)
    tokens = [transform.words[i] for i in row.tolist() if i != PADDING]
    assert "".join(tokens) == "slowest</w>"
    assert transform.encode("low", 9)[1] == PADDING  # a frequent word is one token


def test_a_bag_holds_the_n_grams_of_enough_texts():
    transform = fit(["not good", "not good", "good film"], 2, 99, ngrams=2, min_ngram_films=2)
    # In two texts: not, good, "not good".
    assert transform.ngram_size == FIRST_NAME + 3
    both = transform.encode_bag("not good", 8)
    assert (both >= FIRST_NAME).sum() == 3
    assert len(set(both[both > 0].tolist())) == 3
    one = transform.encode_bag("good not", 8)  # the pair in the other order is another
    assert (one > 0).sum() == 2
    assert set(one[one > 0].tolist()) < set(both.tolist())
    assert not transform.encode_bag("film", 8).any()
    assert transform.encode_bag("not good", 2).shape == (2,)


def test_ngram_hashes_are_distinct_and_sorted():
    found = ngram_hashes(["a", "b", "a", "b"], 2)
    assert len(found) == 4  # a, b, a b, b a
    assert np.all(np.diff(found) > 0)
    assert ngram_hashes([], 3).size == 0


TEXTS = st.lists(
    st.sampled_from([*"ab &;#<>/'.-日ﬁİßé\u0301… \n", "&amp;", "&#39;", "&lt", "<br>", "the "]),
    max_size=30,
).map("".join)
CHOICES = (
    {},
    {"stop_words": True, "stem": True},
    {"lowercase": False, "unicode": "none", "strip_html": False},
    {"unicode": "NFKD"},
)


@settings(max_examples=300)
@given(TEXTS, st.sampled_from(CHOICES))
def test_located_words_are_the_words_and_lie_in_the_text(text: str, choices: dict[str, Any]):
    config = TextConfig(**choices)
    stopped = stop_words("en") if config.stop_words else ()
    found = Preprocessor(config, stopped).located(text)
    assert [word.word for word in found] == words(text, **choices)
    assert all(0 <= word.start < word.end <= len(text) for word in found)
    assert [word.start for word in found] == sorted(word.start for word in found)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Tom&nbsp;&amp; <b>JERRY</b>!", ["Tom", "&amp;", "JERRY", "!"]),
        ("Ｃafé\u0301 日本", ["Ｃafé\u0301", "日", "本"]),
        ("a ﬁlm…", ["a", "ﬁlm", "…", "…", "…"]),  # an ellipsis is three words
        ("&lt;3", ["&lt;", "3"]),
    ],
)
def test_a_located_word_is_a_span_of_the_original(text: str, expected: list[str]):
    found = Preprocessor(TextConfig(), ()).located(text)
    assert [text[word.start : word.end] for word in found] == expected


@given(TEXTS)
def test_references_are_unescaped_as_html_does_and_each_character_has_its_place(text: str):
    found, starts, ends = _unescaped(text)
    assert found == html.unescape(text)
    assert len(starts) == len(ends) == len(found)


def test_a_reference_to_two_characters_is_the_place_of_both():
    assert _unescaped("x&nGt;y") == ("x\u226b\u20d2y", [0, 1, 1, 6], [1, 6, 6, 7])


def test_what_is_read_of_a_text():
    text = "one two <i>three</i> four five"
    plain, bag = (fit([text], 1, 50, **more) for more in ({}, {"ngrams": 2, "text_ngrams": 4}))
    assert [word.word for word in plain.read(text, 3)] == ["one", "two", "three"]
    assert len(bag.read(text, 3)) == 5  # the bag reads on
    assert plain.read("", 3) == []
