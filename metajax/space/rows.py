"""Functions of many configurations, compiled once for many numbers of them.

Outside of a compiled program every operation on a new number of rows is compiled for itself, some thirty for a space of a
dozen domains. Rows are therefore padded to a power of two and go through one program; where they are traced, nothing is
padded.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

_LEAST, _MOST = 32, 1 << 14


def room(n: int) -> int:
    """The number of rows that a program is made for."""
    return n if n > _MOST else max(_LEAST, 1 << (n - 1).bit_length())


def padded(run: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """``run(space, tree of arrays [n, ...]) -> tree of arrays [n, ...]``, row by row, in one program for all n up to a power
    of two."""
    compiled = jax.jit(run, static_argnums=0)

    @functools.wraps(run)
    def padded_run(space: Any, rows: Any) -> Any:
        leaves = jax.tree.leaves(rows)
        n = len(leaves[0])
        if n == 0 or any(isinstance(leaf, Tracer) for leaf in leaves):
            return run(space, rows)
        with jax.ensure_compile_time_eval():
            made = compiled(space, jax.tree.map(lambda a: _wider(np.asarray(a), room(n)), rows))
            return jax.tree.map(lambda a: jnp.asarray(np.asarray(a)[:n]), made)

    return padded_run


def _wider(a: np.ndarray, size: int) -> np.ndarray:
    return np.concatenate([a, np.repeat(a[-1:], size - len(a), axis=0)]) if size > len(a) else a
