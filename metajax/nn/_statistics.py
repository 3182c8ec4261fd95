"""Batch norm by running statistics, for models that are pure functions."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from metajax.nn._functional import Functional
from metajax.nn._layers import Moments
from metajax.types import InputError, Params


class Running(NamedTuple):
    """A model whose batch norm normalizes by the batch in training, and by running statistics in a test.

    Attributes:
        start: ``() -> statistics``, of mean 0 and variance 1.
        train: ``(params, x) -> (output, statistics of x)``.
        test: ``(params, x, statistics) -> output``; the output of an example does not depend on the other examples.
        follow: ``(statistics, statistics of a batch) -> statistics``, moved towards those of the batch.
    """

    start: Callable[[], Any]
    train: Callable[[Params, Any], tuple[Any, Any]]
    test: Callable[[Params, Any, Any], Any]
    follow: Callable[[Any, Any], Any]


def running(model: Functional, example: Any, momentum: float = 0.1) -> Running:
    """Makes the inductive variant of a model with batch norm.

    Args:
        model: A model that accepts ``report=`` and ``statistics=``, as ``Conv4`` does.
        example: A batch of inputs, or its ``jax.ShapeDtypeStruct``.
        momentum: How far a batch moves the running statistics towards its own, in (0, 1].

    Returns:
        The model as functions of parameters and statistics.

    Raises:
        InputError: If ``momentum`` is out of range.

    Example:
        >>> from metajax import nn
        >>> model = nn.functional(lambda rngs: nn.Conv4(None, width=4, rngs=rngs))
        >>> x = jax.random.uniform(jax.random.key(0), (6, 8, 8, 1))
        >>> inductive, params = running(model, x), model.init(jax.random.key(1))
        >>> features, statistics = jax.jit(inductive.train)(params, x)
        >>> alone = jax.jit(inductive.test)(params, x[:1], statistics)
        >>> bool(jnp.allclose(alone, features[:1], atol=1e-4))
        True
    """
    if not 0 < momentum <= 1:
        raise InputError(f"running: momentum must be a number > 0 and <= 1, got {momentum}")

    def train(params: Params, x: Any) -> tuple[Any, Any]:
        return model.apply(params, x, report=True)

    def test(params: Params, x: Any, statistics: Any) -> Any:
        return model.apply(params, x, statistics=statistics)

    def start() -> Any:
        shapes = jax.eval_shape(lambda key, x: train(model.init(key), x)[1], jax.random.key(0), example)
        is_moments = lambda node: isinstance(node, Moments)
        initial_moments = lambda s: Moments(
            jnp.zeros(s.mean.shape, s.mean.dtype), jnp.ones(s.variance.shape, s.variance.dtype)
        )
        return jax.tree.map(initial_moments, shapes, is_leaf=is_moments)

    def follow(statistics: Any, batch: Any) -> Any:
        return jax.tree.map(lambda old, new: old + momentum * (new - old), statistics, batch)

    return Running(start, train, test, follow)
