"""The Gaussian process beside the network: solved as the textbook says, and moved by nothing."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from mfp.config import KernelModelConfig
from mfp.models import kernel
from mfp.models.beside import PROCESS
from mfp.training import assemble, reaches
from mfp.training.beside import fit_beside
from training.test_beside import begin

OF = KernelModelConfig(share=0.5, anchors=60, noise=0.4, steps=3, nugget=0.001)


def with_kernel(config, of=OF):
    return dataclasses.replace(config, model=dataclasses.replace(config.model, kernel=of))


@pytest.fixture(scope="module")
def fitted(tiny, few):
    return begin(with_kernel(tiny), few)


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
    params = fit_beside(assemble.init_params(network, spec, 0), network, films, config)
    names = network.shape.named(config.model.sets.multi_hot)
    assert names
    x = {}
    for name in ("train", "test"):
        values, present, named = kernel.features(splits[name].columns, names)
        center, scale = params[PROCESS]["center"], params[PROCESS]["scale"]
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
    found = module.apply({"params": params[PROCESS]}, splits["test"].columns, names)["rating"]
    assert np.std(expected) > 0.05
    np.testing.assert_allclose(found, expected, atol=0.005)  # the nugget


def test_what_it_has_learned_is_what_it_says(fitted):
    """With reaches of their own the parameters say what solver and covariance say together."""
    config, _, splits, network, params = fitted
    of, process = config.model.kernel, params[PROCESS]
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
    of, process, films = config.model.kernel, params[PROCESS], splits["train"].columns
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
