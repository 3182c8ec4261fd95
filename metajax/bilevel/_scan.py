"""A scan over inner batches whose reverse mode stores as many states as ``remat`` asks for."""

import math
from typing import Any, Literal

import jax
import jax.numpy as jnp

from metajax.types import Batch, InputError

Remat = Literal["sqrt"] | int | None
"""What reverse mode keeps of a scan: everything (``None``), every k-th state (``k``), or every √steps-th (``"sqrt"``)."""


def length(inner_batches: Batch) -> int:
    """The number of inner steps that the batches hold.

    Raises:
        InputError: If there are no arrays, no steps, or leaves that disagree.
    """
    lengths = {jnp.shape(leaf)[0] if jnp.ndim(leaf) else None for leaf in jax.tree.leaves(inner_batches)}
    if len(lengths) != 1 or None in lengths:
        raise InputError(
            "inner_batches: all leaves must share one leading axis, which counts the inner steps, got leading sizes "
            f"{sorted(map(str, lengths))}"
        )
    (steps,) = lengths
    if not steps:
        raise InputError("inner_batches: the leading axis, which counts the inner steps, must have a size >= 1, got 0")
    return int(steps)


def checkpointed_scan(body: Any, state: Any, xs: Any, steps: int, remat: Remat) -> tuple[Any, jax.Array]:
    """``lax.scan`` that keeps only some of the carries for reverse mode; ``remat`` as in ``Descent.run``."""
    if remat is None:
        return jax.lax.scan(body, state, xs)
    every = max(1, math.isqrt(steps)) if remat == "sqrt" else min(int(remat), steps)
    full_steps = steps // every * every
    folded = jax.tree.map(lambda x: x[:full_steps].reshape(full_steps // every, every, *x.shape[1:]), xs)
    segment = jax.checkpoint(lambda carry, part: jax.lax.scan(body, carry, part), prevent_cse=False)
    state, ys = jax.lax.scan(segment, state, folded)
    ys = ys.reshape(full_steps, *ys.shape[2:])
    if full_steps < steps:
        state, remaining_ys = segment(state, jax.tree.map(lambda x: x[full_steps:], xs))
        ys = jnp.concatenate([ys, remaining_ys])
    return state, ys
