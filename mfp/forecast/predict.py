"""Films to forecasts, in batches of a few fixed sizes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mfp.data import media as media_files
from mfp.film import VERDICTS, Film
from mfp.forecast.bundle import Bundle, open_bundle

if TYPE_CHECKING:
    from mfp.forecast.explain import Explanation

# A program is compiled once per batch size: a batch is padded to the next of these.
BATCH_SIZES = (1, 16, 256)
# Decimals of each number in JSON and CSV; None gives a whole number.
_DIGITS = {"rating": 3, "revenue_usd": None, "hit_probability": 4, "sentiment": 4}


@dataclass(frozen=True, slots=True)
class Forecast:
    """What is expected of one film; None for a target that the bundle does not predict."""

    id: str
    title: str
    release_date: str | None = None
    rating: float | None = None  # 0-10
    revenue_usd: float | None = None  # median, US dollars
    hit_probability: float | None = None
    sentiment: float | None = None  # probability that the reviews praise
    verdict: str | None = None
    verdict_probabilities: dict[str, float] | None = None
    warnings: tuple[str, ...] = ()  # what could not be used of this film
    explanation: Explanation | None = None  # where it was asked for

    def to_json(self) -> dict[str, Any]:
        """JSON values, without the targets that the bundle does not predict.

        Rounded to what can mean anything: rating to 0.001, dollars to 1, probability to 0.0001.
        """
        values = {name: getattr(self, name) for name in self.__slots__}
        for name, digits in _DIGITS.items():
            if values[name] is not None:
                values[name] = round(values[name], digits)
        if self.verdict_probabilities is not None:
            shares = self.verdict_probabilities.items()
            values["verdict_probabilities"] = {name: round(share, 4) for name, share in shares}
        if self.explanation is not None:
            values["explanation"] = self.explanation.to_json()
        return {name: value for name, value in values.items() if value not in (None, ())}


class Forecaster:
    """A bundle ready to predict. Safe to share between threads."""

    def __init__(self, bundle: Bundle):
        self.bundle = bundle

    @classmethod
    def open(cls, path: str | Path, verify: bool = True) -> Forecaster:
        """Open a bundle folder. Raises BundleError as `open_bundle` does."""
        return cls(open_bundle(path, verify))

    def predict(
        self, films: Sequence[Film], media: str | Path | None = None, explain: bool = False
    ) -> list[Forecast]:
        """The forecast of each film, in order. A film's forecast does not depend on the others.

        Args:
          media: the folder that poster and trailer paths are relative to; without it, films are
            forecast as if they had neither.
          explain: say why, in `Forecast.explanation`; some hundred times the work per film.

        Raises:
          BundleError: `explain`, and the bundle's past films are damaged.
        """
        return list(self.stream(films, media, explain))

    def stream(
        self, films: Iterable[Film], media: str | Path | None = None, explain: bool = False
    ) -> Iterator[Forecast]:
        """Forecasts one after another, in bounded memory."""
        iterator = iter(films)
        folder = None if media is None else Path(media)
        with ThreadPoolExecutor() as decoders:  # decoders release the interpreter lock
            while chunk := list(islice(iterator, BATCH_SIZES[-1])):
                yield from self._batch(chunk, folder, decoders, explain)

    def _batch(
        self, films: list[Film], folder: Path | None, decoders: ThreadPoolExecutor, explain: bool
    ) -> Iterator[Forecast]:
        size = next(size for size in BATCH_SIZES if size >= len(films))
        pixels, warnings = zip(
            *decoders.map(lambda film: self._pixels(film, folder), films), strict=True
        )
        inputs = self.bundle.spec.stack(films, pixels)
        padded = {
            name: np.concatenate([a, np.repeat(a[:1], size - len(films), axis=0)])
            for name, a in inputs.items()
        }
        outputs = self.bundle.run(padded)["outputs"]
        present = [inputs[f"present/{name}"] for name in self.bundle.spec.modalities]
        known = np.sum(present, axis=0)
        for i, film in enumerate(films):
            found = {name: y[i] for name, y in outputs.items()}
            forecast = _forecast(film, found, (*warnings[i], *_blank(known[i])))
            yield self._explained(forecast, film, pixels[i]) if explain else forecast

    def _explained(self, forecast: Forecast, film: Film, pixels: dict[str, bytes]) -> Forecast:
        # What explains is loaded by whoever asks why.
        from mfp.forecast.explain import explain

        return replace(forecast, explanation=explain(self.bundle, film, pixels))

    def _pixels(self, film: Film, folder: Path | None) -> tuple[dict[str, bytes], tuple[str, ...]]:
        """The film's media that the network reads, and why one could not be used."""
        spec = self.bundle.spec
        pixels: dict[str, bytes] = {}
        warnings = []
        for name in (*spec.images, *spec.videos):
            relative = getattr(film, name)
            if not relative or folder is None:
                continue
            try:
                path = media_files.locate(name, relative, folder)
                pixels[name] = media_files.prepare(name, path, spec.image_size, spec.video_frames)
            except media_files.MediaError as error:
                warnings.append(f"{name}: {error}; forecast without it")
        return pixels, tuple(warnings)


def _blank(known: float) -> tuple[str, ...]:
    """A warning where nothing that the bundle reads is known of a film."""
    return () if known else ("nothing that this bundle reads is given: an average forecast",)


def _forecast(film: Film, outputs: dict[str, np.ndarray], warnings: tuple[str, ...]) -> Forecast:
    values: dict[str, Any] = {"release_date": film.release_date and str(film.release_date)}
    if "rating" in outputs:
        values["rating"] = min(max(float(outputs["rating"]), 0.0), 10.0)
    if "revenue" in outputs:
        values["revenue_usd"] = float(10.0 ** float(outputs["revenue"]))
    if "hit" in outputs:
        values["hit_probability"] = float(outputs["hit"])
    if "sentiment" in outputs:
        values["sentiment"] = float(outputs["sentiment"])
    if "verdict" in outputs:
        shares = dict(zip(VERDICTS, map(float, outputs["verdict"]), strict=True))
        values["verdict_probabilities"] = shares
        values["verdict"] = max(shares, key=shares.__getitem__)
    return Forecast(film.id, film.title, warnings=warnings, **values)
