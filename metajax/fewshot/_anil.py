"""ANIL (Raghu et al. 2020, arXiv:1909.09157): almost no inner loop, only the head adapts."""

from collections.abc import Callable
from typing import Any

import jax
import optax

from metajax import bilevel
from metajax.fewshot._maml import maml_problem
from metajax.fewshot._method import Method, by_solution
from metajax.types import LossFn, Params


def anil(
    embed: Callable[[Params, Any], Any],
    loss: LossFn,
    inner_optimizer: optax.GradientTransformation,
    outer_optimizer: optax.GradientTransformation,
    inner_steps: int = 1,
    test_steps: int | None = None,
    chunk: int | None = None,
) -> Method:
    """MAML on the head over features that are computed once for a task: equal to MAML in which the head alone adapts,
    at a fraction of the cost.

    Args:
        embed: ``(body params, x) -> features``.
        loss: of the head, ``(head params, (features, y), key) -> (loss, info)``.
        inner_optimizer, outer_optimizer, inner_steps, test_steps, chunk: as in ``maml``. ``params`` have the entries
            ``"body"`` and ``"head"``.

    Example:
        >>> from flax import nnx
        >>> from metajax import fewshot, nn
        >>> body = nn.functional(lambda rngs: nn.MLP(1, (40,), 40, rngs=rngs))
        >>> head = nn.functional(lambda rngs: nnx.Linear(40, 1, rngs=rngs))
        >>> method = anil(body.apply, fewshot.squared_error(head.apply), optax.sgd(0.01), optax.adam(1e-3))
        >>> state = method.init(jax.random.key(0), nn.chain(body, head).init(jax.random.key(1)))
        >>> waves = fewshot.episodes.tasks(fewshot.episodes.sinusoid(10, 10), 4)
        >>> state, info = jax.jit(method.update)(state, waves(jax.random.key(2)))
    """
    head = maml_problem(loss, inner_optimizer)
    tested = inner_steps if test_steps is None else test_steps

    def path(hyper, support, key, steps):
        features = (embed(hyper["body"], support[0]), support[1])
        return bilevel.trajectory(head, hyper["head"], features, steps, key)

    def solve(hyper, support, key):
        return jax.tree.map(lambda x: x[-1], path(hyper, support, key, inner_steps))

    def judge(hyper, learned, batch, key):
        return loss(learned, (embed(hyper["body"], batch[0]), batch[1]), key)

    made = by_solution(solve, judge, outer_optimizer, chunk=chunk)
    adapt = lambda hyper, support, key: path(hyper, support, key, tested)
    return made._replace(adapt=adapt, train_steps=inner_steps, test_steps=tested)
