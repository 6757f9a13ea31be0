"""Fit every transform on the training films, in one pass: nothing else decides a vocabulary."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from mfp import film as films
from mfp.config import Config, ConfigError, FeaturesConfig
from mfp.data import history
from mfp.data.added import FittedModality
from mfp.data.features import FeatureSpec, vocabulary_name
from mfp.data.history import HistoryTable
from mfp.data.tabular import LINEAR_NUMBERS, NumberTransform, Vocabulary, fold
from mfp.data.targets import TargetSpec
from mfp.data.text import TextCounter
from mfp.data.track_record import TrackRecord
from mfp.film import Film, Outcome

# Share of training films whose members or words of a field all fit; the rest lose a few.
_COVERED = 0.995


class _NameCounter:
    """Names of the set fields: in how many films each stands, and how many a film has."""

    def __init__(self, fields: Sequence[str]):
        self._fields = fields
        self.counts: dict[str, Counter[str]] = {
            vocabulary_name(field): Counter() for field in fields
        }
        self._spelling: dict[str, dict[str, str]] = {name: {} for name in self.counts}
        self.members: dict[str, Counter[int]] = {field: Counter() for field in fields}

    def add(self, film: Film) -> None:
        found: dict[str, dict[str, str]] = {name: {} for name in self.counts}
        for field in self._fields:
            names = films.names(film, field)
            self.members[field][len(names)] += 1
            found[vocabulary_name(field)] |= {fold(name): name for name in names}
        for vocabulary, keys in found.items():
            self.counts[vocabulary].update(keys.keys())
            for key, written in keys.items():
                self._spelling[vocabulary].setdefault(key, written)

    def vocabulary(self, name: str, features: FeaturesConfig) -> Vocabulary:
        return Vocabulary.from_counts(
            self.counts[name], self._spelling[name], features.min_films, features.max_names
        )


def fit(
    training: Iterable[tuple[Film, Outcome]], config: Config, table: HistoryTable | None = None
) -> FeatureSpec:
    """Fit on training films (iterated for inputs, histories, targets and each added modality).

    A configured field that no training film has is left out and listed in `absent`.

    Args:
      table: what past films' histories are looked up in; by default, that of the training films.

    Raises:
      ConfigError: no configured input, or no target, is known of any training film.
    """
    features = config.features
    numbers: dict[str, list[float]] = {name: [] for name in features.numbers}
    set_fields = [field for joined in features.sets.values() for field in joined]
    names = _NameCounter(set_fields)
    texts = {field: TextCounter(features.text) for field in features.texts}
    media: Counter[str] = Counter()
    most_reviews = 1
    for film, _ in training:
        for name, values in numbers.items():
            number = films.number(film, name)
            if number is not None:
                values.append(number)
        names.add(film)
        for field, counter in texts.items():
            for text in films.texts(film, field):
                counter.add(text)
        most_reviews = max(most_reviews, len(film.reviews))
        media.update(f for f in (*features.images, *features.videos) if getattr(film, f))

    known = {name: values for name, values in numbers.items() if values}
    members = {field: counts for field, counts in names.members.items() if max(counts, default=0)}
    sets = {m: tuple(f for f in joined if f in members) for m, joined in features.sets.items()}
    sets = {modality: joined for modality, joined in sets.items() if joined}
    read = {field: counter for field, counter in texts.items() if counter.films}
    present = {*known, *members, *read, *media}
    absent = tuple(
        field
        for field in (
            *features.numbers, *set_fields, *features.texts, *features.images, *features.videos
        )
        if field not in present
    )  # fmt: skip
    if not present and not features.added:
        raise ConfigError(f"features: no training film has any of {', '.join(absent)}")
    past = features.history
    record = None
    if past.fields:
        table = table or history.build(training, past, config.targets)
        record = TrackRecord.fit(
            [film for film, _ in training],
            table,
            past,
            frozenset(features.ordered),
            features.number_scaling == "standard",
            list(sets.values()),
        )
    return FeatureSpec(
        numbers={
            name: NumberTransform.fit(
                values, name in LINEAR_NUMBERS or features.number_scaling == "standard"
            )
            for name, values in known.items()
        },
        sets=sets,
        vocabularies={
            name: names.vocabulary(name, features)
            for name in dict.fromkeys(vocabulary_name(field) for field in members)
        },
        texts={f: c.fit(features.min_word_films, features.max_words) for f, c in read.items()},
        images=tuple(field for field in features.images if media[field]),
        videos=tuple(field for field in features.videos if media[field]),
        ordered=frozenset(features.ordered),
        lengths=_lengths(members, {f: c.lengths for f, c in read.items()}, features),
        reviews=min(features.max_reviews, most_reviews),
        image_size=config.data.image_size,
        video_frames=config.data.video_frames,
        targets=TargetSpec.fit(training, config.targets),
        absent=absent,
        history=record,
        table=table if record else None,
        added={
            name: FittedModality.fit(name, (film for film, _ in training), config.as_of)
            for name in features.added
        },
    )


def _lengths(
    members: Mapping[str, Counter[int]],
    words: Mapping[str, Counter[int]],
    features: FeaturesConfig,
) -> dict[str, int]:
    """How many members of each set field and tokens of each text are kept."""
    lengths = {}
    # A word makes one and a half subwords, more or less.
    spread = 1.5 if features.text.tokens == "subwords" else 1.0
    for field, counts in (*members.items(), *words.items()):
        covered = np.quantile(list(counts.elements()), _COVERED, method="higher")
        if field in words:
            lengths[field] = max(1, min(features.max_tokens, round(spread * float(covered))))
        else:
            lengths[field] = max(1, min(features.max_members, int(covered)))
    return lengths
