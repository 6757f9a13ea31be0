"""What stands beside the network: fitted once, given its share, and moved by nothing."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np
import pytest

from mfp import config as configs
from mfp.config import ConfigError, KernelModelConfig, TreesModelConfig
from mfp.data.batches import film_arrays
from mfp.data.fit import fit
from mfp.models import beside, kernel, trees
from mfp.models.beside import PROCESS, TREES
from mfp.training import assemble, loop
from mfp.training import beside as training
from mfp.training.beside import fit_beside
from mfp.training.evaluate import Evaluator
from mfp.training.run import RunFolder
from training.test_loop import Watched
from training.test_parallel import MODES

PROCESS_OF = KernelModelConfig(share=0.5, anchors=60, noise=0.4, steps=3, nugget=0.001)
TREES_OF = TreesModelConfig(share=0.3, count=20, depth=3, rate=0.2, features=0.5)


def with_both(config, process=PROCESS_OF, of_trees=TREES_OF):
    model = dataclasses.replace(config.model, kernel=process, trees=of_trees)
    return dataclasses.replace(config, model=model)


def begin(config, few):
    """Config, features, films, network and the parameters that training begins with."""
    spec = fit(few.splits["train"], config)
    splits = {name: film_arrays(films, spec, config.targets) for name, films in few.splits.items()}
    network = assemble.build_network(config, spec)
    params = assemble.init_params(network, spec, 0)
    return config, spec, splits, network, fit_beside(params, network, splits["train"], config)


@pytest.fixture(autouse=True)
def nothing_fitted_before(monkeypatch):
    monkeypatch.setattr(training, "_last", {})


@pytest.fixture(scope="module")
def fitted(tiny, few):
    return begin(with_both(tiny), few)


def said_by(part, network, params, films):
    names = network.shape.named(network.config.sets.multi_hot)
    if part == PROCESS:
        module = kernel.KernelRegression(network.config.kernel, network.shape.regressions)
        return module.apply({"params": params[PROCESS]}, films, names)
    module = trees.TreesRegression(network.config.trees, network.shape.regressions)
    return module.apply({"params": params[TREES]}, trees.features(films, names))


def bare(params):
    return {name: module for name, module in params.items() if name not in beside.PARTS}


def test_each_has_its_share_of_the_regressions_and_of_nothing_else(fitted, tiny):
    _, spec, splits, network, params = fitted
    without = assemble.build_network(tiny, spec)
    # Heads begin at 0: moved, that the network says something.
    params = params | {"heads": jax.tree.map(lambda p: p + 0.1, params["heads"])}
    read = ("targets", "weights")
    films = {n: c for n, c in splits["test"].columns.items() if not n.startswith(read)}
    whole = network.apply({"params": params}, films)["outputs"]
    alone = without.apply({"params": bare(params)}, films)["outputs"]
    process, grown = (said_by(part, network, params, films) for part in (PROCESS, TREES))
    for name in ("rating", "revenue"):
        assert min(np.std(process[name]), np.std(grown[name])) > 0.02
        assert np.abs(alone[name]).mean() > 0.02
        expected = 0.2 * alone[name] + 0.5 * process[name] + 0.3 * grown[name]
        np.testing.assert_allclose(whole[name], expected, atol=1e-6)
    np.testing.assert_array_equal(whole["hit"], alone["hit"])


def test_of_members_each_has_the_same_beside_it():
    outputs = {"rating": np.array([[1.0, 3.0], [5.0, 7.0]]), "hit": np.array([0.1, 0.2])}
    found = beside.mixed(outputs, [(0.5, {"rating": np.array([10.0, 20.0])})])
    np.testing.assert_allclose(found["rating"], [[5.5, 6.5], [12.5, 13.5]])
    np.testing.assert_array_equal(found["hit"], outputs["hit"])


def test_what_is_trained_is_the_network_alone(fitted, tiny):
    _, spec, splits, network, params = fitted
    rngs = {"dropout": jax.random.key(1)}
    films = splits["test"].columns
    with_it = network.apply({"params": params}, films, train=True, rngs=rngs)["outputs"]
    without = assemble.build_network(tiny, spec)
    alone = without.apply({"params": bare(params)}, films, train=True, rngs=rngs)["outputs"]
    for name, y in alone.items():
        np.testing.assert_array_equal(with_it[name], y)


@pytest.mark.parametrize("part", beside.PARTS)
@pytest.mark.parametrize(
    ("hidden", "changed"), [("numbers", "numbers/values"), ("content", "sets/genres")]
)
def test_a_missing_modality_changes_nothing_by_its_values(fitted, part, hidden, changed):
    _, _, splits, network, params = fitted
    films = dict(splits["test"].columns)
    other = films | {changed: films[changed][::-1]}
    there = said_by(part, network, params, films)["rating"]
    assert np.abs(there - said_by(part, network, params, other)["rating"]).max() > 0.01
    gone = {f"present/{hidden}": np.zeros_like(films[f"present/{hidden}"])}
    a, b = (said_by(part, network, params, x | gone)["rating"] for x in (films, other))
    np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("part", beside.PARTS)
def test_a_number_that_is_not_known_changes_nothing_by_its_value(fitted, part):
    _, _, splits, network, params = fitted
    films = dict(splits["test"].columns)
    films["numbers/known"] = np.zeros_like(films["numbers/known"])
    other = films | {"numbers/values": films["numbers/values"] + 3}
    a, b = (said_by(part, network, params, x)["rating"] for x in (films, other))
    np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_no_step_moves_it_and_evaluation_reads_it(fitted, few, tmp_path, name):
    config, spec, splits, network, params = fitted
    optimizer = dataclasses.replace(config.optimizer, name=name, weight_decay=0.1, l2=0.1, l1=0.01)
    config = dataclasses.replace(config, optimizer=optimizer)
    trained = loop.train(config, few, RunFolder(tmp_path), Watched())
    for part in beside.PARTS:
        for key, y in params[part].items():
            np.testing.assert_array_equal(trained.params[part][key], y)  # to the last bit
    found, _ = Evaluator.build(network, spec, config)(trained.params, trained.splits["test"])
    expected = network.apply({"params": trained.params}, splits["test"].columns)["outputs"]
    natural = np.asarray(expected["rating"]) * spec.targets.deviation["rating"]
    np.testing.assert_allclose(found["rating"], natural + spec.targets.mean["rating"], rtol=1e-5)


def test_in_bfloat16_it_stays_as_it_was_fitted(fitted):
    """A feature's number above 256 would be another one, and thresholds would move."""
    _, _, splits, network, params = fitted
    cast = assemble._cast(params, jax.numpy.bfloat16)
    for part in beside.PARTS:
        assert {leaf.dtype for leaf in jax.tree.leaves(cast[part])} == {np.dtype(np.float32)}
    films = splits["test"].columns
    narrow, wide = (
        assemble.apply_function(network, precision)(params, films, None)["outputs"]["rating"]
        for precision in ("bfloat16", "float32")
    )
    np.testing.assert_allclose(narrow, wide, atol=0.02)


def test_the_optimizer_keeps_no_moments_of_it(fitted):
    config, _, _, _, params = fitted
    tx = loop.optim.optimizer(config.optimizer, 10)
    sizes = [leaf.shape for leaf in jax.tree.leaves(tx.init(params))]
    alone = [leaf.shape for leaf in jax.tree.leaves(tx.init(bare(params)))]
    assert sizes == alone


def test_a_run_that_goes_on_does_not_fit_again(fitted, few, tmp_path, monkeypatch):
    config = fitted[0]
    run, watched = RunFolder(tmp_path), Watched()
    trained = loop.train(config, few, run, watched)
    assert "solving for the Gaussian process beside the network: revenue" in watched.said
    assert "growing the trees beside the network: revenue" in watched.said

    def again(*_):
        raise AssertionError("fitted again")

    monkeypatch.setattr(loop, "fit_beside", again)
    resumed = loop.train(config, few, run, Watched())
    for part in beside.PARTS:
        for key, y in resumed.params[part].items():
            np.testing.assert_array_equal(trained.params[part][key], y)


def test_devices_change_nothing(fitted):
    config, spec, splits, network, params = fitted
    train = dataclasses.replace(config.train, batch_size=32)
    found = {}
    for name, mode in MODES.items():
        of = dataclasses.replace(config, parallel=mode, train=train)
        found[name], _ = Evaluator.build(network, spec, of)(params, splits["validation"])
    alone = found.pop("jit")
    for others in found.values():
        for target, y in alone.items():
            np.testing.assert_allclose(others[target], y, rtol=1e-5, atol=1e-5)


def test_films_are_read_some_at_a_time(fitted, monkeypatch):
    config, spec, splits, network, params = fitted
    monkeypatch.setattr(training, "_ROWS", 64)  # of 200
    begun = assemble.init_params(network, spec, 0)
    found = fit_beside(begun, network, splits["train"], config)
    for part in beside.PARTS:
        for key, y in params[part].items():
            np.testing.assert_array_equal(found[part][key], y)


@pytest.mark.parametrize(
    ("changes", "again"),
    [
        ({"optimizer.learning_rate": 0.1, "model.fusion.hidden": [4]}, []),
        ({"model.kernel.share": 0.2, "model.trees.share": 0.1}, []),
        ({"model.kernel.noise": 0.5}, [PROCESS]),
        ({"model.trees.l2": 1.0}, [TREES]),
        ({"seed": 1}, [PROCESS, TREES]),
    ],
)
def test_what_is_fitted_to_the_same_is_not_fitted_again(fitted, monkeypatch, changes, again):
    """By the trials of a study."""
    config, spec, splits, network, _ = fitted
    other = configs.with_values(config, changes, "x")
    begun = assemble.init_params(network, spec, 0)
    alone = fit_beside(begun, network, splits["train"], other)
    monkeypatch.setattr(training, "_last", {})
    fit_beside(begun, network, splits["train"], config)
    done = []
    for part, (section, features, how) in training._FIT.items():

        def watched(*args, part=part, how=how):
            done.append(part)
            return how(*args)

        monkeypatch.setitem(training._FIT, part, (section, features, watched))
    found = fit_beside(begun, network, splits["train"], other)
    assert done == again
    for part in beside.PARTS:
        for key, y in alone[part].items():
            np.testing.assert_array_equal(found[part][key], y)


def test_recent_films_weigh_more_there_too(fitted):
    config, spec, splits, network, params = fitted
    begun = assemble.init_params(network, spec, 0)
    films = splits["train"]
    recent = dataclasses.replace(
        config, train=dataclasses.replace(config.train, recency_half_life_years=5.0)
    )
    found = fit_beside(begun, network, films, recent)
    years = films.facts["release_year"]
    assert len(np.unique(years)) > 3
    weight = np.exp2((years - years.max()) / 5)
    columns = {
        name: y * (weight if name.startswith("weights/") else 1)
        for name, y in films.columns.items()
    }
    by_hand = fit_beside(begun, network, dataclasses.replace(films, columns=columns), config)
    for part in beside.PARTS:
        for key, y in by_hand[part].items():
            np.testing.assert_allclose(found[part][key], y, rtol=1e-4, atol=1e-5)
        assert any((found[part][key] != y).any() for key, y in params[part].items())


def test_other_films_are_fitted_to_anew(fitted):
    config, spec, splits, network, params = fitted
    begun = assemble.init_params(network, spec, 0)
    for films in ("train", "validation"):
        found = fit_beside(begun, network, splits[films], config)
    for part in beside.PARTS:
        assert any((found[part][key] != y).any() for key, y in params[part].items())


def test_members_share_one_of_each(fitted):
    config, spec, splits, network, params = fitted
    several = assemble.init_params(network, spec, 0, 3)
    found = fit_beside(several, network, splits["train"], config)
    for part in beside.PARTS:
        for key, y in params[part].items():
            assert found[part][key].shape == (3, *y.shape)
            np.testing.assert_array_equal(found[part][key][1], y)


def test_a_network_that_it_cannot_serve_is_alone(tiny, few):
    config = with_both(tiny)
    features = dataclasses.replace(config.features, numbers=(), sets={"content": ("genres",)})
    sets = dataclasses.replace(config.model.sets, multi_hot=())
    model = dataclasses.replace(config.model, sets=sets)
    config = dataclasses.replace(config, features=features, model=model)
    spec = fit(few.splits["train"], config)
    network = assemble.build_network(config, spec)
    params = assemble.init_params(network, spec, 0)
    films = film_arrays(few.splits["train"], spec, config.targets)
    assert fit_beside(params, network, films, config) is params
    assert not set(beside.PARTS) & set(params)


def test_shares_are_at_most_one_in_all(debug_config):
    values = configs.to_json(debug_config)
    values["model"]["kernel"]["share"], values["model"]["trees"]["share"] = 0.7, 0.4
    with pytest.raises(ConfigError, match=r"model\.trees\.share: together with"):
        configs.from_json(values, "test")
