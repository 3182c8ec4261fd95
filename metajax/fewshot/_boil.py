"""MAML in which only some parameters adapt; BOIL (Oh et al. 2021, arXiv:2008.08882): the body, not the head."""

import optax

from metajax import bilevel
from metajax.fewshot._method import Method, by_gradient
from metajax.fewshot._partition import Selection, combine, partition, under
from metajax.types import LossFn


def partial_maml(
    loss: LossFn,
    inner_optimizer: optax.GradientTransformation,
    outer_optimizer: optax.GradientTransformation,
    adapted: Selection,
    inner_steps: int = 1,
    test_steps: int | None = None,
    estimator: bilevel.Estimator | None = None,
    chunk: int | None = None,
) -> Method:
    """MAML whose inner steps move the ``adapted`` parameters only; all are meta-learned.

    Args:
        adapted: says of a parameter's path, such as ``"head/kernel"``, whether it adapts.
        loss, inner_optimizer, outer_optimizer, inner_steps, test_steps, estimator, chunk: as in ``maml``.

    Raises:
        InputError: if no parameter is selected.
    """
    whole = lambda hyper, params: combine(params, partition(hyper, adapted)[1])
    problem = bilevel.Problem(
        inner_loss=lambda hyper, params, batch, key: loss(whole(hyper, params), batch, key),
        outer_loss=lambda hyper, params, batch, key: loss(whole(hyper, params), batch, key),
        init=lambda hyper, key: partition(hyper, adapted)[0],
        optimizer=lambda hyper: inner_optimizer,
    )
    return by_gradient(problem, estimator or bilevel.unroll(), outer_optimizer, inner_steps, test_steps, chunk=chunk)


def boil(
    loss: LossFn,
    inner_optimizer: optax.GradientTransformation,
    outer_optimizer: optax.GradientTransformation,
    inner_steps: int = 1,
    test_steps: int | None = None,
    chunk: int | None = None,
) -> Method:
    """Body only update in the inner loop: the head stays, so the representation has to move.

    ``params`` have the entries ``"body"`` and ``"head"``, as ``nn.chain`` makes them.

    Example:
        >>> import jax
        >>> from flax import nnx
        >>> from metajax import fewshot, nn
        >>> body = nn.functional(lambda rngs: nn.MLP(1, (40,), 40, rngs=rngs))
        >>> head = nn.functional(lambda rngs: nnx.Linear(40, 1, rngs=rngs))
        >>> init, apply = nn.chain(body, head)
        >>> method = boil(fewshot.squared_error(apply), optax.sgd(0.01), optax.adam(1e-3))
        >>> state = method.init(jax.random.key(0), init(jax.random.key(1)))
        >>> learned = method.adapt(state.hyper, fewshot.sinusoid(5, 5)(jax.random.key(2)).support, jax.random.key(3))
        >>> learned["head"]["kernel"] is None
        True
    """
    return partial_maml(loss, inner_optimizer, outer_optimizer, under("body"), inner_steps, test_steps, chunk=chunk)
