"""The final fit: train anew on train and validation films, for as long as validation chose.

The first fit says how long: its best epoch. The second takes as many epochs, not as many steps:
with more films an epoch has more steps, and the learning rate is again at the same place of its
schedule when the same share of it is done. Everything fitted (vocabularies, scalers) is fitted on
both splits. Nothing is held out but the test films, so nothing is chosen, and the intervals are
calibrated by the errors of the first fit.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np

from mfp.calibration.differences import Differences
from mfp.calibration.fitted import Calibration
from mfp.calibration.patterns import Parts
from mfp.config import Config
from mfp.data.dataset import Dataset
from mfp.report.progress import TrainingProgress
from mfp.training import assemble, calibrate, loop, parallel
from mfp.training.evaluate import Evaluator
from mfp.training.loop import Trained
from mfp.training.run import RunFolder, write_json, write_text


def final_config(config: Config, first: Trained) -> Config:
    """The config of the final fit: as many epochs as the first one's best network had seen."""
    per_epoch = -(-len(first.splits["train"]) // config.train.batch_size)
    return replace(config, train=replace(config.train, final_epochs=first.step // per_epoch))


def refit(
    run: RunFolder,
    config: Config,
    dataset: Dataset,
    first: Trained,
    report: dict[str, Any],
    progress: TrainingProgress,
) -> tuple[RunFolder, Config, Trained]:
    """Train, or go on training, in the folder `refit` of a finished run, and calibrate.

    Args:
      report: metrics of the first fit, kept beside those of the final one.

    Raises:
      what `loop.train` does.
    """
    folder, final = RunFolder(run.path / "refit"), final_config(config, first)
    epochs = final.train.final_epochs
    progress.say(f"final fit: {epochs} epochs on train and validation films together")
    trained = loop.train(final, dataset, folder, progress)
    write_json(folder.first_file, {name: report[name] for name in ("test", "validation")})
    values = calibration(config, first, final, trained)
    chosen = run.read_calibration()
    if values and chosen:  # the rules of points were chosen by the first fit as well
        values = replace(values, points=Calibration.from_json(chosen, first.spec).points)
    write_text(folder.calibration_file, json.dumps(values.to_json() if values else {}) + "\n")
    return folder, final, trained


def calibration(
    config: Config, first: Trained, final: Config, trained: Trained
) -> Calibration | None:
    """The calibration of the final network: by the errors of the first one on validation films.

    Its spread reads what means the same to both, the forecasts and what is missing, and not the
    fused vector, whose coordinates are new. None where there is nothing to calibrate, or where
    the two read different parts of a film.
    """
    parts = Parts.of(trained.spec)
    predicted = set(first.spec.targets.names) & set(calibrate.USED)
    if not predicted or Parts.of(first.spec).names != parts.names:
        return None
    network = assemble.build_network(config, first.spec)
    params, validation = parallel.to_device(first.params), first.splits["validation"]
    found, films, _ = calibrate.calibrate(
        network, first.spec, config, params, validation, first.splits["train"], fused=False
    )
    if found.differences is None:
        return found
    evaluator = Evaluator.build(assemble.build_network(final, trained.spec), trained.spec, final)
    both = trained.splits["train"]
    seen = both.between(len(both) - len(validation), len(both))  # the validation films are last
    _, embedding, _ = evaluator.everything(parallel.to_device(trained.params), seen)
    errors = {name: films.truth[name] - films.outputs[name][0] for name in found.targets}
    known = {name: int(np.sum(~np.isnan(y))) for name, y in both.truth.items()}
    return replace(found, differences=Differences.fit(embedding, errors, known))
