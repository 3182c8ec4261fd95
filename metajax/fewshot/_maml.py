"""Model-agnostic meta-learning (Finn et al. 2017, arXiv:1703.03400) as a bilevel problem, of both orders."""

import optax

from metajax import bilevel
from metajax.fewshot._method import Method, by_gradient
from metajax.types import LossFn


def problem(
    loss: LossFn, inner_optimizer: optax.GradientTransformation, query_loss: LossFn | None = None
) -> bilevel.Problem:
    """MAML's bilevel problem: the hyperparameter is the initialization, both losses are the task's.

    Args:
        query_loss: of the adapted parameters, where it is another than ``loss``.
    """
    judge = query_loss or loss
    return bilevel.Problem(
        inner_loss=lambda hyper, params, batch, key: loss(params, batch, key),
        outer_loss=lambda hyper, params, batch, key: judge(params, batch, key),
        init=lambda hyper, key: hyper,
        optimizer=lambda hyper: inner_optimizer,
    )


def maml(
    loss: LossFn,
    inner_optimizer: optax.GradientTransformation,
    outer_optimizer: optax.GradientTransformation,
    inner_steps: int = 1,
    test_steps: int | None = None,
    estimator: bilevel.Estimator | None = None,
    query_loss: LossFn | None = None,
    chunk: int | None = None,
) -> Method:
    """Learns an initialization from which a few gradient steps on a task's support do well on its query.

    ``init(key, params) -> state`` and ``update(state, episodes)``; the initialization is ``state.hyper``. ``info`` holds
    ``outer_loss`` (query loss after adaptation) and what ``loss`` reports on the query.

    Args:
        loss: of a task, ``(params, batch, key) -> (loss, info)``. ``fewshot.cross_entropy`` is the mean over the N·K
            examples of the support. MAML's published code divides their sum by the K shots only, so the same inner step has
            an N times larger rate here: 2.0 for its 0.4 on 5 ways, and 2.0 for its 0.1 on 20 ways.
        inner_optimizer: any optax transformation; plain gradient descent in the paper. An inner Adam needs
            ``eps_root=1e-8``.
        outer_optimizer: Adam with rate 1e-3 in the paper.
        inner_steps: adaptation steps in training.
        test_steps: adaptation steps in ``adapt`` (default: as in training).
        estimator: ``bilevel.unroll()`` (default: exact second order; ``remat="sqrt"`` for many steps) or
            ``bilevel.first_order()`` (first-order MAML).
        query_loss: of the adapted parameters, where it is another than ``loss``.
        chunk: tasks side by side; the rest follow in a scan. Fewer need less memory.

    Example:
        >>> import jax
        >>> from metajax import fewshot, nn
        >>> init, apply = nn.functional(lambda rngs: nn.MLP(1, (40, 40), 1, rngs=rngs))
        >>> method = maml(fewshot.squared_error(apply), optax.sgd(0.01), optax.adam(1e-3))
        >>> state = method.init(jax.random.key(0), init(jax.random.key(1)))
        >>> sample = fewshot.tasks(fewshot.sinusoid(shots=10, queries=10), 25)
        >>> state, info = jax.jit(method.update)(state, sample(jax.random.key(2)))
        >>> sorted(info)
        ['hypergradient_norm', 'inner_loss', 'mse', 'outer_loss']
    """
    made = problem(loss, inner_optimizer, query_loss)
    return by_gradient(made, estimator or bilevel.unroll(), outer_optimizer, inner_steps, test_steps, chunk=chunk)
