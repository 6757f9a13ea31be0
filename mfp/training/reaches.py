"""How far each feature of the Gaussian process reaches, learned from films left out one by one.

The process predicts each film of a draw from the others of it, in closed form (Rasmussen and
Williams 2006, section 5.4.2), and gradient descent lessens the error by what a step of each feature
counts. The marginal likelihood (section 5.4.1) was worse on validation films: it trusts the model,
this only what it predicts.

Letters: N films of a draw, F features.
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax

from mfp.config import KernelModelConfig
from mfp.models import kernel
from mfp.models.kernel import Reaches
from mfp.training import parallel

_FILMS = 600  # of a draw: time grows with the cube
_RATE = 0.05
_PRIOR = 1.0  # deviation of the logarithm of a reach about that of the config


def learn(
    x_NxF: np.ndarray,
    y_N: np.ndarray,
    weight_N: np.ndarray,
    start: Reaches,
    config: KernelModelConfig,
    seed: int,
) -> Reaches:
    """`start` after `config.steps` steps of Adam, each on a draw of the films; arrays float64."""
    steps, films = config.steps, len(x_NxF)
    # The solver's own noise: what suits a few hundred films is too much for all of them.
    loss = partial(_loss, start=start, noise=config.noise, films=films)
    tx = optax.adam(optax.cosine_decay_schedule(_RATE, max(steps, 1)))

    @parallel.compile_evaluation
    def step(
        logs: Reaches, state: optax.OptState, *drawn: np.ndarray
    ) -> tuple[Reaches, optax.OptState]:
        gradient = jax.grad(loss)(logs, *drawn)
        # A draw whose covariance is singular in float32 teaches nothing.
        gradient = jax.tree.map(lambda g: jnp.where(jnp.isfinite(g), g, 0), gradient)
        updates, state = tx.update(gradient, state)
        return optax.apply_updates(logs, updates), state

    logs = Reaches(*(jnp.zeros(x_NxF.shape[1]) for _ in start))
    state, draw = tx.init(logs), np.random.default_rng(seed)
    for _ in range(steps):
        rows = draw.choice(films, min(_FILMS, films), replace=False)
        drawn = (array[rows].astype(np.float32) for array in (x_NxF, y_N, weight_N))
        logs, state = step(logs, state, *drawn)
    return Reaches(*(np.asarray(r, np.float64) for r in _times(start, logs)))


def left_out(covariance_NxN: jax.Array, noise_N: jax.Array, y_N: jax.Array) -> jax.Array:
    """How far each film is from what the process predicts of it from all the others. [N]."""
    inner = covariance_NxN + jnp.diag(noise_N)
    lower = jnp.linalg.cholesky(inner)
    half = jax.scipy.linalg.solve_triangular(lower, jnp.eye(len(y_N)), lower=True)
    product = partial(jnp.matmul, precision="highest")
    inverse = product(half.T, half)
    return product(inverse, y_N) / jnp.diag(inverse)


def _loss(
    logs: Reaches,
    x: jax.Array,
    y: jax.Array,
    weight: jax.Array,
    *,
    start: Reaches,
    noise: float,
    films: int,
) -> jax.Array:
    """Mean squared error of films left out, plus what learned reaches cost. []."""
    covariance = kernel.covariance(x, x, _times(start, logs))
    errors = left_out(covariance, noise / weight, y)
    prior = sum(jnp.sum(log**2) for log in logs) / (2 * _PRIOR**2 * films)
    return jnp.sum(weight * errors**2) / jnp.sum(weight) + prior


def _times(start: Reaches, logs: Reaches) -> Reaches:
    return Reaches(*(a * jnp.exp(b) for a, b in zip(start, logs, strict=True)))
