"""A hypergradient and an outer optimizer make a Learner."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from metajax.bilevel import _inner as inner
from metajax.bilevel._batched import batched
from metajax.bilevel._problem import Estimator, Problem
from metajax.bilevel._unroll import weights_only
from metajax.types import Hyper, InputError, Key, Learner, stream


class BilevelState(NamedTuple):
    """The state of a bilevel search; ``inner`` is ``None`` unless the inner loop is warm-started."""

    step: jax.Array
    key: jax.Array
    hyper: Hyper
    opt_state: Any
    inner: Any


def learner(
    problem: Problem,
    estimator: Estimator,
    outer_optimizer: optax.GradientTransformation,
    inner_steps: int,
    warm_start: bool,
    restart_every: int | None = None,
    warm_up: int = 0,
    tasks: int | None = None,
) -> Learner:
    """Descends the outer loss by estimated hypergradients.

    ``init(key, hyper) -> BilevelState`` and ``update(state, (inner_batches, outer_batch)) -> (state, info)``, where the
    leading axis of ``inner_batches`` has size ``inner_steps``. ``info`` holds ``outer_loss``, ``inner_loss``,
    ``hypergradient_norm`` and what the outer loss reports.

    Args:
        problem: the inner and the outer loss, how to begin, how to learn.
        estimator: ``unroll()``, ``implicit()``, ``first_order()``, ...
        outer_optimizer: any optax transformation.
        inner_steps: inner updates for each outer one.
        warm_start: go on from where the inner loop ended (DARTS, online hyperparameters) instead of beginning anew
            (MAML, episodic hyperparameters).
        restart_every: with a warm start, begin the inner loop anew after this many outer steps.
        warm_up: with a warm start, so many first steps learn inside alone: no hypergradient is computed, ``hyper`` and the
            outer optimizer stay, and what the outer loss would report is 0.
        tasks: with a warm start of an estimator made by ``batched``, the number of tasks: each goes on from where its own
            inner loop ended.

    Raises:
        InputError: on a number out of range; when it is used, if the batches hold another number of inner steps or of tasks,
            or if a batched estimator is warm-started without ``tasks``.

    Example:
        >>> problem = Problem(
        ...     inner_loss=lambda h, w, batch, key: (jnp.sum((w - batch) ** 2) + jnp.exp(h) * jnp.sum(w**2), {}),
        ...     outer_loss=lambda h, w, batch, key: (jnp.sum((w - batch) ** 2), {}),
        ...     init=lambda h, key: jnp.zeros(3),
        ...     optimizer=lambda h: optax.sgd(0.1))
        >>> from metajax.bilevel import unroll
        >>> search = learner(problem, unroll(), optax.adam(0.1), inner_steps=5, warm_start=False)
        >>> state = search.init(jax.random.key(0), jnp.zeros(()))
        >>> state, info = jax.jit(search.update)(state, (jnp.ones((5, 3)), jnp.ones(3)))
        >>> round(float(state.hyper), 2)  # less regularization is better here
        -0.1
    """
    if inner_steps < 1:
        raise InputError(f"learner: inner_steps={inner_steps}; accepted is a positive whole number")
    if restart_every is not None and (restart_every < 1 or not warm_start):
        raise InputError(
            f"learner: restart_every={restart_every} with warm_start={warm_start}; accepted is None, or a positive "
            "whole number with warm_start=True"
        )
    if warm_up < 0 or (warm_up and not warm_start):
        raise InputError(
            f"learner: warm_up={warm_up} with warm_start={warm_start}; accepted is 0, or a positive whole number with "
            "warm_start=True"
        )
    if tasks is not None and (tasks < 1 or not warm_start):
        raise InputError(
            f"learner: tasks={tasks} with warm_start={warm_start}; accepted is None, or a positive whole number with "
            "warm_start=True"
        )
    hypergradient = estimator(problem)
    inside = (weights_only() if tasks is None else batched(weights_only()))(problem)
    number = {} if tasks is None else {"tasks": tasks}

    def init(key: Key, hyper: Hyper) -> BilevelState:
        hyper = jax.tree.map(_strong, hyper)
        begun = hypergradient.begin(hyper, stream(key, "begin"), **number) if warm_start else None
        return BilevelState(jnp.zeros((), jnp.int32), key, hyper, outer_optimizer.init(hyper), begun)

    def update(state: BilevelState, batch: Any) -> tuple[BilevelState, dict[str, Any]]:
        inner_batches, outer_batch = batch
        steps = inner.length(inner_batches)
        if steps != inner_steps:
            raise InputError(f"learner: inner_batches has {steps} inner steps, the learner was made for {inner_steps}")
        key = jax.random.fold_in(state.key, state.step)
        start = state.inner
        if restart_every is not None:
            anew = hypergradient.begin(state.hyper, stream(key, "begin"), **number)
            again = (state.step % restart_every) == 0
            start = jax.tree.map(lambda new, old: jnp.where(again, new, old), anew, start)

        def both():
            found = hypergradient(state.hyper, start, inner_batches, outer_batch, key)
            updates, opt_state = outer_optimizer.update(found.grad, state.opt_state, state.hyper)
            return found, optax.apply_updates(state.hyper, updates), opt_state

        def inner_alone():
            found = inside(state.hyper, start, inner_batches, outer_batch, key)
            silent = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(both)[0].info)
            return found._replace(info={**silent, **found.info}), state.hyper, state.opt_state

        found, hyper, opt_state = jax.lax.cond(state.step < warm_up, inner_alone, both) if warm_up else both()
        info = {**found.info, "outer_loss": found.value, "hypergradient_norm": optax.tree.norm(found.grad)}
        return BilevelState(state.step + 1, state.key, hyper, opt_state, found.end if warm_start else None), info

    return Learner(init, update)


def _strong(x: Any) -> jax.Array:
    """An array whose type is its own: a weakly typed one would turn strong in the first update and compile it twice."""
    x = jnp.asarray(x)
    return jax.lax.convert_element_type(x, x.dtype)
