"""Values that are no longer searched."""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from metajax.space import Space
from metajax.supernet._logits import choice_slices, map_choices
from metajax.supernet._state import Event, EventContext, SearchState
from metajax.types import InputError


def prune(at: Sequence[float], keep: Sequence[int]) -> Event:
    """Prunes progressively: at each of these shares of the search, every choice keeps its strongest values.

    Args:
        at: The shares of the search, rising within (0, 1).
        keep: The number of values that every choice keeps then, one positive count for each share.

    Returns:
        The event.

    Raises:
        InputError: If there are not as many shares as counts, or they are out of range.

    References:
        Chen et al. 2021, "DrNAS: Dirichlet neural architecture search" (progressive learning), arXiv:2006.10355.

    Example:
        >>> from metajax import supernet
        >>> event = supernet.events.prune(at=(0.5,), keep=(2,))  # from half of the search on, 2 of 5 operations an edge
        >>> event.init(None)
        ()
    """
    rising = all(a < b for a, b in zip((0.0, *at), (*at, 1.0)))
    if len(at) != len(keep) or not rising or min(keep, default=1) < 1:
        raise InputError(
            "prune: at must rise between 0 and 1 (exclusive) and keep must have one positive count for each share of "
            f"at, got at={tuple(at)}, keep={tuple(keep)}"
        )

    def apply(state: SearchState, memory: Any, context: EventContext, batch: Any):
        space = context.space
        mask, strengths = state.mask, context.relaxation.strengths(space, state.logits, state.mask)
        for share, count in zip(at, keep):
            is_due = state.step == round(share * context.steps)
            mask = jnp.where(is_due, map_choices(space, functools.partial(_strongest, count), mask, strengths), mask)
        return state._replace(mask=mask), memory, {}

    return Event(lambda context: (), apply)


def _strongest(count: int, mask: jax.Array, strengths: jax.Array) -> jax.Array:
    """Returns the mask of a choice in which only its strongest values are open."""
    rank = jnp.argsort(jnp.argsort(-jnp.where(mask > 0, strengths, -jnp.inf)))  # ties by position
    return jnp.where(rank < count, mask, 0.0)


def check_mask(space: Space, mask: ArrayLike) -> None:
    """Checks that every choice has a value that is not pruned.

    Args:
        space: The space that is searched.
        mask: The mask, f32[width], 1 where a value is open.

    Raises:
        InputError: If every value of a choice is pruned. The error names the first such choice.

    Example:
        >>> from metajax.supernet import spaces
        >>> check_mask(spaces.cell_space(2), [0, 0, 0, 0, 0])
        Traceback (most recent call last):
        metajax.types.InputError: mask must leave every choice at least one value, but all values of 'edge_0_1' are pruned
    """
    is_open = np.asarray(mask)
    for name, part in choice_slices(space):
        if not is_open[part].any():
            raise InputError(f"mask must leave every choice at least one value, but all values of {name!r} are pruned")
