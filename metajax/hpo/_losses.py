"""Learned penalties and loss functions, for the slots ``penalty`` and ``loss``."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from metajax import nn
from metajax._typing import AnyArray, checked
from metajax.hpo._training import Component, cross_entropy
from metajax.types import Hyper, Key, Params, Scalar


def l2(like: Params | None = None, start: float = -9.0) -> Component:
    r"""Learns the strength of an L2 penalty: weight decay inside the inner loss, where implicit estimators see it.

    $$\frac12 \sum_j e^{h_j} w_j^2$$

    Args:
        like: ``None`` learns one strength. Parameters learn one for each of their entries, the millions of hyperparameters of
            Lorraine et al. A pytree of scalars whose leaves stand for the layers learns one for each layer.
        start: The logarithm of the strength at the start.

    Returns:
        A component for the slot ``penalty``.

    Deviations:
        Lorraine et al. learn one strength for each entry of the parameters. One for all, and one for each layer, are beside
        the paper.

    References:
        Lorraine et al. 2020, "Optimizing millions of hyperparameters by implicit differentiation", arXiv:1911.02590.

    Example:
        >>> by_layer = l2({"first": 0.0, "second": 0.0})
        >>> params = {"first": jnp.array([2.0]), "second": jnp.array([1.0, 1.0])}
        >>> float(by_layer.apply({"first": jnp.log(3.0), "second": jnp.log(0.5)}, params))  # (3 · 4 + 0.5 · 2) / 2
        6.5
    """

    def init(key: Key) -> Hyper:
        shapes = jnp.zeros(()) if like is None else like
        return jax.tree.map(lambda w: jnp.full_like(jnp.asarray(w), start), shapes)

    @checked
    def apply(h: Hyper, params: Params) -> Scalar:
        below = lambda d, part: [jnp.sum(jnp.exp(d) * jnp.square(w)) for w in jax.tree.leaves(part)]
        return 0.5 * jnp.sum(jnp.stack(jax.tree.leaves(jax.tree.map(below, h, params))))

    return Component(init, apply)


def polynomial_loss(terms: int = 4) -> Component:
    r"""Learns the first coefficients of a loss: cross-entropy plus a polynomial.

    With $p$ the probability of the target,

    $$-\log p + \sum_{j=1}^{J} h_j (1 - p)^j$$

    Args:
        terms: The number of free coefficients.

    Returns:
        A component for the slot ``loss``. It is cross-entropy at the start.

    Deviations:
        The paper searches the coefficients on a grid, most often the first one alone. Here all of them are learned by gradient.

    References:
        Leng et al. 2022, "PolyLoss: A polynomial expansion perspective of classification loss functions", arXiv:2204.12511.

    Example:
        >>> loss = polynomial_loss(terms=1)
        >>> logits, target = jnp.zeros((1, 2)), jnp.array([[1.0, 0.0]])
        >>> [round(float(loss.apply(jnp.array([h]), logits, target)[0]), 3) for h in (0.0, 1.0)]  # log 2, and 1/2 more
        [0.693, 1.193]
    """

    @checked
    def apply(
        h: Hyper, outputs: Float[AnyArray, "examples classes"], targets: Float[AnyArray, "examples classes"]
    ) -> Float[Array, " examples"]:
        missed = 1 - jnp.sum(targets * jax.nn.softmax(outputs), axis=-1, keepdims=True)
        powers = missed ** jnp.arange(1, terms + 1, dtype=outputs.dtype)
        return cross_entropy(outputs, targets) + powers @ h

    return Component(lambda key: jnp.zeros(terms), apply)


def learned_loss(hidden: int = 32) -> Component:
    r"""Learns a loss as a small network beside a cross-entropy.

    For logits $z$ of an example and its target $y$ over the classes,

    $$-\sum_k y_k \log \mathrm{softmax}(z)_k + \sum_k \phi_h(z_k - \bar z, \, y_k), \qquad \phi_h = \mathrm{MLP}_h$$

    The network reads the logit of each class, relative to the mean of the example's logits, and its target; its outputs are
    summed over the classes.

    Args:
        hidden: The width of the network's hidden layer.

    Returns:
        A component for the slot ``loss``. The last layer of the network begins at zero, so that the loss begins as
        cross-entropy.

    Deviations:
        The network of the paper is the whole inner loss, and reads all outputs of an example at once. Here it is added to
        cross-entropy, and reads the classes one by one, so that their order means nothing.

    References:
        Bechtle et al. 2021, "Meta-learning via learned loss", arXiv:1906.05374.

    Example:
        >>> loss = learned_loss(hidden=8)
        >>> hyper = loss.init(jax.random.key(0))
        >>> round(float(loss.apply(hyper, jnp.zeros((1, 2)), jnp.array([[1.0, 0.0]]))[0]), 3)  # cross-entropy: log 2
        0.693
    """
    network = nn.functional(lambda rngs: nn.MLP(2, (hidden,), 1, jnp.tanh, rngs=rngs))

    def init(key: Key) -> Hyper:
        params = network.init(key)
        last = max(params["layers"])
        zeros = jax.tree.map(jnp.zeros_like, params["layers"][last])
        return {**params, "layers": {**params["layers"], last: zeros}}

    @checked
    def apply(
        h: Hyper, outputs: Float[AnyArray, "examples classes"], targets: Float[AnyArray, "examples classes"]
    ) -> Float[Array, " examples"]:
        centered = outputs - jnp.mean(outputs, axis=-1, keepdims=True)
        class_terms = network.apply(h, jnp.stack([centered, targets], axis=-1))[..., 0]
        return cross_entropy(outputs, targets) + jnp.sum(class_terms, axis=-1)

    return Component(init, apply)
