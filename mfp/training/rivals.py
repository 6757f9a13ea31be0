"""The rivals of the network: mean, ridge, logistic regression and LightGBM on the same films.

All see the network's own features (but pictures and clips), split as for the network: fitted on
training films, tuned on validation films, and tuned no more. Where the network is told what members
add all together, a model of ours (data/joint.py), so are they; a second LightGBM is not, and is
what one has without it. No rival is handed a test outcome.
They are held in memory: tables of some 10^5 films.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from scipy import sparse

from mfp.config import ConfigError
from mfp.data.batches import FilmArrays
from mfp.data.features import FeatureSpec
from mfp.data.track_record import is_joint
from mfp.models.heads import BINARY
from mfp.training import baselines, boosting, regressions
from mfp.training.baselines import Predictions
from mfp.training.design import Design, Table

WITHOUT_JOINT = "lightgbm, plain records"
SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Rival:
    """What a rival predicts of the test films, and what validation chose for it."""

    predictions: Predictions
    chosen: dict[str, Mapping[str, Any]] = field(default_factory=dict)  # of each target


def check_installed() -> None:
    """Raises ConfigError where the extra `compare` is missing or cannot be loaded."""
    try:
        import lightgbm  # noqa: F401
        import sklearn  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            f"--compare: {error.name} is not installed; run: pip install 'mfp[compare]'"
        ) from None
    except OSError as error:  # LightGBM needs the system's OpenMP
        raise ConfigError(
            f"--compare: LightGBM cannot be loaded ({error}); on Debian: apt-get install libgomp1"
        ) from None


def fit(
    spec: FeatureSpec,
    splits: Mapping[str, FilmArrays],
    refit: bool = False,
    say: Callable[[str], None] = lambda text: None,
) -> dict[str, Rival]:
    """Every rival, its predictions those of the test films.

    Args:
      refit: after tuning, fit on training and validation films together.
      say: told what is being fitted.

    Raises:
      ConfigError: the extra `compare` is not installed.
    """
    check_installed()
    train, validation = splits["train"], splits["validation"]
    # Whatever happens below, the outcomes of test films are not at hand.
    blind = {name: np.full(len(splits["test"]), np.nan) for name in splits["test"].truth}
    test = replace(splits["test"], truth=blind)
    say("ridge")
    ridge = baselines.ridge(spec, train, validation, [test], refit)[0]
    found = {
        "mean": Rival(baselines.mean(train, test, validation if refit else None)),
        "ridge": Rival(ridge),
    }
    design = Design.fit(spec, train)
    tables = {"train": design.table(train), "validation": design.table(validation)}
    tables["test"] = design.table(test)
    known = {
        split: {name: ~np.isnan(truth) for name, truth in splits[split].truth.items()}
        for split in ("train", "validation")
    }
    tunable = [n for n in train.truth if known["train"][n].any() and known["validation"][n].any()]
    binary = [n for n in tunable if n in BINARY and len(np.unique(_truth(train, n))) == 2]
    if binary:
        linear = {split: table.linear for split, table in tables.items()}
        found["logistic"] = _logistic(binary, splits, lambda name: linear, refit, say)
    if binary and any(text.config.ngrams for text in spec.texts.values()):

        def weighed(name: str) -> dict[str, sparse.csr_matrix]:
            rows = known["train"][name]
            ratios = regressions.log_count_ratios(tables["train"].words[rows], _truth(train, name))
            there = {split: (table.words > 0).astype(np.float64) for split, table in tables.items()}
            return {split: words @ sparse.diags(ratios) for split, words in there.items()}

        found["n-gram ratios"] = _logistic(binary, splits, weighed, refit, say)
    found["lightgbm"] = _lightgbm(tunable, splits, design, tables, refit, say)
    if spec.history and spec.history.config.joint:
        apart = [i for i, name in enumerate(design.numbers(train)) if not is_joint(name)]
        plain = {split: replace(t, numbers=t.numbers[:, apart]) for split, t in tables.items()}
        found[WITHOUT_JOINT] = _lightgbm(tunable, splits, design, plain, refit, say)
    return found


def _truth(films: FilmArrays, name: str) -> np.ndarray:
    return films.truth[name][~np.isnan(films.truth[name])]


def _logistic(
    names: list[str],
    splits: Mapping[str, FilmArrays],
    features_of: Callable[[str], Mapping[str, sparse.csr_matrix]],
    refit: bool,
    say: Callable[[str], None],
) -> Rival:
    rival = Rival({})
    for name in names:
        say(f"logistic regression: {name}")
        features = features_of(name)
        labelled = [
            regressions.Labelled(
                features[split][~np.isnan(splits[split].truth[name])], _truth(splits[split], name)
            )
            for split in ("train", "validation")
        ]
        fitted = regressions.logistic(labelled[0], labelled[1], refit)
        rival.predictions[name] = fitted(features["test"])
        rival.chosen[name] = {"C": fitted.strength, "validation_loss": fitted.validation_loss}
    return rival


def _lightgbm(
    names: list[str],
    splits: Mapping[str, FilmArrays],
    design: Design,
    tables: Mapping[str, Table],
    refit: bool,
    say: Callable[[str], None],
) -> Rival:
    rival = Rival({})
    encoding = boosting.Encoding.fit(design, tables["train"])
    features = {split: encoding(table) for split, table in tables.items()}
    for name in names:
        say(f"LightGBM, {boosting.TRIALS} settings: {name}")
        rows = []
        for split in ("train", "validation"):
            films = splits[split]
            known = ~np.isnan(films.truth[name])
            weight = films.columns[f"weights/{name}"][known]
            rows.append(boosting.Rows(features[split][known], films.truth[name][known], weight))
        fitted = boosting.boost(name, rows[0], rows[1], refit)
        rival.predictions[name] = fitted(features["test"])
        loss = {"rounds": fitted.rounds, "validation_loss": fitted.validation_loss}
        rival.chosen[name] = {**fitted.settings, **loss}
    return rival
