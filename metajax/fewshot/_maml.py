"""Model-agnostic meta-learning (Finn et al. 2017, arXiv:1703.03400) as a bilevel problem, of both orders."""

import optax

from metajax import bilevel
from metajax.fewshot._method import Method, by_gradient
from metajax.fewshot.parameters import Selection, combine, partition
from metajax.types import LossFn


def maml_problem(
    loss_fn: LossFn,
    inner_optimizer: optax.GradientTransformation,
    query_loss: LossFn | None = None,
    adapted: Selection | None = None,
) -> bilevel.Problem[bilevel.Descent]:
    """Returns MAML's bilevel problem: the hyperparameter is the initialization, both losses are the task's.

    Args:
        loss_fn: Loss of a task, ``(params, batch, key) -> (loss, info)``.
        inner_optimizer: Optimizer of the inner steps.
        query_loss: Loss of the adapted parameters, where it differs from ``loss_fn``.
        adapted: Selects the parameters that take inner steps; the others keep their initial values. ``None`` adapts all.

    Returns:
        The problem of one task, for ``by_gradient`` or for ``bilevel.trajectory``.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from metajax import fewshot
        >>> problem = maml_problem(fewshot.squared_error(lambda w, x: w * x), optax.sgd(0.25))
        >>> task = jnp.ones(1), 2 * jnp.ones(1)
        >>> bilevel.trajectory(problem, jnp.zeros(()), task, 3, jax.random.key(0)).tolist()  # halfway to 2 at every step
        [0.0, 1.0, 1.5, 1.75]
    """
    judge = query_loss or loss_fn
    if adapted is None:
        inner = bilevel.Inner.descent(
            loss=lambda hyper, params, batch, key: loss_fn(params, batch, key),
            init=lambda hyper, key: hyper,
            optimizer=lambda hyper: inner_optimizer,
        )
        return bilevel.Problem(inner, lambda hyper, params, batch, key: judge(params, batch, key))
    whole = lambda hyper, params: combine(params, partition(hyper, adapted)[1])
    inner = bilevel.Inner.descent(
        loss=lambda hyper, params, batch, key: loss_fn(whole(hyper, params), batch, key),
        init=lambda hyper, key: partition(hyper, adapted)[0],
        optimizer=lambda hyper: inner_optimizer,
    )
    return bilevel.Problem(inner, lambda hyper, params, batch, key: judge(whole(hyper, params), batch, key))


def maml(
    loss_fn: LossFn,
    inner_optimizer: optax.GradientTransformation,
    outer_optimizer: optax.GradientTransformation,
    inner_steps: int = 1,
    test_steps: int | None = None,
    estimator: bilevel.Estimator | None = None,
    query_loss: LossFn | None = None,
    chunk: int | None = None,
    adapted: Selection | None = None,
) -> Method:
    """Learns an initialization from which a few gradient steps on a task's support do well on its query.

    With the inner learner ``w_S(h)``, S steps of the inner optimizer on the support loss from the initialization h, it solves
    ``min over h of mean over tasks of query_loss(w_S(h))``. What is meta-learned, ``state.hyper``, is the initialization.

    Args:
        loss_fn: Loss of a task, ``(params, batch, key) -> (loss, info)``. ``fewshot.cross_entropy`` is the mean over the N·K
            examples of the support. MAML's published code divides their sum by the K shots only, so the same inner step has
            an N times larger rate here: 2.0 for its 0.4 on 5 ways, and 2.0 for its 0.1 on 20 ways.
        inner_optimizer: Any optax transformation; plain gradient descent in the paper. An inner Adam needs
            ``eps_root=1e-8``, or its derivative is not finite where a gradient is zero.
        outer_optimizer: Adam with rate 1e-3 in the paper.
        inner_steps: Adaptation steps in training, >= 1.
        test_steps: Adaptation steps in ``adapt``, >= 1. By default as many as in training.
        estimator: ``bilevel.unroll()`` (the default: exact second order; ``remat="sqrt"`` for many steps) or
            ``bilevel.first_order()`` (first-order MAML).
        query_loss: Loss of the adapted parameters, where it differs from ``loss_fn``.
        chunk: Number of tasks that are computed side by side; the rest follow in a scan. Fewer need less memory.
            ``None`` computes all tasks at once.
        adapted: Selects the parameters that take inner steps, by their paths, such as
            ``fewshot.parameters.under("head")``. All parameters are meta-learned in any case. ``None`` adapts all.

    Returns:
        A method whose ``info`` holds ``outer_loss`` (the query loss after adaptation), ``inner_loss`` and what the loss
        reports on the query.

    Raises:
        InputError: If ``test_steps`` is less than 1.
        InputError: If ``adapted`` selects no parameter (when the method is first used).

    References:
        Finn et al. 2017, arXiv:1703.03400.

    Example:
        >>> import jax
        >>> from metajax import fewshot, nn
        >>> init, apply = nn.functional(lambda rngs: nn.MLP(1, (40, 40), 1, rngs=rngs))
        >>> method = maml(fewshot.squared_error(apply), optax.sgd(0.01), optax.adam(1e-3))
        >>> state = method.init(jax.random.key(0), init(jax.random.key(1)))
        >>> sample = fewshot.episodes.tasks(fewshot.episodes.sinusoid(shots=10, queries=10), 25)
        >>> state, info = jax.jit(method.update)(state, sample(jax.random.key(2)))
        >>> sorted(info)
        ['hypergradient_norm', 'inner_loss', 'mse', 'outer_loss']
    """
    task_problem = maml_problem(loss_fn, inner_optimizer, query_loss, adapted)
    return by_gradient(
        task_problem, estimator or bilevel.unroll(), outer_optimizer, inner_steps, test_steps, chunk=chunk
    )
