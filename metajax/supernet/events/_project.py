"""Perturbation-based selection: choices are decided one after the other, by what the SuperNet loses without a value."""

from typing import Any

import jax
import jax.numpy as jnp

from metajax.supernet._logits import choice_slices
from metajax.supernet._protocols import Moment
from metajax.supernet._state import Event, EventContext, SearchState
from metajax.types import InputError, stream


def project(start: float = 0.8, batch_size: int = 250) -> Event:
    """Decides one choice after the other by the accuracy of the SuperNet without each of its values.

    From a share of the search on, one choice after the other, in random order, is set to the value without which the
    SuperNet's accuracy on the validation part falls most: the first at once, the last with the end of the search, the others
    evenly between them, so that weights are tuned from one to the next. The weight of a removed value is set to 0 and the
    others stay as they are, as in the authors' code: the mixture then lacks what the value gave.

    The whole validation part decides, because the accuracies differ by tenths of a point; a search gets it as the third entry
    of its batches.

    Args:
        start: The share of the search before the first decision, within [0, 1).
        batch_size: The number of examples at a time, at least 1. Batch norm uses the statistics of a batch, and examples that
            do not fill a batch are left out.

    Returns:
        The event. Its search raises an InputError if it has fewer steps than choices, or batches without a validation part.

    Raises:
        InputError: If an argument is out of range.

    References:
        Wang et al. 2021, "Rethinking architecture selection in differentiable NAS" (DARTS-PT), arXiv:2108.04392.

    Example:
        >>> from metajax.supernet import relaxations, spaces
        >>> context = EventContext(spaces.cell_space(3), None, relaxations.softmax_mixture(), steps=100)
        >>> int(project(0.8).init(context))  # choices that are decided
        0
    """
    if not 0 <= start < 1 or batch_size < 1:
        raise InputError(
            f"project: start must lie within [0, 1) and batch_size be an integer >= 1, got start={start}, "
            f"batch_size={batch_size}"
        )

    def init(context: EventContext) -> jax.Array:
        number = len(choice_slices(context.space))
        if context.steps < number:
            raise InputError(
                f"project: steps must be at least the number of choices, {number}, because each choice needs a step, "
                f"got {context.steps}"
            )
        return jnp.zeros((), jnp.int32)

    def apply(state: SearchState, n_projected: Any, context: EventContext, outer_batch: Any):
        if context.validation is None:
            raise InputError("project: the batches of the search must have the validation part as their third entry")
        choices = choice_slices(context.space)
        due_steps = projection_steps(context.steps, start, len(choices))
        is_due = (n_projected < len(choices)) & (state.step >= due_steps[n_projected])
        order = jax.random.permutation(stream(state.key, "projection order"), len(choices))
        chosen = order[jnp.minimum(n_projected, len(choices) - 1)]
        decided = lambda mask: _decided_mask(state, context, mask, chosen, batch_size)
        mask = jax.lax.cond(is_due, decided, lambda mask: mask, state.mask)
        return state._replace(mask=mask), n_projected + is_due.astype(jnp.int32), {}

    return Event(init, apply)


def _decided_mask(
    state: SearchState, context: EventContext, mask: jax.Array, chosen: jax.Array, batch_size: int
) -> jax.Array:
    """Returns the mask in which the chosen choice keeps only the value without which the accuracy is lowest."""
    space, choices = context.space, choice_slices(context.space)
    widest = max(part.stop - part.start for _, part in choices)
    first_column = jnp.asarray([part.start for _, part in choices])[chosen]
    width = jnp.asarray([part.stop - part.start for _, part in choices])[chosen]
    key = jax.random.fold_in(stream(state.key, "projection"), state.step)
    batches = in_batches(context.validation, batch_size)

    def accuracy(remaining: jax.Array) -> jax.Array:
        moment = Moment(state.step / context.steps, state.mask)
        judged = context.relaxation.judge(space, state.logits, moment, stream(key, "encoding"))
        correct = lambda xy: context.loss(state.params, judged[0] * remaining, xy, stream(key, "loss"))[1]["accuracy"]
        return jnp.mean(jax.lax.map(correct, batches))

    def without(value: jax.Array) -> jax.Array:
        removed = first_column + jnp.minimum(value, width - 1)
        exists = (value < width) & (mask[removed] > 0)
        return jnp.where(exists, accuracy(jnp.ones_like(mask).at[removed].set(0.0)), jnp.inf)

    best = jnp.argmin(jax.lax.map(without, jnp.arange(widest)))
    position = jnp.arange(space.width)
    is_inside = (position >= first_column) & (position < first_column + width)
    return jnp.where(is_inside, (position == first_column + best).astype(mask.dtype), mask)


def projection_steps(steps: int, start: float, choices: int) -> jax.Array:
    """Returns i32[choices + 1]: the steps after which each choice is projected; the last entry is never reached."""
    first, last = round(start * steps), steps
    even = [first + round((last - first) * i / max(choices - 1, 1)) for i in range(choices)]
    latest = range(last - choices + 1, last + 1)  # one projection a step
    return jnp.asarray([*(min(step, limit) for step, limit in zip(even, latest)), steps + 1], jnp.int32)


def in_batches(part: tuple[Any, Any], batch_size: int) -> Any:
    """Returns ``(x, labels)`` as ``[batches, batch_size, ...]``; what does not fill a batch is left out."""
    size = min(batch_size, len(part[1]))
    count = len(part[1]) // size
    return jax.tree.map(lambda a: jnp.asarray(a)[: count * size].reshape(count, size, *a.shape[1:]), part)
