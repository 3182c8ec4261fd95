"""MetaOptNet's head (Lee et al. 2019, arXiv:1904.03758): a multi-class support vector machine, differentiable."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import optax

from metajax import nn
from metajax.fewshot import heads
from metajax.fewshot.features import Embed, Head, by_features
from metajax.fewshot.method import Method
from metajax.types import InputError


def project(x: jax.Array, allowed: jax.Array, total: float) -> jax.Array:
    """The rows of ``x`` [n, k] projected on ``{b >= 0, sum b = total}`` over the ``allowed`` columns [k] (sorting; Held et
    al. 1974)."""
    low = jnp.where(allowed, x, -jnp.inf)
    falling = -jnp.sort(-low, axis=1)
    place = jnp.arange(1, x.shape[1] + 1, dtype=x.dtype)
    excess = jnp.cumsum(jnp.where(jnp.isfinite(falling), falling, 0.0), axis=1) - total
    inside = jnp.isfinite(falling) & (falling * place > excess)
    last = jnp.maximum(jnp.sum(inside, axis=1, keepdims=True), 1)  # rounding may leave none where x is huge
    level = jnp.take_along_axis(excess, last - 1, axis=1) / last.astype(x.dtype)
    return jnp.where(allowed, jnp.maximum(x - level, 0.0), 0.0)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def crammer_singer(gram: jax.Array, members: jax.Array, c: float = 0.1, iterations: int = 200) -> jax.Array:
    """The dual of the multi-class support vector machine of Crammer and Singer (2001), ``α`` f32[n, k].

    Maximizes ``Σᵢ α[i, yᵢ] - ½ tr(αᵀ K α)`` under ``α[i, k] <= c·[yᵢ = k]`` and ``Σₖ α[i, k] = 0``, by accelerated
    projected gradient with restarts (O'Donoghue and Candès 2015, arXiv:1204.3982). The weights of class k are
    ``Σᵢ α[i, k] xᵢ``. The derivative in ``gram`` is that of the solution itself: a linear system on the face that the
    constraints leave free, by conjugate gradient.

    Args:
        gram: K = X Xᵀ, f32[n, n].
        members: one-hot labels f32[n, k]; columns without an example stay zero.
        c: the box constraint; 0.1 in the paper.
        iterations: of the solver, and at most of conjugate gradient.
    """
    allowed = jnp.sum(members, axis=0) > 0
    step = 1.0 / jnp.maximum(jnp.max(jnp.sum(jnp.abs(gram), axis=1)), 1e-6)  # at least the largest eigenvalue

    def body(carry, _):
        beta, ahead, t = carry
        slope = members - gram @ (c * members - ahead)
        new = project(ahead - step * slope, allowed, c)
        t = jnp.where(jnp.sum((ahead - new) * (new - beta)) > 0, 1.0, t)  # momentum that leads uphill begins anew
        later = (1 + jnp.sqrt(1 + 4 * t * t)) / 2
        return (new, new + (t - 1) / later * (new - beta), later), None

    start = project(c * members, allowed, c)
    (beta, _, _), _ = jax.lax.scan(body, (start, start, jnp.ones((), gram.dtype)), None, iterations)
    return c * members - beta


def _forward(gram, members, c, iterations):
    alpha = crammer_singer(gram, members, c, iterations)
    return alpha, (gram, members, alpha)


def _backward(c, iterations, kept, cotangent):
    gram, members, alpha = kept
    free = (c * members - alpha > 1e-5 * c) & (jnp.sum(members, axis=0) > 0)
    free = free.astype(gram.dtype)

    def on_face(v):  # the projection on {v : v = 0 where bound, rows sum to zero}
        share = jnp.sum(v * free, axis=1, keepdims=True) / jnp.maximum(jnp.sum(free, axis=1, keepdims=True), 1)
        return free * (v - share)

    damping = 1e-6 * jnp.trace(gram) / gram.shape[0] + 1e-12
    matvec = lambda v: on_face(gram @ on_face(v)) + damping * v
    right = on_face(cotangent)
    solution, _ = jax.scipy.sparse.linalg.cg(matvec, right, tol=1e-8, maxiter=iterations)
    return -on_face(solution) @ alpha.T, jnp.zeros_like(members)


crammer_singer.defvjp(_forward, _backward)


def svm(
    features: jax.Array, labels: jax.Array, c: float = 0.1, iterations: int = 200, ridge: float = 1.0
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
    """
    members, counts = heads.one_hot(labels, features.dtype)
    gram = features @ features.T + ridge * jnp.eye(features.shape[0], dtype=features.dtype)
    dual: Any = crammer_singer(gram, members, c, iterations)
    return features.T @ dual, counts


def metaoptnet(
    embed: Embed | nn.Running,
    outer_optimizer: optax.GradientTransformation,
    c: float = 0.1,
    scale: float = 1.0,
    iterations: int = 200,
    chunk: int | None = None,
) -> Method:
    """Learns features on which a support vector machine, solved inside the program, classifies well.

    The machine is that of the authors' code (github.com/kjunelee/MetaOptNet): the dual of Crammer and Singer with the identity
    added to the Gram matrix. They solve it by 15 iterations of an interior-point method, here it is projected gradient; they
    learn the scale itself, here it is its logarithm. ``state.hyper`` has the entries ``"body"`` and ``"log_scale"``.

    Args:
        embed: ``(body params, x) -> features f32[n, d]``, or ``nn.running(network, example)``.
        c: bound of the dual variables, the soft-margin penalty; 0.1 in the paper.
        scale: initial factor of the scores, meta-learned; 1 in the paper.
        iterations: of the solver; features of large norm need more.
        outer_optimizer, chunk: as in ``protonet``.

    Example:
        >>> from metajax import fewshot, nn
        >>> init, embed = nn.functional(lambda rngs: nn.Conv4(None, width=8, rngs=rngs))
        >>> method = metaoptnet(embed, optax.adam(1e-3))
        >>> sorted(method.init(jax.random.key(0), init(jax.random.key(1))).hyper)
        ['body', 'log_scale']
    """
    if c <= 0 or scale <= 0 or iterations < 1:
        raise InputError(
            f"metaoptnet: need c > 0, scale > 0, iterations >= 1; got c={c}, scale={scale}, iterations={iterations}"
        )

    head = Head(
        solve=lambda hyper, features, labels: svm(features, labels, c, iterations),
        scores=heads.linear_scores,
        body=lambda hyper: hyper["body"],
    )
    begin = lambda params: {"body": params, "log_scale": jnp.log(scale)}
    return by_features(embed, head, outer_optimizer, begin, chunk)
