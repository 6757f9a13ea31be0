"""FeatureSpec: every fitted transform together. Film -> arrays, the same in training and use.

Arrays stand in a flat dict; N (or B, in a batch) is the leading axis:

    numbers/values  float32 [N, D]   about N(0, 1), 0 where missing
    numbers/known   float32 [N, D]   1 where the number is known
    sets/<field>    int32   [N, P]   ids, 0 = padding, 1 = unknown name
    texts/<field>   int32   [N, T]   ids, 0 = padding, 1 = unknown word
    present/<modality>  float32 [N]  1 where the film has anything of that modality
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mfp import film as films
from mfp.config import Config, ConfigError, FeaturesConfig
from mfp.data.tabular import (
    LINEAR_NUMBERS,
    NumberTransform,
    Vocabulary,
    fold,
    transform_from_json,
    transform_to_json,
)
from mfp.data.targets import TargetSpec
from mfp.data.text import TextTransform, WordCounter
from mfp.film import Film, Outcome

Arrays = dict[str, np.ndarray]
NUMBERS = "numbers"

# People work in several roles: directors, writers and cast share one vocabulary.
_SHARED = {"directors": "people", "writers": "people", "cast": "people"}


def vocabulary_name(field: str) -> str:
    """The vocabulary that a set field looks its names up in."""
    return _SHARED.get(field, field)


@dataclass(frozen=True)
class FeatureSpec:
    """Fitted transforms of every input field, and of the targets."""

    numbers: Mapping[str, NumberTransform]
    sets: Mapping[str, tuple[str, ...]]  # modality -> its set fields
    vocabularies: Mapping[str, Vocabulary]
    texts: Mapping[str, TextTransform]
    ordered: frozenset[str]
    lengths: Mapping[str, int]  # P of each set field, T of each text
    targets: TargetSpec
    absent: tuple[str, ...]  # configured fields that no training film has

    @property
    def modalities(self) -> tuple[str, ...]:
        """Parts of a film that may be missing as a whole, in the network's order."""
        numbers = (NUMBERS,) if self.numbers else ()
        return (*numbers, *self.sets, *self.texts)

    @property
    def fields(self) -> tuple[str, ...]:
        """Every input of the network: numbers, set fields, texts."""
        return (*self.numbers, *(f for fields in self.sets.values() for f in fields), *self.texts)

    def shapes(self) -> dict[str, tuple[tuple[int, ...], Any]]:
        """Shape without the leading axis, and dtype, of each array of `transform`."""
        shapes: dict[str, tuple[tuple[int, ...], Any]] = {}
        if self.numbers:
            for part in ("values", "known"):
                shapes[f"numbers/{part}"] = ((len(self.numbers),), np.float32)
        for fields in self.sets.values():
            for field in fields:
                shapes[f"sets/{field}"] = ((self.lengths[field],), np.int32)
        for field in self.texts:
            shapes[f"texts/{field}"] = ((self.lengths[field],), np.int32)
        for modality in self.modalities:
            shapes[f"present/{modality}"] = ((), np.float32)
        return shapes

    def transform(self, film: Film) -> Arrays:
        """The arrays of one film, without a leading axis."""
        arrays: Arrays = {}
        if self.numbers:
            values = np.zeros(len(self.numbers), np.float32)
            known = np.zeros(len(self.numbers), np.float32)
            for i, (name, transform) in enumerate(self.numbers.items()):
                number = films.number(film, name)
                if number is not None:
                    values[i] = transform(number, name in LINEAR_NUMBERS)
                    known[i] = 1
            arrays |= {"numbers/values": values, "numbers/known": known}
            arrays[f"present/{NUMBERS}"] = np.asarray(known.max())
        for modality, fields in self.sets.items():
            for field in fields:
                arrays[f"sets/{field}"] = self.vocabularies[vocabulary_name(field)].encode(
                    films.names(film, field), self.lengths[field], field in self.ordered
                )
            present = any(arrays[f"sets/{field}"].any() for field in fields)
            arrays[f"present/{modality}"] = np.asarray(present, np.float32)
        for field, text in self.texts.items():
            ids = text.encode(getattr(film, field), self.lengths[field])
            arrays |= {f"texts/{field}": ids, f"present/{field}": np.asarray(ids.any(), np.float32)}
        return arrays

    def stack(self, collection: Sequence[Film]) -> Arrays:
        """The arrays of many films, with leading axis N."""
        shapes = self.shapes()
        stacked = {
            name: np.zeros((len(collection), *shape), dtype)
            for name, (shape, dtype) in shapes.items()
        }
        for i, film in enumerate(collection):
            for name, array in self.transform(film).items():
                stacked[name][i] = array
        return stacked

    def to_json(self) -> dict[str, Any]:
        return {
            "numbers": {name: transform_to_json(t) for name, t in self.numbers.items()},
            "sets": {modality: list(fields) for modality, fields in self.sets.items()},
            "vocabularies": {name: list(v.names) for name, v in self.vocabularies.items()},
            "texts": {name: text.to_json() for name, text in self.texts.items()},
            "ordered": sorted(self.ordered),
            "lengths": dict(self.lengths),
            "targets": self.targets.to_json(),
            "absent": list(self.absent),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> FeatureSpec:
        """The inverse of `to_json`.

        Raises:
          ValueError: the values are no feature spec.
        """
        try:
            return cls(
                numbers={n: transform_from_json(v) for n, v in values["numbers"].items()},
                sets={modality: tuple(fields) for modality, fields in values["sets"].items()},
                vocabularies={n: Vocabulary(tuple(v)) for n, v in values["vocabularies"].items()},
                texts={n: TextTransform.from_json(v) for n, v in values["texts"].items()},
                ordered=frozenset(values["ordered"]),
                lengths={n: int(v) for n, v in values["lengths"].items()},
                targets=TargetSpec.from_json(values["targets"]),
                absent=tuple(values["absent"]),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not a feature spec: {error!r}") from None


def fit(training: Sequence[tuple[Film, Outcome]], config: Config) -> FeatureSpec:
    """Fit every transform on training films, in one pass (and one more over the targets).

    Raises:
      ConfigError: no configured input, or no target, is known of any training film.
    """
    features = config.features
    numbers: dict[str, list[float]] = {name: [] for name in features.numbers}
    fields = [field for joined in features.sets.values() for field in joined]
    names: dict[str, Counter[str]] = {vocabulary_name(field): Counter() for field in fields}
    spelling: dict[str, dict[str, str]] = {name: {} for name in names}
    members_seen: dict[str, Counter[int]] = {field: Counter() for field in fields}
    words = {field: WordCounter() for field in features.texts}
    for film, _ in training:
        for name, values in numbers.items():
            number = films.number(film, name)
            if number is not None:
                values.append(number)
        members: dict[str, dict[str, str]] = {name: {} for name in names}
        for field in fields:
            found = films.names(film, field)
            members_seen[field][len(found)] += 1
            members[vocabulary_name(field)] |= {fold(name): name for name in found}
        for name, keys in members.items():
            names[name].update(keys.keys())
            for key, written in keys.items():
                spelling[name].setdefault(key, written)
        for field, counter in words.items():
            counter.add(getattr(film, field))

    seen = {field for field, counts in members_seen.items() if max(counts, default=0)}
    sets = {m: tuple(f for f in joined if f in seen) for m, joined in features.sets.items()}
    sets = {modality: joined for modality, joined in sets.items() if joined}
    present = {vocabulary_name(field) for joined in sets.values() for field in joined}
    texts = {f: _fit_text(c, features) for f, c in words.items() if c.counts}
    known = {name: values for name, values in numbers.items() if values}
    absent = [
        f
        for f in (*features.numbers, *fields, *features.texts)
        if f not in known and f not in seen and f not in texts
    ]
    if not (known or sets or texts):
        raise ConfigError(f"features: no training film has any of {', '.join(absent)}")
    return FeatureSpec(
        numbers={n: NumberTransform.fit(v, n in LINEAR_NUMBERS) for n, v in known.items()},
        sets=sets,
        vocabularies={
            name: Vocabulary.from_counts(
                names[name], spelling[name], features.min_films, features.max_names
            )
            for name in names
            if name in present
        },
        texts=texts,
        ordered=frozenset(features.ordered),
        lengths=_lengths(members_seen, texts, features),
        targets=TargetSpec.fit(training, config.targets),
        absent=tuple(absent),
    )


# Titles and taglines are short; padding them to a plot's length would only cost time.
_MAX_TOKENS = {"title": 16, "tagline": 32}
# Share of training films whose members of a field all fit; the rest lose a few.
_COVERED = 0.995


def _lengths(
    members_seen: Mapping[str, Counter[int]], texts: Iterable[str], features: FeaturesConfig
) -> dict[str, int]:
    """How many members or tokens of each field are kept."""
    lengths = {text: min(features.max_tokens, _MAX_TOKENS.get(text, 1 << 20)) for text in texts}
    for field, counts in members_seen.items():
        covered = np.quantile(list(counts.elements()), _COVERED, method="higher")
        lengths[field] = max(1, min(features.max_members, int(covered)))
    return lengths


def _fit_text(counter: WordCounter, features: FeaturesConfig) -> TextTransform:
    return TextTransform.from_counts(counter.counts, features.min_word_films, features.max_words)


def input_names(arrays: Iterable[str]) -> list[str]:
    """The array names that enter the network (those not of targets and weights)."""
    return [name for name in arrays if not name.startswith(("targets/", "weights/"))]
