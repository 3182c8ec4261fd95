"""Functions of many configurations, compiled once for many numbers of them.

Outside of a compiled program every operation on a new number of rows is compiled for itself, some thirty for a space of a
dozen domains. Rows are therefore padded to a power of four and go through one program; where they are traced, nothing is
padded.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

_LEAST, _MOST = 64, 1 << 14


def power_of_two(n: int, least: int) -> int:
    """The smallest power of two that is not below ``n``, and at least ``least``."""
    return max(least, 1 << (n - 1).bit_length())


def room(n: int) -> int:
    """The number of rows that a program is made for."""
    bits = power_of_two(n, _LEAST).bit_length() - 1
    return n if n > _MOST else 1 << (bits + bits % 2)


def first(made: Any, n: int) -> Any:
    """The first ``n`` rows of a tree of concrete arrays, cut where nothing has to be compiled for it."""
    return jax.tree.map(lambda a: a if len(a) == n else jnp.asarray(np.asarray(a)[:n]), made)


def padded(run: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """``run(space, tree of arrays [n, ...]) -> tree of arrays [n, ...]``, row by row, in one program for all n up to a power
    of four."""
    compiled = jax.jit(run, static_argnums=0)

    @functools.wraps(run)
    def padded_run(space: Any, rows: Any) -> Any:
        leaves = jax.tree.leaves(rows)
        n = len(leaves[0])
        if n == 0 or any(isinstance(leaf, Tracer) for leaf in leaves):
            return run(space, rows)
        with jax.ensure_compile_time_eval():
            return first(compiled(space, jax.tree.map(lambda a: _wider(a, room(n)), rows)), n)

    return padded_run


def _wider(a: jax.Array, size: int) -> Any:
    if len(a) == size:
        return a
    host = np.asarray(a)
    return np.concatenate([host, np.repeat(host[-1:], size - len(host), axis=0)])
