"""The clip encoder: frames that were not read change nothing."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from mfp.config import ImageModelConfig, VideoModelConfig
from mfp.models.video import VideoEncoder

IMAGE = ImageModelConfig(widths=(4,), output=5, dropout=0.0)
READ = np.array([[True, True, True, True], [True, False, True, False], [False] * 4])
PIXELS = np.random.default_rng(0).integers(0, 256, (3, 4, 8, 8, 3), np.uint8)


@pytest.fixture(scope="module", params=["attention", "lstm"])
def encoder(request):
    model = VideoEncoder(VideoModelConfig(temporal=request.param, hidden=6), IMAGE)
    start = functools.partial(model.init, train=False)
    shapes = jax.eval_shape(start, jax.random.key(0), PIXELS, READ)
    rng = np.random.default_rng(0)  # compiling the initialisation would take seconds
    return model, jax.tree.map(lambda x: rng.normal(0, 0.3, x.shape).astype(np.float32), shapes)


@functools.partial(jax.jit, static_argnums=0)
def predict(model: VideoEncoder, params, pixels, read):
    return model.apply(params, pixels, read, train=False)


def test_shapes_and_weights(encoder):
    model, params = encoder
    vector, weights = predict(model, params, PIXELS, READ)
    assert vector.shape == (3, 6)
    assert weights.shape == (3, 4)
    np.testing.assert_allclose(weights.sum(axis=1), [1, 1, 0], atol=1e-6)
    np.testing.assert_array_equal(np.asarray(weights)[~READ], 0)
    np.testing.assert_array_equal(vector[2], 0)


def test_frames_that_were_not_read_change_nothing(encoder):
    model, params = encoder
    expected, _ = predict(model, params, PIXELS, READ)
    noise = PIXELS.copy()
    noise[~READ] = 255 - noise[~READ]
    np.testing.assert_array_equal(predict(model, params, noise, READ)[0], expected)
    # Nor does it matter that they are there at all.
    kept = PIXELS[1:2, [0, 2]]
    vector, _ = predict(model, params, kept, np.ones((1, 2), bool))
    np.testing.assert_allclose(vector[0], expected[1], rtol=1e-4, atol=1e-5)


def test_other_clips_of_the_batch_change_nothing(encoder):
    model, params = encoder
    together, _ = predict(model, params, PIXELS, READ)
    alone, _ = predict(model, params, PIXELS[1:2], READ[1:2])
    np.testing.assert_allclose(alone[0], together[1], rtol=1e-4, atol=1e-5)


def test_only_the_lstm_knows_the_order(encoder):
    model, params = encoder
    forward, _ = predict(model, params, PIXELS[:1], READ[:1])
    backward, _ = predict(model, params, PIXELS[:1, ::-1], READ[:1])
    same = np.allclose(forward, backward, rtol=1e-4, atol=1e-5)
    assert same == (model.config.temporal == "attention")


def test_every_parameter_has_a_finite_gradient(encoder):
    model, params = encoder

    def loss(params):
        rngs = {"dropout": jax.random.key(1)}
        vector, _ = model.apply(params, PIXELS, READ, train=True, rngs=rngs)
        return jnp.sum(vector**2)

    for path, gradient in jax.tree_util.tree_leaves_with_path(jax.jit(jax.grad(loss))(params)):
        assert np.isfinite(gradient).all(), path
        assert np.abs(gradient).max() > 0, path


def test_a_clip_is_augmented_as_a_whole(encoder):
    model, params = encoder
    if model.config.temporal == "lstm":
        return  # its states differ by their place
    still = np.repeat(PIXELS[:1, :1], 4, axis=1)
    read = np.ones((1, 4), bool)
    train = jax.jit(functools.partial(model.apply, train=True))
    _, weights = train(params, still, read, rngs={"dropout": jax.random.key(1)})
    np.testing.assert_allclose(weights, 0.25, atol=1e-6)  # equal frames, equal weights


def test_exported_program_takes_any_batch_on_every_platform(encoder):
    model, params = encoder
    (batch,) = export.symbolic_shape("b")
    program = export.export(
        jax.jit(lambda *args: model.apply(*args, train=False)), platforms=("cpu", "cuda", "tpu")
    )(
        jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), params),
        jax.ShapeDtypeStruct((batch, *PIXELS.shape[1:]), jnp.uint8),
        jax.ShapeDtypeStruct((batch, 4), jnp.bool_),
    )
    for size in (1, 3):
        found = program.call(params, PIXELS[:size], READ[:size])
        expected = predict(model, params, PIXELS[:size], READ[:size])
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
