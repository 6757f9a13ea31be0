"""The final fit: train and validation films together, resumed to the same bits, its intervals."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from mfp.calibration.fitted import Calibration
from mfp.config import ConfigError
from mfp.data.fit import fit
from mfp.training import loop, refit, session
from mfp.training.finite import TrainingError
from mfp.training.run import RunFolder
from mfp.training.signals import Interrupted
from training.test_loop import PER_EPOCH, Watched, assert_same_bits

FILMS = 280  # of train and validation
STEPS = -(-FILMS // 32)  # an epoch


@pytest.fixture(scope="module")
def first(tiny, few, tmp_path_factory):
    run = RunFolder(tmp_path_factory.mktemp("first") / "run")
    trained = loop.train(tiny, few, run, Watched())
    return run, trained, {"test": {"rating": {"r2": 0.5, "n": 60}}, "validation": {}}


@pytest.fixture(scope="module")
def final(tiny, few, first):
    return refit.refit(first[0], tiny, few, first[1], first[2], Watched())


def test_it_takes_as_many_epochs_of_all_films(tiny, few, first, final):
    folder, config, trained = final
    assert folder.path == first[0].path / "refit"
    epochs = first[1].step // PER_EPOCH
    assert config == dataclasses.replace(
        tiny, train=dataclasses.replace(tiny.train, final_epochs=epochs)
    )
    assert trained.step == epochs * STEPS
    assert {name: len(films) for name, films in trained.splits.items()} == {
        "train": FILMS,
        "test": 60,
    }
    both = [*few.splits["train"], *few.splits["validation"]]
    assert list(trained.splits["train"].ids) == [film.id for film, _ in both]
    assert trained.spec == fit(both, tiny) != first[1].spec
    lines = folder.read_log()
    assert not any("validation" in line for line in lines)


def test_a_final_fit_that_was_interrupted_ends_in_the_same_bits(few, final, tmp_path):
    _, config, trained = final
    run = RunFolder(tmp_path)
    with pytest.raises(Interrupted):
        loop.train(config, few, run, Watched(at=4))
    with pytest.raises(TrainingError, match="the final fit has not ended"):
        loop.restore_best(run, config)
    again = loop.train(config, few, run, Watched())
    assert again.step == trained.step
    assert_same_bits(again.params, trained.params)


def test_a_finished_final_fit_is_not_trained_again(tiny, few, first, final):
    progress = Watched()
    _, _, again = refit.refit(first[0], tiny, few, first[1], first[2], progress)
    assert progress.steps == []
    assert_same_bits(again.params, final[2].params)


def test_the_learning_rate_is_that_of_the_same_share_of_training(first, final):
    run, (folder, config, _) = first[0], final
    rates = {line["step"]: line["learning_rate"] for line in run.read_log() if "loss" in line}
    again = {line["step"]: line["learning_rate"] for line in folder.read_log() if "loss" in line}
    at = 14  # of 21 steps, two thirds; of 27 it is 18
    assert again[at * STEPS // PER_EPOCH] == pytest.approx(rates[at], rel=0.05)
    assert config.train.epochs == 3


def test_it_is_reported_beside_the_first_on_test_films_alone(few, first, final):
    folder, config, trained = final
    report = session.evaluate_run(folder, config, few, trained, Watched())
    assert "validation" not in report
    assert report["first"]["test"] == first[2]["test"]
    assert report["test"] != first[2]["test"]
    assert report["intervals"]["calibrated_by"] == "first"
    assert 0 < report["intervals"]["rating"]["test"]["coverage"] <= 1
    assert "validation" not in report["intervals"]["rating"]
    assert json.loads(folder.metrics_file.read_text())["first"] == report["first"]


def test_a_director_of_a_validation_film_is_no_debut_to_it(few, final, monkeypatch):
    folder, config, trained = final
    seen = {}
    sliced = session.served.slices_of
    monkeypatch.setattr(
        session.served,
        "slices_of",
        lambda films, directors: seen.update(found=directors) or sliced(films, directors),
    )
    session.evaluate_run(folder, config, few, trained, Watched(), save=False)
    both = [*few.splits["train"], *few.splits["validation"]]
    assert seen["found"] == session.served.directors_of(both)
    assert seen["found"] > session.served.directors_of(few.splits["train"])


def test_its_intervals_do_not_read_the_fused_vector(first, final):
    _, _, trained = final
    values = json.loads(final[0].calibration_file.read_text())
    calibration = Calibration.from_json(values, trained.spec)
    assert set(calibration.targets) | set(calibration.without) == {"rating", "revenue"}
    outputs = {"rating": np.array([6.0]), "revenue": np.array([7.0])}
    missing = np.zeros((1, len(calibration.parts.names)), bool)
    a, b = (
        calibration.distributions(outputs, np.full((1, 8), v), missing)["rating"].interval(0.8)
        for v in (0.0, 9.0)
    )
    np.testing.assert_array_equal(a, b)
    whitening = calibration.differences.whitening  # of the final network's own vectors
    assert whitening.shape == (8, 8)
    assert np.isfinite(whitening).all()


def test_what_is_restored_exports(few, final, tmp_path):
    from mfp.forecast.bundle import open_bundle

    folder, config, trained = final
    restored = session.restore_trained(folder, config, few)
    assert_same_bits(restored.params, trained.params)
    report = json.loads(folder.metrics_file.read_text())
    session.export_run(folder, tmp_path / "bundle", config, few, restored, report)
    bundle = open_bundle(tmp_path / "bundle")
    assert bundle.manifest.data["films"] == {"train": FILMS, "test": 60}
    assert bundle.manifest.metrics["first"] == report["first"]
    assert len(bundle.reference.films) <= FILMS


def test_more_epochs_than_the_schedule_has_are_refused(tiny):
    from mfp import config as configs

    values = configs.to_json(tiny)
    values["train"]["final_epochs"] = 4
    with pytest.raises(ConfigError, match=r"train\.final_epochs: 4 are more than train\.epochs, 3"):
        configs.from_json(values, "test")
