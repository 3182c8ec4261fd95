"""A ridge-regression head in closed form: R2D2 (Bertinetto et al. 2019, arXiv:1805.08136), and MetaOptNet's ridge head
(Lee et al. 2019, arXiv:1904.03758)."""

import jax
import jax.numpy as jnp
import optax

from metajax import nn
from metajax.fewshot import heads
from metajax.fewshot._builders import SOLVED, on_features
from metajax.fewshot._features import Embed, Head, by_features
from metajax.fewshot._method import Method
from metajax.fewshot._recipe import Recipe
from metajax.types import Hyper, InputError, Params


def r2d2(
    embed: Embed | nn.Running,
    outer_optimizer: optax.GradientTransformation,
    l2: float = 1.0,
    learn_l2: bool = True,
    scale: float = 1.0,
    chunk: int | None = None,
) -> Method:
    r"""Learns features on which ridge regression of one-hot labels, solved exactly, classifies well.

    With the features X and the one-hot labels Y of the support, the classifier W of a task is a closed form, solved in the
    dual, whose size is the number of examples:

    $$W = (X^\top X + \lambda I)^{-1} X^\top Y = X^\top (X X^\top + \lambda I)^{-1} Y, \qquad
    \mathrm{scores}(x) = \alpha \, f_\theta(x)^\top W$$

    ``state.hyper`` has the entries ``"body"``, ``"log_l2"`` and ``"log_scale"``; all are meta-learned.

    Args:
        embed: ``(body params, x) -> features f32[n, d]``, or ``nn.running(network, example)``; see ``protonet``.
        outer_optimizer: Optimizer of everything that is meta-learned.
        l2: The regularizer, or its initial value, > 0.
        learn_l2: Meta-learn the regularizer (R2D2); MetaOptNet keeps it fixed.
        scale: Initial factor of the scores, > 0.
        chunk: Number of tasks that are computed side by side; see ``maml``.

    Returns:
        The method.

    Raises:
        InputError: If ``l2`` or ``scale`` is not positive.

    Deviations:
        The paper also learns a shift that is common to all classes. It cancels in the cross-entropy and is left out. The
        network is the caller's; the authors' has wider layers and joins the features of its last two.

    References:
        Bertinetto et al. 2019, arXiv:1805.08136.

    Example:
        >>> from metajax import fewshot, nn
        >>> init, embed = nn.functional(lambda rngs: nn.Conv4(None, width=8, rngs=rngs))
        >>> method = r2d2(embed, optax.adam(1e-3))
        >>> state = method.init(jax.random.key(0), init(jax.random.key(1)))
        >>> sorted(state.hyper)
        ['body', 'log_l2', 'log_scale']
    """
    if l2 <= 0 or scale <= 0:
        raise InputError(f"r2d2: l2 and scale must be positive, got l2={l2}, scale={scale}")

    def begin(params: Params) -> Hyper:
        return {"body": params, "log_l2": jnp.log(l2), "log_scale": jnp.log(scale)}

    def solve(hyper: Hyper, features: jax.Array, labels: jax.Array) -> tuple[jax.Array, jax.Array]:
        log_l2 = hyper["log_l2"] if learn_l2 else jax.lax.stop_gradient(hyper["log_l2"])
        return heads.fit_ridge(features, labels, jnp.exp(log_l2))

    head = Head(solve, heads.linear_scores, lambda hyper: hyper["body"])
    return by_features(embed, head, outer_optimizer, begin, chunk)


def metaoptnet_ridge(
    embed: Embed | nn.Running,
    outer_optimizer: optax.GradientTransformation,
    l2: float = 50.0,
    chunk: int | None = None,
) -> Method:
    r"""MetaOptNet with a ridge head: a fixed regularizer λ, and a learned scale α of the scores.

    $$W = X^\top (X X^\top + \lambda I)^{-1} Y, \qquad \mathrm{scores}(x) = \alpha \, f_\theta(x)^\top W$$

    It is ``r2d2`` without a learned λ.

    Args:
        embed: ``(body params, x) -> features f32[n, d]``, or ``nn.running(network, example)``; see ``protonet``.
        outer_optimizer: Optimizer of the network and the scale.
        l2: The regularizer, > 0; 50 in the authors' code.
        chunk: Number of tasks that are computed side by side; see ``maml``.

    Returns:
        The method.

    Raises:
        InputError: If ``l2`` is not positive.

    Deviations:
        The authors' code solves for twice the labels (its linear term is -2Y) and begins with a scale of 1. The scale begins
        at 2 here, which makes the same scores; its logarithm is learned. The network is the caller's; the authors' is a
        ResNet-12.

    References:
        Lee et al. 2019, arXiv:1904.03758.

    Example:
        >>> from metajax import fewshot, nn
        >>> init, embed = nn.functional(lambda rngs: nn.Conv4(None, width=8, rngs=rngs))
        >>> method = metaoptnet_ridge(embed, optax.adam(1e-3))
        >>> state = method.init(jax.random.key(0), init(jax.random.key(1)))
        >>> round(float(jnp.exp(state.hyper["log_scale"])), 3)
        2.0
    """
    return r2d2(embed, outer_optimizer, l2, learn_l2=False, scale=2.0, chunk=chunk)


RECIPES = {
    "r2d2": Recipe(on_features, r2d2, **SOLVED),
    "metaoptnet-ridge": Recipe(on_features, metaoptnet_ridge, **SOLVED),
}
"""The recipes of this file by the names of the methods."""
