"""What is said to people, in their language. English is what the sources say; other languages
are tables of it (`chinese.py`), one place for each.

A *message* is written where it is said, with its values apart: `language("{low} to {high}",
low=..., high=...)`. A *sentence* comes from deeper down as a whole (a flag, an error): it is
recognised by its pattern among those of the table. What a table does not have stays English. Keys
of JSON, names of options and columns of CSV files are no language: programs read them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from string import Formatter

NAMES = ("en", "zh")


@dataclass(frozen=True)
class Language:
    """A language, by its tables: English text to its own, both with values in braces."""

    name: str  # of the attribute lang of a page
    messages: Mapping[str, str] = field(default_factory=dict)
    # Of these a value may say how it is translated itself: {why!t} as a sentence, {words!l} word
    # by word between commas, {word!w} as a word.
    sentences: Mapping[str, str] = field(default_factory=dict)
    scales: tuple[tuple[float, str], ...] = ((1e9, "${}B"), (1e6, "${}M"), (1e3, "${}K"))
    one_dollar: str = "${}"

    def __call__(self, message: str, /, **values: object) -> str:
        """A message with its values filled in."""
        return self.messages.get(message, message).format(**values)

    def word(self, kind: str, word: str) -> str:
        """A word that means something else elsewhere: a field, a verdict, a modality."""
        return self.messages.get(f"{kind}|{word}", word)

    def name_of(self, column: str) -> str:
        """A field of the record in words: "release date"."""
        return self.word("field", column.replace("_", " "))

    def dollars(self, amount: float) -> str:
        """$1.2B, $34M, $560K, $900."""
        for size, text in self.scales:
            if amount >= size * 0.9995:
                return text.format(_rounded(amount / size))
        return self.one_dollar.format(f"{amount:.0f}")

    def sentence(self, text: str) -> str:
        """A sentence of which only the whole is known; as it is where no pattern fits."""
        for pattern, template in self._patterns:
            found = pattern.fullmatch(text)
            if found:
                return _Filled(self).vformat(template, (), found.groupdict())
        return text

    @cached_property
    def _patterns(self) -> Sequence[tuple[re.Pattern[str], str]]:
        """In the table's order: the first that fits is taken, so frames stand before the rest."""
        return [(_pattern(english), own) for english, own in self.sentences.items()]


class _Filled(Formatter):
    """Fills values in, translated as their conversion says."""

    def __init__(self, language: Language):
        self._conversions: dict[str, Callable[[str], str]] = {
            "t": language.sentence,
            "w": language.name_of,
            "l": lambda text: "、".join(map(language.name_of, text.split(", "))),
        }

    def convert_field(self, value: str, conversion: str | None) -> str:
        return self._conversions[conversion](value) if conversion else value


def _rounded(number: float) -> str:
    """Three digits that count, without an exponent: 42.1, 4,210."""
    return f"{number:.3g}" if number < 999.5 else f"{float(f'{number:.3g}'):,.0f}"


def _pattern(template: str) -> re.Pattern[str]:
    parts = []
    for text, name, *_ in Formatter().parse(template):
        parts.append(re.escape(text))
        if name:
            parts.append(f"(?P<{name}>.+?)")
    return re.compile("".join(parts), re.DOTALL)


ENGLISH = Language("en")


def named(name: str) -> Language:
    """A language of NAMES; its tables are read when they are needed."""
    if name == "en":
        return ENGLISH
    from mfp.report import chinese

    return chinese.CHINESE


def of_locale(environment: Mapping[str, str]) -> str:
    """The name that LC_ALL, LC_MESSAGES or LANG say, the first that is set; English otherwise."""
    keys = ("LC_ALL", "LC_MESSAGES", "LANG")
    locale = next((environment[key] for key in keys if environment.get(key)), "")
    return next((name for name in NAMES if locale.lower().startswith(name)), "en")
