"""Why a forecast is what it is: modalities, parts of the film, and similar past films.

Modalities share the way from the average film to this one by Shapley values (Shapley 1953;
Lundberg and Lee 2017): of all orders in which a film's modalities could be shown, the mean change
that showing this one makes. The *average film* is one of which every modality is missing: the
network's learned stand-ins speak for all of them. The values sum to forecast minus average.

A part (a word, a person, a region of the poster) has as its effect the forecast of the film minus
the forecast of the film without that part (occlusion, Zeiler and Fergus 2014). These do not sum
to anything: of two words that say the same, neither matters. Measured by how much further their
deletion moves forecasts of validation films than as much at random (`faithfulness.py`): words of
reviews 20.4 times by hiding, 18.4 by gradient times input, 3.2 by attention; people, genres and
the like of the bundled films 2.6 to 3.2, 1.3 to 2.5, 1.0 to 1.1.

Effects are in points of rating, log10 of dollars (10 to that power is a factor) and probability.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mfp.data.features import Arrays, FeatureSpec
from mfp.film import Film
from mfp.forecast import reasons_json, shapley
from mfp.forecast.bundle import Bundle
from mfp.forecast.parts import Part, Pixels, parts_of, without
from mfp.forecast.predict import BATCH_SIZES
from mfp.forecast.similar import SimilarFilm, most_similar

# Of targets without a scale of their own, the probabilities: half of all there is.
_HALF = 0.5
# Smaller effects, in units of how much a target varies, are rounding: outputs are float32.
NOTHING = 1e-5

Effects = Mapping[str, float]  # of each target


@dataclass(frozen=True, slots=True)
class ModalityEffect:
    """What the forecast owes to a modality; nothing where the film lacks it."""

    name: str
    given: bool
    effects: Effects


@dataclass(frozen=True, slots=True)
class PartEffect:
    """What the forecast owes to a part of the film."""

    part: Part
    effects: Effects
    importance: float  # the largest effect on any target, in units of how much that varies


@dataclass(frozen=True)
class Explanation:
    """Why one film's forecast is what it is."""

    forecast: Effects  # rating 0-10, log10 dollars, probabilities
    average: Effects  # of the average film
    modalities: tuple[ModalityEffect, ...]
    parts: tuple[PartEffect, ...]  # those that move a forecast, the most important first
    similar: tuple[SimilarFilm, ...]  # the nearest first
    notes: tuple[str, ...]  # what could not be told, and why

    def to_json(self) -> dict[str, Any]:
        """JSON values, see `mfp/forecast/reasons_json.py`."""
        return reasons_json.of(self)


def explain(bundle: Bundle, film: Film, pixels: Pixels) -> Explanation:
    """Explain the forecast of one film, by a few calls of the program in its fixed batch sizes.

    Args:
      pixels: the film's media as `media.prepare` packs them.

    Raises:
      BundleError: the bundle's past films are damaged.
    """
    valued = value(bundle, film, pixels)
    return Explanation(
        forecast={target: float(v[-1]) for target, v in valued.coalitions.items()},
        average={target: float(v[0]) for target, v in valued.coalitions.items()},
        modalities=_modality_effects(bundle.spec, valued),
        parts=_part_effects(bundle.spec, valued),
        similar=_similar(bundle, film, valued.embedding),
        notes=tuple(_notes(bundle, film, valued.given)),
    )


@dataclass(frozen=True)
class Valued:
    """The forecasts of a film with some of it hidden. Letters: M modalities, S coalitions."""

    given: tuple[str, ...]  # the M modalities that the film has
    shown: np.ndarray  # bool [S, M]; the first row shows none, the last all
    coalitions: Mapping[str, np.ndarray]  # {target: [S]}
    parts: tuple[Part, ...]
    changes: Mapping[str, np.ndarray]  # {target: [P]}, forecast minus forecast without each part
    embedding: np.ndarray  # [D], of the whole film

    def shares(self, target: str) -> np.ndarray:
        """The Shapley value of each given modality, [M]."""
        return shapley.shares(self.shown, self.coalitions[target])


def value(bundle: Bundle, film: Film, pixels: Pixels) -> Valued:
    """Forecast a film with every coalition of its modalities, and without each part."""
    spec = bundle.spec
    whole = spec.stack([film], [pixels])
    given = tuple(m for m in spec.modalities if whole[f"present/{m}"][0])
    shown = shapley.coalitions(len(given))
    parts = tuple(parts_of(film, pixels, spec))
    masked = {name: np.repeat(array, len(shown), axis=0) for name, array in whole.items()}
    masked |= {f"present/{m}": shown[:, i].astype(np.float32) for i, m in enumerate(given)}
    rest = stack([without(film, pixels, [part], spec) for part in parts], spec)
    found = run(bundle, {name: np.concatenate([masked[name], rest[name]]) for name in rest})
    last = len(shown) - 1
    values = target_values(found["outputs"], spec.targets.names, last)
    return Valued(
        given,
        shown,
        {target: v[: last + 1] for target, v in values.items()},
        parts,
        {target: v[last] - v[last + 1 :] for target, v in values.items()},
        found["embedding"][last],
    )


def _modality_effects(spec: FeatureSpec, valued: Valued) -> tuple[ModalityEffect, ...]:
    shares = {target: valued.shares(target) for target in valued.coalitions}
    of_given = {m: {t: float(s[i]) for t, s in shares.items()} for i, m in enumerate(valued.given)}
    nothing = dict.fromkeys(shares, 0.0)
    return tuple(
        ModalityEffect(m, m in of_given, of_given.get(m, nothing)) for m in spec.modalities
    )


def _part_effects(spec: FeatureSpec, valued: Valued) -> tuple[PartEffect, ...]:
    scale = {target: spec.targets.deviation.get(target, _HALF) for target in valued.changes}
    found = []
    for i, part in enumerate(valued.parts):
        effects = {target: float(change[i]) for target, change in valued.changes.items()}
        importance = max(abs(effect) / scale[target] for target, effect in effects.items())
        if importance > NOTHING or part.kind == "region":  # a heat map has every cell
            found.append(PartEffect(part, effects, importance))
    return tuple(sorted(found, key=lambda effect: -effect.importance))


def _similar(bundle: Bundle, film: Film, embedding: np.ndarray) -> tuple[SimilarFilm, ...]:
    if bundle.reference is None or film.release_date is None:
        return ()
    return most_similar(bundle.reference, embedding, film.release_date)


def _notes(bundle: Bundle, film: Film, given: Sequence[str]) -> list[str]:
    notes = []
    if len(given) > shapley.MAX_EXACT:
        notes.append(f"modality effects are means over {shapley.ORDERS} random orders")
    if bundle.reference is None:
        notes.append("this bundle carries no past films to compare with")
    elif film.release_date is None:
        notes.append("past films are compared only where the film has a release date")
    return notes


def target_values(
    outputs: Mapping[str, np.ndarray], targets: Sequence[str], whole: int
) -> dict[str, np.ndarray]:
    """One number per row and target, {target: float64 [N]}.

    The rating within 0 to 10, as it is forecast; of verdicts the probability of the one that is
    forecast for row `whole`.
    """
    values = {}
    for target in targets:
        y = outputs[target].astype(np.float64)
        if target == "rating":
            y = np.clip(y, 0, 10)
        elif target == "verdict":
            y = y[:, np.argmax(y[whole])]
        values[target] = y
    return values


def stack(films: Sequence[tuple[Film, Pixels]], spec: FeatureSpec) -> Arrays:
    """The arrays of films with their media."""
    return spec.stack([film for film, _ in films], [pixels for _, pixels in films])


def run(bundle: Bundle, inputs: Arrays) -> dict[str, Any]:
    """Outputs and embeddings of any number of rows, in batches of the fixed sizes."""
    count, largest = len(next(iter(inputs.values()))), BATCH_SIZES[-1]
    outputs: dict[str, list[np.ndarray]] = {}
    embeddings = []
    for start in range(0, count, largest):
        rows = min(count - start, largest)
        size = next(size for size in BATCH_SIZES if size >= rows)
        # The last rows once more, until the batch is full.
        index = np.minimum(np.arange(start, start + size), count - 1)
        found = bundle.run({name: array[index] for name, array in inputs.items()})
        for name, y in found["outputs"].items():
            outputs.setdefault(name, []).append(y[:rows])
        embeddings.append(found["embedding"][:rows])
    joined = {name: np.concatenate(ys) for name, ys in outputs.items()}
    return {"outputs": joined, "embedding": np.concatenate(embeddings)}
