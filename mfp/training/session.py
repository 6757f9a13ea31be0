"""After training: evaluate a run's best parameters, write metrics.json, export the bundle."""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from mfp.calibration.fitted import DEFAULT_LEVEL, TARGETS, Calibration
from mfp.calibration.points import PointRules
from mfp.config import Config, ConfigError
from mfp.data import batches, columns
from mfp.data.dataset import Dataset, Films, Joined
from mfp.data.reference import PastFilm, Reference
from mfp.dates import PartialDate
from mfp.film import FIELDS
from mfp.models.network import Network
from mfp.report import plots
from mfp.report.progress import TrainingProgress
from mfp.training import (
    assemble,
    calibrate,
    compare,
    coverage,
    evaluate,
    export,
    loop,
    metrics,
    missing,
    parallel,
    pretrained,
    rival_files,
    rivals,
    served,
)
from mfp.training import frozen as frozen_histories
from mfp.training.loop import Trained
from mfp.training.run import RunFolder, write_json, write_text


def restore_trained(
    run: RunFolder, config: Config, dataset: Dataset, progress: TrainingProgress | None = None
) -> Trained:
    """The best checkpoint of a run, with the films of its dataset.

    `progress` counts films where they are to be transformed again.

    Raises:
      ConfigError: the films changed since the run began.
    """
    _, fingerprint = run.read_config()
    if fingerprint != dataset.fingerprint:
        raise ConfigError(f"{run.path}: the films changed since this run; train anew")
    spec, params, step, seconds = loop.restore_best(run, config)
    spec = loop.with_past_films(spec, config, dataset)
    progress = progress or TrainingProgress(quiet=True)
    with progress.counting("transforming films", dataset.count) as count:
        films = dataset.of_run(config.train)
        splits = columns.open_splits(films, spec, config.targets, count.advance)
    splits = pretrained.with_vectors(splits, films, spec, config, progress)
    return Trained(spec, assemble.of_network(params), splits, step, seconds)


def only_films_where(trained: Trained, dataset: Dataset, condition: str) -> tuple[Trained, Dataset]:
    """The same, with only those validation and test films for which a condition holds.

    Args:
      condition: a number field, a comparison and a number, for example vote_count>=50.

    Raises:
      ConfigError: the condition cannot be read, or holds for no film.
    """
    match = _CONDITION.fullmatch(condition.strip())
    fields = [name for name, spec in FIELDS.items() if spec.kind == "number"]
    numbers = [*fields, "rating", "revenue_usd"]
    if match is None or match["field"] not in numbers:
        raise ConfigError(
            f"--where {condition}: write FIELD>=NUMBER (or > <= < =); FIELD is one of "
            f"{', '.join(numbers)}"
        )
    compare, limit = _COMPARISONS[match["sign"]], float(match["number"])
    splits, films = dict(trained.splits), dict(dataset.splits)
    for name in [name for name in ("validation", "test") if name in splits]:
        chosen, all_of_it = [], dataset.splits[name]
        assert isinstance(all_of_it, Films), name  # only the training films may be two splits
        for i, (film, outcome) in enumerate(all_of_it):
            source: Any = film if match["field"] in fields else outcome
            value = getattr(source, match["field"])
            if value is not None and compare(value, limit):
                chosen.append(i)
        if not chosen:
            raise ConfigError(f"--where {condition}: holds for no {name} film")
        splits[name] = splits[name].select(np.array(chosen))
        films[name] = all_of_it.select(chosen)
    return replace(trained, splits=splits), replace(dataset, splits=films)


_COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
    "=": operator.eq,
}
_CONDITION = re.compile(r"(?P<field>\w+)\s*(?P<sign>>=|<=|>|<|=)\s*(?P<number>\d+(\.\d*)?(e\d+)?)")


def missing_run(run: RunFolder, config: Config, trained: Trained) -> list[dict[str, Any]]:
    """Test metrics for every subset of modalities; written to missing.json and missing.png.

    Raises:
      ConfigError: there are too many modalities to try all subsets.
    """
    modalities = trained.spec.modalities
    if len(modalities) > missing.MAX_MODALITIES:
        raise ConfigError(f"--missing: {len(modalities)} modalities make too many subsets")
    network = assemble.build_network(config, trained.spec)
    params = parallel.to_device(trained.params)
    rows = missing.evaluate_subsets(network, trained.spec, config, params, trained.splits["test"])
    write_json(run.path / "missing.json", rows)
    plots.missing_modalities(rows, run.path / "missing.png")
    return rows


def evaluate_run(
    run: RunFolder,
    config: Config,
    dataset: Dataset,
    trained: Trained,
    progress: TrainingProgress,
    save: bool = True,
    compare_rivals: bool = False,
    refit_rivals: bool = False,
    rivals_file: Path | None = None,
) -> dict[str, Any]:
    """Metrics on validation and test films beside the baselines; coverage of the intervals.

    Histories of test films roll forward as outcomes become known; beside that, metrics with
    histories frozen at the end of validation.

    Saved to metrics.json, with the calibration in calibration.json and coverage.png. Unsaved
    (films chosen by a condition) it judges the calibration of the run and fits none. All processes
    of a run predict; only the one that writes goes on to metrics, others get {}.

    A final fit has no validation films: it is judged with the calibration that it was given
    (`refit.py`), and reported beside the fit that it followed; its rivals are fitted as it is.

    Args:
      compare_rivals: tune all rivals, with intervals of the differences. Without it the comparison
        of the same network on the same films that metrics.json holds is kept.
      refit_rivals: the rivals are then fitted on training and validation films.
      rivals_file: where what they predict is kept, for other runs on the same films.

    Raises:
      ConfigError: `compare_rivals`, and the extra `compare` is not installed.
    """
    if compare_rivals:
        rivals.check_installed()
    progress.say("evaluating on held-out later films, and fitting the baselines on the same rows")
    network = assemble.build_network(config, trained.spec)
    evaluator = evaluate.Evaluator.build(network, trained.spec, config)
    placed = evaluator.runner.place_for_evaluation(trained.params)
    final = config.train.final_epochs > 0
    judged = ("test",) if final else ("validation", "test")
    found = {s: evaluator.everything(placed, trained.splits[s]) for s in judged}
    frozen = None
    if trained.spec.history and save:
        until = PartialDate.parse(config.data.split.validation_until).last_day()
        pairs, arrays = dataset.splits["test"], trained.splits["test"]
        frozen = frozen_histories.predictions(evaluator, placed, trained.spec, pairs, arrays, until)
    if not run.writer:
        return {}
    names = trained.spec.targets.names  # outputs of an ensemble also tell its members' spread
    predictions = {s: {name: found[s][0][name] for name in names} for s in found}
    params = parallel.to_device(trained.params)
    joined = len(trained.splits["train"]) - len(dataset.splits["train"]) if final else 0
    test, both = trained.splits["test"], refit_rivals or final
    report = evaluate.report(trained.spec, trained.splits, predictions, joined)
    if compare_rivals:
        earlier = evaluate.fitting_splits(trained.splits, joined)
        fitted = rival_files.fit_once(rivals_file, trained.spec, earlier, both, progress.say)
        report = compare.report(test, predictions["test"], fitted, both) | {
            name: report[name] for name in judged
        }
    if frozen is not None:
        report["test_with_frozen_histories"] = metrics.evaluate(test.truth, frozen)
    on_validation = None if final or not save else predictions["validation"]
    calibration, held_out = _calibration(run, config, trained, network, params, on_validation)
    outputs, embedding, _ = found["test"]
    served_outputs, points = dict(predictions["test"]), PointRules()
    if calibration is not None:
        report["intervals"] = coverage.report(
            calibration, test, outputs, embedding, held_out, DEFAULT_LEVEL
        )
        points = calibration.points
        if "hit" in outputs:
            missing_parts = calibration.parts.missing(test.columns)
            distributions = calibration.distributions(outputs, embedding, missing_parts)
            served_outputs["hit"] = calibration.hit(
                outputs["hit"], distributions, test.facts["budget_usd"]
            )
    if run.first_file.exists():
        report["first"] = run.read_json("first.json", "run: mfp train --refit")
        if "intervals" in report:
            report["intervals"]["calibrated_by"] = "first"
    hits = trained.splits["train"].truth.get("hit", np.zeros(1))
    directors = served.directors_of(dataset.of_run(config.train).splits["train"])
    slices = served.slices_of(dataset.splits["test"], directors)
    report["served"] = served.report(
        test.truth, served_outputs, points, float(np.nanmean(hits)), slices
    )
    report["fingerprint"] = dataset.fingerprint
    report["seconds"] = round(trained.seconds, 3)
    report["versions"] = evaluate.versions()
    if save:
        if not compare_rivals:
            earlier = _earlier_comparison(run, report)
            report = earlier | report | earlier
        write_json(run.metrics_file, report)
        if calibration is not None and calibration.targets:
            plots.coverage(report["intervals"], run.path / "coverage.png")
    return report


def _earlier_comparison(run: RunFolder, report: dict[str, Any]) -> dict[str, Any]:
    """The comparison of the same predictions of the same films in metrics.json, if any."""
    try:
        old = json.loads(run.metrics_file.read_text("utf-8"))
        same = all(old[name] == report[name] for name in ("test", "fingerprint"))
        return {name: old[name] for name in ("comparison", "baselines")} if same else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _calibration(
    run: RunFolder,
    config: Config,
    trained: Trained,
    network: Network,
    params: Any,
    outputs: dict[str, np.ndarray] | None,
) -> tuple[Calibration | None, coverage.HeldOutFilms | None]:
    """The calibration of a run, fitted and written or else read, and what it was fitted on.

    What is returned has passed through JSON: the same numbers that a bundle's reader gets.

    Args:
      outputs: the network's, of all validation films, to fit one; None reads that of the run.
    """
    held_out = None
    if outputs is not None and set(trained.spec.targets.names) & {*TARGETS, "hit"}:
        fitted, films, folds = calibrate.calibrate(
            network,
            trained.spec,
            config,
            params,
            trained.splits["validation"],
            trained.splits["train"],
        )
        points = PointRules.fit(outputs, trained.splits["validation"].truth)
        fitted = replace(fitted, points=points)
        write_text(run.calibration_file, json.dumps(fitted.to_json()) + "\n")
        held_out = coverage.HeldOutFilms(films, folds)
    values = run.read_calibration()
    return (Calibration.from_json(values, trained.spec) if values else None), held_out


def export_run(
    run: RunFolder,
    folder: Path,
    config: Config,
    dataset: Dataset,
    trained: Trained,
    report: dict[str, Any],
) -> None:
    """Write the bundle of a run. Raises ExportError where the folder exists."""
    dataset = dataset.of_run(config.train)
    card = {
        "source": config.data.source,
        "fingerprint": dataset.fingerprint,
        "split": asdict(config.data.split),
        "films": {name: len(films) for name, films in dataset.splits.items()},
        "released": {name: _released(films) for name, films in dataset.splits.items()},
        "known": {
            name: {target: int(np.sum(~np.isnan(y))) for target, y in films.truth.items()}
            for name, films in trained.splits.items()
        },
        "as_of": config.as_of,
        "ranges": ranges(trained.splits["train"].facts),
    }
    told = (
        "test",
        "validation",
        "baselines",
        "first",
        "comparison",
        "served",
        "intervals",
        "test_with_frozen_histories",
    )
    scores = {name: report[name] for name in told if name in report}
    calibration = run.read_calibration()
    reference = past_films(config, dataset, trained)
    export.write_bundle(
        folder, config, trained.spec, trained.params, scores, card, calibration, reference
    )


def ranges(facts: dict[str, np.ndarray]) -> dict[str, list[float]]:
    """Between which values 99 % of the training films lie, of each fact that any of them has.

    Not the extremes: one mistyped budget would make every other look familiar.
    """
    found = {}
    for name, values in facts.items():
        known = values[~np.isnan(values)]
        if len(known):
            # Values that films have, not values between them.
            low = np.quantile(known, 0.005, method="inverted_cdf")
            high = np.quantile(known, 0.995, method="inverted_cdf")
            found[name] = [float(low), float(high)]
    return found


def _released(films: Films | Joined) -> list[str]:
    """The first and the last release date; nothing where no film has one."""
    dates = [film.release_date for film, _ in films if film.release_date is not None]
    ordered = sorted(dates, key=lambda date: (date.first_day(), date.last_day()))
    return [str(ordered[0]), str(ordered[-1])] if ordered else []


def past_films(config: Config, dataset: Dataset, trained: Trained) -> Reference:
    """The training and validation films with their outcomes and fused vectors.

    Of a final fit they are one split. No test film: what a bundle compares with is known when its
    forecasts begin.
    """
    spec = trained.spec
    network = assemble.build_network(config, spec)
    apply = assemble.evaluation_function(network, config.train.ensemble)
    embed = parallel.compile_evaluation(
        lambda params, batch: apply(params, batch, None)["embedding"]
    )
    params = parallel.to_device(trained.params)
    films: list[PastFilm | None] = []
    vectors = []
    for name in [name for name in ("train", "validation") if name in dataset.splits]:
        pairs = dataset.splits[name]
        films += [PastFilm.of(film, o, spec.targets.names, config.targets) for film, o in pairs]
        for batch, indices in batches.once(trained.splits[name], config.train.batch_size):
            found = parallel.on_host(embed(params, parallel.to_device(batch)))
            vectors.append(found[: len(indices)])
    return Reference.build(films, np.concatenate(vectors))
