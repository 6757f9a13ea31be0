"""The Gaussian process beside the network: solved as the textbook says, and moved by nothing."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np
import pytest

from mfp.config import KernelModelConfig
from mfp.data.batches import film_arrays
from mfp.data.fit import fit
from mfp.models import kernel
from mfp.training import assemble, loop, reaches
from mfp.training.evaluate import Evaluator
from mfp.training.kernel import start_from_kernel
from mfp.training.run import RunFolder
from training.test_loop import Watched
from training.test_parallel import MODES

OF = KernelModelConfig(share=0.5, anchors=60, noise=0.4, steps=3, nugget=0.001)


def with_kernel(config, of=OF):
    return dataclasses.replace(config, model=dataclasses.replace(config.model, kernel=of))


@pytest.fixture(scope="module")
def fitted(tiny, few):
    """Config, features, films, network and the parameters that training begins with."""
    config = with_kernel(tiny)
    spec = fit(few.splits["train"], config)
    splits = {name: film_arrays(films, spec, config.targets) for name, films in few.splits.items()}
    network = assemble.build_network(config, spec)
    params = assemble.init_params(network, spec, 0)
    return (
        config,
        spec,
        splits,
        network,
        start_from_kernel(params, network, splits["train"], config),
    )


def explicit(a, b, linear, width):
    """k(a, b) of two films, written out."""
    return 0.1 + (linear**2 * a) @ b + 0.5 * np.exp(-0.5 * np.sum((width * (a - b)) ** 2))


def test_the_covariance_is_the_sum_of_three_kernels():
    draw = np.random.default_rng(0)
    a, b = draw.normal(size=(4, 3)), draw.normal(size=(5, 3))
    reach = kernel.Reaches(draw.normal(size=3), draw.normal(size=3))
    expected = [[explicit(x, y, *reach) for y in b] for x in a]
    np.testing.assert_allclose(kernel.covariance(a, b, reach, np), expected, rtol=1e-12)
    np.testing.assert_allclose(kernel.covariance(a, b, reach), expected, rtol=1e-5)


def test_names_reach_as_far_as_the_config_says_and_numbers_too():
    of = dataclasses.replace(OF, numbers=0.7, names=1.3, linear=0.4)
    found = kernel.reaches(np.array([False, True, False]), of)
    np.testing.assert_allclose(found.smooth, [0.7, 1.3, 0.7], rtol=1e-6)
    np.testing.assert_allclose(found.linear, [0.4, 0.4, 0.4], rtol=1e-6)


def test_where_every_film_is_an_anchor_it_is_the_exact_process(fitted, tiny):
    _, spec, splits, _, _ = fitted
    of = dataclasses.replace(OF, anchors=250, steps=0)  # of 200 films
    config = with_kernel(tiny, of)
    network = assemble.build_network(config, spec)
    films = splits["train"]
    params = start_from_kernel(assemble.init_params(network, spec, 0), network, films, config)
    names = network.shape.named(config.model.sets.multi_hot)
    assert names
    x = {}
    for name in ("train", "test"):
        values, present, named = kernel.features(splits[name].columns, names)
        center, scale = params[kernel.PROCESS]["center"], params[kernel.PROCESS]["scale"]
        x[name] = np.asarray(kernel.standardised(values, present, center, scale), np.float64)
    weight = films.columns["weights/rating"]
    known = weight > 0
    assert 0 < known.sum() <= 200
    reach = np.full(len(named), of.linear), np.where(named, of.names, of.numbers)
    covariance = [[explicit(a, b, *reach) for b in x["train"]] for a in x["train"]]
    noise = np.diag(of.noise / weight[known])
    inner = np.array(covariance)[np.ix_(known, known)] + noise
    solved = np.linalg.solve(inner, films.columns["targets/rating"][known])
    across = [[explicit(a, b, *reach) for b in x["train"][known]] for a in x["test"]]
    expected = np.array(across) @ solved
    module = kernel.KernelRegression(config.model.kernel, network.shape.regressions)
    found = module.apply({"params": params[kernel.PROCESS]}, splits["test"].columns, names)[
        "rating"
    ]
    assert np.std(expected) > 0.05
    np.testing.assert_allclose(found, expected, atol=0.005)  # the nugget


def test_what_it_has_learned_is_what_it_says(fitted):
    """With reaches of their own the parameters say what solver and covariance say together."""
    config, _, splits, network, params = fitted
    of, process = config.model.kernel, params[kernel.PROCESS]
    names = network.shape.named(config.model.sets.multi_hot)
    values, present, named = kernel.features(splits["test"].columns, names)
    start = kernel.reaches(named, of).smooth
    used = process["scale"] > 0
    assert (np.abs(process["rating_reach"] / start - 1)[used] > 0.001).all()
    assert np.std(process["rating_reach"] - process["revenue_reach"]) > 0.001
    x = kernel.standardised(values, present, process["center"], process["scale"])
    anchors = process["rating_anchors"] / process["rating_reach"]
    smooth = kernel.covariance(
        x, anchors, kernel.Reaches(np.zeros_like(start), process["rating_reach"])
    )
    expected = (smooth - 0.1) @ process["rating_weights"] + x @ process["rating_slope"]
    module = kernel.KernelRegression(of, network.shape.regressions)
    found = module.apply({"params": process}, splits["test"].columns, names)["rating"]
    np.testing.assert_allclose(found, expected + process["rating_constant"], atol=1e-4)


def test_it_learns_from_the_training_films_with_their_weights(fitted):
    config, _, splits, network, params = fitted
    of, process, films = config.model.kernel, params[kernel.PROCESS], splits["train"].columns
    names = network.shape.named(config.model.sets.multi_hot)
    values, present, named = kernel.features(films, names)
    x = np.asarray(kernel.standardised(values, present, process["center"], process["scale"]))
    assert np.std(films["weights/rating"]) > 0.01  # what weighs the same would tell nothing
    for target in ("rating", "revenue"):
        weight = films[f"weights/{target}"]
        known, truth = weight > 0, films[f"targets/{target}"]
        start = kernel.reaches(named, of)
        expected = reaches.learn(x[known], truth[known], weight[known], start, of, config.seed)
        np.testing.assert_allclose(process[f"{target}_reach"], expected.smooth, rtol=1e-4)


def test_it_has_its_share_of_the_regressions_and_of_nothing_else(fitted, tiny):
    config, spec, splits, network, params = fitted
    without = assemble.build_network(tiny, spec)
    # Heads begin at 0: moved, that the network says something.
    params = params | {"heads": jax.tree.map(lambda p: p + 0.1, params["heads"])}
    bare = {name: module for name, module in params.items() if name != kernel.PROCESS}
    films = {
        n: c for n, c in splits["test"].columns.items() if not n.startswith(("targets", "weights"))
    }
    whole = network.apply({"params": params}, films)["outputs"]
    alone = without.apply({"params": bare}, films)["outputs"]
    module = kernel.KernelRegression(config.model.kernel, network.shape.regressions)
    names = network.shape.named(config.model.sets.multi_hot)
    process = module.apply({"params": params[kernel.PROCESS]}, films, names)
    for name in ("rating", "revenue"):
        assert np.std(process[name]) > 0.02
        assert np.abs(alone[name]).mean() > 0.02
        np.testing.assert_allclose(whole[name], 0.5 * alone[name] + 0.5 * process[name], atol=1e-6)
    np.testing.assert_array_equal(whole["hit"], alone["hit"])


def test_what_is_trained_is_the_network_alone(fitted, tiny):
    _, spec, splits, network, params = fitted
    bare = {name: module for name, module in params.items() if name != kernel.PROCESS}
    rngs = {"dropout": jax.random.key(1)}
    films = splits["test"].columns
    with_it = network.apply({"params": params}, films, train=True, rngs=rngs)["outputs"]
    alone = assemble.build_network(tiny, spec).apply(
        {"params": bare}, films, train=True, rngs=rngs
    )["outputs"]
    for name, y in alone.items():
        np.testing.assert_array_equal(with_it[name], y)


def test_a_missing_part_changes_nothing_by_its_values(fitted):
    config, _, splits, network, params = fitted
    names = network.shape.named(config.model.sets.multi_hot)
    hidden = dict(splits["test"].columns)
    hidden["present/numbers"] = np.zeros_like(hidden["present/numbers"])
    other = hidden | {"numbers/values": hidden["numbers/values"] + 3}
    module = kernel.KernelRegression(config.model.kernel, network.shape.regressions)
    a, b = (
        module.apply({"params": params[kernel.PROCESS]}, x, names)["rating"]
        for x in (hidden, other)
    )
    np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_no_step_moves_it_and_evaluation_reads_it(fitted, few, tmp_path, name):
    config, spec, splits, network, params = fitted
    optimizer = dataclasses.replace(config.optimizer, name=name, weight_decay=0.1, l2=0.1, l1=0.01)
    config = dataclasses.replace(config, optimizer=optimizer)
    trained = loop.train(config, few, RunFolder(tmp_path), Watched())
    for key, y in params[kernel.PROCESS].items():
        np.testing.assert_allclose(trained.params[kernel.PROCESS][key], y, rtol=1e-5, atol=1e-7)
    found, _ = Evaluator.build(network, spec, config)(trained.params, trained.splits["test"])
    expected = network.apply({"params": trained.params}, splits["test"].columns)["outputs"]
    natural = np.asarray(expected["rating"]) * spec.targets.deviation["rating"]
    np.testing.assert_allclose(found["rating"], natural + spec.targets.mean["rating"], rtol=1e-5)


def test_a_run_that_goes_on_does_not_solve_again(fitted, few, tmp_path, monkeypatch):
    config = fitted[0]
    run, watched = RunFolder(tmp_path), Watched()
    trained = loop.train(config, few, run, watched)
    assert "solving for the Gaussian process beside the network: revenue" in watched.said

    def again(*_):
        raise AssertionError("solved again")

    monkeypatch.setattr(loop, "start_from_kernel", again)
    for key, y in loop.train(config, few, run, Watched()).params[kernel.PROCESS].items():
        np.testing.assert_array_equal(trained.params[kernel.PROCESS][key], y)


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


def test_members_share_one(tiny, few, fitted):
    _, spec, splits, _, params = fitted
    config = with_kernel(tiny)
    network = assemble.build_network(config, spec)
    several = assemble.init_params(network, spec, 0, 3)
    found = start_from_kernel(several, network, splits["train"], config)[kernel.PROCESS]
    for key, y in params[kernel.PROCESS].items():
        assert found[key].shape == (3, *y.shape)
        np.testing.assert_array_equal(found[key][1], y)


def test_a_network_that_it_cannot_serve_is_alone(tiny, few):
    config = with_kernel(tiny)
    features = dataclasses.replace(config.features, numbers=(), sets={"content": ("genres",)})
    sets = dataclasses.replace(config.model.sets, multi_hot=())
    model = dataclasses.replace(config.model, sets=sets)
    config = dataclasses.replace(config, features=features, model=model)
    spec = fit(few.splits["train"], config)
    network = assemble.build_network(config, spec)
    params = assemble.init_params(network, spec, 0)
    films = film_arrays(few.splits["train"], spec, config.targets)
    assert start_from_kernel(params, network, films, config) is params
    assert kernel.PROCESS not in params
