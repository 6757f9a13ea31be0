"""Flags on a forecast: in words, where a film is unlike what the network was trained on."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from mfp import film as films
from mfp.data.features import FeatureSpec, vocabulary_name
from mfp.data.tabular import fold
from mfp.dates import PartialDate
from mfp.film import Film
from mfp.manifest import MANIFEST, BundleError, Manifest

# Fields whose unknown names are told, in the singular. Cast and writers are often new.
_TOLD = {
    "genres": "genre",
    "companies": "company",
    "languages": "language",
    "countries": "country",
    "certificate": "certificate",
}
_MOST_NAMES = 3  # told of one field
# What no one would expect to be read: an id, and the title that every film has.
_UNREMARKABLE = ("id", "title")


@dataclass(frozen=True)
class Experience:
    """What a network has been trained and tested on."""

    spec: FeatureSpec
    ranges: Mapping[str, tuple[float, float]]  # where 99 % of the training films lie
    tested_until: datetime.date | None
    min_films: int  # training films that make a name known

    @classmethod
    def of(cls, manifest: Manifest, spec: FeatureSpec) -> Experience:
        """From a bundle; an older one, without ranges in its data card, flags less.

        Raises:
          BundleError: the data card or the config is damaged.
        """
        try:
            ranges = {
                name: (float(low), float(high))
                for name, (low, high) in manifest.data.get("ranges", {}).items()
            }
            until = manifest.data.get("split", {}).get("test_until")
            return cls(
                spec,
                ranges,
                PartialDate.parse(until).last_day() if until else None,
                int(manifest.config.get("features", {}).get("min_films", 1)),
            )
        except (TypeError, ValueError, AttributeError, OverflowError) as error:
            raise BundleError(f"{MANIFEST}: is damaged: {error}") from None

    @cached_property
    def read(self) -> frozenset[str]:
        """The fields of the record that the network reads."""
        own = frozenset(field for name in self.spec.fields for field in films.sources(name))
        return own.union(self.spec.history.fields) if self.spec.history else own

    def flags(self, film: Film) -> tuple[str, ...]:
        """Everything worth telling of a film's fields; media and blank films are told elsewhere."""
        return (*self._unread(film), *self._new_names(film), *self.extrapolates(film))

    def extrapolates(self, film: Film) -> tuple[str, ...]:
        """Numbers and dates beyond those that the network was trained on."""
        return (*self._date(film), *self._numbers(film))

    def _unread(self, film: Film) -> list[str]:
        given = (name for name in films.to_json(film) if name not in _UNREMARKABLE)
        unread = [name for name in given if name not in self.read]
        return [f"this bundle does not read {', '.join(unread)}"] if unread else []

    def _new_names(self, film: Film) -> list[str]:
        told = []
        rule = f"in fewer than {self.min_films} training films"
        directors = film.directors if "directors" in self.read else ()
        if directors and len(self._unknown(film, "directors")) == len(directors):
            told.append(
                f"a first-time director, as far as this bundle knows: {_listed(directors)} ({rule})"
            )
        for field, noun in _TOLD.items():
            unknown = self._unknown(film, field) if field in self.read else []
            if unknown:
                told.append(f"unseen {noun}: {_listed(unknown)} ({rule})")
        return told

    def _unknown(self, film: Film, field: str) -> list[str]:
        vocabulary = self.spec.vocabularies.get(vocabulary_name(field))
        if vocabulary is None:  # of a field that is read for its members' histories alone
            return []
        known = vocabulary.ids
        return [name for name in films.names(film, field) if fold(name) not in known]

    def _date(self, film: Film) -> list[str]:
        years = self.ranges.get("release_year")
        if film.release_date is None or years is None:
            return []
        trained = f"trained on films of {years[0]:.0f} to {years[1]:.0f}"
        if self.tested_until and film.release_date.first_day() > self.tested_until:
            return [
                f"released {film.release_date}: far from the training years, later than any film "
                f"of the test ({self.tested_until}; {trained})"
            ]
        if film.release_date.year < years[0]:
            return [f"released {film.release_date}: far from the training years ({trained})"]
        return []

    def _numbers(self, film: Film) -> list[str]:
        told = []
        for name in ("budget_usd", "runtime_minutes"):
            value, trained = getattr(film, name), self.ranges.get(name)
            if value is None or trained is None or name not in self.read:
                continue
            if not trained[0] <= value <= trained[1]:
                unit = films.FIELDS[name].unit
                told.append(
                    f"{name} {value:,.0f} is outside the trained range, "
                    f"{trained[0]:,.0f} to {trained[1]:,.0f} {unit}"
                )
        return told


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(names[:_MOST_NAMES]) + more
