"""The inner loop that all estimators share: begin, one step, a scan of steps."""

import math
from typing import Any, Literal

import jax
import jax.numpy as jnp
import optax

from metajax.bilevel._problem import InnerState, Problem, split
from metajax.types import Batch, Hyper, InputError, Key, Params, Scalar

Remat = Literal["sqrt"] | int | None


def begin(problem: Problem, hyper: Hyper, key: Key, tasks: int | None = None) -> InnerState:
    """The first inner state of one inner problem.

    Raises:
        InputError: if ``tasks`` is given: only ``batched`` makes states of several tasks.
    """
    if tasks is not None:
        raise InputError(f"begin: tasks={tasks}; accepted is None, or wrap the estimator in bilevel.batched")
    params = problem.init(hyper, key)
    return InnerState(params, problem.optimizer(hyper).init(params))


def step(problem: Problem, hyper: Hyper, state: InnerState, batch: Batch, key: Key) -> tuple[InnerState, Scalar]:
    """One update of the inner optimizer; returns the loss before it."""
    grad_fn = jax.value_and_grad(problem.inner_loss, argnums=1, has_aux=True)
    (loss, _), grads = grad_fn(hyper, state.params, batch, key)
    updates, opt_state = problem.optimizer(hyper).update(grads, state.opt_state, state.params)
    return InnerState(optax.apply_updates(state.params, updates), opt_state), loss


def length(inner_batches: Batch) -> int:
    """The number of inner steps that the batches hold.

    Raises:
        InputError: if there are no arrays, no steps, or leaves that disagree.
    """
    lengths = {jnp.shape(leaf)[0] if jnp.ndim(leaf) else None for leaf in jax.tree.leaves(inner_batches)}
    if len(lengths) != 1 or None in lengths:
        raise InputError(
            "inner_batches: all leaves need one leading axis that counts the inner steps; "
            f"got leading sizes {sorted(map(str, lengths))}"
        )
    (steps,) = lengths
    if not steps:
        raise InputError("inner_batches: the leading axis counts the inner steps and has size 0; give at least 1")
    return int(steps)


def step_key(key: Key, index: int | jax.Array) -> Key:
    """The key of inner step ``index``: of the step itself, and of what an estimator computes of the same step again."""
    return jax.random.fold_in(key, index)


def run(
    problem: Problem,
    hyper: Hyper,
    state: InnerState,
    inner_batches: Batch,
    key: Key,
    remat: Remat = None,
    first: int = 0,
) -> tuple[InnerState, jax.Array]:
    """All inner steps in a scan (a single one outside: what tasks share it reads once for all of them); returns the end and
    the loss before each step.

    Args:
        remat: ``None`` keeps what reverse mode needs of every step. ``k`` keeps only every k-th state and computes the
            k steps between again when they are needed; ``"sqrt"`` takes k = √steps, for O(√steps) memory at the cost of
            one more forward pass (Griewank and Walther 2000).
        first: the number of the first step, for its key.
    """
    steps = length(inner_batches)

    def body(carry, index_and_batch):
        index, batch = index_and_batch
        return step(problem, hyper, carry, batch, step_key(key, index))

    if steps == 1:
        end, loss = body(state, (first, jax.tree.map(lambda x: x[0], inner_batches)))
        return end, loss[None]
    return checkpointed_scan(body, state, (first + jnp.arange(steps), inner_batches), steps, remat)


def trajectory(problem: Problem, hyper: Hyper, batch: Batch, steps: int, key: Key) -> Params:
    """The parameters after 0, 1, ..., ``steps`` updates on one batch, stacked along a leading axis."""
    keys = split(key)
    state = begin(problem, hyper, keys.init)

    def body(state, index):
        state, _ = step(problem, hyper, state, batch, step_key(keys.inner, index))
        return state, state.params

    _, path = jax.lax.scan(body, state, jnp.arange(steps))
    return jax.tree.map(lambda first, rest: jnp.concatenate([first[None], rest]), state.params, path)


def checkpointed_scan(body: Any, state: Any, xs: Any, steps: int, remat: Remat) -> tuple[Any, jax.Array]:
    """``lax.scan`` that keeps only every k-th carry for reverse mode; ``remat`` as in ``run``."""
    if remat is None:
        return jax.lax.scan(body, state, xs)
    every = max(1, math.isqrt(steps)) if remat == "sqrt" else min(int(remat), steps)
    whole = steps // every * every
    folded = jax.tree.map(lambda x: x[:whole].reshape(whole // every, every, *x.shape[1:]), xs)
    segment = jax.checkpoint(lambda carry, part: jax.lax.scan(body, carry, part), prevent_cse=False)
    state, ys = jax.lax.scan(segment, state, folded)
    ys = ys.reshape(whole, *ys.shape[2:])
    if whole < steps:
        state, rest = segment(state, jax.tree.map(lambda x: x[whole:], xs))
        ys = jnp.concatenate([ys, rest])
    return state, ys
