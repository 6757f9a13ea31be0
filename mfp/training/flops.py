"""Floating point operations of a program, and what a device could do at best."""

from __future__ import annotations

import math
from typing import Any

import jax
from jax.extend import core

# Dense bfloat16 (for V100 and P100 float16) operations a second, from the makers' data sheets.
# The key stands in jax's `device_kind`; the first that matches counts.
PEAK_FLOPS = {
    "GB200": 2.5e15,
    "B200": 2.25e15,
    "H200": 9.89e14,
    "H100 PCIe": 7.56e14,
    "H100": 9.89e14,
    "A100": 3.12e14,
    "A10": 1.25e14,
    "L40S": 3.62e14,
    "L4": 1.21e14,
    "V100": 1.25e14,
    "T4": 6.5e13,
    "TPU v2": 4.5e13,
    "TPU v3": 1.23e14,
    "TPU v4": 2.75e14,
    "TPU v5 lite": 1.97e14,
    "TPU v5e": 1.97e14,
    "TPU v5p": 4.59e14,
    "TPU v5": 4.59e14,
    "TPU v6 lite": 9.18e14,
    "TPU v6e": 9.18e14,
}


def peak(device_kind: str) -> float | None:
    """The peak of one device, None where it is not known (any CPU)."""
    return next((flops for key, flops in PEAK_FLOPS.items() if key in device_kind), None)


def count(program: Any, *shapes: Any) -> float:
    """Operations of matrix products and convolutions in program(*shapes), over all devices.

    The usual meaning of a model's FLOPs (Chowdhery et al. 2022, PaLM, appendix B). XLA's own
    cost analysis is no help here: it counts the body of a loop once, so an LSTM over 200 words
    as one word.
    """
    return _operations(jax.make_jaxpr(program)(*shapes).jaxpr)


def _operations(jaxpr: core.Jaxpr) -> float:
    return sum(_of(equation) for equation in jaxpr.eqns)


def _of(equation: core.JaxprEqn) -> float:
    name, params = equation.primitive.name, equation.params
    if name == "dot_general":
        (contracted, _), _ = params["dimension_numbers"]
        left, _, out = _shapes(equation)
        return 2.0 * math.prod(out) * math.prod(left[axis] for axis in contracted)
    if name == "conv_general_dilated":
        _, kernel, out = _shapes(equation)
        of_one = math.prod(kernel) / kernel[params["dimension_numbers"].rhs_spec[0]]
        holes = math.prod(params["lhs_dilation"])  # zeros that a stride's gradient is spread with
        return 2.0 * math.prod(out) * of_one / holes
    inside = [_operations(jaxpr) for jaxpr in core.jaxprs_in_params(params)]
    if name == "scan":
        return params["length"] * sum(inside)
    if name == "shard_map":  # its shapes are those of one device
        return params["mesh"].size * sum(inside)
    return max(inside, default=0.0) if name == "cond" else sum(inside)


def _shapes(equation: core.JaxprEqn) -> list[Any]:
    """Of both operands and the result."""
    return [v.aval.shape for v in (*equation.invars, equation.outvars[0])]  # type: ignore[attr-defined]
