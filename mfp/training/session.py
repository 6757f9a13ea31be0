"""After training: evaluate a run's best parameters, write metrics.json, export the bundle."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from mfp.config import Config, ConfigError
from mfp.data.batches import film_arrays
from mfp.data.dataset import Dataset
from mfp.report.progress import TrainingProgress
from mfp.training import assemble, evaluate, export, loop, parallel
from mfp.training.loop import Trained
from mfp.training.run import RunFolder, write_json


def restore_trained(run: RunFolder, config: Config, dataset: Dataset) -> Trained:
    """The best checkpoint of a run, with the films of its dataset.

    Raises:
      ConfigError: the films changed since the run began.
    """
    _, fingerprint = run.read_config()
    if fingerprint != dataset.fingerprint:
        raise ConfigError(f"{run.path}: the films changed since this run; train anew")
    spec, state, seconds = loop.restore_best(run, config)
    splits = {s: film_arrays(films, spec, config.targets) for s, films in dataset.splits.items()}
    return Trained(spec, state.ema, splits, int(state.step), seconds)


def evaluate_run(
    run: RunFolder, config: Config, dataset: Dataset, trained: Trained, progress: TrainingProgress
) -> dict[str, Any]:
    """Metrics on validation and test films beside the baselines; written to metrics.json."""
    progress.say("evaluating on held-out later films, and fitting the baselines on the same rows")
    network = assemble.build_network(config, trained.spec)
    evaluator = evaluate.Evaluator.build(network, trained.spec, config)
    params = parallel.to_device(trained.params)
    predictions = {s: evaluator(params, trained.splits[s])[0] for s in ("validation", "test")}
    report = evaluate.report(trained.spec, trained.splits, predictions)
    report["fingerprint"] = dataset.fingerprint
    report["seconds"] = round(trained.seconds, 3)
    report["versions"] = evaluate.versions()
    write_json(run.metrics_file, report)
    return report


def export_run(
    run: RunFolder,
    folder: Path,
    config: Config,
    dataset: Dataset,
    trained: Trained,
    report: dict[str, Any],
) -> None:
    """Write the bundle of a run. Raises ExportError where the folder exists."""
    card = {
        "source": config.data.source,
        "fingerprint": dataset.fingerprint,
        "split": asdict(config.data.split),
        "films": {name: len(films) for name, films in dataset.splits.items()},
        "as_of": config.as_of,
    }
    scores = {name: report[name] for name in ("test", "validation", "baselines")}
    export.write_bundle(folder, config, trained.spec, trained.params, scores, card)
