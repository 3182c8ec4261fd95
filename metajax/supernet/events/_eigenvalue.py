"""The curvature of the outer loss in the logits, watched over the search."""

from typing import Any

import jax
import jax.numpy as jnp

from metajax.supernet._logits import initial_logits
from metajax.supernet._protocols import Logits, Moment
from metajax.supernet._state import Event, EventContext, SearchState
from metajax.supernet.diagnosis._curvature import dominant_eigenvalue
from metajax.types import stream


def eigenvalue(
    checks: int = 25, stop: bool = False, window: int = 5, delta: int = 4, factor: float = 1.3, first: int = 5
) -> Event:
    """Logs the dominant eigenvalue of the outer loss's Hessian in the logits, and may stop the search early by it.

    The eigenvalue is computed by exact Hessian-vector products, ``checks`` times over the search; it is logged as
    ``eigenvalue``. With ``stop=True``, this is the early stopping of R-DARTS: the mean over ``window`` eigenvalues stands
    for the check in the window's middle. When it exceeds ``factor`` times the mean ``delta`` checks earlier, the logits
    return to where they were in the middle of that earlier window, and stay.

    Args:
        checks: The number of times that the eigenvalue is computed; the authors check every second of 50 epochs.
        stop: Whether to stop; otherwise the eigenvalue is logged and nothing happens.
        window: The number of eigenvalues that are averaged.
        delta: The number of checks between the two means that are compared.
        factor: The growth of the mean at which the search stops, as a factor.
        first: The earliest check to which the logits may return (epoch 10 of the authors' 50).

    Returns:
        The event.

    References:
        Zela et al. 2020, "Understanding and robustifying differentiable architecture search" (R-DARTS), arXiv:1909.09656.

    Example:
        >>> from metajax.supernet import relaxations, spaces
        >>> context = EventContext(spaces.cell_space(2), None, relaxations.softmax_mixture(), steps=100)
        >>> memory = eigenvalue(checks=25).init(context)
        >>> memory["values"].shape, memory["logits"]["edge_0_1"].shape
        ((25,), (25, 5))
    """

    def init(context: EventContext) -> Any:
        logits = jax.eval_shape(lambda key: initial_logits(context.space, key, context.relaxation), jax.random.key(0))
        return {
            "values": jnp.zeros(checks, jnp.float32),
            "logits": jax.tree.map(lambda x: jnp.zeros((checks, *x.shape), x.dtype), logits),
            "done": jnp.zeros((), jnp.int32),
            "stopped": jnp.full((), -1, jnp.int32),
        }

    def check(state: SearchState, memory: Any, context: EventContext, batch: Any) -> Any:
        n_checked = memory["done"]
        values = memory["values"].at[n_checked].set(_eigenvalue(state, context, batch))
        logits = jax.tree.map(lambda all, now: all.at[n_checked].set(now), memory["logits"], state.logits)
        index = jnp.arange(checks)
        mean = lambda last: jnp.sum(jnp.where((index <= last) & (index > last - window), values, 0.0)) / window
        middle = n_checked - window // 2 - delta  # of the earlier window, which ends at n_checked - delta
        has_grown = (
            (n_checked - delta >= window - 1) & (middle >= first) & (mean(n_checked) > factor * mean(n_checked - delta))
        )
        stopped = jnp.where((memory["stopped"] < 0) & has_grown & stop, middle, memory["stopped"])
        return {"values": values, "logits": logits, "done": n_checked + 1, "stopped": stopped.astype(jnp.int32)}

    def apply(state: SearchState, memory: Any, context: EventContext, batch: Any):
        every = max(1, context.steps // checks)
        is_due = (state.step % every == 0) & (memory["done"] < checks)
        now = lambda memory: check(state, memory, context, batch)
        memory = jax.lax.cond(is_due, now, lambda memory: memory, memory)
        stopped = memory["stopped"]
        logits = jax.tree.map(
            lambda all, now: jnp.where(stopped >= 0, all[jnp.maximum(stopped, 0)], now), memory["logits"], state.logits
        )
        core = state.bilevel._replace(hyper={**state.hyper, "arch": logits})
        latest = memory["values"][jnp.maximum(memory["done"] - 1, 0)]
        info = {"eigenvalue": latest, "stopped": (stopped >= 0).astype(jnp.float32)}
        return state._replace(bilevel=core), memory, info

    return Event(init, apply)


def _eigenvalue(state: SearchState, context: EventContext, batch: Any) -> jax.Array:
    """Returns the dominant eigenvalue of the outer loss's Hessian at the present logits."""
    key = jax.random.fold_in(stream(state.key, "eigenvalue"), state.step)

    def value(logits: Logits) -> jax.Array:
        moment = Moment(state.step / context.steps, state.mask)
        encoding = context.relaxation.judge(context.space, logits, moment, stream(key, "encoding"))[0]
        return context.loss(state.params, encoding, batch, stream(key, "loss"))[0]

    return dominant_eigenvalue(value, state.logits, stream(key, "first vector"))
