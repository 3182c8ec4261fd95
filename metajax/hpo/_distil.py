"""Dataset distillation: a handful of synthetic examples on which a network learns what it would from all."""

from typing import Any

import jax
import jax.numpy as jnp

from metajax.bilevel import Inner, Problem
from metajax.hpo._problem import Examples, Training, cross_entropy
from metajax.hpo._rates import sgd
from metajax.nn import Functional, one_hot
from metajax.types import Key


def distillation(network: Functional, shape: tuple[int, ...], classes: int, per_class: int = 1) -> Training:
    """Synthetic images and the rate at which to learn from them, so that a few steps of gradient descent from a random
    initialization fit real data (Wang et al. 2018, arXiv:1811.10959).

    ``hyper`` is ``{"x": f32[classes * per_class, ...], "rate": log of the learning rate}``; the outer batch is ``Examples``
    of real data. The inner batches only count the steps: give ``jnp.arange(steps)``.

    Estimators: ``unroll``; what is learned is a path, so implicit ones do not apply.

    Args:
        network: ``(init, apply)`` of a classifier.
        shape: of one example.
        classes: how many.
        per_class: synthetic examples of each.

    Example:
        >>> from metajax import bilevel, nn
        >>> made = distillation(nn.functional(lambda rngs: nn.MLP(4, (8,), 3, rngs=rngs)), (4,), 3)
        >>> hyper = made.init(jax.random.key(0))
        >>> real = Examples(jnp.ones((5, 4)), jnp.zeros(5, jnp.int32), jnp.arange(5))
        >>> found = bilevel.unroll()(made.problem)(hyper, None, jnp.arange(10), real, jax.random.key(1))
        >>> found.grad["x"].shape
        (3, 4)
    """
    labels = jax.nn.one_hot(jnp.repeat(jnp.arange(classes), per_class), classes)

    def inner_loss(hyper: Any, params: Any, batch: Any, key: Key):
        return jnp.mean(cross_entropy(network.apply(params, hyper["x"]), labels)), {}

    def outer_loss(hyper: Any, params: Any, batch: Examples, key: Key):
        outputs = network.apply(params, batch.x)
        accuracy = jnp.mean(jnp.argmax(outputs, -1) == batch.y, dtype=outputs.dtype)
        return jnp.mean(cross_entropy(outputs, one_hot(batch.y, classes))), {"accuracy": accuracy}

    def init(key: Key) -> dict[str, jax.Array]:
        return {"x": jax.random.normal(key, (classes * per_class, *shape)), "rate": jnp.log(jnp.asarray(0.02))}

    inner = Inner.descent(inner_loss, lambda hyper, key: network.init(key), lambda hyper: sgd(jnp.exp(hyper["rate"])))
    return Training(Problem(inner, outer_loss), init)
