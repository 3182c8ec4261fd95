"""MetaOptNet's head (Lee et al. 2019, arXiv:1904.03758): a multi-class support vector machine, differentiable."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from metajax.fewshot import heads
from metajax.fewshot.losses import scored
from metajax.fewshot.method import Method, by_solution
from metajax.types import Params


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

    Maximises ``Σᵢ α[i, yᵢ] - ½ tr(αᵀ K α)`` under ``α[i, k] <= c·[yᵢ = k]`` and ``Σₖ α[i, k] = 0``, by accelerated
    projected gradient. The weights of class k are ``Σᵢ α[i, k] xᵢ``. The derivative in ``gram`` is that of the solution
    itself: a linear system on the face that the constraints leave free, by conjugate gradient.

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


def svm(features: jax.Array, labels: jax.Array, c: float = 0.1, iterations: int = 200) -> tuple[jax.Array, jax.Array]:
    """Weights [d, n] of the support vector machine, and counts [n]; see ``heads`` for the shapes."""
    members, counts = heads.one_hot(labels, features.dtype)
    dual: Any = crammer_singer(features @ features.T, members, c, iterations)
    return features.T @ dual, counts


def metaoptnet(
    embed: Callable[[Params, Any], jax.Array],
    outer_optimizer: optax.GradientTransformation,
    c: float = 0.1,
    scale: float = 1.0,
    iterations: int = 100,
    chunk: int | None = None,
) -> Method:
    """Learns features on which a support vector machine, solved inside the program, classifies well.

    ``state.hyper`` has the entries ``"body"`` and ``"log_scale"``.

    Args:
        embed: ``(body params, x) -> features f32[n, d]``.
        c: of the machine; 0.1 in the paper.
        scale: initial factor of the scores, meta-learned.
        iterations: of the solver.
        outer_optimizer, chunk: as in ``protonet``.

    Example:
        >>> from metajax import fewshot, nn
        >>> init, embed = nn.functional(lambda rngs: nn.Conv4(None, width=8, rngs=rngs))
        >>> method = metaoptnet(embed, optax.adam(1e-3))
        >>> sorted(method.init(jax.random.key(0), init(jax.random.key(1))).hyper)
        ['body', 'log_scale']
    """
    if c <= 0 or scale <= 0 or iterations < 1:
        raise ValueError(
            f"metaoptnet: need c > 0, scale > 0, iterations >= 1; got c={c}, scale={scale}, iterations={iterations}"
        )

    def solve(hyper, support, key):
        return svm(embed(hyper["body"], support[0]), support[1], c, iterations)

    def judge(hyper, learned, batch, key):
        weights, counts = learned
        logits = jnp.exp(hyper["log_scale"]) * (embed(hyper["body"], batch[0]) @ weights)
        return scored(heads.only_present(logits, counts), batch[1])

    begin = lambda params: {"body": params, "log_scale": jnp.log(scale)}
    return by_solution(solve, judge, outer_optimizer, begin, chunk)
