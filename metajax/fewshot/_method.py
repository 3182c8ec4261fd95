"""The type of a few-shot method, and the two functions that make one: by inner gradient steps, or by a solution."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import optax

from metajax import bilevel
from metajax.bilevel import BilevelState
from metajax.fewshot._tasks import with_tasks
from metajax.fewshot.episodes import Episode
from metajax.types import Batch, Hyper, Info, InputError, Key, Learner, Params, Scalar, stream


class Adapt(Protocol):
    """A function that adapts to a task."""

    def __call__(self, hyper: Hyper, support: Batch, key: Key, /) -> Any:
        """Returns the parameters of the task, stacked along a leading axis of ``test_steps + 1`` entries.

        Args:
            hyper: The meta-learned parameters.
            support: The support of one task.
            key: Key of the adaptation's randomness.
        """
        ...


class TaskLoss(Protocol):
    """A function that returns the loss on a task."""

    def __call__(self, hyper: Hyper, learned: Any, batch: Batch, key: Key, /) -> tuple[Scalar, Info]:
        """Returns the loss, and scores to report.

        Args:
            hyper: The meta-learned parameters.
            learned: One entry of what ``adapt`` returns.
            batch: The query of the task.
            key: Key of the loss's randomness.
        """
        ...


class Solve(Protocol):
    """Solves a task at once."""

    def __call__(self, hyper: Hyper, support: Batch, key: Key, /) -> Any:
        """Returns the parameters that the support determines, differentiable in ``hyper``.

        Args:
            hyper: The meta-learned parameters.
            support: The support of one task.
            key: Key of the solution's randomness.
        """
        ...


def no_init_params(key: Key) -> Params:
    """Stands for initial parameters that a method does not know.

    Raises:
        InputError: Always.
    """
    raise InputError(
        "init_params: this method has no initial parameters of its own, because it was not built by a recipe; pass "
        "them to init(key, params)"
    )


class Method(NamedTuple):
    """A few-shot method: how to meta-learn, how to adapt to a task, how to be judged.

    Attributes:
        init: ``(key, params) -> state``; ``state.hyper`` has the meta-learned parameters. A method that a recipe built
            draws the initial parameters itself if it gets none.
        update: ``(state, episodes) -> (state, info)``; the leading axis of an episode's arrays counts tasks.
        adapt: ``(hyper, support, key) -> learned``: the parameters of a task, stacked along a leading axis: after 0,
            1, ..., ``test_steps`` adaptation steps. A method that solves its task at once has a single entry.
        loss: ``(hyper, learned, batch, key) -> (loss, info)`` of one entry of ``learned``.
        train_steps: Adaptation steps in training; 0 for a solution.
        test_steps: Adaptation steps in ``adapt``; 0 for a solution.
        init_params: ``key -> initial parameters`` of the network, in a method that a recipe built. It raises ``InputError``
            in any other.
    """

    init: Callable[..., Any]
    update: Callable[[Any, Any], tuple[Any, Info]]
    adapt: Adapt
    loss: TaskLoss
    train_steps: int
    test_steps: int
    init_params: Callable[[Key], Params] = no_init_params

    @property
    def learner(self) -> Learner:
        """The part that trains, for ``run.train``."""
        return Learner(self.init, self.update)


def by_gradient(
    problem: bilevel.Problem[Any],
    estimator: bilevel.Estimator,
    outer_optimizer: optax.GradientTransformation,
    inner_steps: int,
    test_steps: int | None = None,
    begin: Callable[[Params], Hyper] = lambda params: params,
    batches: Callable[[Episode, Key], Batch] | None = None,
    chunk: int | None = None,
) -> Method:
    """Makes a method that adapts by ``inner_steps`` updates of the problem's optimizer.

    Args:
        problem: The bilevel problem of one task.
        estimator: Estimates the hypergradient of one task.
        outer_optimizer: Optimizer of the meta-learned parameters.
        inner_steps: Adaptation steps in training, >= 1.
        test_steps: Adaptation steps in ``adapt``, >= 1. The default is ``inner_steps``.
        begin: Maps initial parameters of the network to the meta-learned parameters.
        batches: ``(episodes, key) -> inner batches [steps, tasks, ...]``; by default the support, again at every step.
        chunk: Number of tasks that are computed side by side; the rest follow in a scan. Fewer need less memory.
            ``None`` computes all tasks at once.

    Returns:
        The method.

    Raises:
        InputError: If ``test_steps`` is less than 1.

    Example:
        >>> from metajax import fewshot
        >>> problem = fewshot.maml_problem(fewshot.squared_error(lambda w, x: w * x), optax.sgd(0.01))
        >>> method = by_gradient(problem, bilevel.first_order(), optax.adam(1e-3), inner_steps=2)
        >>> wave = fewshot.episodes.sinusoid(5, 5)(jax.random.key(0))
        >>> method.adapt(jnp.array(0.5), wave.support, jax.random.key(1)).shape
        (3,)
    """
    test_steps = inner_steps if test_steps is None else test_steps
    if test_steps < 1:
        raise InputError(f"by_gradient: test_steps must be an integer >= 1, got {test_steps}")
    learner = bilevel.learner(
        problem, bilevel.batched(estimator, chunk), outer_optimizer, inner_steps, warm_start=False
    )

    def repeated(episodes: Episode, key: Key) -> Batch:
        return jax.tree.map(lambda x: jnp.broadcast_to(x, (inner_steps, *x.shape)), episodes.support)

    def update(state: BilevelState, episodes: Episode) -> tuple[BilevelState, Info]:
        with_tasks(episodes)
        inner_batches = (batches or repeated)(episodes, jax.random.fold_in(stream(state.key, "batches"), state.step))
        return learner.update(state, (inner_batches, episodes.query))

    return Method(
        lambda key, params: learner.init(key, begin(params)),
        update,
        lambda hyper, support, key: bilevel.trajectory(problem, hyper, support, test_steps, key),
        problem.outer_loss,
        inner_steps,
        test_steps,
    )


def by_solution(
    solve: Solve,
    loss: TaskLoss,
    outer_optimizer: optax.GradientTransformation,
    begin: Callable[[Params], Hyper] = lambda params: params,
    chunk: int | None = None,
) -> Method:
    """Makes a method whose task is solved by a differentiable function.

    Args:
        solve: ``(hyper, support, key) -> learned``.
        loss: ``(hyper, learned, batch, key) -> (loss, info)``.
        outer_optimizer: Optimizer of the meta-learned parameters.
        begin: Maps initial parameters of the network to the meta-learned parameters.
        chunk: Number of tasks that are computed side by side; see ``by_gradient``.

    Returns:
        The method.

    Example:
        >>> from metajax.fewshot import episodes
        >>> mean = lambda hyper, support, key: hyper * jnp.mean(support[1])
        >>> loss = lambda hyper, mean, batch, key: (jnp.mean((batch[1] - mean) ** 2), {})
        >>> method = by_solution(mean, loss, optax.sgd(0.1))
        >>> state = method.init(jax.random.key(0), jnp.ones(()))
        >>> waves = episodes.tasks(episodes.sinusoid(5, 5), 4)(jax.random.key(1))
        >>> int(method.update(state, waves)[0].step)
        1
    """
    learner = solution_learner(solve, loss, outer_optimizer, chunk)

    def update(state: BilevelState, episodes: Episode) -> tuple[BilevelState, Info]:
        with_tasks(episodes)
        return learner.update(state, (jax.tree.map(lambda x: x[None], episodes.support), episodes.query))

    def adapt(hyper: Hyper, support: Batch, key: Key) -> Any:
        return jax.tree.map(lambda x: x[None], solve(hyper, support, key))

    return Method(lambda key, params: learner.init(key, begin(params)), update, adapt, loss, 0, 0)


def solution_learner(
    solve: Solve, loss: TaskLoss, outer_optimizer: optax.GradientTransformation, chunk: int | None
) -> Learner:
    """``bilevel.learner`` over tasks that are solved at once; inner batches are the support with a leading axis of 1."""
    problem = bilevel.Problem(bilevel.Inner.solution(solve), loss)
    estimator = bilevel.batched(bilevel.through_solution(), chunk)
    return bilevel.learner(problem, estimator, outer_optimizer, 1, warm_start=False)
