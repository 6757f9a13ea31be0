"""Picture encoder: a small residual CNN with GroupNorm, and the augmentation of its training."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
from flax import linen as nn

from mfp.config import ImageModelConfig

# Red, green and blue of posters (mean and deviation of 400 of them, at 64 x 64 pixels).
MEAN = (0.484, 0.435, 0.406)
DEVIATION = (0.341, 0.324, 0.325)

he_normal = nn.initializers.he_normal()


def normalise(pixels: jax.Array) -> jax.Array:
    """uint8, or float in 0..1, to float of about mean 0 and deviation 1: [..., 3] -> [..., 3]."""
    return (_unit(pixels) - jnp.array(MEAN)) / jnp.array(DEVIATION)


def _unit(pixels: jax.Array) -> jax.Array:
    """uint8 to float32 in 0..1; float stays as it is."""
    if jnp.issubdtype(pixels.dtype, jnp.floating):
        return pixels
    return pixels.astype(jnp.float32) / 255


def augment(
    key: jax.Array, pixels_BxHxWxC: jax.Array, config: ImageModelConfig, frames: int = 1
) -> jax.Array:
    """Pictures (float in 0..1) mirrored, shifted and recoloured, each by draws of its own.

    The draws are a function of the key and the position in the batch. With `frames` > 1, so many
    consecutive pictures share their draws: a clip moves and changes colour as a whole.

    Shapes: [B, H, W, C] -> [B, H, W, C].
    """
    batch, height, width, _ = pixels_BxHxWxC.shape
    flip_key, row_key, column_key, light_key, contrast_key = jax.random.split(key, 5)

    def draw(sample, key, *args):
        return jnp.repeat(sample(key, (batch // frames,), *args), frames, total_repeat_length=batch)

    def shift(key, size):
        most = round(config.crop * size)
        return draw(jax.random.randint, key, -most, most + 1)

    # Repeating the edge is an index that stops there, mirroring one that runs backwards.
    x = pixels_BxHxWxC
    if config.crop:
        rows_BxH = jnp.clip(jnp.arange(height) + shift(row_key, height)[:, None], 0, height - 1)
        x = jnp.take_along_axis(x, rows_BxH[:, :, None, None], axis=1)
    if config.crop or config.flip:
        columns_BxW = jnp.tile(jnp.arange(width), (batch, 1))
        if config.crop:
            moved = columns_BxW + shift(column_key, width)[:, None]
            columns_BxW = jnp.clip(moved, 0, width - 1)
        if config.flip:
            flipped = draw(lambda key, shape: jax.random.bernoulli(key, 0.5, shape), flip_key)
            columns_BxW = jnp.where(flipped[:, None], width - 1 - columns_BxW, columns_BxW)
        x = jnp.take_along_axis(x, columns_BxW[:, None, :, None], axis=2)
    if config.colour:
        low, high = -config.colour, config.colour
        uniform = functools.partial(jax.random.uniform, minval=low, maxval=high)
        light = 1 + draw(uniform, light_key)[:, None, None, None]
        contrast = 1 + draw(uniform, contrast_key)[:, None, None, None]
        mean = jnp.mean(x, axis=(1, 2, 3), keepdims=True)
        x = jnp.clip(light * (mean + contrast * (x - mean)), 0.0, 1.0)
    return x


def convolve(x: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
    """Convolution with padding SAME.

    XLA's own operation on every platform. Shifted windows and one matrix product, the usual cure
    for slow convolutions on CPU, cost 1.9 times as much here (forward and gradient of these
    convolutions, 64 pictures of 64 x 64, jax 0.10.2).

    Shapes: [B, H, W, C], [k, k, C, O] -> [B, ceil(H / stride), ceil(W / stride), O].
    """
    return jax.lax.conv_general_dilated(
        x, kernel, (stride, stride), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


class Convolution(nn.Module):
    """A convolution without bias (a GroupNorm follows): [B, H, W, C] -> [B, H / s, W / s, O]."""

    channels: int
    size: int = 3
    stride: int = 1

    @nn.compact
    def __call__(self, x_BxHxWxC: jax.Array) -> jax.Array:
        shape = (self.size, self.size, x_BxHxWxC.shape[-1], self.channels)
        kernel = self.param("kernel", he_normal, shape)
        return convolve(x_BxHxWxC.astype(kernel.dtype), kernel, self.stride)


class Norm(nn.Module):
    """GroupNorm (Wu and He 2018): like BatchNorm in use, but a picture depends on itself alone."""

    @nn.compact
    def __call__(self, x_BxHxWxC: jax.Array) -> jax.Array:
        channels = x_BxHxWxC.shape[-1]
        # Groups of four channels or more: a channel alone would lose its mean, which is what
        # the average pool reads.
        groups = max(n for n in range(1, 9) if n == 1 or (channels % n == 0 and channels >= 4 * n))
        return nn.GroupNorm(num_groups=groups, name="group")(x_BxHxWxC)


class Block(nn.Module):
    """A pre-activation residual block (He et al. 2016)."""

    channels: int
    stride: int

    @nn.compact
    def __call__(self, x_BxHxWxC: jax.Array) -> jax.Array:
        """[B, H, W, C] -> [B, H / stride, W / stride, channels]."""
        active = nn.relu(Norm(name="norm1")(x_BxHxWxC))
        skip = x_BxHxWxC
        if self.stride > 1 or skip.shape[-1] != self.channels:
            skip = Convolution(self.channels, 1, self.stride, name="skip")(active)
        x = Convolution(self.channels, 3, self.stride, name="conv1")(active)
        x = nn.relu(Norm(name="norm2")(x))
        return skip + Convolution(self.channels, name="conv2")(x)


class ImageEncoder(nn.Module):
    """Pictures to vectors. In training, `frames` consecutive pictures share an augmentation."""

    config: ImageModelConfig
    frames: int = 1

    @nn.compact
    def __call__(self, pixels_BxHxWxC: jax.Array, *, train: bool) -> tuple[jax.Array, jax.Array]:
        """uint8 [B, H, W, C] -> vector [B, output] and feature map [B, h, w, last width].

        The vector is the feature map's mean over h and w, times a matrix, plus a bias.
        """
        config = self.config
        pixels = _unit(pixels_BxHxWxC)
        if train:
            pixels = augment(self.make_rng("dropout"), pixels, config, self.frames)
        x = Convolution(config.widths[0], name="stem")(normalise(pixels))
        for stage, width in enumerate(config.widths):
            for block in range(config.blocks):
                stride = 2 if block == 0 else 1
                x = Block(width, stride, name=f"stage{stage}_block{block}")(x)
        features = nn.relu(Norm(name="norm")(x))
        vector = nn.Dense(config.output, name="output")(jnp.mean(features, axis=(1, 2)))
        return nn.Dropout(config.dropout, deterministic=not train)(vector), features
