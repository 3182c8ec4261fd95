"""Functions of many configurations, compiled once for many numbers of rows.

Outside of a compiled program, JAX compiles every operation for every new number of rows: about thirty programs for a space of a
dozen domains. Rows are therefore padded to a power of four and go through one program. Traced rows are not padded.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from metajax._compiled import quick_options

_MIN_ROWS, _MAX_ROWS = 64, 1 << 14


def power_of_two(n: int, minimum: int) -> int:
    """Returns the smallest power of two that is at least ``n`` and at least ``minimum``."""
    return max(minimum, 1 << (n - 1).bit_length())


def padded_size(n: int) -> int:
    """Returns the number of rows of the program that ``n`` rows go through."""
    bits = power_of_two(n, _MIN_ROWS).bit_length() - 1
    return n if n > _MAX_ROWS else 1 << (bits + bits % 2)


def as_array(x: Any, dtype: Any = None) -> Any:
    """Returns an array of JAX as it is, and anything else as a NumPy array: ``jnp.asarray`` would compile a program for every
    new shape."""
    return jnp.asarray(x, dtype) if isinstance(x, jax.Array) else np.asarray(x, dtype)


def first(rows: Any, n: int) -> Any:
    """Returns the first ``n`` rows of a tree of arrays. They are cut on the host, where nothing is compiled."""
    return jax.tree.map(lambda a: a if len(a) == n else jax.device_put(np.asarray(a)[:n]), rows)


def padded(run: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """Compiles ``run(space, rows) -> rows``, which works row by row, into one program for all numbers of rows up to a power of
    four. Rows are trees of arrays [n, ...]."""

    @functools.cache
    def compiled() -> Callable[..., Any]:
        return jax.jit(run, static_argnums=0, compiler_options=quick_options() or None)

    @functools.wraps(run)
    def padded_run(space: Any, rows: Any) -> Any:
        leaves = jax.tree.leaves(rows)
        n = len(leaves[0])
        if n == 0 or any(isinstance(leaf, Tracer) for leaf in leaves):
            return run(space, rows)
        with jax.ensure_compile_time_eval():
            return first(compiled()(space, jax.tree.map(lambda a: wider(a, padded_size(n)), rows)), n)

    return padded_run


def wider(a: jax.Array, size: int) -> Any:
    """Repeats the last row until there are ``size`` rows."""
    if len(a) == size:
        return a
    host = np.asarray(a)
    return np.concatenate([host, np.repeat(host[-1:], size - len(host), axis=0)])
