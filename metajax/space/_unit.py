"""The unit interval and a number's own units: linear, or linear in the logarithm."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def from_unit(unit: Any, low: float, high: float, log: bool) -> Any:
    """Maps the unit interval to [low, high], linearly or in the logarithm. Works on NumPy and JAX arrays alike."""
    if not log:
        return low + unit * (high - low)
    exp = np.exp if isinstance(unit, np.ndarray | float) else jnp.exp
    return exp(math.log(low) + unit * (math.log(high) - math.log(low)))


def to_unit(number: jax.Array, low: float, high: float, log: bool) -> jax.Array:
    """Maps [low, high] to the unit interval, linearly or in the logarithm. A constant is at 0."""
    if high == low:
        return jnp.zeros_like(number)
    if log:
        return (jnp.log(number) - math.log(low)) / (math.log(high) - math.log(low))
    return (number - low) / (high - low)


def log_offset(unit: jax.Array, low: float, span: float) -> jax.Array:
    """Returns ``x - low`` of the number x that stands at ``unit`` in the logarithm, between ``low`` and ``low + span``."""
    return float(low) * jnp.expm1(unit * math.log1p(span / low))
