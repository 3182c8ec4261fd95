"""Heads that are fitted to a support set at once: class means, ridge regression, a support vector machine.

Each takes features f32[n, d] and labels i32[n] in 0..n-1 and returns one row or column per possible class; classes that have no
example get the score ``ABSENT``, so that the number of ways need not be known and may differ between training and test.
"""

from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from metajax import nn
from metajax._typing import AnyArray, checked
from metajax.fewshot._crammer_singer import solve_dual
from metajax.types import Hyper

Distance = Literal["euclidean", "cosine"]
"""How the distance of a feature vector to a class mean is measured."""

Weights = tuple[Float[Array, "d classes"], Float[Array, " classes"]]
"""A linear classifier: the weights of each class, and the number of support examples of each class."""

ABSENT = -1e9
"""The score of a class without an example: finite, so that no gradient is NaN."""


@checked
def class_memberships(
    labels: Integer[AnyArray, " n"], dtype: jnp.dtype | type | None = None
) -> tuple[Float[Array, "n n"], Float[Array, " n"]]:
    """Returns the memberships of n examples in at most n classes, and how many examples each class has.

    Args:
        labels: The class of each example, 0 to n-1.
        dtype: Type of both results; the default is JAX's default float.

    Returns:
        Memberships [n, n] and counts [n]. Inside of a compiled program, the row of a label that is out of range is NaN.

    Raises:
        InputError: If the labels are concrete and not all of 0 to n-1.

    Example:
        >>> members, counts = class_memberships(jnp.array([0, 1, 0]))
        >>> counts.tolist()
        [2.0, 1.0, 0.0]
    """
    members = nn.one_hot(labels, labels.shape[0], dtype)
    return members, jnp.sum(members, axis=0)


@checked
def only_present(
    scores: Float[AnyArray, "*batch classes"], counts: Float[AnyArray, " classes"]
) -> Float[Array, "*batch classes"]:
    """Replaces the scores of classes without an example by ``ABSENT``.

    Args:
        scores: Scores of each class.
        counts: Number of support examples of each class.

    Returns:
        The scores, of the same shape.

    Example:
        >>> only_present(jnp.array([0.5, 2.0]), jnp.array([3.0, 0.0])).tolist()
        [0.5, -1000000000.0]
    """
    return jnp.where(counts > 0, scores, jnp.asarray(ABSENT, scores.dtype))


@checked
def centroids(
    features: Float[AnyArray, "n d"], labels: Integer[AnyArray, " n"]
) -> tuple[Float[Array, "n d"], Float[Array, " n"]]:
    """Returns the mean of the features of each class, and the number of examples of each class.

    Args:
        features: Features of the support.
        labels: The class of each example, 0 to n-1.

    Returns:
        Class means [n, d], zero for a class without an example, and counts [n].

    Raises:
        InputError: If the labels are concrete and not all of 0 to n-1.

    References:
        Snell et al. 2017, arXiv:1703.05175.

    Example:
        >>> means, _ = centroids(jnp.array([[0.0], [2.0], [5.0]]), jnp.array([0, 0, 1]))
        >>> means[:2, 0].tolist()
        [1.0, 5.0]
    """
    members, counts = class_memberships(labels, features.dtype)
    return members.T @ features / jnp.maximum(counts, 1)[:, None], counts


@checked
def squared_distances(a: Float[AnyArray, "n d"], b: Float[AnyArray, "m d"]) -> Float[Array, "n m"]:
    """Returns ``‖a - b‖²`` of all pairs of rows, by one matrix product.

    Args:
        a: n points.
        b: m points.

    Returns:
        The squared distance of each point of ``a`` to each of ``b``.

    Example:
        >>> squared_distances(jnp.array([[0.0, 0.0]]), jnp.array([[3.0, 4.0], [1.0, 0.0]])).tolist()
        [[25.0, 1.0]]
    """
    return jnp.sum(a * a, axis=1)[:, None] - 2 * a @ b.T + jnp.sum(b * b, axis=1)


@checked
def prototype_scores(
    features: Float[AnyArray, "n d"],
    prototypes: tuple[Float[AnyArray, "classes d"], Float[AnyArray, " classes"]],
    distance: Distance = "euclidean",
) -> Float[Array, "n classes"]:
    """Scores features by their distance to class means: minus the squared distance, or ten times the cosine.

    Args:
        features: Features of the queries.
        prototypes: Class means and counts, as ``centroids`` returns them.
        distance: ``"euclidean"`` or ``"cosine"``.

    Returns:
        The score of each class for each query.

    Example:
        >>> prototypes = centroids(jnp.array([[0.0], [4.0]]), jnp.array([0, 1]))
        >>> prototype_scores(jnp.array([[1.0]]), prototypes).tolist()
        [[-1.0, -9.0]]
    """
    means, counts = prototypes
    if distance == "cosine":
        unit = lambda x: x * jax.lax.rsqrt(jnp.sum(x * x, axis=1, keepdims=True) + 1e-12)
        return only_present(10.0 * unit(features) @ unit(means).T, counts)
    return only_present(-squared_distances(features, means), counts)


@checked
def fit_ridge(
    features: Float[AnyArray, "n d"], labels: Integer[AnyArray, " n"], l2: Float[AnyArray, ""] | float
) -> tuple[Float[Array, "d n"], Float[Array, " n"]]:
    """Fits ridge regression on one-hot labels through the n x n dual.

    ``(XᵀX + l2·I)⁻¹ Xᵀ Y = Xᵀ (XXᵀ + l2·I)⁻¹ Y``; n is the number of support examples, fewer than the features.

    Args:
        features: X, the features of the support.
        labels: The class of each example, 0 to n-1.
        l2: The regularizer, > 0.

    Returns:
        Weights [d, n] of each class, and counts [n].

    Raises:
        InputError: If the labels are concrete and not all of 0 to n-1.

    References:
        Bertinetto et al. 2019, arXiv:1805.08136, equation 6.

    Example:
        >>> weights, _ = fit_ridge(jnp.array([[1.0, 0.0], [0.0, 1.0]]), jnp.array([0, 1]), l2=1.0)
        >>> [[round(weight, 3) for weight in row] for row in weights.tolist()]
        [[0.5, 0.0], [0.0, 0.5]]
    """
    features = jnp.asarray(features)
    members, counts = class_memberships(labels, features.dtype)
    gram = features @ features.T + l2 * jnp.eye(features.shape[0], dtype=features.dtype)
    return features.T @ jax.scipy.linalg.solve(gram, members, assume_a="pos"), counts


@checked
def crammer_singer(
    gram: Float[AnyArray, "n n"], members: Float[AnyArray, "n k"], c: float = 0.1, iterations: int = 15
) -> Float[Array, "n k"]:
    """Solves the dual of the multi-class support vector machine of Crammer and Singer.

    The dual maximizes ``Σᵢ α[i, yᵢ] - ½ tr(αᵀ K α)`` under ``α[i, k] <= c·[yᵢ = k]`` and ``Σₖ α[i, k] = 0``. The solver is a
    primal-dual interior-point method (Mehrotra 1992), as in the code of MetaOptNet; it does not depend on the scale of the
    features. The weights of class k are ``Σᵢ α[i, k] xᵢ``. The derivative in ``gram`` is that of the optimality conditions at
    the solution. Every iteration factorizes an [n, n] matrix for each column of ``members``.

    Args:
        gram: K = X Xᵀ.
        members: One-hot labels; columns without an example stay zero.
        c: The box constraint, > 0; 0.1 in the paper.
        iterations: Iterations of the interior-point method, >= 1; 15 in the authors' code.

    Returns:
        The dual variables α.

    References:
        Crammer and Singer 2001, JMLR 2. Mehrotra 1992, SIAM Journal on Optimization 2. Lee et al. 2019, arXiv:1904.03758.

    Example:
        >>> x = jnp.array([[1.0, 0.0], [0.0, 1.0]])
        >>> [round(value, 2) for value in crammer_singer(x @ x.T, jnp.eye(2), c=0.1)[0].tolist()]
        [0.1, -0.1]
    """
    return solve_dual(gram, members, c, iterations)


@checked
def fit_svm(
    features: Float[AnyArray, "n d"],
    labels: Integer[AnyArray, " n"],
    c: float = 0.1,
    iterations: int = 15,
    ridge: float = 1.0,
    ways: int | None = None,
) -> tuple[Float[Array, "d n"], Float[Array, " n"]]:
    """Fits the support vector machine of MetaOptNet.

    Args:
        features: Features of the support.
        labels: The class of each example, 0 to n-1.
        c: Bound of the dual variables, > 0: the soft-margin penalty (larger fits the support more closely).
        iterations: Iterations of the solver, >= 1.
        ridge: Multiple of the identity that is added to the Gram matrix in the dual, >= 0. 1 is what the authors' code adds
            (its quadratic term is ``(K ⊗ I) + I``); 0 is the machine of Crammer and Singer as the paper prints it. The
            scores are computed with the features alone in both.
        ways: Largest number of classes, if it is known; labels are below it. The solver's work grows with it. The default is
            the number of examples.

    Returns:
        Weights [d, n] of each class, and counts [n].

    Raises:
        InputError: If the labels are concrete and not all of 0 to n-1.

    References:
        Lee et al. 2019, arXiv:1904.03758.

    Example:
        >>> weights, _ = fit_svm(jnp.array([[1.0, 0.0], [0.0, 1.0]]), jnp.array([0, 1]))
        >>> jnp.argmax(jnp.array([[3.0, 1.0]]) @ weights, axis=1).tolist()
        [0]
    """
    features = jnp.asarray(features)
    members, counts = class_memberships(labels, features.dtype)
    n = features.shape[0]
    gram = features @ features.T + ridge * jnp.eye(n, dtype=features.dtype)
    dual = crammer_singer(gram, members[:, :ways], c, iterations)
    return features.T @ jnp.pad(dual, ((0, 0), (0, n - dual.shape[1]))), counts


@checked
def linear_scores(hyper: Hyper, learned: Weights, features: Float[AnyArray, "n d"]) -> Float[Array, "n classes"]:
    """Scores features by learned weights, scaled by ``exp(hyper["log_scale"])``.

    Args:
        hyper: The meta-learned parameters, with an entry ``"log_scale"``.
        learned: Weights and counts, as ``fit_ridge`` and ``fit_svm`` return them.
        features: Features of the queries.

    Returns:
        The score of each class for each query.

    Example:
        >>> learned = jnp.array([[1.0, 2.0]]), jnp.array([1.0, 1.0])
        >>> linear_scores({"log_scale": jnp.zeros(())}, learned, jnp.array([[3.0]])).tolist()
        [[3.0, 6.0]]
    """
    weights, counts = learned
    return only_present(jnp.exp(hyper["log_scale"]) * (features @ weights), counts)
