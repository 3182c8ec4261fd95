"""What is solved, and what comes back: the bilevel problem, its estimators and the hypergradient."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, Protocol, TypedDict, TypeVar

import jax
import jax.numpy as jnp

from metajax.bilevel._inner import Descent, HyperLoss, Inner, Solution
from metajax.bilevel._with_info import with_info
from metajax.types import Batch, Hyper, Info, InputError, Key, Scalar, stream

InnerT = TypeVar("InnerT", bound=Inner, covariant=True)


class Problem(NamedTuple, Generic[InnerT]):
    """``min over h of outer_loss(h, w*(h))``, where ``inner`` says how ``w*(h)`` is reached.

    Attributes:
        inner: ``Inner.descent(loss, init, optimizer)`` or ``Inner.solution(solve)``.
        outer_loss: ``(hyper, params, batch, key) -> (loss, info)``.

    Example:
        >>> import optax
        >>> from metajax import bilevel
        >>> ridge = lambda h, w, batch, key: (jnp.sum((w - batch) ** 2) + jnp.exp(h) * jnp.sum(w**2), {})
        >>> plain = lambda h, w, batch, key: (jnp.sum((w - batch) ** 2), {})
        >>> inner = bilevel.Inner.descent(ridge, lambda h, key: jnp.zeros(3), lambda h: optax.sgd(0.1))
        >>> problem = bilevel.Problem(inner, plain)
        >>> fn = bilevel.unroll()(problem)
        >>> result = fn(jnp.zeros(()), None, jnp.ones((50, 3)), jnp.ones(3), jax.random.key(0))
        >>> round(float(result.value), 3), round(float(result.grad), 3)  # 3 (1 - w)^2 and its derivative, w = 1 / (1 + e^h)
        (0.75, 0.75)
    """

    inner: InnerT
    outer_loss: HyperLoss


class InnerInfo(TypedDict):
    """What an estimator that follows inner steps adds to the info of the outer loss.

    Attributes:
        inner_loss: The inner loss before the last inner step, f[].
    """

    inner_loss: Scalar


class Hypergradient(NamedTuple):
    """What an estimator returns.

    Attributes:
        value: The outer loss at ``end``.
        grad: Its gradient in ``hyper``, or the estimate of it, with the structure of ``hyper``.
        end: The inner state after learning. A warm-started search goes on from it.
        info: Scalars to log: those of the outer loss and, if inner learning has steps, ``inner_loss``, the inner loss before
            the last of them. ``bilevel.implicit`` adds ``solver_residual``.
    """

    value: Scalar
    grad: Hyper
    end: Any
    info: Info


class EstimateFn(Protocol):
    """Estimates a hypergradient; see ``HypergradientFn``."""

    def __call__(
        self, hyper: Hyper, start: Any, inner_batches: Batch, outer_batch: Batch, key: Key, /
    ) -> Hypergradient: ...


@dataclass(frozen=True)
class HypergradientFn:
    """The hypergradient of a problem: what an estimator makes of it.

    An estimator draws from three streams of the key by name: ``"init"`` (the first parameters), ``"inner"`` (the inner steps
    or the solution) and ``"outer"`` (the outer loss).

    Attributes:
        estimate: The estimate, called as ``HypergradientFn`` itself is.
        init: ``(hyper, key) ->`` the inner state of one inner problem before its first step.
        mean: The estimate averaged over tasks at less than the cost of every task's own gradient, or ``None`` if there is no
            such shortcut. All arguments but ``hyper`` and a ``start`` of ``None`` have a leading axis of tasks, and so has
            ``end``.
        has_tasks: Whether the estimate is of many inner problems at once, as ``batched`` makes it.

    Example:
        >>> import optax
        >>> from metajax import bilevel
        >>> bowl = lambda h, w, batch, key: (0.5 * w**2, {})
        >>> inner = bilevel.Inner.descent(bowl, lambda h, key: jnp.ones(()), lambda h: optax.sgd(h))
        >>> fn, hyper = bilevel.unroll()(bilevel.Problem(inner, bowl)), jnp.asarray(0.5)
        >>> first = fn(hyper, fn.begin(hyper, jax.random.key(0)), jnp.zeros(2), (), jax.random.key(1))
        >>> second = fn(hyper, first.end, jnp.zeros(2), (), jax.random.key(2))  # goes on where the first one ended
        >>> float(first.end.params), float(second.end.params)
        (0.25, 0.0625)
    """

    estimate: EstimateFn
    init: Callable[[Hyper, Key], Any]
    mean: EstimateFn | None = None
    has_tasks: bool = False

    def __call__(self, hyper: Hyper, start: Any, inner_batches: Batch, outer_batch: Batch, key: Key) -> Hypergradient:
        """Estimates the hypergradient.

        Args:
            hyper: The hyperparameters, a pytree of floating-point arrays.
            start: An inner state to go on from, or ``None`` to begin anew; then the initialization is differentiated through
                where the estimator can.
            inner_batches: The batches of the inner steps, stacked along a leading axis; ``[steps, tasks, ...]`` if the
                estimate has tasks.
            outer_batch: The batch of the outer loss; ``[tasks, ...]`` if the estimate has tasks.
            key: Randomness of the whole estimate.

        Returns:
            The outer loss, its gradient, the last inner state and scalars to log.
        """
        return self.estimate(hyper, start, inner_batches, outer_batch, key)

    def begin(self, hyper: Hyper, key: Key, tasks: int | None = None) -> Any:
        """Makes the first inner state of a warm-started search.

        Args:
            hyper: The hyperparameters.
            key: Randomness of the initialization.
            tasks: The number of tasks if the estimate has tasks, and ``None`` if it has none.

        Returns:
            The state of one inner problem or, with ``tasks``, of each of them along a leading axis.

        Raises:
            InputError: If ``tasks`` is missing, or is passed but the estimate has no tasks, or if the inner problem is
                solved by a function.
        """
        if self.has_tasks and (tasks is None or tasks < 1):
            raise InputError(
                "begin: tasks must be an integer >= 1 for a batched estimator, which holds one inner state per task, "
                f"got {tasks}; give the number of tasks, as in bilevel.learner(..., warm_start=True, tasks=4)"
            )
        if tasks is None:
            return self.init(hyper, key)
        if not self.has_tasks:
            raise InputError(
                f"begin: tasks must be None for an estimator of one task, got {tasks}; wrap the estimator in "
                "bilevel.batched, or leave tasks out"
            )
        return jax.vmap(lambda own: self.init(hyper, own))(task_keys(key, tasks))


class Estimator(Protocol):
    """Makes the hypergradient of a problem: ``unroll()``, ``implicit()``, ``through_solution()``, ... return one."""

    def __call__(self, problem: Problem[Any], /) -> HypergradientFn:
        """Makes the hypergradient of a problem.

        Args:
            problem: The bilevel problem.

        Returns:
            A function that estimates the hypergradient.

        Raises:
            InputError: If the estimator cannot use the inner part of the problem.
        """
        ...


def descent(problem: Problem[Any], name: str) -> Problem[Descent]:
    """A problem that is solved by descent, with losses that are refused in a sentence where they return no info.

    Raises:
        InputError: If it is solved by a function.
    """
    if isinstance(inner := problem.inner, Descent):
        checked = Descent(with_info(inner.loss, "the inner loss"), inner.init, inner.optimizer)
        return Problem(checked, with_info(problem.outer_loss, "the outer loss"))
    raise InputError(
        f"{name}: the inner problem must be Inner.descent(loss, init, optimizer), got {_kind(problem.inner)}; use "
        "bilevel.through_solution() for a solution, or bilevel.evolution() if it has no derivative"
    )


def descent_estimator(name: str, estimate: Callable[..., Hypergradient], *settings: Any) -> Estimator:
    """Makes an estimator for problems that are solved by descent.

    Args:
        name: Its name, for messages.
        estimate: ``(problem, *settings, hyper, start, inner_batches, outer_batch, key) -> hypergradient``.
        *settings: What the estimator was given.
    """

    def estimator(problem: Problem[Any]) -> HypergradientFn:
        problem = descent(problem, name)
        return HypergradientFn(functools.partial(estimate, problem, *settings), problem.inner.begin)

    return estimator


def solution(problem: Problem[Any], name: str) -> Problem[Solution]:
    """A problem that is solved by a function, with an outer loss that is refused in a sentence where it returns no info.

    Raises:
        InputError: If it is solved by descent.
    """
    if isinstance(problem.inner, Solution):
        return Problem(problem.inner, with_info(problem.outer_loss, "the outer loss"))
    raise InputError(
        f"{name}: the inner problem must be Inner.solution(solve), got {_kind(problem.inner)}; use bilevel.unroll(), "
        "forward(), implicit() or another estimator that follows the steps of a descent"
    )


def _kind(inner: Any) -> str:
    """How an inner problem is named in an error."""
    names = {Descent: "Inner.descent(...)", Solution: "Inner.solution(...)"}
    return names.get(type(inner), f"of type {type(inner).__name__}")


def task_keys(key: Key, tasks: int) -> jax.Array:
    """One key for each task."""
    return jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.arange(tasks))


def over_tasks(work: Callable[..., Any], hyper: Hyper, start: Any, *batches: Any) -> Any:
    """Stacks ``work(hyper, start, *batches)`` of every task. All but ``hyper`` and a ``start`` of ``None`` have a leading axis
    of tasks."""
    axes = (None, None if start is None else 0, *(0 for _ in batches))
    return jax.vmap(work, in_axes=axes)(hyper, start, *batches)


class Keys(NamedTuple):
    """A key each for the initial parameters, the inner steps and the outer loss."""

    init: Key
    inner: Key
    outer: Key


def split(key: Key) -> Keys:
    """The three streams that every estimator draws from."""
    return Keys(*(stream(key, name) for name in Keys._fields))
