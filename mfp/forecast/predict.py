"""Films to forecasts, in batches of a few fixed sizes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mfp.calibration.spread import with_members
from mfp.data import guard
from mfp.data import media as media_files
from mfp.film import VERDICTS, Film
from mfp.forecast.bundle import Bundle, open_bundle
from mfp.forecast.flags import Experience
from mfp.forecast.intervals import DEFAULT_LEVEL, check_level, intervals
from mfp.schema import TARGETS

if TYPE_CHECKING:
    from mfp.forecast.explain import Explanation

# A program is compiled once per batch size: a batch is padded to the next of these.
BATCH_SIZES = (1, 16, 256)
# Decimals of each number in JSON and CSV; None gives a whole number.
_DIGITS = {
    **dict.fromkeys(("rating", "rating_low", "rating_high"), 3),
    **dict.fromkeys(("revenue_usd", "revenue_usd_low", "revenue_usd_high"), None),
    "revenue_mean_usd": None,
    **dict.fromkeys(("hit_probability", "sentiment"), 4),
}


@dataclass(frozen=True, slots=True)
class Forecast:
    """What is expected of one film; None for a target that the bundle does not predict."""

    id: str
    title: str
    release_date: str | None = None
    rating: float | None = None  # 0-10
    rating_low: float | None = None  # the interval of the level, within 0-10
    rating_high: float | None = None
    revenue_usd: float | None = None  # median, US dollars
    revenue_usd_low: float | None = None
    revenue_usd_high: float | None = None
    revenue_mean_usd: float | None = None  # the mean over what may happen: above the median
    hit_probability: float | None = None
    sentiment: float | None = None  # probability that the reviews praise
    verdict: str | None = None
    verdict_probabilities: dict[str, float] | None = None
    added: dict[str, float] | None = None  # targets that other packages add, in units of theirs
    level: float | None = None  # share of films whose truth lies in the intervals
    flags: tuple[str, ...] = ()  # in words: what is unusual of this film or could not be used
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
        if self.added is not None:
            values["added"] = {name: float(f"{value:.6g}") for name, value in self.added.items()}
        values["flags"] = list(self.flags)
        if self.explanation is not None:
            values["explanation"] = self.explanation.to_json()
        return {name: value for name, value in values.items() if value not in (None, [])}


class Forecaster:
    """A bundle ready to predict. Safe to share between threads."""

    def __init__(self, bundle: Bundle):
        self.bundle = bundle
        self.experience = Experience.of(bundle.manifest, bundle.spec)

    @classmethod
    def open(cls, path: str | Path, verify: bool = True, films: int | None = None) -> Forecaster:
        """Open a bundle folder. Raises BundleError as `open_bundle` does.

        Args:
          films: how many will be forecast first, where that is known; their forecasts come sooner.
        """
        return cls(open_bundle(path, verify, None if films is None else _batch_size(films)))

    def predict(
        self,
        films: Sequence[Film],
        media: str | Path | None = None,
        level: float = DEFAULT_LEVEL,
        explain: bool = False,
    ) -> list[Forecast]:
        """The forecast of each film, in order. A film's forecast does not depend on the others.

        Args:
          media: the folder that poster and trailer paths are relative to; without it, films are
            forecast as if they had neither.
          level: of the intervals, for example 0.9. An older bundle has none.
          explain: say why, in `Forecast.explanation`; some hundred times the work per film.

        Raises:
          BundleError: `explain`, and the bundle's past films are damaged.
          ValueError: the calibration films are too few for the level.
        """
        return list(self.stream(films, media, level, explain))

    def stream(
        self,
        films: Iterable[Film],
        media: str | Path | None = None,
        level: float = DEFAULT_LEVEL,
        explain: bool = False,
    ) -> Iterator[Forecast]:
        """Forecasts one after another, in bounded memory."""
        return (forecast for forecast, _ in self.fused(films, media, level, explain))

    def fused(
        self,
        films: Iterable[Film],
        media: str | Path | None = None,
        level: float = DEFAULT_LEVEL,
        explain: bool = False,
    ) -> Iterator[tuple[Forecast, np.ndarray]]:
        """Each forecast beside the film's fused vector [E], which tells like films from unlike."""
        check_level(level, self.bundle.calibration)
        folder = None if media is None else Path(media)
        return self._batches(iter(films), folder, level, explain)

    def _batches(
        self, films: Iterator[Film], folder: Path | None, level: float, explain: bool
    ) -> Iterator[tuple[Forecast, np.ndarray]]:
        # Threads wait for decoding processes; both start with the first medium to decode.
        with ThreadPoolExecutor(guard.WORKERS) as decoders:
            while chunk := list(islice(films, BATCH_SIZES[-1])):
                yield from self._batch(chunk, folder, level, explain, decoders)

    def _batch(
        self,
        films: list[Film],
        folder: Path | None,
        level: float,
        explain: bool,
        decoders: ThreadPoolExecutor,
    ) -> Iterator[tuple[Forecast, np.ndarray]]:
        size = _batch_size(len(films))
        pixels, unusable = zip(*self._decoded(films, folder, decoders), strict=True)
        spec, calibration = self.bundle.spec, self.bundle.calibration
        inputs = spec.stack(films, pixels)
        padded = {
            name: np.concatenate([a, np.repeat(a[:1], size - len(films), axis=0)])
            for name, a in inputs.items()
        }
        found = self.bundle.run(padded)
        everything = with_members(found["outputs"], found.get("spread", {}))
        outputs = {name: y[: len(films)] for name, y in everything.items()}
        embedding = found["embedding"][: len(films)]
        known = np.sum([inputs[f"present/{name}"] for name in spec.modalities], axis=0)
        bounds: list[dict[str, Any]] = [{} for _ in films]
        if calibration is not None:
            bounds = intervals(calibration, films, inputs, outputs, embedding, level)
        for i, film in enumerate(films):
            values = {name: y[i] for name, y in outputs.items()}
            point = _point(film, values, spec.targets.names)
            flags = (*unusable[i], *_blank(known[i]), *self.experience.flags(film))
            forecast = Forecast(film.id, film.title, flags=flags, **(point | bounds[i]))
            if explain:
                forecast = self._explained(forecast, film, pixels[i])
            yield forecast, embedding[i]

    def _decoded(
        self, films: list[Film], folder: Path | None, decoders: ThreadPoolExecutor
    ) -> Iterable[tuple[dict[str, bytes], tuple[str, ...]]]:
        """`_pixels` of each film; in threads where there is anything to decode."""
        names = (*self.bundle.spec.images, *self.bundle.spec.videos)
        if folder is None or not any(getattr(film, name) for film in films for name in names):
            return (self._pixels(film, folder) for film in films)
        return decoders.map(lambda film: self._pixels(film, folder), films)

    def _explained(self, forecast: Forecast, film: Film, pixels: dict[str, bytes]) -> Forecast:
        # What explains is loaded by whoever asks why.
        from mfp.forecast.explain import explain

        explanation = explain(self.bundle, film, pixels)
        hit, served = explanation.forecast.get("hit"), forecast.hit_probability
        if hit is not None and served is not None and abs(hit - served) > 0.0005:
            note = f"hit: {hit:.1%} is what the network says, and explained here; "
            note += f"{served:.1%} is that calibrated"
            explanation = replace(explanation, notes=(*explanation.notes, note))
        return replace(forecast, explanation=explanation)

    def _pixels(self, film: Film, folder: Path | None) -> tuple[dict[str, bytes], tuple[str, ...]]:
        """The film's media that the network reads, and why one could not be used."""
        spec = self.bundle.spec
        pixels: dict[str, bytes] = {}
        flags = []
        for name in (*spec.images, *spec.videos):
            relative = getattr(film, name)
            if not relative:
                continue
            if folder is None:
                flags.append(f"{name}: no media folder is given; forecast without it")
                continue
            try:
                path = media_files.locate(name, relative, folder)
                pixels[name] = guard.prepare(name, path, spec.image_size, spec.video_frames)
            except media_files.MediaError as error:
                flags.append(f"{name}: {error}; forecast without it")
        return pixels, tuple(flags)


def _batch_size(films: int) -> int:
    return next((size for size in BATCH_SIZES if size >= films), BATCH_SIZES[-1])


def _blank(known: float) -> tuple[str, ...]:
    """A flag where nothing that the bundle reads is known of a film."""
    return () if known else ("nothing that this bundle reads is given: an average forecast",)


def _point(film: Film, outputs: dict[str, np.ndarray], targets: Sequence[str]) -> dict[str, Any]:
    """The fields of a Forecast that the network itself decides."""
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
    added = {name: float(outputs[name]) for name in targets if name not in TARGETS}
    return values | ({"added": added} if added else {})
