"""A network of one line through three numbers, whose gradients are known by hand."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

RNG = np.random.default_rng(0)


def line(params, batch, key):
    """rating = hit logit = x . kernel + bias."""
    y = (batch["x"] @ params["kernel"])[:, 0] + params["bias"][0]
    return {"outputs": {"rating": y, "hit": y}}


def line_batch(rows=8):
    batch = {"x": RNG.normal(size=(rows, 3))}
    batch["targets/rating"] = batch["x"] @ [1.0, -2.0, 0.5] + 0.3
    batch["targets/hit"] = RNG.integers(0, 2, rows)
    batch["weights/rating"] = RNG.integers(0, 2, rows)
    batch["weights/hit"] = RNG.integers(0, 2, rows)
    batch["weights/rating"][0] = batch["weights/hit"][0] = 1
    return {name: np.asarray(a, np.float32) for name, a in batch.items()}


PARAMS = {"kernel": jnp.array([[0.2], [-0.4], [0.0]]), "bias": jnp.array([0.7])}
KEY = jax.random.key(7)
