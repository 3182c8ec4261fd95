"""What several networks share: initial weights, sizes that rise, masks of elastic units."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from metajax.space import Categorical
from metajax.types import InputError, Key


def normal(key: Key, shape: tuple[int, ...], inputs: int) -> jax.Array:
    """Returns initial weights whose variance is 2 / inputs."""
    return math.sqrt(2.0 / inputs) * jax.random.normal(key, shape)


def share(block: jax.Array) -> jax.Array:
    """Returns the weights of a choice among its values, whatever the weight of the choice itself.

    The weights of a layer that is there with weight p are scaled by p. The result is zero where the choice does not exist.
    """
    total = jnp.sum(block)
    return jnp.where(total > 0, block / jnp.where(total > 0, total, 1.0), 0.0)


def masks(sizes: Sequence[int]) -> np.ndarray:
    """Returns f32[sizes, max(sizes)]: row k is one for the first ``sizes[k]`` units."""
    return (np.arange(max(sizes)) < np.asarray(sizes)[:, None]).astype(np.float32)


def layered_domains(
    depth: str, depths: Sequence[int], of_layer: Callable[[int], Mapping[str, Categorical]]
) -> tuple[dict[str, Any], list[Any]]:
    """Returns domains and conditions of a stack: the choices of layer i exist where the depth exceeds i."""
    domains: dict[str, Any] = {depth: Categorical(tuple(depths))}
    conditions = []
    for layer in range(max(depths)):
        own = of_layer(layer)
        domains.update(own)
        deep = tuple(d for d in depths if d > layer)
        if len(deep) < len(depths):
            conditions += [(name, depth, deep) for name in own]
    return domains, conditions


def ascending(name: str, values: Sequence[int]) -> tuple[int, ...]:
    """Returns the values as a tuple, or raises an InputError unless they are positive and rise."""
    values = tuple(values)
    if not values or values[0] < 1 or any(a >= b for a, b in zip(values, values[1:])):
        raise InputError(f"{name} must be positive integers in ascending order, got {values}")
    return values


def depthwise(x: jax.Array, kernel: jax.Array, stride: int = 1) -> jax.Array:
    """Convolves each channel with a kernel of its own, "SAME" padding: x [n, h, w, c], kernel [k, k, c], k odd."""
    size, (height, width) = kernel.shape[0], x.shape[1:3]
    pad = size // 2
    padded = jnp.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    total = jnp.zeros_like(x[:, ::stride, ::stride])
    for i in range(size):
        for j in range(size):
            total = total + padded[:, i : i + height : stride, j : j + width : stride] * kernel[i, j]
    return total
