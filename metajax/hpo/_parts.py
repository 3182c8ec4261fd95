"""Places of training where something can be learned: weights of examples, labels, penalties, the loss itself."""

import jax
import jax.numpy as jnp

from metajax import nn
from metajax.hpo._problem import Examples, Part, cross_entropy

# -- weights of examples ----------------------------------------------------------------------------------------------


def example_weights(n: int, start: float = 0.0) -> Part:
    """A weight ``sigmoid(h[i])`` for each of ``n`` training examples: data hyper-cleaning (Franceschi et al. 2017,
    arXiv:1703.01785; Pedregosa 2016, arXiv:1602.02355). Place ``weights``.

    Estimators: ``unroll``, ``truncated`` or an implicit one; ``forward`` and evolution scale with ``n``.
    """
    return Part(lambda key: jnp.full(n, start), lambda h, losses, batch: jax.nn.sigmoid(h[batch.index]))


def class_weights(classes: int) -> Part:
    """A weight ``exp(h[y])`` for each class, for unbalanced data. Place ``weights``."""
    return Part(lambda key: jnp.zeros(classes), lambda h, losses, batch: jnp.exp(h[batch.y]))


def meta_weight_net(hidden: int = 100) -> Part:
    """The weight of an example as a small network of its loss (Meta-Weight-Net, Shu et al. 2019, arXiv:1902.07379): a few
    hundred hyperparameters whatever the size of the data. The loss that it sees is taken as a constant. Place ``weights``.

    Estimators: ``truncated`` with one step, warm-started, is the paper's.
    """
    network = nn.functional(lambda rngs: nn.MLP(1, (hidden,), 1, rngs=rngs))

    def apply(h, losses: jax.Array, batch: Examples) -> jax.Array:
        return jax.nn.sigmoid(network.apply(h, jax.lax.stop_gradient(losses)[:, None])[:, 0])

    return Part(network.init, apply)


# -- labels -----------------------------------------------------------------------------------------------------------


def label_smoothing(per_class: int | None = None) -> Part:
    """The share ``sigmoid(h)`` of every target is spread evenly over the classes; one share, or one for each class. It begins
    at 1.8%. Place ``labels``."""

    def apply(h, targets: jax.Array, index: jax.Array) -> jax.Array:
        share = jax.nn.sigmoid(h if per_class is None else targets @ h)
        share = jnp.broadcast_to(share, targets.shape[:1])[:, None]
        return targets * (1 - share) + share / targets.shape[-1]

    return Part(lambda key: jnp.full(() if per_class is None else per_class, -4.0), apply)


def label_correction(n: int, classes: int, trust: float = 4.0) -> Part:
    """A distribution over the classes for each of ``n`` training examples, beginning near its label: the softmax of
    ``h[i]`` plus ``trust`` at the given class. Where half of the labels are wrong this finds the right ones as well as the
    wrong ones. Place ``labels``."""

    def apply(h, targets: jax.Array, index: jax.Array) -> jax.Array:
        return jax.nn.softmax(h[index] + trust * targets)

    return Part(lambda key: jnp.zeros((n, classes)), apply)


# -- penalties --------------------------------------------------------------------------------------------------------


def l2(like=None, start: float = -9.0) -> Part:
    """``0.5 Σ exp(h) w²``: weight decay as a part of the inner loss, where implicit estimators see it. Place ``penalty``.

    Args:
        like: ``None`` for one decay; parameters for one of each (the million hyperparameters of Lorraine et al. 2020,
            arXiv:1911.02590); a tree of scalars for one of each layer.
        start: of the logarithm.
    """

    def init(key):
        like_ = jnp.zeros(()) if like is None else like
        return jax.tree.map(lambda w: jnp.full_like(jnp.asarray(w), start), like_)

    def apply(h, params):
        below = lambda d, part: [jnp.sum(jnp.exp(d) * jnp.square(w)) for w in jax.tree.leaves(part)]
        return 0.5 * jnp.sum(jnp.stack(jax.tree.leaves(jax.tree.map(below, h, params))))

    return Part(init, apply)


# -- losses -----------------------------------------------------------------------------------------------------------


def polynomial_loss(terms: int = 4) -> Part:
    """Cross-entropy plus ``Σ_j h_j (1 - p)^j`` with ``p`` the probability of the target: its Taylor series with free first
    coefficients (PolyLoss, Leng et al. 2022, arXiv:2204.12511). Begins as cross-entropy. Place ``loss``."""

    def apply(h, outputs: jax.Array, targets: jax.Array) -> jax.Array:
        missed = 1 - jnp.sum(targets * jax.nn.softmax(outputs), axis=-1, keepdims=True)
        powers = missed ** jnp.arange(1, terms + 1, dtype=outputs.dtype)
        return cross_entropy(outputs, targets) + powers @ h

    return Part(lambda key: jnp.zeros(terms), apply)


def learned_loss(hidden: int = 32) -> Part:
    """A loss given by a small network of each class's logit, relative to the mean of the example's, and its target, summed over
    the classes, beside a cross-entropy (Bechtle et al. 2021, arXiv:1906.05374). Its last layer begins at zero, so it begins
    as cross-entropy. Place ``loss``."""
    network = nn.functional(lambda rngs: nn.MLP(2, (hidden,), 1, jnp.tanh, rngs=rngs))

    def init(key):
        params = network.init(key)
        last = max(params["layers"])
        zeros = jax.tree.map(jnp.zeros_like, params["layers"][last])
        return {**params, "layers": {**params["layers"], last: zeros}}

    def apply(h, outputs: jax.Array, targets: jax.Array) -> jax.Array:
        centered = outputs - jnp.mean(outputs, axis=-1, keepdims=True)
        each = network.apply(h, jnp.stack([centered, targets], axis=-1))[..., 0]
        return cross_entropy(outputs, targets) + jnp.sum(each, axis=-1)

    return Part(init, apply)
