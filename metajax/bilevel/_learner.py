"""A hypergradient and an outer optimizer make a Learner."""

from typing import Any, NamedTuple, NotRequired, TypedDict

import jax
import jax.numpy as jnp
import optax

from metajax.bilevel._batched import batched
from metajax.bilevel._problem import Estimator, Problem
from metajax.bilevel._scan import length
from metajax.bilevel._weights_only import weights_only
from metajax.types import Hyper, Info, InputError, Key, Learner, Scalar, stream


class BilevelState(NamedTuple):
    """The state of a bilevel search.

    Attributes:
        step: Number of outer updates made so far.
        key: The key from which the randomness of every step is derived.
        hyper: The hyperparameters: what is searched.
        opt_state: The state of the outer optimizer.
        inner: Where inner learning stands if it is warm-started (for a batched estimator with a leading axis of tasks), else
            ``None``.
    """

    step: jax.Array
    key: Key
    hyper: Hyper
    opt_state: Any
    inner: Any


class BilevelInfo(TypedDict):
    """What an update of ``learner`` reports, beside what the outer loss reports.

    Attributes:
        outer_loss: The outer loss after inner learning, f[]; in the warm-up, the inner loss.
        hypergradient_norm: The Euclidean norm of the hypergradient, f[].
        inner_loss: The inner loss before the last inner step, f[], where inner learning has steps.
        solver_residual: The relative residual of the linear system, f[], where the estimator is ``implicit``.

    Example:
        >>> from metajax import bilevel
        >>> bowl = lambda h, w, batch, key: (0.5 * w**2, {"distance": jnp.abs(w)})
        >>> inner = bilevel.Inner.descent(bowl, lambda h, key: jnp.ones(()), lambda h: optax.sgd(h))
        >>> search = bilevel.learner(bilevel.Problem(inner, bowl), bilevel.unroll(), optax.sgd(0.1), 2, warm_start=False)
        >>> _, info = search.update(search.init(jax.random.key(0), jnp.asarray(0.5)), (jnp.zeros(2), ()))
        >>> sorted(info)
        ['distance', 'hypergradient_norm', 'inner_loss', 'outer_loss']
    """

    outer_loss: Scalar
    hypergradient_norm: Scalar
    inner_loss: NotRequired[Scalar]
    solver_residual: NotRequired[Scalar]


def learner(
    problem: Problem[Any],
    estimator: Estimator,
    outer_optimizer: optax.GradientTransformation,
    inner_steps: int,
    warm_start: bool,
    restart_every: int | None = None,
    warm_up: int = 0,
    tasks: int | None = None,
) -> Learner:
    """Descends the outer loss by estimated hypergradients.

    ``info`` of an update holds the fields of ``BilevelInfo``, and what the outer loss reports.

    Args:
        problem: The bilevel problem.
        estimator: How to estimate the hypergradient: ``unroll()``, ``implicit()``, ``first_order()``, ...; wrapped in
            ``batched`` if there are tasks.
        outer_optimizer: Any optax transformation, for the hyperparameters.
        inner_steps: Number of inner updates for each outer one, an integer >= 1. For ``Inner.solution`` it is the number of
            inner batches, of which the last is used.
        warm_start: Whether inner learning goes on from where it ended (DARTS, online hyperparameters) instead of beginning
            anew at every outer step (MAML, episodic hyperparameters).
        restart_every: With a warm start, begin inner learning anew after this many outer steps. ``None`` never does.
        warm_up: With a warm start, the number of first steps in which only the weights learn: no hypergradient is computed,
            ``hyper`` and the outer optimizer stay, and what the outer loss would report is 0.
        tasks: With a warm start of a ``batched`` estimator, the number of tasks: each goes on from where its own inner
            learning ended.

    Returns:
        A learner with ``init(key, hyper) -> BilevelState`` and ``update(state, (inner_batches, outer_batch)) -> (state,
        info)``. The leading axis of ``inner_batches`` has size ``inner_steps``.

    Raises:
        InputError: If a number is out of range, or if the estimator cannot use the inner part of the problem; later, if the
            batches hold another number of inner steps or of tasks, or if a batched estimator is warm-started without
            ``tasks``.

    Example:
        >>> from metajax import bilevel
        >>> ridge = lambda h, w, batch, key: (jnp.sum((w - batch) ** 2) + jnp.exp(h) * jnp.sum(w**2), {})
        >>> plain = lambda h, w, batch, key: (jnp.sum((w - batch) ** 2), {})
        >>> inner = bilevel.Inner.descent(ridge, lambda h, key: jnp.zeros(3), lambda h: optax.sgd(0.1))
        >>> problem = bilevel.Problem(inner, plain)
        >>> search = bilevel.learner(problem, bilevel.unroll(), optax.adam(0.1), inner_steps=5, warm_start=False)
        >>> state = search.init(jax.random.key(0), jnp.zeros(()))
        >>> state, info = jax.jit(search.update)(state, (jnp.ones((5, 3)), jnp.ones(3)))
        >>> round(float(state.hyper), 2)  # less regularization is better here
        -0.1
    """
    _check(inner_steps, warm_start, restart_every, warm_up, tasks)
    hypergradient = estimator(problem)

    def init(key: Key, hyper: Hyper) -> BilevelState:
        hyper = jax.tree.map(_strong, hyper)
        inner = hypergradient.begin(hyper, stream(key, "begin"), tasks) if warm_start else None
        return BilevelState(jnp.zeros((), jnp.int32), key, hyper, outer_optimizer.init(hyper), inner)

    def update(state: BilevelState, batch: Any) -> tuple[BilevelState, Info]:
        inner_batches, outer_batch = batch
        steps = length(inner_batches)
        if steps != inner_steps:
            raise InputError(
                f"learner: inner_batches must have inner_steps={inner_steps} batches, got {steps}; give that many, or "
                f"build the learner with inner_steps={steps}"
            )
        key = jax.random.fold_in(state.key, state.step)
        start = state.inner
        if restart_every is not None:
            restarted = hypergradient.begin(state.hyper, stream(key, "begin"), tasks)
            is_restart = (state.step % restart_every) == 0
            start = jax.tree.map(lambda new, old: jnp.where(is_restart, new, old), restarted, start)

        def both_levels():
            result = hypergradient(state.hyper, start, inner_batches, outer_batch, key)
            updates, opt_state = outer_optimizer.update(result.grad, state.opt_state, state.hyper)
            return result, optax.apply_updates(state.hyper, updates), opt_state

        def inner_alone():
            estimate = weights_only() if tasks is None else batched(weights_only())
            result = estimate(problem)(state.hyper, start, inner_batches, outer_batch, key)
            silent = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(both_levels)[0].info)
            return result._replace(info={**silent, **result.info}), state.hyper, state.opt_state

        result, hyper, opt_state = (
            jax.lax.cond(state.step < warm_up, inner_alone, both_levels) if warm_up else both_levels()
        )
        bilevel_info: BilevelInfo = {"outer_loss": result.value, "hypergradient_norm": optax.tree.norm(result.grad)}
        end = result.end if warm_start else None
        return BilevelState(state.step + 1, state.key, hyper, opt_state, end), {**result.info, **bilevel_info}

    return Learner(init, update)


def _check(inner_steps: int, warm_start: bool, restart_every: int | None, warm_up: int, tasks: int | None) -> None:
    """Raises ``InputError`` if a number is out of range or needs a warm start."""
    if inner_steps < 1:
        raise InputError(f"learner: inner_steps must be an integer >= 1, got {inner_steps}")
    for name, value, default in (
        ("restart_every", restart_every, None),
        ("warm_up", warm_up, 0),
        ("tasks", tasks, None),
    ):
        if value != default and (value is None or value < 1 or not warm_start):
            raise InputError(
                f"learner: {name} must be {default}, or an integer >= 1 together with warm_start=True, got "
                f"{name}={value}, warm_start={warm_start}"
            )


def _strong(x: Any) -> jax.Array:
    """An array whose type is its own: a weakly typed one would turn strong in the first update and compile it twice."""
    x = jnp.asarray(x)
    return jax.lax.convert_element_type(x, x.dtype)
