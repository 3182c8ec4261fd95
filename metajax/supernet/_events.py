"""What happens to a search now and then, inside the compiled loop: pruning, projection, stopping."""

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from metajax.space import Space
from metajax.supernet._relaxations import Moment, begin, blocks
from metajax.supernet._search import Event, Parts
from metajax.supernet.diagnosis._diagnose import dominant_eigenvalue
from metajax.supernet.spaces._cell import widened
from metajax.types import InputError, stream


def prune(at: Sequence[float], keep: Sequence[int]) -> Event:
    """Progressive pruning: at each of these shares of the search, every choice keeps its strongest values (DrNAS, Chen
    et al. 2021, arXiv:2006.10355).

    Raises:
        InputError: unless there are as many shares as counts, shares rise within (0, 1) and counts are positive.
    """
    rising = all(a < b for a, b in zip((0.0, *at), (*at, 1.0)))
    if len(at) != len(keep) or not rising or min(keep, default=1) < 1:
        raise InputError(f"prune: at={tuple(at)} must rise between 0 and 1, with one positive count each; keep={keep}")

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

    return Event(lambda parts: (), apply)


def widen(share: float, narrow: int, wide: int) -> Event:
    """The network grows: its new channels begin as copies of old ones, in the weights and in the moments of their optimizer
    (DrNAS, Chen et al. 2021, arXiv:2006.10355).

    Args:
        share: of the search that comes before; ``search(widen=share)`` then computes with all channels.
        narrow, wide: as in ``CellNet(partial=(narrow, wide))``.

    Raises:
        InputError: unless ``share`` lies within (0, 1) and ``wide`` divides ``narrow``.
    """
    if not 0 < share < 1 or wide < 1 or narrow % wide:
        given = f"share={share}, narrow={narrow}, wide={wide}"
        raise InputError(f"widen: {given}; accepted are a share between 0 and 1 and a divisor of narrow")

    def apply(state, memory, parts, batch):
        now = state.step == math.ceil(share * parts.steps)
        fill = lambda tree: widened(tree, narrow, wide, stream(state.key, "widen"))
        inner = jax.lax.cond(now, fill, lambda tree: tree, state.bilevel.inner)
        return state._replace(bilevel=state.bilevel._replace(inner=inner)), memory, {}

    return Event(lambda parts: (), apply)


def project(start: float = 0.8, batch: int = 250) -> Event:
    """Perturbation-based selection (DARTS-PT, Wang et al. 2021, arXiv:2108.04392).

    From a share of the search on, one choice after the other, in random order, is set to the value without which the
    SuperNet's accuracy on the validation part falls most; the first at once, the last with the end of the search, the others
    evenly between them, so that weights are tuned from one to the next. The weight of a removed value is set to 0 and the
    others stay as they are, as in the authors' code: the mixture then lacks what the value gave.

    The whole validation part decides, because the accuracies differ by tenths of a point; a search gets it as the third entry
    of its batches.

    Args:
        start: share of the search that comes before.
        batch: examples at a time; batch norm is by batch, and what does not fill a batch is left out.

    Raises:
        InputError: unless ``start`` lies within [0, 1) and ``batch`` is positive; in a search with fewer steps than choices, or
            whose batches have no validation part.
    """
    if not 0 <= start < 1 or batch < 1:
        raise InputError(
            f"project: start={start}, batch={batch}; accepted are a share from 0 to below 1 and a positive number"
        )

    def init(parts: Parts) -> Any:
        if parts.steps < len(blocks(parts.space)):
            raise InputError(f"project: steps={parts.steps} for {len(blocks(parts.space))} choices; each needs a step")
        return jnp.zeros((), jnp.int32)

    def apply(state, done, parts, outer_batch):
        if parts.validation is None:
            raise InputError("project: needs the validation part as the third entry of a search's batches")
        space = parts.space
        choices = blocks(space)
        due = (done < len(choices)) & (state.step >= projection_steps(parts.steps, start, len(choices))[done])
        widest = max(part.stop - part.start for _, part in choices)
        starts = jnp.asarray([part.start for _, part in choices])
        widths = jnp.asarray([part.stop - part.start for _, part in choices])
        order = jax.random.permutation(stream(state.key, "projection order"), len(choices))
        key = jax.random.fold_in(stream(state.key, "projection"), state.step)
        batches = in_batches(parts.validation, batch)

        def accuracy(kept):
            moment = Moment(state.step / parts.steps, state.mask)
            encoding = parts.relaxation.judge(space, state.logits, moment, stream(key, "encoding"))[0] * kept
            right = lambda xy: parts.loss(state.params, encoding, xy, stream(key, "loss"))[1]["accuracy"]
            return jnp.mean(jax.lax.map(right, batches))

        def decide(mask):
            chosen = order[jnp.minimum(done, len(choices) - 1)]
            at, width = starts[chosen], widths[chosen]

            def without(value):
                removed = at + jnp.minimum(value, width - 1)
                exists = (value < width) & (mask[removed] > 0)
                found = accuracy(jnp.ones_like(mask).at[removed].set(0.0))
                return jnp.where(exists, found, jnp.inf)

            best = jnp.argmin(jax.lax.map(without, jnp.arange(widest)))
            inside = (jnp.arange(space.width) >= at) & (jnp.arange(space.width) < at + width)
            only = (jnp.arange(space.width) == at + best).astype(mask.dtype)
            return jnp.where(inside, only, mask)

        mask = jax.lax.cond(due, decide, lambda mask: mask, state.mask)
        return state._replace(mask=mask), done + due.astype(jnp.int32), {}

    return Event(init, apply)


def projection_steps(steps: int, start: float, choices: int) -> jax.Array:
    """i32[choices + 1]: the number of steps after which each choice is projected; the last entry is never reached."""
    first, last = round(start * steps), steps
    even = [first + round((last - first) * i / max(choices - 1, 1)) for i in range(choices)]
    latest = range(last - choices + 1, last + 1)  # one projection a step
    return jnp.asarray([*(min(step, limit) for step, limit in zip(even, latest)), steps + 1], jnp.int32)


def in_batches(part: tuple[Any, Any], batch: int) -> Any:
    """``(x, labels)`` as ``[batches, batch, ...]``; what does not fill a batch is left out."""
    size = min(batch, len(part[1]))
    count = len(part[1]) // size
    return jax.tree.map(lambda a: jnp.asarray(a)[: count * size].reshape(count, size, *a.shape[1:]), part)


def eigenvalue(
    checks: int = 25, stop: bool = False, window: int = 5, delta: int = 4, factor: float = 1.3, first: int = 5
) -> Event:
    """The dominant eigenvalue of the outer loss's Hessian in the logits, by exact Hessian-vector products, ``checks``
    times over the search; logged as ``eigenvalue``.

    With ``stop=True``, R-DARTS' early stopping (Zela et al. 2020, arXiv:1909.09656). The mean over ``window`` eigenvalues
    stands for the check in the window's middle. When it exceeds ``factor`` times the mean ``delta`` checks earlier, logits
    return to where they were in the middle of that earlier window, and stay.

    Args:
        checks: over the search; the authors check every second of 50 epochs.
        stop: whether to stop; otherwise the eigenvalue is logged and nothing happens.
        window, delta, factor: see above.
        first: the earliest check to which the logits may return (epoch 10 of the authors' 50).
    """

    def init(parts: Parts) -> Any:
        logits = jax.eval_shape(lambda key: begin(parts.space, key, parts.relaxation), jax.random.key(0))
        return {
            "values": jnp.zeros(checks, jnp.float32),
            "logits": jax.tree.map(lambda x: jnp.zeros((checks, *x.shape), x.dtype), logits),
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
            middle = done - window // 2 - delta  # of the earlier window, which ends at done - delta
            grown = (done - delta >= window - 1) & (middle >= first) & (mean(done) > factor * mean(done - delta))
            stopped = jnp.where((memory["stopped"] < 0) & grown & stop, middle, memory["stopped"])
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
    """Raises InputError naming the first choice of which every value is pruned."""
    mask = np.asarray(mask)
    for name, part in blocks(space):
        if not mask[part].any():
            raise InputError(f"mask: every value of {name!r} is pruned; each choice needs at least one")
