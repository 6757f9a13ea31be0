"""The picture encoder: convolution, augmentation, and that a picture depends on itself alone."""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from mfp.config import ImageModelConfig
from mfp.models.image import GroupNorm, ImageEncoder, augment, convolve, normalise

SMALL = ImageModelConfig(widths=(8, 12), blocks=1, output=5, dropout=0.5)
PLAIN = dataclasses.replace(SMALL, flip=False, crop=0.0, colour=0.0)
KEY = jax.random.key(3)


jitted_augment = jax.jit(augment, static_argnums=(2, 3))


def random_pixels(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


@functools.partial(jax.jit, static_argnums=0)
def predict(model: ImageEncoder, params, pixels):
    return model.apply(params, pixels, train=False)


@pytest.fixture(scope="module")
def encoder():
    model = ImageEncoder(SMALL)
    start = functools.partial(model.init, train=False)
    shapes = jax.eval_shape(start, KEY, random_pixels(1, 16, 16, 3))
    rng = np.random.default_rng(0)  # compiling the initialisation would take seconds
    return model, jax.tree.map(lambda x: rng.normal(0, 0.3, x.shape).astype(np.float32), shapes)


def shifted_windows(x, kernel, stride):
    """The convolution as its definition: every window, laid flat, times the kernel."""
    out, pads = [], [(0, 0)]
    for size, reach in zip(x.shape[1:3], kernel.shape, strict=False):
        out.append(-(-size // stride))
        total = max((out[-1] - 1) * stride + reach - size, 0)
        pads.append((total // 2, total - total // 2))
    padded = jnp.pad(x, (*pads, (0, 0)))
    windows = [
        padded[:, i : i + stride * out[0] : stride, j : j + stride * out[1] : stride]
        for i in range(kernel.shape[0])
        for j in range(kernel.shape[1])
    ]
    windows = [window[:, : out[0], : out[1]] for window in windows]
    return jnp.concatenate(windows, axis=-1) @ kernel.reshape(-1, kernel.shape[-1])


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [(8, 6), (7, 9)])
@pytest.mark.parametrize("reach", [1, 3])
def test_convolution_and_its_gradient_equal_shifted_windows(stride, size, reach):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, *size, 3)).astype(np.float32)
    kernel = rng.normal(size=(reach, reach, 3, 4)).astype(np.float32) / reach
    weight = rng.normal(size=(2, -(-size[0] // stride), -(-size[1] // stride), 4))

    def loss(form):
        return lambda x, kernel: jnp.sum(jnp.sin(form(x, kernel, stride)) * weight)

    expected = jax.jit(shifted_windows, static_argnums=2)(x, kernel, stride)
    np.testing.assert_allclose(convolve(x, kernel, stride), expected, rtol=1e-5, atol=1e-5)
    found = jax.jit(jax.grad(loss(convolve), (0, 1)))(x, kernel)
    expected = jax.jit(jax.grad(loss(shifted_windows), (0, 1)))(x, kernel)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def test_normalise_takes_both_kinds_of_pixels():
    pixels = random_pixels(4, 8, 8, 3)
    found = normalise(pixels)
    np.testing.assert_allclose(found, normalise(pixels / np.float32(255)), atol=1e-6)
    assert found.dtype == jnp.float32
    assert np.abs(np.mean(found)) < 0.5
    assert 0.5 < np.std(found) < 1.5


def test_augmentation_that_is_off_is_the_identity():
    pixels = random_pixels(4, 8, 8, 3) / np.float32(255)
    np.testing.assert_array_equal(augment(KEY, pixels, PLAIN), pixels)


def test_augmentation_is_a_function_of_the_key():
    pixels = random_pixels(6, 16, 16, 3) / np.float32(255)
    config = dataclasses.replace(SMALL, crop=0.2)
    found = jitted_augment(KEY, pixels, config)
    np.testing.assert_array_equal(jitted_augment(KEY, pixels, config), found)
    assert not np.array_equal(jitted_augment(jax.random.key(4), pixels, config), found)
    # What happens to a picture does not depend on the others.
    others = pixels.copy()
    others[1:] = 0.5
    np.testing.assert_array_equal(jitted_augment(KEY, others, config)[0], found[0])
    assert found.min() >= 0
    assert found.max() <= 1


def test_pictures_are_mirrored_or_not():
    picture = random_pixels(8, 8, 3) / np.float32(255)
    found = jitted_augment(KEY, np.stack([picture] * 20), dataclasses.replace(PLAIN, flip=True))
    same = [bool((x == picture).all()) for x in found]
    mirrored = [bool((x == picture[:, ::-1]).all()) for x in found]
    assert all(a != b for a, b in zip(same, mirrored, strict=True))
    assert 4 < sum(mirrored) < 16


def test_pictures_are_shifted_and_their_edges_repeated():
    row, column = np.mgrid[0:20, 0:20].astype(np.float32) / 20
    picture = np.stack([row, column, row], axis=-1)
    found = jitted_augment(KEY, np.stack([picture] * 30), dataclasses.replace(PLAIN, crop=0.1))
    shifts = set()
    for x in found:
        down, right = round(float(x[10, 10, 0]) * 20) - 10, round(float(x[10, 10, 1]) * 20) - 10
        rows = np.clip(np.arange(20) + down, 0, 19)
        columns = np.clip(np.arange(20) + right, 0, 19)
        np.testing.assert_array_equal(x, picture[rows][:, columns])
        shifts.add((down, right))
    assert len(shifts) > 10
    assert max(abs(shift) for pair in shifts for shift in pair) == 2


def test_colours_change_within_bounds():
    pixels = np.full((50, 4, 4, 3), 0.5, np.float32)
    found = jitted_augment(KEY, pixels, dataclasses.replace(PLAIN, colour=0.2))
    levels = found[:, 0, 0, 0]
    assert 0.4 <= levels.min() < 0.45
    assert 0.55 < levels.max() <= 0.6


def test_frames_share_the_augmentation_of_their_clip():
    picture = random_pixels(16, 16, 3) / np.float32(255)
    found = jitted_augment(KEY, np.stack([picture] * 6), SMALL, 3)
    for clip in (found[:3], found[3:]):
        np.testing.assert_array_equal(clip[0], clip[1])
        np.testing.assert_array_equal(clip[0], clip[2])
    assert not np.array_equal(found[0], found[3])


@pytest.mark.parametrize("size", [16, 15])
def test_shapes(encoder, size):
    model, params = encoder
    vector, features = predict(model, params, random_pixels(3, size, size, 3))
    assert vector.shape == (3, 5)
    assert features.shape == (3, 4, 4, 12)


def test_the_vector_is_a_linear_map_of_the_mean_feature(encoder):
    """Grad-CAM of this vector is exact, and the feature map is what it needs."""
    model, params = encoder
    vector, features = predict(model, params, random_pixels(3, 16, 16, 3))
    output = params["params"]["output"]
    expected = features.mean(axis=(1, 2)) @ output["kernel"] + output["bias"]
    np.testing.assert_allclose(vector, expected, rtol=1e-5, atol=1e-5)


def test_other_pictures_of_the_batch_change_nothing(encoder):
    model, params = encoder
    pixels = random_pixels(5, 16, 16, 3)
    together, _ = predict(model, params, pixels)
    for i in range(5):
        alone, _ = predict(model, params, pixels[i : i + 1])
        np.testing.assert_allclose(alone[0], together[i], rtol=1e-4, atol=1e-5)
    assert np.std(together, axis=0).min() > 1e-3


@pytest.mark.parametrize("width", [1, 3, 6, 10])
def test_any_width_can_be_grouped(width):
    model = ImageEncoder(dataclasses.replace(SMALL, widths=(width,), blocks=2))
    start = functools.partial(model.init_with_output, train=False)
    (vector, features), _ = jax.eval_shape(start, KEY, random_pixels(2, 8, 8, 3))
    assert vector.shape == (2, 5)
    assert features.shape == (2, 4, 4, width)


def train_loss(model, pixels):
    def loss(params, key):
        vector, _ = model.apply(params, pixels, train=True, rngs={"dropout": key})
        return jnp.sum(vector**2)

    return loss


def test_group_norm_of_float64_is_exact_to_float64():
    rng = np.random.default_rng(2)
    x, scale, bias = rng.normal(5, 2, (2, 3, 4, 6)), rng.normal(size=6), rng.normal(size=6)
    with jax.enable_x64(True):
        found = GroupNorm(2).apply({"params": {"scale": scale, "bias": bias}}, x)
    grouped = x.reshape(2, 3, 4, 2, 3)
    mean = grouped.mean((1, 2, 4), keepdims=True)
    deviation = np.sqrt(grouped.var((1, 2, 4), keepdims=True) + 1e-6)
    expected = ((grouped - mean) / deviation).reshape(x.shape) * scale + bias
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_every_parameter_has_a_finite_gradient(encoder):
    model, params = encoder
    pixels = random_pixels(4, 16, 16, 3)
    pixels[0] = 7  # one shade: no deviation for a norm to divide by
    gradients = jax.jit(jax.grad(train_loss(model, pixels)))(params, KEY)
    for path, gradient in jax.tree_util.tree_leaves_with_path(gradients):
        assert np.isfinite(gradient).all(), path
        assert np.abs(gradient).max() > 0, path


def test_training_draws_from_its_key_and_prediction_does_not(encoder):
    model, params = encoder
    loss = jax.jit(train_loss(model, random_pixels(4, 16, 16, 3)))
    assert loss(params, KEY) == loss(params, KEY)
    assert loss(params, KEY) != loss(params, jax.random.key(4))


def test_members_of_an_ensemble_are_what_they_are_alone(encoder):
    model, first = encoder
    pixels = random_pixels(2, 16, 16, 3)
    second = jax.tree.map(lambda leaf: leaf[::-1], first)
    members = jax.tree.map(lambda *leaves: jnp.stack(leaves), first, second)
    together, _ = jax.jit(jax.vmap(lambda params: model.apply(params, pixels, train=False)))(
        members
    )
    for found, params in zip(together, (first, second), strict=True):
        np.testing.assert_allclose(found, predict(model, params, pixels)[0], rtol=1e-4, atol=1e-5)


def test_exported_program_takes_any_batch_on_every_platform(encoder):
    model, params = encoder
    (batch,) = export.symbolic_shape("b")
    program = export.export(
        jax.jit(lambda params, pixels: model.apply(params, pixels, train=False)),
        platforms=("cpu", "cuda", "tpu"),
    )(
        jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), params),
        jax.ShapeDtypeStruct((batch, 16, 16, 3), jnp.uint8),
    )
    program = export.deserialize(program.serialize(vjp_order=1))
    for size in (1, 3):
        pixels = random_pixels(size, 16, 16, 3)
        for found, expected in zip(
            program.call(params, pixels), predict(model, params, pixels), strict=True
        ):
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    gradients = jax.jit(jax.grad(lambda params: jnp.sum(program.call(params, pixels)[0] ** 2)))(
        params
    )
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))
