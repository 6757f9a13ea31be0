"""Operations of a program: hand-computed, loops counted as often as they run."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import pytest

from mfp.training import flops


def test_a_matrix_product():
    assert flops.count(lambda a, b: a @ b, jnp.ones((3, 4)), jnp.ones((4, 5))) == 2 * 3 * 4 * 5


def test_a_batch_of_products():
    a, b = jnp.ones((7, 3, 4)), jnp.ones((7, 4, 5))
    assert flops.count(jnp.matmul, a, b) == 7 * 2 * 3 * 4 * 5


def test_a_loop_counts_as_often_as_it_runs():
    def power(a):
        return jax.lax.scan(lambda c, _: (c @ a, None), jnp.ones((2, 4)), None, length=9)[0]

    assert flops.count(jax.jit(power), jnp.ones((4, 4))) == 9 * 2 * 2 * 4 * 4


def convolve(x, kernel):
    dimensions = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(x, kernel, (2, 2), "SAME", dimension_numbers=dimensions)


def test_a_convolution_and_its_gradient():
    x, kernel = jnp.ones((2, 8, 8, 3)), jnp.ones((3, 3, 3, 5))
    forward = 2 * (2 * 4 * 4 * 5) * (3 * 3 * 3)  # every output is a product with one filter
    assert flops.count(convolve, x, kernel) == forward
    gradient = jax.grad(lambda x, kernel: convolve(x, kernel).sum(), argnums=(0, 1))
    assert flops.count(gradient, x, kernel) == 3 * forward  # itself, for the input, the kernel


def test_of_alternatives_the_dearest():
    def either(x):
        return jax.lax.cond(x[0, 0] > 0, lambda x: x @ x @ x, lambda x: x @ x, x)

    assert flops.count(either, jnp.ones((3, 3))) == 2 * 54


def test_pmap_counts_all_devices():
    n = jax.local_device_count()
    assert n > 1
    product = jax.pmap(lambda a, b: a @ b, in_axes=(0, None))
    assert flops.count(product, jnp.ones((n, 2, 3)), jnp.ones((3, 4))) == n * 2 * 2 * 3 * 4


@pytest.mark.parametrize(
    ("kind", "peak"),
    [
        ("NVIDIA H100 80GB HBM3", 9.89e14),
        ("NVIDIA H100 PCIe", 7.56e14),
        ("NVIDIA A100-SXM4-40GB", 3.12e14),
        ("NVIDIA A10G", 1.25e14),
        ("TPU v5 lite", 1.97e14),
        ("cpu", None),
        ("NVIDIA GeForce GTX 970", None),
    ],
)
def test_peaks(kind, peak):
    assert flops.peak(kind) == peak
