"""Model-agnostic meta-learning (Finn et al. 2017, arXiv:1703.03400) as a bilevel problem."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from metajax import bilevel
from metajax.bilevel.inner import checkpointed_scan
from metajax.fewshot.episodes import Episode
from metajax.types import Key, Learner, LossFn, Params


def problem(loss: LossFn, inner_optimizer: optax.GradientTransformation) -> bilevel.Problem:
    """MAML's bilevel problem: the hyperparameter is the initialisation, both losses are the task's."""
    return bilevel.Problem(
        inner_loss=lambda hyper, params, batch, key: loss(params, batch, key),
        outer_loss=lambda hyper, params, batch, key: loss(params, batch, key),
        init=lambda hyper, key: hyper,
        optimizer=lambda hyper: inner_optimizer,
    )


def maml(
    loss: LossFn,
    inner_optimizer: optax.GradientTransformation,
    outer_optimizer: optax.GradientTransformation,
    inner_steps: int = 1,
    estimator: bilevel.Estimator | None = None,
    chunk: int | None = None,
) -> Learner:
    """Learns an initialisation from which a few gradient steps on a task's support do well on its query.

    ``init(key, params) -> state`` and ``update(state, episodes)``, where episodes carry a leading axis of tasks. The
    initialisation is ``state.hyper``. ``info`` holds ``outer_loss`` (query loss after adaptation) and what ``loss``
    reports on the query.

    Args:
        loss: of a task, ``(params, (x, y), key) -> (loss, info)``. It is averaged over examples, so an inner rate is
            1/N of that of MAML's published code, which sums.
        inner_optimizer: any optax transformation; plain gradient descent in the paper.
        outer_optimizer: Adam with rate 1e-3 in the paper.
        inner_steps: adaptation steps in training.
        estimator: ``bilevel.unroll()`` (default: exact second order), ``bilevel.first_order()`` (FOMAML),
            ``bilevel.implicit()`` (with a proximal term in the loss: iMAML), ...
        chunk: tasks side by side; the rest follow in a scan. Fewer need less memory.

    Example:
        >>> from metajax import fewshot, nn
        >>> init, apply = nn.functional(lambda rngs: nn.MLP(1, (40, 40), 1, rngs=rngs))
        >>> learner = maml(fewshot.squared_error(apply), optax.sgd(0.01), optax.adam(1e-3))
        >>> state = learner.init(jax.random.key(0), init(jax.random.key(1)))
        >>> sample = fewshot.tasks(fewshot.sinusoid(shots=10, queries=10), 25)
        >>> state, info = jax.jit(learner.update)(state, sample(jax.random.key(2)))
        >>> sorted(info)
        ['hypergradient_norm', 'inner_loss', 'mse', 'outer_loss']
    """
    search = bilevel.learner(
        problem(loss, inner_optimizer),
        bilevel.batched(estimator or bilevel.unroll(), chunk),
        outer_optimizer,
        inner_steps,
        warm_start=False,
    )

    def update(state: bilevel.BilevelState, episodes: Episode):
        repeat = lambda x: jnp.broadcast_to(x, (inner_steps, *x.shape))
        return search.update(state, (jax.tree.map(repeat, episodes.support), episodes.query))

    return Learner(search.init, update)


def adapt(
    loss: LossFn, inner_optimizer: optax.GradientTransformation, steps: int
) -> Callable[[Params, Any, Key], Params]:
    """``(params, support, key) -> params after 0, 1, ..., steps updates``, stacked along a leading axis."""

    def run(params: Params, support: Any, key: Key) -> Params:
        def body(carry, index):
            params, opt_state = carry
            grads = jax.grad(loss, has_aux=True)(params, support, jax.random.fold_in(key, index))[0]
            updates, opt_state = inner_optimizer.update(grads, opt_state, params)
            params = optax.apply_updates(params, updates)
            return (params, opt_state), params

        _, path = checkpointed_scan(body, (params, inner_optimizer.init(params)), jnp.arange(steps), steps, None)
        return jax.tree.map(lambda first, rest: jnp.concatenate([first[None], rest]), params, path)

    return run
