"""Picture encoder: a small residual CNN with GroupNorm, and the augmentation of its training."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
from flax import linen as nn

from mfp.config import ImageModelConfig
from mfp.models.depth import DropBranch, rate

# Red, green and blue of posters (mean and deviation of 400 of them, at 64 x 64 pixels).
MEAN = (0.484, 0.435, 0.406)
DEVIATION = (0.341, 0.324, 0.325)

_EPSILON = 1e-6  # added to a variance before its root

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


_NHWC = ("NHWC", "HWIO", "NHWC")


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def convolve(x: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
    """Convolution with padding SAME; its gradient takes the form that suits the platform.

    Shapes: [B, H, W, C], [k, k, C, O] -> [B, ceil(H / stride), ceil(W / stride), O].
    """
    return _convolve(x, kernel, stride)


def _convolve(x: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
    if kernel.shape[:2] == (1, 1):  # a matrix product, which no platform does slowly
        return x[:, ::stride, ::stride] @ kernel[0, 0]
    return jax.lax.conv_general_dilated(
        x, kernel, (stride, stride), "SAME", dimension_numbers=_NHWC
    )


def _convolve_forward(x, kernel, stride):
    return convolve(x, kernel, stride), (x, kernel)


def _convolve_backward(stride, saved, gradient):
    return jax.lax.platform_dependent(
        *saved,
        gradient,
        cpu=functools.partial(_pull_back_on_cpu, stride=stride),
        default=functools.partial(_pull_back, stride=stride),
    )


convolve.defvjp(_convolve_forward, _convolve_backward)


def _pull_back(x, kernel, gradient, stride):
    """Gradients of a convolution by its input and its kernel, as autodiff has them."""
    return jax.vjp(functools.partial(_convolve, stride=stride), x, kernel)[1](gradient)


def _pull_back_on_cpu(x, kernel, gradient, stride):
    """The same, without what XLA does slowly on a CPU (measured with jax 0.10.2).

    By the kernel: XLA moves the batch innermost, in one strided sweep that falls out of every
    cache; two halves of the batch stay in it, and run beside each other on two cores.
    By the input: for a stride of 2, XLA runs over a gradient with zeros between its values; over
    blocks of 2 x 2 pixels (space to depth) the same is a convolution of stride 1.
    """
    if kernel.shape[:2] == (1, 1):
        return _pull_back(x, kernel, gradient, stride)
    batch, height, width, _ = x.shape
    halves = 2 if isinstance(batch, int) and batch % 2 == 0 else 1

    def by_kernel(x, gradient):
        return jax.vjp(lambda kernel: _convolve(x, kernel, stride), kernel)[1](gradient)[0]

    pairs = zip(jnp.split(x, halves), jnp.split(gradient, halves), strict=True)
    in_blocks = stride == 2 and kernel.shape[:2] == (3, 3) and height % 2 == width % 2 == 0
    form = _convolve_blocks if in_blocks else functools.partial(_convolve, stride=stride)
    by_input = jax.vjp(lambda x: form(x, kernel), x)[1](gradient)[0]
    return by_input, sum(by_kernel(*pair) for pair in pairs)


def _convolve_blocks(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """A 3 x 3 convolution of stride 2 over even sizes, as one of stride 1 over 2 x 2 blocks."""
    batch, height, width, channels = x.shape
    blocks = x.reshape(batch, height // 2, 2, width // 2, 2, channels).swapaxes(2, 3)
    blocks = blocks.reshape(batch, height // 2, width // 2, 4 * channels)
    # The window begins at a block's first pixel and ends one pixel into the next block.
    wide = jnp.pad(kernel, ((0, 1), (0, 1), (0, 0), (0, 0)))
    wide = wide.reshape(2, 2, 2, 2, channels, -1).swapaxes(1, 2)
    wide = wide.reshape(2, 2, 4 * channels, kernel.shape[-1])
    after = ((0, 1), (0, 1))
    return jax.lax.conv_general_dilated(blocks, wide, (1, 1), after, dimension_numbers=_NHWC)


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


class GroupNorm(nn.Module):
    """(x - mean) / deviation * scale + bias, over pixels and the channels of a group.

    What `nn.GroupNorm` computes, but summed over pixels first and over the channels of a group
    last: its reduction over both at once is slow on a CPU.
    """

    groups: int

    @nn.compact
    def __call__(self, x_BxHxWxC: jax.Array) -> jax.Array:
        channels = x_BxHxWxC.shape[-1]
        scale = self.param("scale", nn.initializers.ones, (channels,))
        bias = self.param("bias", nn.initializers.zeros, (channels,))

        def over_groups(x_BxC):
            grouped = x_BxC.reshape(x_BxC.shape[0], self.groups, channels // self.groups)
            return jnp.repeat(jnp.mean(grouped, axis=-1), channels // self.groups, axis=-1)

        # Sums in float32 or wider, whatever the type of the values.
        exact = x_BxHxWxC.astype(jnp.promote_types(x_BxHxWxC.dtype, jnp.float32))
        mean = over_groups(jnp.mean(exact, axis=(1, 2)))
        square = over_groups(jnp.mean(exact**2, axis=(1, 2)))
        # Rounding can bring a variance of nothing below zero.
        variance = jnp.maximum(square - mean**2, 0)
        factor = scale * jax.lax.rsqrt(variance + _EPSILON)
        normal = exact * factor[:, None, None] + (bias - mean * factor)[:, None, None]
        return normal.astype(x_BxHxWxC.dtype)


class Norm(nn.Module):
    """GroupNorm (Wu and He 2018): like BatchNorm in use, but a picture depends on itself alone."""

    @nn.compact
    def __call__(self, x_BxHxWxC: jax.Array) -> jax.Array:
        channels = x_BxHxWxC.shape[-1]
        # Groups of four channels or more: a channel alone would lose its mean, which is what
        # the average pool reads.
        groups = max(n for n in range(1, 9) if n == 1 or (channels % n == 0 and channels >= 4 * n))
        return GroupNorm(groups, name="group")(x_BxHxWxC)


class Block(nn.Module):
    """A pre-activation residual block (He et al. 2016)."""

    channels: int
    stride: int
    drop: float = 0.0  # how often the branch is left out in training

    @nn.compact
    def __call__(self, x_BxHxWxC: jax.Array, *, train: bool = False) -> jax.Array:
        """[B, H, W, C] -> [B, H / stride, W / stride, channels]."""
        active = nn.relu(Norm(name="norm1")(x_BxHxWxC))
        skip = x_BxHxWxC
        if self.stride > 1 or skip.shape[-1] != self.channels:
            skip = Convolution(self.channels, 1, self.stride, name="skip")(active)
        x = Convolution(self.channels, 3, self.stride, name="conv1")(active)
        x = nn.relu(Norm(name="norm2")(x))
        x = Convolution(self.channels, name="conv2")(x)
        return skip + DropBranch(self.drop, name="drop")(x, train=train)


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
        count = len(config.widths) * config.blocks
        for stage, width in enumerate(config.widths):
            for block in range(config.blocks):
                stride = 2 if block == 0 else 1
                drop = rate(config.stochastic_depth, stage * config.blocks + block, count)
                name = f"stage{stage}_block{block}"
                x = Block(width, stride, drop, name=name)(x, train=train)
        features = nn.relu(Norm(name="norm")(x))
        vector = nn.Dense(config.output, name="output")(jnp.mean(features, axis=(1, 2)))
        return nn.Dropout(config.dropout, deterministic=not train)(vector), features
