"""A network that grows during the search."""

import math
from typing import Any

import jax

from metajax.supernet._state import Event, EventContext, SearchState
from metajax.supernet.spaces._cell import widened
from metajax.types import InputError, stream


def widen(share: float, narrow: int, wide: int) -> Event:
    """Grows the network once: its new channels begin as copies of old ones, in the weights and in their optimizer's moments.

    Args:
        share: The share of the search before the growth, within (0, 1). Give the same as ``compose_search(widen_at=share)``,
            which then computes with all channels.
        narrow: The divisor before the growth: 1/narrow of the channels take part, as in ``CellNet(partial=(narrow, wide))``.
        wide: The divisor afterwards: 1/wide of the channels take part. It must divide ``narrow``.

    Returns:
        The event.

    Raises:
        InputError: If ``share`` is not within (0, 1) or ``wide`` does not divide ``narrow``.

    References:
        Chen et al. 2021, "DrNAS: Dirichlet neural architecture search" (progressive learning), arXiv:2006.10355.

    Example:
        >>> event = widen(0.5, narrow=4, wide=2)  # from a quarter to half of the channels
        >>> event.init(None)
        ()
    """
    if not 0 < share < 1 or wide < 1 or narrow % wide:
        raise InputError(
            f"widen: share must lie between 0 and 1 (exclusive) and wide must divide narrow, got share={share}, "
            f"narrow={narrow}, wide={wide}"
        )

    def apply(state: SearchState, memory: Any, context: EventContext, batch: Any):
        is_due = state.step == math.ceil(share * context.steps)
        fill = lambda tree: widened(tree, narrow, wide, stream(state.key, "widen"))
        inner = jax.lax.cond(is_due, fill, lambda tree: tree, state.bilevel.inner)
        return state._replace(bilevel=state.bilevel._replace(inner=inner)), memory, {}

    return Event(lambda context: (), apply)
