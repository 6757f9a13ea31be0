"""How far features reach: by the error of films left out, which goes down and is as defined."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfp.config import KernelModelConfig
from mfp.models import kernel
from mfp.models.kernel import Reaches
from mfp.training import reaches
from mfp.training.kernel import solve

OF = KernelModelConfig(share=0.5, numbers=0.3, linear=0.1, noise=0.1, steps=60)


@pytest.fixture(scope="module")
def films():
    """300 of six numbers; what they are worth depends on the first alone."""
    draw = np.random.default_rng(0)
    x = draw.normal(size=(300, 6))
    y = np.sin(2 * x[:, 0]) + 0.2 * draw.normal(size=300)
    return x, y, draw.uniform(0.2, 2.0, 300)


def learned(films, of=OF, seed=0, rows=200):
    x, y, weight = (array[:rows] for array in films)
    start = kernel.reaches(np.zeros(x.shape[1], bool), of)
    return reaches.learn(x, y, weight, start, of, seed)


def error(films, reach):
    """Of films 200 to 300, predicted from the first 200."""
    x, y, weight = films
    solved = solve(x[:200], y[:200], weight[:200] / OF.noise, x[:200], reach, 1e-6)
    found = kernel.covariance(x[200:], x[:200], reach, np) @ solved
    return np.sqrt(np.mean((found - y[200:]) ** 2))


def test_left_out_is_what_the_others_miss(films):
    x, y, weight = (array[:12] for array in films)
    covariance = kernel.covariance(x, x, kernel.reaches(np.zeros(6, bool), OF), np)
    noise = 0.3 / weight
    expected = []
    for i in range(12):
        others = np.arange(12) != i
        inner = covariance[np.ix_(others, others)] + np.diag(noise[others])
        expected.append(y[i] - covariance[i, others] @ np.linalg.solve(inner, y[others]))
    found = reaches.left_out(jnp.asarray(covariance), jnp.asarray(noise), jnp.asarray(y))
    np.testing.assert_allclose(found, expected, rtol=2e-4, atol=1e-5)


def test_a_feature_that_matters_reaches_further_and_unseen_films_gain(films):
    start = kernel.reaches(np.zeros(6, bool), OF)
    found = learned(films)
    assert found.smooth[0] > 2 * start.smooth[0]
    assert (found.smooth[1:] < 0.85 * start.smooth[1:]).all()
    before = error(films, Reaches(*map(np.asarray, start)))
    assert error(films, found) < 0.8 * before


def test_a_film_of_little_weight_moves_them_little(films):
    x, y, weight = films
    wild = np.where(np.arange(300) % 2, 20 * np.random.default_rng(1).normal(size=300), y)
    light = np.where(np.arange(300) % 2, 1e-6, weight)
    assert learned((x, wild, light)).smooth[0] > 2 * OF.numbers


def test_no_steps_leave_them_as_they_are(films):
    found = learned(films, dataclasses.replace(OF, steps=0))
    for a, b in zip(found, kernel.reaches(np.zeros(6, bool), OF), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_feature_that_never_varies_stays_as_it_is(films):
    x, y, weight = films
    x = x.copy()
    x[:, 3] = 0
    found = learned((x, y, weight))
    np.testing.assert_allclose([found.linear[3], found.smooth[3]], [0.1, 0.3], rtol=1e-6)


def test_the_same_seed_has_the_same_bits_and_another_other_draws(films, monkeypatch):
    monkeypatch.setattr(reaches, "_FILMS", 50)
    one, same, other = learned(films), learned(films), learned(films, seed=1)
    np.testing.assert_array_equal(one.smooth, same.smooth)
    assert np.abs(one.smooth - other.smooth).max() > 1e-4


def test_few_films_are_enough(films):
    found = learned(films, rows=3)
    assert np.isfinite(found.smooth).all()
    assert np.isfinite(found.linear).all()


def test_films_that_are_the_same_to_the_last_bit_break_nothing(films):
    """Hundreds of copies, and hardly any noise: no Cholesky decomposition in float32."""
    x, y, weight = (np.repeat(array[:3], 200, axis=0) for array in films)
    of = dataclasses.replace(OF, noise=0.001, linear=30.0)
    found = learned((x, y, 1e6 * weight), of, rows=600)
    for reach in found:
        assert np.isfinite(reach).all()


def test_no_film_leaves_them_as_they_are(films):
    found = learned(films, rows=0)
    np.testing.assert_allclose(found.smooth, 0.3, rtol=1e-6)


def test_the_gradient_is_that_of_finite_differences(films):
    x, y, weight = (array[:20].astype(np.float32) for array in films)
    start = kernel.reaches(np.zeros(6, bool), OF)

    def loss(flat):
        logs = Reaches(flat[:6], flat[6:])
        return reaches._loss(logs, x, y, weight, start=start, noise=OF.noise, films=20)

    at = jnp.asarray(np.random.default_rng(2).normal(size=12) * 0.3, jnp.float32)
    found, step = jax.grad(loss)(at), 1e-2
    for i in range(12):
        aside = step * jnp.eye(12)[i]
        expected = (loss(at + aside) - loss(at - aside)) / (2 * step)
        np.testing.assert_allclose(found[i], expected, rtol=0.02, atol=5e-4)


def test_a_narrow_prior_holds_them_where_the_config_puts_them(films, monkeypatch):
    monkeypatch.setattr(reaches, "_PRIOR", 1e-3)
    found = learned(films)
    np.testing.assert_allclose(found.smooth, 0.3, rtol=0.02)
    np.testing.assert_allclose(found.linear, 0.1, rtol=0.02)


def test_films_count_by_their_weight(films):
    x, y, weight = (jnp.asarray(array[:60], jnp.float32) for array in films)
    start = kernel.reaches(np.zeros(6, bool), OF)
    logs = Reaches(jnp.zeros(6), jnp.zeros(6))
    light = jnp.where(jnp.arange(60) < 40, weight, 1e-9)

    def loss(rows, weight):
        return reaches._loss(logs, x[rows], y[rows], weight[rows], start=start, noise=0.1, films=60)

    np.testing.assert_allclose(loss(slice(60), light), loss(slice(40), weight), rtol=1e-4)
