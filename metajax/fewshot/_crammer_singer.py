"""The multi-class support vector machine of Crammer and Singer (2001), solved by a differentiable interior-point method."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp


class _Point(NamedTuple):
    """An iterate of the interior-point method.

    Attributes:
        alpha: dual variables in units of c, f[n, k]; ``members - alpha`` is positive. Kept, because it may be much smaller than
            that difference.
        slack: multipliers of ``members - alpha >= 0``, f[n, k], positive.
        level: multipliers of the rows' sums, f[n].
    """

    alpha: jax.Array
    slack: jax.Array
    level: jax.Array


def _inverses(hessian: jax.Array, weight: jax.Array, allowed: jax.Array) -> jax.Array:
    """``(hessian + diag(weight of a column))⁻¹`` for each allowed column, f[k, n, n]; zero for the others."""
    diagonal = jnp.where(allowed, weight, 1.0).T
    factors = jax.vmap(lambda d: jnp.linalg.cholesky(hessian + jnp.diag(d)))(diagonal)
    solve = jax.vmap(lambda factor, b: jax.scipy.linalg.cho_solve((factor, True), b))
    identity = jnp.broadcast_to(jnp.eye(hessian.shape[0], dtype=hessian.dtype), factors.shape)
    return jnp.where(allowed[:, None, None], solve(factors, identity), 0.0)


def _solve_rows(inverses: jax.Array, right: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Solves ``hessian v + weight * v + level 1ᵀ = right`` for v [n, k] whose rows sum to zero and which is zero outside the
    allowed columns, and for the level [n]."""
    free = jnp.einsum("kij,jk->ik", inverses, right)
    level = jnp.linalg.solve(jnp.sum(inverses, axis=0), jnp.sum(free, axis=1))
    return free - jnp.einsum("kij,j->ik", inverses, level), level


def _interior_point(
    hessian: jax.Array, linear: jax.Array, members: jax.Array, allowed: jax.Array, iterations: int
) -> _Point:
    """Minimizes ``½ tr(aᵀ hessian a) - tr(aᵀ linear)`` with the rows of ``members - a`` on the simplex, by the
    predictor-corrector method of Mehrotra (1992)."""
    smallest = jnp.finfo(hessian.dtype).eps * jnp.max(linear)  # of the complementarity: below it, rounding decides
    columns = jnp.sum(allowed.astype(hessian.dtype))
    inner = lambda a, b: jnp.sum(jnp.where(allowed, a * b, 0.0)) / (columns * hessian.shape[0])

    def length(x, step):  # the longest step that keeps x positive, at most 1
        limits = jnp.where(allowed & (step < 0), -x / jnp.where(step < 0, step, -1.0), jnp.inf)
        return jnp.minimum(1.0, 0.99 * jnp.min(limits))

    def body(point, _):
        alpha, slack, level = point
        beta = jnp.where(allowed, members - alpha, 1.0)
        dual = linear - hessian @ alpha + level[:, None] - slack
        weight = slack / beta
        inverses = _inverses(hessian, weight, allowed)  # of both directions

        def direction(target):  # of the complementarity, f[n, k]
            right = jnp.where(allowed, (target - beta * slack) / beta - dual, 0.0)
            move, rise = _solve_rows(inverses, right)
            return move, jnp.where(allowed, (target - beta * slack) / beta - weight * move, 0.0), rise

        center = inner(beta, slack)
        move, push, _ = direction(jnp.zeros_like(beta))
        a, b = length(beta, move), length(slack, push)
        reached = inner(beta + a * move, slack + b * push)
        target = (reached / center) ** 3 * center
        move, push, rise = direction(jnp.maximum(target, smallest) - move * push)
        size = jnp.minimum(length(beta, move), length(slack, push))
        new = _Point(alpha - size * move, slack + size * push, level + size * rise)
        going = (center > smallest) & jnp.all(jnp.isfinite(new.alpha)) & jnp.all(jnp.isfinite(new.slack))
        return jax.tree.map(lambda x, y: jnp.where(going, x, y), new, point), None

    alpha = members - jnp.where(allowed, 1.0 / columns, 0.0)
    slope = linear - hessian @ alpha
    level = 1.0 - jnp.min(jnp.where(allowed, slope, jnp.inf), axis=1)
    slack = jnp.where(allowed, slope + level[:, None], 1.0)
    return jax.lax.scan(body, _Point(alpha, slack, level), None, iterations)[0]


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def crammer_singer(gram: jax.Array, members: jax.Array, c: float = 0.1, iterations: int = 15) -> jax.Array:
    """Solves the dual of the multi-class support vector machine of Crammer and Singer (2001), ``α`` f32[n, k].

    The dual maximizes ``Σᵢ α[i, yᵢ] - ½ tr(αᵀ K α)`` under ``α[i, k] <= c·[yᵢ = k]`` and ``Σₖ α[i, k] = 0``. The solver is a
    primal-dual interior-point method (Mehrotra 1992), as in the code of MetaOptNet; it does not depend on the scale of the
    features. The weights of class k are ``Σᵢ α[i, k] xᵢ``. The derivative in ``gram`` is that of the optimality conditions at
    the solution. Every iteration factorizes an [n, n] matrix for each column of ``members``.

    Args:
        gram: K = X Xᵀ, f32[n, n].
        members: one-hot labels f32[n, k]; columns without an example stay zero.
        c: the box constraint; 0.1 in the paper.
        iterations: of the interior-point method; 15 in the authors' code.
    """
    return _forward(gram, members, c, iterations)[0]


def _problem(gram, members, c):
    """The factor of ``gram`` in the quadratic part, which makes it of order 1 in units of c; that part; the linear part; and
    which columns have an example."""
    unit = jnp.maximum(c * jnp.trace(gram) / gram.shape[0], 1.0)
    factor = c / unit
    return factor, factor * gram, members / unit, jnp.sum(members, axis=0) > 0


def _forward(gram, members, c, iterations):
    factor, hessian, linear, allowed = _problem(gram, members, c)
    point = _interior_point(hessian, linear, members, allowed, iterations)
    weight = point.slack / jnp.where(allowed, members - point.alpha, 1.0)
    alpha = c * point.alpha
    return alpha, (factor, hessian, allowed, weight, alpha)


def _backward(c, iterations, kept, cotangent):
    factor, hessian, allowed, weight, alpha = kept
    damping = 0.01 * jnp.finfo(hessian.dtype).eps ** 0.5  # where K is singular, many α have the same weights
    weight = weight + damping * jnp.trace(hessian) / hessian.shape[0]
    solution, _ = _solve_rows(_inverses(hessian, weight, allowed), jnp.where(allowed, cotangent, 0.0))
    return -factor * solution @ alpha.T, jnp.zeros_like(alpha)


crammer_singer.defvjp(_forward, _backward)
