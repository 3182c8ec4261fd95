"""Baselines without meta-learning: a network that is trained to tell all training classes apart, then a simple head for a task.

Their state has the parameters of the network as ``state.hyper``, with the entries ``"body"`` and ``"head"``, as ``nn.chain``
makes them. ``update(state, (x, y))`` takes batches of ``fewshot.episodes.examples``, not episodes.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from metajax import bilevel
from metajax.fewshot import heads
from metajax.fewshot._losses import classification_loss, cross_entropy
from metajax.fewshot._maml import maml_problem
from metajax.fewshot._method import Method
from metajax.nn import Apply
from metajax.types import Batch, Hyper, Info, Key, Learner, Params, Scalar


def nearest_centroid(
    embed: Apply, head: Apply, optimizer: optax.GradientTransformation, distance: heads.Distance = "cosine"
) -> Method:
    r"""Pre-trains ``head(embed(x))`` on labeled batches; a task is solved by the nearest class mean.

    The features are those of plain classification of all training classes. A query has the class whose mean $m_c$ over the
    support has the largest cosine with its features:

    $$\hat y(x) = \arg\max_c \; \frac{f_\theta(x)^\top m_c}{\lVert f_\theta(x) \rVert \, \lVert m_c \rVert}$$

    Args:
        embed: The body, ``(body params, x) -> features f32[n, d]``.
        head: The last layer, ``(head params, features) -> logits`` over all training classes.
        optimizer: Optimizer of the pre-training.
        distance: Distance to the class means, ``"cosine"`` or ``"euclidean"``.

    Returns:
        The method.

    Deviations:
        SimpleShot (Wang et al. 2019) also subtracts the mean of the training features; it is not subtracted here.

    References:
        Chen et al. 2019, arXiv:1904.04232. Wang et al. 2019, arXiv:1911.04623.

    Example:
        >>> from flax import nnx
        >>> from metajax import fewshot, nn
        >>> body = nn.functional(lambda rngs: nn.Conv4(None, width=4, rngs=rngs))
        >>> head = nn.functional(lambda rngs: nnx.Linear(4, 6, rngs=rngs))
        >>> method = nearest_centroid(body.apply, head.apply, optax.adam(1e-3))
        >>> state = method.init(jax.random.key(0), nn.chain(body, head).init(jax.random.key(1)))
        >>> images = jax.random.uniform(jax.random.key(2), (6, 4, 8, 8))
        >>> batch = jax.jit(fewshot.episodes.examples(images, 16))(jax.random.key(3))
        >>> state, info = jax.jit(method.update)(state, batch)
        >>> sorted(info)
        ['accuracy', 'loss']
    """
    learner = _supervised(embed, head, optimizer)

    def adapt(hyper: Hyper, support: Batch, key: Key) -> Any:
        return jax.tree.map(lambda x: x[None], heads.centroids(embed(hyper["body"], support[0]), support[1]))

    def query_loss(hyper: Hyper, learned: Any, batch: Batch, key: Key) -> tuple[Scalar, Info]:
        scores = heads.prototype_scores(embed(hyper["body"], batch[0]), learned, distance)
        return classification_loss(scores, batch[1])

    return Method(*learner, adapt, query_loss, 0, 0)


def linear_probe(
    embed: Apply,
    head: Apply,
    optimizer: optax.GradientTransformation,
    learning_rate: float = 0.1,
    test_steps: int = 100,
    l2: float = 1e-3,
) -> Method:
    r"""Pre-trains as ``nearest_centroid`` does; a task is solved by logistic regression on standardized features.

    Gradient descent from zero fits the classifier of a task on the features $z$ of its support, which are standardized by their
    mean and deviation over the support:

    $$\min_{W, b} \; \frac1n \sum_i \mathrm{CE}\bigl(W^\top z_i + b, \, y_i\bigr) + \frac{\lambda}{2} \lVert (W, b) \rVert^2$$

    Args:
        embed: The body, ``(body params, x) -> features f32[n, d]``.
        head: The last layer, ``(head params, features) -> logits`` over all training classes.
        optimizer: Optimizer of the pre-training.
        learning_rate: Rate of gradient descent on the whole support, from zero weights.
        test_steps: Number of steps of gradient descent, >= 1.
        l2: Weight decay of the regression, >= 0.

    Returns:
        The method. ``adapt`` has an entry for each step.

    Deviations:
        The paper's baseline takes 100 iterations of momentum descent on batches of 4 examples. Here descent is plain, on the
        whole support, and features are standardized.

    References:
        Chen et al. 2019, arXiv:1904.04232.

    Example:
        >>> from flax import nnx
        >>> from metajax import nn
        >>> body = nn.functional(lambda rngs: nn.Conv4(None, width=4, rngs=rngs))
        >>> head = nn.functional(lambda rngs: nnx.Linear(4, 6, rngs=rngs))
        >>> linear_probe(body.apply, head.apply, optax.adam(1e-3)).test_steps
        100
    """
    learner = _supervised(embed, head, optimizer)
    logistic = cross_entropy(lambda p, x: heads.only_present(x[0] @ p["weights"] + p["bias"], x[1]))
    probe = maml_problem(logistic, optax.chain(optax.add_decayed_weights(l2), optax.sgd(learning_rate)))

    def adapt(hyper: Hyper, support: Batch, key: Key) -> Any:
        features = embed(hyper["body"], support[0])
        n, d = features.shape
        mean, std = jnp.mean(features, axis=0), jnp.std(features, axis=0) + 1e-3
        _, counts = heads.class_memberships(support[1], features.dtype)
        zero = {"weights": jnp.zeros((d, n), features.dtype), "bias": jnp.zeros(n, features.dtype)}
        path = bilevel.trajectory(probe, zero, (((features - mean) / std, counts), support[1]), test_steps, key)
        repeated = jax.tree.map(lambda x: jnp.broadcast_to(x, (test_steps + 1, *x.shape)), (mean, std, counts))
        return path, repeated

    def query_loss(hyper: Hyper, learned: Any, batch: Batch, key: Key) -> tuple[Scalar, Info]:
        weights, (mean, std, counts) = learned
        return logistic(weights, (((embed(hyper["body"], batch[0]) - mean) / std, counts), batch[1]), key)

    return Method(*learner, adapt, query_loss, 0, test_steps)


class PretrainState(NamedTuple):
    """A network in supervised training; ``hyper`` are its parameters, under the name that every few-shot state uses.

    Attributes:
        training: The state of ``bilevel.supervised``.
    """

    training: bilevel.SupervisedState

    @property
    def step(self) -> jax.Array:
        """Number of updates made so far."""
        return self.training.step

    @property
    def key(self) -> Key:
        """The key from which the randomness of every step is derived."""
        return self.training.key

    @property
    def hyper(self) -> Params:
        """The parameters of the network."""
        return self.training.params


def _supervised(embed: Apply, head: Apply, optimizer: optax.GradientTransformation) -> Learner:
    """Plain classification of labeled batches."""
    classify = cross_entropy(lambda p, x: head(p["head"], embed(p["body"], x)))
    learner = bilevel.supervised(lambda key, params: params, classify, optimizer)

    def init(key: Key, params: Params) -> PretrainState:
        return PretrainState(learner.init(key, params))

    def update(state: PretrainState, batch: Batch) -> tuple[PretrainState, Info]:
        training, info = learner.update(state.training, batch)
        return PretrainState(training), info

    return Learner(init, update)
