"""Calibration: all that was fitted on the validation films, as one value and as JSON."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from mfp.calibration import hit as hits
from mfp.calibration import spread
from mfp.calibration.conformal import Distribution, Sample, TargetCalibration, TargetFit
from mfp.calibration.differences import Differences
from mfp.calibration.hit import Calibrator, HitRules
from mfp.calibration.patterns import Parts
from mfp.calibration.points import PointRules
from mfp.data.features import FeatureSpec

DEFAULT_LEVEL = 0.9
FOLDS = 5
# Decided by distributions: the targets with intervals.
TARGETS = ("rating", "revenue")

Outputs = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class CalibrationFilms:
    """What the network says of films with every pattern of parts hidden.

    N films, S patterns (row 0 hides nothing), P parts, E features of the fused vector.
    """

    keys: tuple[int, ...]  # which parts films are grouped by

    patterns: np.ndarray  # bool [S, P], every pattern of the key parts
    natural: np.ndarray  # bool [N, P], parts that each film lacks by itself
    outputs: Outputs  # rating, revenue (log10 dollars), hit: [S, N]
    embedding: np.ndarray  # [S, N, E]
    truth: Outputs  # [N], NaN where unknown
    budget_usd: np.ndarray  # [N], NaN where unknown
    release_year: np.ndarray  # [N]
    trained: Mapping[str, int]  # training films that know each target


@dataclass(frozen=True)
class Calibration:
    """From a network's outputs to predictive distributions and the chance of a hit."""

    parts: Parts
    keys: tuple[int, ...]  # which parts films are grouped by
    targets: Mapping[str, TargetCalibration]
    rules: HitRules | None = None  # where the network predicts a hit
    calibrator: Calibrator = field(default_factory=lambda: Calibrator("none"))
    differences: Differences | None = None
    films: Mapping[str, int] = field(default_factory=dict)  # calibration films of each target
    without: Mapping[str, str] = field(default_factory=dict)  # target -> why it has no intervals
    hit_log_loss: Mapping[str, float] = field(default_factory=dict)  # of each method tried
    points: PointRules = field(default_factory=PointRules)

    @cached_property
    def max_level(self) -> float:
        """The highest level at which every target's intervals are finite; 0 without any."""
        return min((target.max_level for target in self.targets.values()), default=0.0)

    def distributions(
        self, outputs: Outputs, embedding: np.ndarray, missing: np.ndarray
    ) -> dict[str, Distribution]:
        """Of films: outputs {target: [N]}, embedding [N, E], missing parts [N, P]."""
        features = spread.features(outputs, embedding, missing)
        return {
            name: target.distribution(outputs[name], features, missing[:, list(self.keys)])
            for name, target in self.targets.items()
        }

    def hit(
        self,
        probability: np.ndarray,
        distributions: Mapping[str, Distribution],
        budget_usd: np.ndarray,
    ) -> np.ndarray:
        """The calibrated probability of a hit, within the bounds of the distributions. [N]."""
        found = self.calibrator(np.asarray(probability, np.float64))
        if self.rules is None:
            return found
        return np.clip(found, *self.rules.bounds(distributions, budget_usd))

    def to_json(self) -> dict[str, Any]:
        return {
            "parts": list(self.parts.names),
            "keys": list(self.keys),
            "targets": {name: target.to_json() for name, target in self.targets.items()},
            "rules": None if self.rules is None else vars(self.rules),
            "calibrator": self.calibrator.to_json(),
            "differences": None if self.differences is None else self.differences.to_json(),
            "films": dict(self.films),
            "without": dict(self.without),
            "hit_log_loss": dict(self.hit_log_loss),
            "points": self.points.to_json(),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any], spec: FeatureSpec) -> Calibration:
        """The inverse of `to_json`.

        Raises:
          ValueError: the values are no calibration of a network of these features.
        """
        try:
            parts = Parts.of(spec)
            if list(parts.names) != values["parts"]:
                raise ValueError("the parts are not those of the features")
            rules, differences = values["rules"], values["differences"]
            return cls(
                parts,
                tuple(int(key) for key in values["keys"]),
                {n: TargetCalibration.from_json(v) for n, v in values["targets"].items()},
                None if rules is None else HitRules(**{n: float(v) for n, v in rules.items()}),
                Calibrator.from_json(values["calibrator"]),
                None if differences is None else Differences.from_json(differences),
                {n: int(v) for n, v in values["films"].items()},
                {n: str(v) for n, v in values["without"].items()},
                {n: float(v) for n, v in values["hit_log_loss"].items()},
                PointRules.from_json(values.get("points", {})),  # older calibrations have none
            )
        except (LookupError, TypeError, AttributeError, ArithmeticError, ValueError) as error:
            raise ValueError(f"not a calibration: {error}") from None


def fit(
    films: CalibrationFilms, parts: Parts, rules: HitRules | None
) -> tuple[Calibration, list[tuple[np.ndarray, Calibration]]]:
    """Fit on calibration films, in folds drawn without regard to anything.

    Returns:
      the calibration of all films; and, of each fold, its films (indices) and a calibration
      that has not seen them, which tells how the procedure does on films of the same years.
    """
    count = films.natural.shape[0]
    fold = np.random.default_rng(0).permutation(count) % FOLDS
    missing = films.patterns[:, None] | films.natural[None]
    features = spread.features(films.outputs, films.embedding, missing)
    keys = list(films.keys)
    sample = Sample(films.patterns[:, keys], films.natural[:, keys], features, fold)
    fits, without = {}, {}
    for name in TARGETS:
        if name in films.outputs:
            try:
                fits[name] = TargetFit(sample, films.outputs[name], films.truth[name])
            except ValueError as error:
                without[name] = str(error)
    numbers = {name: fitted.films for name, fitted in fits.items()}
    errors = {name: films.truth[name] - films.outputs[name][0] for name in fits}
    differences = Differences.fit(films.embedding[0], errors, films.trained) if fits else None
    bare = Calibration(
        parts,
        films.keys,
        {name: fitted.calibrate() for name, fitted in fits.items()},
        rules,
        differences=differences,
        films=numbers,
        without=without,
    )
    held_out = []
    for k in range(FOLDS):
        rows = np.flatnonzero(fold == k)
        if not len(rows):
            continue
        try:
            targets = {name: fitted.calibrate(without=[k]) for name, fitted in fits.items()}
        except ValueError:
            continue
        held_out.append((rows, replace(bare, targets=targets)))
    if rules is None:
        return bare, held_out
    return _with_calibrator(bare, held_out, films, fold)


def _with_calibrator(
    bare: Calibration,
    held_out: list[tuple[np.ndarray, Calibration]],
    films: CalibrationFilms,
    fold: np.ndarray,
) -> tuple[Calibration, list[tuple[np.ndarray, Calibration]]]:
    """The same with the method of least log loss for the probability of a hit."""
    assert bare.rules is not None
    truth, probability = films.truth["hit"], films.outputs["hit"][0]
    bounds = np.zeros(len(truth)), np.ones(len(truth))
    for rows, calibration in held_out:
        found = distributions_of(calibration, films, rows)
        for side, bound in zip(
            bounds, bare.rules.bounds(found, films.budget_usd[rows]), strict=True
        ):
            side[rows] = bound
    known = ~np.isnan(truth)
    if len(np.unique(truth[known])) < 2:
        return bare, held_out
    inside = bounds[0][known], bounds[1][known]
    kind, losses = hits.choose(probability[known], truth[known], inside, fold[known])
    losses["network"] = hits.log_loss(probability[known], truth[known])

    def fitted(seen: np.ndarray) -> Calibrator:
        return Calibrator.fit(kind, probability[seen], truth[seen])

    whole = replace(bare, calibrator=fitted(known), hit_log_loss=losses)
    parts = []
    for rows, calibration in held_out:
        seen = known.copy()
        seen[rows] = False
        parts.append((rows, replace(calibration, calibrator=fitted(seen))))
    return whole, parts


def distributions_of(
    calibration: Calibration, films: CalibrationFilms, rows: Collection[int] | np.ndarray
) -> dict[str, Distribution]:
    """The distributions of some of the films, as they are."""
    chosen = np.asarray(rows, np.intp)
    outputs = {name: y[0, chosen] for name, y in films.outputs.items()}
    return calibration.distributions(outputs, films.embedding[0, chosen], films.natural[chosen])
