"""What happens to a search now and then, inside the compiled loop: pruning, projection, stopping."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from metajax.space import Space
from metajax.supernet.diagnose import dominant_eigenvalue
from metajax.supernet.relaxation import Moment, blocks
from metajax.supernet.search import Event
from metajax.types import stream


def prune(at: Sequence[float], keep: Sequence[int]) -> Event:
    """Progressive pruning: at each of these shares of the search, every choice keeps its strongest values (DrNAS, Chen
    et al. 2021, arXiv:2006.10355).

    Raises:
        ValueError: unless there are as many shares as counts, shares rise within (0, 1) and counts are positive.
    """
    rising = all(a < b for a, b in zip((0.0, *at), (*at, 1.0)))
    if len(at) != len(keep) or not rising or min(keep, default=1) < 1:
        raise ValueError(f"prune: at={tuple(at)} must rise between 0 and 1, with one positive count each; keep={keep}")

    def apply(state, memory, parts, batch):
        mask, strengths = state.mask, parts.relaxation.strengths(parts.space, state.logits, state.mask)
        for share, count in zip(at, keep):
            now = state.step == round(share * parts.steps)
            kept = mask
            for _, part in blocks(parts.space):
                block = jnp.where(mask[part] > 0, strengths[part], -jnp.inf)
                order = jnp.argsort(jnp.argsort(-block))  # rank, ties by position
                kept = kept.at[part].set(jnp.where(order < count, mask[part], 0.0))
            mask = jnp.where(now, kept, mask)
        return state._replace(mask=mask), memory, {}

    return Event(lambda space, steps: (), apply)


def project(images: jax.Array, labels: jax.Array, start: float = 0.5, batch: int = 200) -> Event:
    """Perturbation-based selection (DARTS-PT, Wang et al. 2021, arXiv:2108.04392): from this share of the search on, one
    choice after the other, in random order and evenly spread over the rest, is set to the value without which the
    SuperNet's accuracy on validation data falls most; weights go on learning in between.

    Args:
        images, labels: validation data, i32[n] labels.
        start: share of the search that comes before.
        batch: examples at a time; batch norm is by batch, and what does not fill a batch is left out.
    """
    count = max(1, len(labels) // batch)
    size = min(batch, len(labels))
    cut = lambda a: jnp.asarray(a)[: count * size].reshape(count, size, *a.shape[1:])

    def init(space: Space, steps: int) -> Any:
        return jnp.zeros((), jnp.int32)

    def apply(state, done, parts, outer_batch):
        space = parts.space
        choices = blocks(space)
        first = round(start * parts.steps)
        every = max(1, (parts.steps - first) // len(choices))
        due = (state.step >= first) & ((state.step - first) % every == 0) & (done < len(choices))
        widest = max(part.stop - part.start for _, part in choices)
        starts = jnp.asarray([part.start for _, part in choices])
        widths = jnp.asarray([part.stop - part.start for _, part in choices])
        order = jax.random.permutation(stream(state.key, "projection order"), len(choices))
        key = jax.random.fold_in(stream(state.key, "projection"), state.step)

        def accuracy(mask):
            moment = Moment(state.step / parts.steps, mask)
            encoding = parts.relaxation.judge(space, state.logits, moment, stream(key, "encoding"))[0]
            right = lambda xy: parts.loss(state.params, encoding, xy, stream(key, "loss"))[1]["accuracy"]
            return jnp.mean(jax.lax.map(right, (cut(images), cut(labels))))

        def decide(mask):
            chosen = order[jnp.minimum(done, len(choices) - 1)]
            at, width = starts[chosen], widths[chosen]

            def without(value):
                exists = (value < width) & (mask[at + jnp.minimum(value, width - 1)] > 0)
                found = accuracy(mask.at[at + jnp.minimum(value, width - 1)].set(0.0))
                return jnp.where(exists, found, jnp.inf)

            best = jnp.argmin(jax.lax.map(without, jnp.arange(widest)))
            inside = (jnp.arange(space.width) >= at) & (jnp.arange(space.width) < at + width)
            only = (jnp.arange(space.width) == at + best).astype(mask.dtype)
            return jnp.where(inside, only, mask)

        mask = jax.lax.cond(due, decide, lambda mask: mask, state.mask)
        return state._replace(mask=mask), done + due.astype(jnp.int32), {}

    return Event(init, apply)


def eigenvalue(
    checks: int = 20, stop: bool = False, window: int = 5, delta: int = 4, factor: float = 1.3, first: int = 5
):
    """The dominant eigenvalue of the outer loss's Hessian in the logits, by exact Hessian-vector products, ``checks``
    times over the search; logged as ``eigenvalue``.

    With ``stop=True``, R-DARTS' early stopping (Zela et al. 2020, arXiv:1909.09656): when the mean of the last
    ``window`` eigenvalues exceeds ``factor`` times that mean ``delta`` checks before, logits return to where they were
    then, and stay.

    Args:
        first: check from which stopping is allowed (the paper's window and start are epochs of 50).
    """

    def init(space: Space, steps: int) -> Any:
        return {
            "values": jnp.zeros(checks, jnp.float32),
            "logits": jax.tree.map(lambda x: jnp.zeros((checks, *x.shape), x.dtype), space.zeros()),
            "done": jnp.zeros((), jnp.int32),
            "stopped": jnp.full((), -1, jnp.int32),
        }

    def apply(state, memory, parts, batch):
        every = max(1, parts.steps // checks)
        due = (state.step % every == 0) & (memory["done"] < checks)
        key = jax.random.fold_in(stream(state.key, "eigenvalue"), state.step)

        def value(logits):
            moment = Moment(state.step / parts.steps, state.mask)
            encoding = parts.relaxation.judge(parts.space, logits, moment, stream(key, "encoding"))[0]
            return parts.loss(state.params, encoding, batch, stream(key, "loss"))[0]

        def check(memory):
            found = dominant_eigenvalue(value, state.logits, stream(key, "first vector"))
            done = memory["done"]
            values = memory["values"].at[done].set(found)
            logits = jax.tree.map(lambda all, now: all.at[done].set(now), memory["logits"], state.logits)
            index = jnp.arange(checks)
            mean = lambda last: jnp.sum(jnp.where((index <= last) & (index > last - window), values, 0.0)) / window
            before = done - delta
            grown = (before >= window - 1) & (done >= first) & (mean(done) > factor * mean(before))
            stopped = jnp.where((memory["stopped"] < 0) & grown & stop, before, memory["stopped"])
            return {"values": values, "logits": logits, "done": done + 1, "stopped": stopped.astype(jnp.int32)}

        memory = jax.lax.cond(due, check, lambda memory: memory, memory)
        stopped = memory["stopped"]
        kept = jax.tree.map(
            lambda all, now: jnp.where(stopped >= 0, all[jnp.maximum(stopped, 0)], now), memory["logits"], state.logits
        )
        core = state.bilevel._replace(hyper={**state.hyper, "arch": kept})
        latest = memory["values"][jnp.maximum(memory["done"] - 1, 0)]
        return (
            state._replace(bilevel=core),
            memory,
            {"eigenvalue": latest, "stopped": (stopped >= 0).astype(jnp.float32)},
        )

    return Event(init, apply)


def alive(space: Space, mask: Any) -> None:
    """Raises ValueError naming the first choice of which every value is pruned."""
    mask = np.asarray(mask)
    for name, part in blocks(space):
        if not mask[part].any():
            raise ValueError(f"mask: every value of {name!r} is pruned; each choice needs at least one")
