"""What a few-shot method is, and the two ways in which one is made: by inner gradient steps, or by a solution."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from metajax import bilevel
from metajax.bilevel import BilevelState
from metajax.fewshot.episodes import Episode
from metajax.types import Hyper, Info, InputError, Key, Learner, Params, Scalar, stream


def no_init_params(key: Key) -> Params:
    """Stands for initial parameters that a method does not know.

    Raises:
        InputError: Always.
    """
    raise InputError("init_params: this method was made of its parts, so pass initial parameters to init(key, params)")


class Method(NamedTuple):
    """A few-shot method: how to meta-learn, how to adapt to a task, how to be judged.

    Attributes:
        init: ``(key, params) -> state``; what is meta-learned is ``state.hyper``. A method that a recipe built draws the
            initial parameters itself where none are given.
        update: ``(state, episodes) -> (state, info)``; the leading axis of an episode's arrays counts tasks.
        adapt: ``(hyper, support, key) -> learned``: what a task was learned to be, stacked along a leading axis: after 0,
            1, ..., ``test_steps`` adaptation steps. A method that solves its task at once has a single entry.
        loss: ``(hyper, learned, batch, key) -> (loss, info)`` of one entry of ``learned``.
        train_steps, test_steps: adaptation steps in training and in ``adapt``; 0 for a solution.
        init_params: ``key -> initial parameters`` of the network, in a method that a recipe built. It raises ``InputError``
            in any other.
    """

    init: Callable[..., Any]
    update: Callable[[Any, Any], tuple[Any, Info]]
    adapt: Callable[[Hyper, Any, Key], Any]
    loss: Callable[[Hyper, Any, Any, Key], tuple[Scalar, Info]]
    train_steps: int
    test_steps: int
    init_params: Callable[[Key], Params] = no_init_params

    @property
    def learner(self) -> Learner:
        """The part that trains, for ``run.train``."""
        return Learner(self.init, self.update)


def by_gradient(
    problem: bilevel.Problem,
    estimator: bilevel.Estimator,
    outer_optimizer: optax.GradientTransformation,
    inner_steps: int,
    test_steps: int | None = None,
    begin: Callable[[Params], Hyper] = lambda params: params,
    batches: Callable[[Episode, Key], Any] | None = None,
    chunk: int | None = None,
) -> Method:
    """A method that adapts by ``inner_steps`` updates of the problem's optimizer.

    Args:
        problem: of one task.
        estimator: of the hypergradient of one task.
        begin: initial weights -> what is meta-learned.
        batches: ``(episodes, key) -> inner batches [steps, tasks, ...]``; by default the support, again at every step.
        chunk: tasks side by side; the rest follow in a scan. Fewer need less memory.
    """
    test_steps = inner_steps if test_steps is None else test_steps
    if test_steps < 1:
        raise InputError(f"by_gradient: test_steps={test_steps}; accepted is a positive whole number")
    search = bilevel.learner(problem, bilevel.batched(estimator, chunk), outer_optimizer, inner_steps, warm_start=False)

    def repeated(episodes: Episode, key: Key) -> Any:
        return jax.tree.map(lambda x: jnp.broadcast_to(x, (inner_steps, *x.shape)), episodes.support)

    def update(state: BilevelState, episodes: Episode):
        drawn = (batches or repeated)(episodes, jax.random.fold_in(stream(state.key, "batches"), state.step))
        return search.update(state, (drawn, episodes.query))

    return Method(
        lambda key, params: search.init(key, begin(params)),
        update,
        lambda hyper, support, key: bilevel.trajectory(problem, hyper, support, test_steps, key),
        problem.outer_loss,
        inner_steps,
        test_steps,
    )


def by_solution(
    solve: Callable[[Hyper, Any, Key], Any],
    loss: Callable[[Hyper, Any, Any, Key], tuple[Scalar, Info]],
    outer_optimizer: optax.GradientTransformation,
    begin: Callable[[Params], Hyper] = lambda params: params,
    chunk: int | None = None,
) -> Method:
    """A method whose task is solved by a differentiable function.

    Args:
        solve: ``(hyper, support, key) -> learned``.
        loss: ``(hyper, learned, batch, key) -> (loss, info)``.
        begin, chunk: as in ``by_gradient``.
    """
    search = solution_learner(solve, loss, outer_optimizer, chunk)

    def update(state: BilevelState, episodes: Episode):
        return search.update(state, (jax.tree.map(lambda x: x[None], episodes.support), episodes.query))

    def adapt(hyper: Hyper, support: Any, key: Key) -> Any:
        return jax.tree.map(lambda x: x[None], solve(hyper, support, key))

    return Method(lambda key, params: search.init(key, begin(params)), update, adapt, loss, 0, 0)


def solution_learner(solve, loss, outer_optimizer: optax.GradientTransformation, chunk: int | None) -> Learner:
    """``bilevel.learner`` over tasks that are solved at once; inner batches are the support with a leading axis of 1."""
    problem = bilevel.Problem(bilevel.Inner.solution(solve), loss)
    estimator = bilevel.batched(bilevel.through_solution(), chunk)
    return bilevel.learner(problem, estimator, outer_optimizer, 1, warm_start=False)
