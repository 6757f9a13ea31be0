"""Forecasts of test films beside what became of them: what the page of a run is drawn from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mfp.calibration.fitted import DEFAULT_LEVEL, Calibration
from mfp.config import Config, ConfigError
from mfp.training import assemble, evaluate
from mfp.training.loop import Trained
from mfp.training.run import RunFolder


@dataclass(frozen=True)
class HeldOut:
    """N test films in natural units (of revenue log10 dollars); NaN where nothing is known."""

    truth: dict[str, np.ndarray]  # {target: [N]}
    forecast: dict[str, np.ndarray]  # {target: [N]}, of verdicts [N, C]; hit as it is served
    low: dict[str, np.ndarray]  # bounds of the intervals, where a target has any
    high: dict[str, np.ndarray]
    facts: dict[str, np.ndarray]  # release_year, budget_usd, ...
    level: float


def forecasts(
    run: RunFolder, config: Config, trained: Trained, level: float = DEFAULT_LEVEL
) -> HeldOut:
    """Forecast the test films with a run's best parameters and its calibration, if it has one.

    Raises:
      ConfigError: the calibration is not of this run.
    """
    network = assemble.build_network(config, trained.spec)
    evaluator = evaluate.Evaluator.build(network, trained.spec, config)
    test = trained.splits["test"]
    params = evaluator.runner.place_for_evaluation(trained.params)
    outputs, embedding, _ = evaluator.everything(params, test)
    found, low, high = {name: outputs[name] for name in test.truth}, {}, {}
    values = run.read_calibration()
    if values:
        try:
            calibration = Calibration.from_json(values, trained.spec)
        except ValueError as error:
            raise ConfigError(f"{run.calibration_file}: {error}") from None
        missing = calibration.parts.missing(test.columns)
        distributions = calibration.distributions(outputs, embedding, missing)
        for name, distribution in distributions.items():
            low[name], high[name] = distribution.interval(level)
        if "hit" in outputs:
            found["hit"] = calibration.hit(outputs["hit"], distributions, test.facts["budget_usd"])
    return HeldOut(dict(test.truth), found, low, high, dict(test.facts), level)
