"""Past films as a bundle carries them: embeddings, and what came of each. NumPy and JSON only.

    reference.npy   float16 [N, D], the fused vectors
    reference.json  {"films": [{"id", "title", "release_date", and the outcomes that are known}]}

A film is taken where its release date and at least one outcome are known; of more than
MAX_FILMS, the latest released.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mfp.config import TargetsConfig
from mfp.data import targets
from mfp.dates import PartialDate
from mfp.film import VERDICTS, Film, Outcome

MAX_FILMS = 20_000
VECTORS, FILMS = "reference.npy", "reference.json"


@dataclass(frozen=True, slots=True)
class PastFilm:
    """A film that has opened, with its real outcomes; None where one is not known."""

    id: str
    title: str
    release_date: PartialDate
    rating: float | None = None  # 0-10
    revenue_usd: float | None = None
    hit: bool | None = None
    verdict: str | None = None
    sentiment: float | None = None

    @classmethod
    def of(
        cls, film: Film, outcome: Outcome, names: Sequence[str], config: TargetsConfig
    ) -> PastFilm | None:
        """With the outcomes of the targets `names`; None without a date or any of them."""
        found = {name: targets.value(name, film, outcome, config) for name in names}
        known = {name: value for name, value in found.items() if value is not None}
        if film.release_date is None or not known:
            return None
        return cls(
            film.id,
            film.title,
            film.release_date,
            rating=known.get("rating"),
            revenue_usd=outcome.revenue_usd if "revenue" in known else None,
            hit=bool(known["hit"]) if "hit" in known else None,
            verdict=VERDICTS[int(known["verdict"])] if "verdict" in known else None,
            sentiment=known.get("sentiment"),
        )

    def to_json(self) -> dict[str, Any]:
        values = {name: getattr(self, name) for name in self.__slots__}
        values["release_date"] = str(self.release_date)
        return {name: value for name, value in values.items() if value is not None}


@dataclass(frozen=True)
class Reference:
    """Past films, the latest last, and their embeddings."""

    films: tuple[PastFilm, ...]
    vectors: np.ndarray  # float16 [N, D]

    @classmethod
    def build(cls, films: Sequence[PastFilm | None], vectors: np.ndarray) -> Reference:
        """Of films beside their float [N, D] embeddings; those that are None are left out."""
        pairs = [(film, i) for i, film in enumerate(films) if film is not None]
        pairs.sort(key=lambda pair: (pair[0].release_date.last_day(), pair[0].id, pair[1]))
        pairs = pairs[-MAX_FILMS:]
        chosen = [i for _, i in pairs]
        return cls(tuple(film for film, _ in pairs), vectors[chosen].astype(np.float16))

    def write(self, folder: Path) -> None:
        np.save(folder / VECTORS, self.vectors)
        values = {"films": [film.to_json() for film in self.films]}
        (folder / FILMS).write_text(json.dumps(values, ensure_ascii=False), encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> Reference:
        """Raises OSError or ValueError where the files are missing or damaged."""
        # A map: an array that promises more than the file holds is refused, not made.
        vectors = np.lib.format.open_memmap(folder / VECTORS, mode="r")
        values = json.loads((folder / FILMS).read_text(encoding="utf-8"))
        try:
            films = tuple(
                replace(PastFilm(**row), release_date=PartialDate.parse(row["release_date"]))
                for row in values["films"]
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{FILMS}: is damaged: {error}") from None
        if vectors.dtype != np.float16 or vectors.ndim != 2 or len(vectors) != len(films):
            raise ValueError(f"{VECTORS} and {FILMS} do not belong together")
        return cls(films, np.array(vectors))
