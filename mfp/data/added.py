"""Modalities that other packages add: a film to an array, fitted and used like all the others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Protocol

import numpy as np

from mfp import extensions
from mfp.config import ConfigError
from mfp.film import Film, is_post_release

State = Mapping[str, Any]  # JSON values


class Modality(Protocol):
    """What an entry point of the group mfp.modalities names: a module, or any object.

    A film's values are one float32 array of a fixed shape, about N(0, 1); which axes it has is
    between `transform` and `encoder`. Nothing here may import jax but `encoder`, which only
    training calls: the exported program needs it no more.
    """

    fields: tuple[str, ...]  # of the record; a film comes with these alone

    def fit(self, films: Iterable[Film]) -> State:
        """What is learned of the training films, as JSON values."""
        ...

    def shape(self, state: State) -> tuple[int, ...]:
        """Of a film's values."""
        ...

    def transform(self, film: Film, state: State) -> np.ndarray | None:
        """A film's values, None where it has nothing to tell."""
        ...

    def encoder(self, state: State, name: str) -> Any:
        """A Flax module of this name: (values [B, *shape], train: bool) -> [B, D]."""
        ...


@dataclass(frozen=True)
class FittedModality:
    """An added modality with what it learned of the training films."""

    name: str
    package: str  # that added it
    state: State
    offered: Modality = field(compare=False, repr=False)

    @classmethod
    def fit(cls, name: str, films: Iterable[Film], as_of: str) -> FittedModality:
        """On training films.

        Raises:
          ConfigError: it reads what is no field, or what is known only after release.
        """
        offered = extensions.load("modality", name)
        known = {f.name for f in fields(Film)}
        for read in offered.fields:
            if read not in known:
                raise ConfigError(f"features.added: '{name}' reads '{read}', which is no field")
            if as_of == "pre_release" and is_post_release(read):
                raise ConfigError(
                    f"features.added: '{name}' reads '{read}', which is known only after release "
                    "and as_of = 'pre_release'; remove it, or set as_of = 'post_release'"
                )
        state = offered.fit(_seen(film, offered.fields) for film in films)
        return cls(name, extensions.package_of("modality", name), state, offered)

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.offered.shape(self.state))

    @property
    def fields(self) -> tuple[str, ...]:
        return tuple(self.offered.fields)

    def arrays(self, film: Film) -> dict[str, np.ndarray]:
        """The film's added/<name>/values and present/<name>.

        Raises:
          ValueError: the values are not of the shape that was told, or not finite.
        """
        values = self.offered.transform(_seen(film, self.fields), self.state)
        present = np.asarray(values is not None, np.float32)
        whole = np.zeros(self.shape, np.float32) if values is None else np.asarray(values)
        if whole.shape != self.shape or not np.isfinite(whole).all():
            raise ValueError(
                f"the modality '{self.name}' of the package {self.package} made values of the "
                f"shape {whole.shape}, some not finite or not of the shape {self.shape}: "
                f"{film.title!r}"
            )
        return {
            f"added/{self.name}/values": whole.astype(np.float32),
            f"present/{self.name}": present,
        }

    def to_json(self) -> dict[str, Any]:
        return {"package": self.package, "fields": list(self.fields), "state": dict(self.state)}

    @classmethod
    def from_json(cls, name: str, values: Mapping[str, Any]) -> FittedModality:
        """The inverse of `to_json`.

        Raises:
          ExtensionError: the package that added it is not installed.
        """
        package = str(values["package"])
        offered = extensions.load("modality", name, package)
        return cls(name, package, values["state"], offered)


def _seen(film: Film, names: tuple[str, ...]) -> Film:
    """The film with some of its fields: what a modality does not say it reads, it cannot read."""
    known: dict[str, Any] = {"title": ""} | {name: getattr(film, name) for name in names}
    return Film(**known)
