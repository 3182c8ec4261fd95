"""Learned weights of training examples, for the slot ``weights``."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from metajax import nn
from metajax._typing import AnyArray, checked
from metajax.hpo._training import Component, IndexedBatch
from metajax.types import Hyper


def example_weights(n: int, start: float = 0.0) -> Component:
    r"""Learns a weight ``sigmoid(h_i)`` for each training example: data hyper-cleaning.

    $$\min_h \; \ell_{\mathrm{held\,out}}\bigl(w^*(h)\bigr), \qquad
    w^*(h) = \arg\min_w \frac1n \sum_i \sigma(h_i)\, \ell_i(w)$$

    It fits ``unroll``, ``truncated`` and the implicit estimators; ``forward`` and evolution strategies scale with ``n``.

    Args:
        n: The number of training examples.
        start: The value of every ``h_i`` at the start; 0 is a weight of 1/2.

    Returns:
        A component for the slot ``weights``.

    Deviations:
        Franceschi et al. learn the weights themselves, and project them onto [0, 1] and onto a bound of their sum. Here they
        are sigmoids, and their sum is free.

    References:
        * Franceschi et al. 2017, "Forward and reverse gradient-based hyperparameter optimization", arXiv:1703.01785.
        * Pedregosa 2016, "Hyperparameter optimization with approximate gradient", arXiv:1602.02355.

    Example:
        >>> weights = example_weights(100)
        >>> batch = IndexedBatch(jnp.ones((2, 3)), jnp.array([0, 1]), jnp.array([5, 7]))
        >>> hyper = weights.init(jax.random.key(0)).at[7].set(-jnp.inf)  # the second example is left out
        >>> weights.apply(hyper, jnp.ones(2), batch).tolist()
        [0.5, 0.0]
    """

    @checked
    def apply(
        h: Float[AnyArray, f" {n}"], losses: Float[AnyArray, " examples"], batch: IndexedBatch
    ) -> Float[Array, " examples"]:
        return jax.nn.sigmoid(h[batch.index])

    return Component(lambda key: jnp.full(n, start), apply)


def class_weights(classes: int) -> Component:
    """Learns a weight ``exp(h_y)`` for each class, for unbalanced data.

    Args:
        classes: The number of classes.

    Returns:
        A component for the slot ``weights``. All weights are 1 at the start.

    Example:
        >>> weights = class_weights(2)
        >>> batch = IndexedBatch(jnp.ones((3, 1)), jnp.array([0, 1, 1]), jnp.arange(3))
        >>> weights.apply(jnp.log(jnp.array([1.0, 4.0])), jnp.ones(3), batch).tolist()
        [1.0, 4.0, 4.0]
    """

    @checked
    def apply(
        h: Float[AnyArray, f" {classes}"], losses: Float[AnyArray, " examples"], batch: IndexedBatch
    ) -> Float[Array, " examples"]:
        return jnp.exp(h[batch.y])

    return Component(lambda key: jnp.zeros(classes), apply)


def meta_weight_net(hidden: int = 100) -> Component:
    r"""Learns the weight of an example as a small network of its loss: a few hundred hyperparameters for data of any size.

    $$w^*(h) = \arg\min_w \frac1n \sum_i v_h\bigl(\ell_i(w)\bigr)\, \ell_i(w), \qquad
    v_h(\ell) = \sigma\bigl(\mathrm{MLP}_h(\ell)\bigr)$$

    The loss that the network sees is taken as a constant. ``truncated`` with one step, warm-started, is the paper's estimator.

    Args:
        hidden: The width of the network's hidden layer; 100 in the paper.

    Returns:
        A component for the slot ``weights``.

    Deviations:
        The paper moves the network by the gradient through a step of the weights on trial, and then repeats the step under the
        moved network. Here a step of the weights is made once, and the network is moved by the gradient through it.

    References:
        Shu et al. 2019, "Meta-Weight-Net: Learning an explicit mapping for sample weighting", arXiv:1902.07379.

    Example:
        >>> weights = meta_weight_net(hidden=8)
        >>> weights.apply(weights.init(jax.random.key(0)), jnp.array([0.1, 2.0]), None).shape
        (2,)
    """
    network = nn.functional(lambda rngs: nn.MLP(1, (hidden,), 1, rngs=rngs))

    @checked
    def apply(h: Hyper, losses: Float[AnyArray, " examples"], batch: IndexedBatch | None) -> Float[Array, " examples"]:
        return jax.nn.sigmoid(network.apply(h, jax.lax.stop_gradient(losses)[:, None])[:, 0])

    return Component(network.init, apply)
