"""Heads that are fitted to a support set at once: class means, ridge regression, a support vector machine.

Each takes features f32[n, d] and labels i32[n] in 0..n-1 and returns one row per possible class; classes that have no
example get the score ``ABSENT``, so that the number of ways need not be known and may differ between training and test.
"""

from typing import Any, Literal

import jax
import jax.numpy as jnp

from metajax import nn
from metajax.fewshot._crammer_singer import crammer_singer
from metajax.types import Hyper, Info, Scalar

Distance = Literal["euclidean", "cosine"]
"""How far a feature vector is from a prototype."""

ABSENT = -1e9
"""The score of a class without an example: finite, so that no gradient is NaN."""


def one_hot(labels: jax.Array, dtype) -> tuple[jax.Array, jax.Array]:
    """Memberships [n, n] of n examples in at most n classes, and how many each class has [n].

    Raises:
        InputError: if the labels are concrete and not all of 0 to n-1; inside of a compiled program the memberships are NaN.
    """
    members = nn.one_hot(labels, labels.shape[0], dtype)
    return members, jnp.sum(members, axis=0)


def only_present(scores: jax.Array, counts: jax.Array) -> jax.Array:
    """Scores [..., classes] with those of empty classes replaced by ``ABSENT``."""
    return jnp.where(counts > 0, scores, jnp.asarray(ABSENT, scores.dtype))


def centroids(features: jax.Array, labels: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Class means [n, d] and the number of examples of each class [n]."""
    members, counts = one_hot(labels, features.dtype)
    return members.T @ features / jnp.maximum(counts, 1)[:, None], counts


def squared_distances(a: jax.Array, b: jax.Array) -> jax.Array:
    """‖a - b‖² of f32[n, d] and f32[m, d] as f32[n, m], by one matrix product."""
    return jnp.sum(a * a, axis=1)[:, None] - 2 * a @ b.T + jnp.sum(b * b, axis=1)


def ridge(features: jax.Array, labels: jax.Array, l2: Scalar | float) -> tuple[jax.Array, jax.Array]:
    """Ridge regression on one-hot labels through the n x n dual: weights [d, n] and counts [n].

    ``(XᵀX + l2·I)⁻¹ Xᵀ Y = Xᵀ (XXᵀ + l2·I)⁻¹ Y`` (Bertinetto et al. 2019, arXiv:1805.08136, equation 6); n is the number
    of support examples, fewer than the features.
    """
    members, counts = one_hot(labels, features.dtype)
    gram = features @ features.T + l2 * jnp.eye(features.shape[0], dtype=features.dtype)
    return features.T @ jax.scipy.linalg.solve(gram, members, assume_a="pos"), counts


def linear_scores(hyper: Hyper, learned: tuple[jax.Array, jax.Array], features: jax.Array) -> jax.Array:
    """Scores [n, classes] of learned weights [d, classes], scaled by ``exp(hyper["log_scale"])``."""
    weights, counts = learned
    return only_present(jnp.exp(hyper["log_scale"]) * (features @ weights), counts)


def svm(
    features: jax.Array,
    labels: jax.Array,
    c: float = 0.1,
    iterations: int = 15,
    ridge: float = 1.0,
    ways: int | None = None,
) -> tuple[jax.Array, jax.Array]:
    """Fits the support vector machine of MetaOptNet: weights [d, n] and counts [n]; see ``heads`` for the shapes.

    Args:
        features: f32[n, d].
        labels: i32[n] in 0..n-1.
        c: Bound of the dual variables (the soft-margin penalty).
        iterations: Steps of the solver.
        ridge: Multiple of the identity that is added to the Gram matrix in the dual. 1 is what the authors' code adds
            (its quadratic term is ``(K ⊗ I) + I``); 0 is the machine of Crammer and Singer as the paper prints it. The
            scores are computed with the features alone in both.
        ways: Largest number of classes, if it is known; labels are below it. The solver's work grows with it. By default as
            many as examples.
    """
    members, counts = one_hot(labels, features.dtype)
    n = features.shape[0]
    gram = features @ features.T + ridge * jnp.eye(n, dtype=features.dtype)
    dual: Any = crammer_singer(gram, members[:, :ways], c, iterations)
    return features.T @ jnp.pad(dual, ((0, 0), (0, n - dual.shape[1]))), counts


def prototype_scores(
    features: jax.Array, prototypes: tuple[jax.Array, jax.Array], distance: Distance = "euclidean"
) -> jax.Array:
    """Scores f32[n, classes]: minus the squared distance to a prototype, or ten times the cosine."""
    means, counts = prototypes
    if distance == "cosine":
        unit = lambda x: x * jax.lax.rsqrt(jnp.sum(x * x, axis=1, keepdims=True) + 1e-12)
        return only_present(10.0 * unit(features) @ unit(means).T, counts)
    return only_present(-squared_distances(features, means), counts)


def classification_loss(logits: jax.Array, y: jax.Array) -> tuple[Scalar, Info]:
    """Mean softmax cross-entropy of logits f32[n, classes] with labels i32[n], and ``accuracy``.

    A label that is none of the classes makes the loss NaN inside of a compiled program.

    Raises:
        InputError: if the labels are concrete and not all of 0 to ``classes - 1``.
    """
    losses = nn.label_cross_entropy(logits, y)
    hit = jnp.argmax(logits, axis=-1).astype(y.dtype) == y
    return jnp.mean(losses), {"accuracy": jnp.mean(hit, dtype=logits.dtype)}
