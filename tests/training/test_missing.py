from __future__ import annotations

import jax
import numpy as np
import pytest

from mfp.data.batches import film_arrays
from mfp.training import assemble, loop, missing, parallel, session
from mfp.training.evaluate import Evaluator
from mfp.training.run import RunFolder
from mfp.typed_toml import ConfigError


@pytest.fixture(scope="module")
def trained(run, dataset):
    return session.restore_trained(RunFolder(run.path), run.config, dataset)


def test_subsets_are_all_there_the_full_one_first():
    found = missing.subsets(["a", "b", "c"])
    assert len(found) == len(set(found)) == 8
    assert found[0] == ("a", "b", "c")
    assert found[-1] == ()


def test_each_subset_equals_the_evaluation_of_films_without_the_rest(run, trained):
    """One program for all subsets gives what hiding modalities one subset at a time gives."""
    spec, config, films = trained.spec, run.config, trained.splits["test"]
    network = assemble.build_network(config, spec)
    params = parallel.to_device(trained.params)
    rows = missing.evaluate_subsets(network, spec, config, params, films)
    assert len(rows) == 2 ** len(spec.modalities)
    evaluator = Evaluator.build(network, spec, config)
    for row in (rows[0], rows[3], rows[-1]):
        hidden = {
            f"present/{m}": np.zeros(len(films), np.float32)
            for m in spec.modalities
            if m not in row["present"]
        }
        columns = films.columns | hidden
        alone = type(films)(films.ids, columns, films.media, films.truth)
        predictions, _ = evaluator(params, alone)
        error = predictions["rating"] - films.truth["rating"]
        known = ~np.isnan(error)
        rmse = float(np.sqrt(np.mean(error[known].astype(float) ** 2)))
        assert row["metrics"]["rating"]["rmse"] == pytest.approx(rmse, rel=1e-5)
    # Shown nothing, every film gets the same forecast: nothing of it is explained.
    assert rows[-1]["metrics"]["rating"]["r2"] <= 1e-6


def test_the_ablation_is_read_off_the_subsets(run, trained):
    network = assemble.build_network(run.config, trained.spec)
    params = parallel.to_device(trained.params)
    films = trained.splits["test"]
    rows = missing.evaluate_subsets(network, trained.spec, run.config, params, films)
    table = missing.ablation(rows, trained.spec.modalities)
    assert [row["shown"] for row in table][:2] == ["everything", "numbers alone"]
    assert len(table) == 1 + 2 * len(trained.spec.modalities)
    assert table[0]["metrics"] == rows[0]["metrics"]


def test_only_films_where_a_condition_holds(run, trained, dataset):
    found, films = session.only_films_where(trained, dataset, "runtime_minutes >= 100")
    expected = [f.id for f, _ in run.films["test"] if (f.runtime_minutes or 0) >= 100]
    assert found.splits["test"].ids == expected
    assert 0 < len(expected) < len(run.films["test"])
    assert [film.id for film, _ in films.splits["test"]] == expected
    assert found.splits["train"] is trained.splits["train"]
    assert films.splits["train"] is dataset.splits["train"]
    all_test = film_arrays(run.films["test"], trained.spec, run.config.targets)
    chosen = [i for i, id in enumerate(all_test.ids) if id in set(expected)]
    np.testing.assert_array_equal(
        found.splits["test"].truth["rating"], all_test.truth["rating"][chosen]
    )


@pytest.mark.parametrize("condition", ["runtime_minutes", "title>=3", "x>1", "rating>=", "a b>=1"])
def test_a_condition_that_cannot_be_read_is_named(trained, dataset, condition: str):
    with pytest.raises(ConfigError, match="--where"):
        session.only_films_where(trained, dataset, condition)


def test_a_condition_that_holds_for_no_film_is_named(trained, dataset):
    with pytest.raises(ConfigError, match="holds for no"):
        session.only_films_where(trained, dataset, "runtime_minutes>5000")


def test_restored_is_what_training_returned(trained, run):
    spec, params, step, seconds = loop.restore_best(RunFolder(run.path), run.config)
    assert spec == trained.spec
    assert step == trained.step
    for a, b in zip(jax.tree.leaves(params), jax.tree.leaves(trained.params), strict=True):
        np.testing.assert_array_equal(a, b)
    assert seconds > 0
