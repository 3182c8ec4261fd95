"""Batch norm by running statistics, for models that are pure functions."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from metajax.nn._functional import Functional
from metajax.nn._layers import Moments
from metajax.types import Params


class Running(NamedTuple):
    """A model whose batch norm normalizes by the batch in training, and by running statistics in a test.

    Attributes:
        start: ``() -> statistics``, of mean 0 and variance 1.
        train: ``(params, x) -> (output, statistics of x)``.
        test: ``(params, x, statistics) -> output``; the output of an example does not depend on the other examples.
    """

    start: Callable[[], Any]
    train: Callable[[Params, Any], tuple[Any, Any]]
    test: Callable[[Params, Any, Any], Any]


def running(model: Functional, example: Any) -> Running:
    """Makes the inductive variant of a model with batch norm.

    Args:
        model: must accept ``report=`` and ``statistics=``, as ``Conv4`` does.
        example: an input, or its ``jax.ShapeDtypeStruct``.

    Example:
        >>> from metajax import nn
        >>> model = nn.functional(lambda rngs: nn.Conv4(None, width=4, rngs=rngs))
        >>> x = jax.random.uniform(jax.random.key(0), (6, 8, 8, 1))
        >>> inductive, params = running(model, x), model.init(jax.random.key(1))
        >>> features, statistics = inductive.train(params, x)
        >>> alone = inductive.test(params, x[:1], statistics)
        >>> bool(jnp.allclose(alone, features[:1], atol=1e-4))
        True
    """

    def train(params: Params, x: Any) -> tuple[Any, Any]:
        return model.apply(params, x, report=True)

    def start() -> Any:
        shapes = jax.eval_shape(lambda key, x: train(model.init(key), x)[1], jax.random.key(0), example)
        is_moments = lambda node: isinstance(node, Moments)
        fresh = lambda s: Moments(jnp.zeros(s.mean.shape, s.mean.dtype), jnp.ones(s.variance.shape, s.variance.dtype))
        return jax.tree.map(fresh, shapes, is_leaf=is_moments)

    return Running(start, train, lambda params, x, statistics: model.apply(params, x, statistics=statistics))


def follow(statistics: Any, seen: Any, momentum: float = 0.1) -> Any:
    """Moves running statistics by ``momentum`` towards those of a batch."""
    return jax.tree.map(lambda old, new: old + momentum * (new - old), statistics, seen)
