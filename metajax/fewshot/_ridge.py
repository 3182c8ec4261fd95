"""A ridge-regression head in closed form: R2D2 (Bertinetto et al. 2019, arXiv:1805.08136), and MetaOptNet's ridge head
(Lee et al. 2019, arXiv:1904.03758)."""

import jax
import jax.numpy as jnp
import optax

from metajax import nn
from metajax.fewshot import heads
from metajax.fewshot._features import Embed, Head, by_features
from metajax.fewshot._method import Method
from metajax.types import InputError, Params


def r2d2(
    embed: Embed | nn.Running,
    outer_optimizer: optax.GradientTransformation,
    l2: float = 1.0,
    learn_l2: bool = True,
    scale: float = 1.0,
    chunk: int | None = None,
) -> Method:
    """Learns features on which ridge regression of one-hot labels, solved exactly, classifies well.

    Scores are ``scale · features @ weights``; the paper's shift common to all classes cancels in the cross-entropy.
    ``state.hyper`` has the entries ``"body"``, ``"log_l2"`` and ``"log_scale"``; all are meta-learned.

    Args:
        embed: ``(body params, x) -> features f32[n, d]``, or ``nn.running(network, example)``.
        l2: the regularizer, or its initial value.
        learn_l2: meta-learn it (R2D2); MetaOptNet keeps it fixed.
        scale: initial factor of the scores.
        outer_optimizer, chunk: as in ``protonet``.

    Example:
        >>> from metajax import fewshot, nn
        >>> init, embed = nn.functional(lambda rngs: nn.Conv4(None, width=8, rngs=rngs))
        >>> method = r2d2(embed, optax.adam(1e-3))
        >>> state = method.init(jax.random.key(0), init(jax.random.key(1)))
        >>> sorted(state.hyper)
        ['body', 'log_l2', 'log_scale']
    """
    if l2 <= 0 or scale <= 0:
        raise InputError(f"r2d2: need l2 > 0 and scale > 0; got l2={l2}, scale={scale}")

    def begin(params: Params):
        return {"body": params, "log_l2": jnp.log(l2), "log_scale": jnp.log(scale)}

    def solve(hyper, features, labels):
        log_l2 = hyper["log_l2"] if learn_l2 else jax.lax.stop_gradient(hyper["log_l2"])
        return heads.ridge(features, labels, jnp.exp(log_l2))

    head = Head(solve, heads.linear_scores, lambda hyper: hyper["body"])
    return by_features(embed, head, outer_optimizer, begin, chunk)


def metaoptnet_ridge(
    embed: Embed | nn.Running,
    outer_optimizer: optax.GradientTransformation,
    l2: float = 50.0,
    chunk: int | None = None,
) -> Method:
    """MetaOptNet with a ridge head: a fixed regularizer, and a learned scale of the scores.

    The authors' code solves for twice the labels (its linear term is -2Y) and begins with a scale of 1; the scale begins at 2
    here, which makes the same scores.

    Args:
        l2: the regularizer; 50 in the authors' code.
        embed, outer_optimizer, chunk: as in ``r2d2``.

    Example:
        >>> from metajax import fewshot, nn
        >>> init, embed = nn.functional(lambda rngs: nn.Conv4(None, width=8, rngs=rngs))
        >>> method = metaoptnet_ridge(embed, optax.adam(1e-3))
        >>> state = method.init(jax.random.key(0), init(jax.random.key(1)))
        >>> round(float(jnp.exp(state.hyper["log_scale"])), 3)
        2.0
    """
    return r2d2(embed, outer_optimizer, l2, learn_l2=False, scale=2.0, chunk=chunk)
