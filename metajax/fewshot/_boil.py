"""BOIL (Oh et al. 2021, arXiv:2008.08882): the body adapts, the head does not."""

import optax

from metajax.fewshot._builders import ADAPTED, by_descent
from metajax.fewshot._maml import maml
from metajax.fewshot._method import Method
from metajax.fewshot._recipe import Recipe
from metajax.fewshot.parameters import under
from metajax.types import LossFn


def boil(
    loss_fn: LossFn,
    inner_optimizer: optax.GradientTransformation,
    outer_optimizer: optax.GradientTransformation,
    inner_steps: int = 1,
    test_steps: int | None = None,
    chunk: int | None = None,
) -> Method:
    r"""Body-only update in the inner loop: the head stays, so the representation has to move.

    With the body θ and the head ψ of a network, the inner steps move the body only, and both are meta-learned:

    $$\min_{\theta, \psi} \; \frac1T \sum_\tau L_{Q_\tau}\bigl(\theta^\tau_S, \psi\bigr), \qquad
    \theta^\tau_0 = \theta, \quad \theta^\tau_{s+1} = \theta^\tau_s - \alpha \nabla_\theta L_{S_\tau}(\theta^\tau_s, \psi)$$

    Args:
        loss_fn: Loss of a task. Its parameters have the entries ``"body"`` and ``"head"``, as ``nn.chain`` makes them.
        inner_optimizer: Optimizer of the inner steps; see ``maml``.
        outer_optimizer: Optimizer of all initial parameters, body and head.
        inner_steps: Adaptation steps in training, >= 1.
        test_steps: Adaptation steps in ``adapt``, >= 1. The default is ``inner_steps``.
        chunk: Number of tasks that are computed side by side; see ``maml``.

    Returns:
        The method. The entries of the head are ``None`` in the adapted parameters.

    Raises:
        InputError: If the parameters have no entry ``"body"`` (when the method is first used).

    Deviations:
        None known. The loss of the authors' code (github.com/HJ-Yoo/BOIL) is a mean, too, so their rates mean the same here.

    References:
        Oh et al. 2021, arXiv:2008.08882.

    Example:
        >>> import jax
        >>> from flax import nnx
        >>> from metajax import fewshot, nn
        >>> body = nn.functional(lambda rngs: nn.MLP(1, (40,), 40, rngs=rngs))
        >>> head = nn.functional(lambda rngs: nnx.Linear(40, 1, rngs=rngs))
        >>> init, apply = nn.chain(body, head)
        >>> method = boil(fewshot.squared_error(apply), optax.sgd(0.01), optax.adam(1e-3))
        >>> state = method.init(jax.random.key(0), init(jax.random.key(1)))
        >>> learned = method.adapt(state.hyper, fewshot.episodes.sinusoid(5, 5)(jax.random.key(2)).support, jax.random.key(3))
        >>> learned["head"]["kernel"] is None
        True
    """
    return maml(loss_fn, inner_optimizer, outer_optimizer, inner_steps, test_steps, chunk=chunk, adapted=under("body"))


RECIPES = {"boil": Recipe(by_descent, boil, **ADAPTED)}
"""The recipes of this file by the names of the methods."""
