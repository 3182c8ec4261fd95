"""The multi-class support vector machine of Crammer and Singer (2001), solved by a differentiable interior-point method."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp


class _Point(NamedTuple):
    """An iterate of the interior-point method.

    Attributes:
        alpha: Dual variables in units of c, f[n, k]; ``members - alpha`` is positive. It is stored itself, because it may be
            much smaller than that difference.
        slack: Multipliers of ``members - alpha >= 0``, f[n, k], positive.
        level: Multipliers of the rows' sums, f[n].
    """

    alpha: jax.Array
    slack: jax.Array
    level: jax.Array


def _inverses(hessian: jax.Array, weight: jax.Array, allowed: jax.Array) -> jax.Array:
    """Returns ``(hessian + diag(weight of a column))⁻¹`` for each allowed column, f[k, n, n]; zero for the others."""
    diagonal = jnp.where(allowed, weight, 1.0).T
    factors = jax.vmap(lambda d: jnp.linalg.cholesky(hessian + jnp.diag(d)))(diagonal)
    solve = jax.vmap(lambda factor, b: jax.scipy.linalg.cho_solve((factor, True), b))
    identity = jnp.broadcast_to(jnp.eye(hessian.shape[0], dtype=hessian.dtype), factors.shape)
    return jnp.where(allowed[:, None, None], solve(factors, identity), 0.0)


def _solve_rows(inverses: jax.Array, right_side: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Solves ``hessian v + weight * v + level 1ᵀ = right`` for v [n, k] whose rows sum to zero and which is zero outside the
    allowed columns, and for the level [n]."""
    free = jnp.einsum("kij,jk->ik", inverses, right_side)
    level = jnp.linalg.solve(jnp.sum(inverses, axis=0), jnp.sum(free, axis=1))
    return free - jnp.einsum("kij,j->ik", inverses, level), level


class _Program(NamedTuple):
    """Minimize ``½ tr(aᵀ hessian a) - tr(aᵀ linear)`` with the rows of ``members - a`` on the simplex.

    Attributes:
        hessian: f[n, n].
        linear: f[n, k].
        members: One-hot labels f[n, k].
        allowed: The columns that have an example, bool[k].
    """

    hessian: jax.Array
    linear: jax.Array
    members: jax.Array
    allowed: jax.Array

    @property
    def columns(self) -> jax.Array:
        """The number of allowed columns."""
        return jnp.sum(self.allowed.astype(self.hessian.dtype))

    def beta(self, alpha: jax.Array) -> jax.Array:
        """The primal slack ``members - alpha``, 1 outside of the allowed columns."""
        return jnp.where(self.allowed, self.members - alpha, 1.0)

    def complementarity(self, beta: jax.Array, slack: jax.Array) -> jax.Array:
        """The mean product of a slack and its multiplier, which is zero at the solution."""
        return jnp.sum(jnp.where(self.allowed, beta * slack, 0.0)) / (self.columns * self.hessian.shape[0])

    def longest(self, x: jax.Array, step: jax.Array) -> jax.Array:
        """The longest step, at most 1, that leaves ``x`` positive."""
        limits = jnp.where(self.allowed & (step < 0), -x / jnp.where(step < 0, step, -1.0), jnp.inf)
        return jnp.minimum(1.0, 0.99 * jnp.min(limits))

    def start(self) -> _Point:
        """A feasible first iterate."""
        alpha = self.members - jnp.where(self.allowed, 1.0 / self.columns, 0.0)
        slope = self.linear - self.hessian @ alpha
        level = 1.0 - jnp.min(jnp.where(self.allowed, slope, jnp.inf), axis=1)
        return _Point(alpha, jnp.where(self.allowed, slope + level[:, None], 1.0), level)


def _interior_point(program: _Program, iterations: int) -> _Point:
    """Solves the program by the predictor-corrector method of Mehrotra (1992)."""
    smallest = jnp.finfo(program.hessian.dtype).eps * jnp.max(program.linear)  # below it, rounding decides

    def body(point: _Point, _: Any) -> tuple[_Point, None]:
        alpha, slack, level = point
        beta = program.beta(alpha)
        dual = program.linear - program.hessian @ alpha + level[:, None] - slack
        weight = slack / beta
        inverses = _inverses(program.hessian, weight, program.allowed)  # of both directions

        def direction(target):  # of the complementarity, f[n, k]
            right_side = jnp.where(program.allowed, (target - beta * slack) / beta - dual, 0.0)
            move, rise = _solve_rows(inverses, right_side)
            return move, jnp.where(program.allowed, (target - beta * slack) / beta - weight * move, 0.0), rise

        center = program.complementarity(beta, slack)
        move, push, _ = direction(jnp.zeros_like(beta))
        a, b = program.longest(beta, move), program.longest(slack, push)
        reached = program.complementarity(beta + a * move, slack + b * push)
        target = (reached / center) ** 3 * center
        move, push, rise = direction(jnp.maximum(target, smallest) - move * push)
        size = jnp.minimum(program.longest(beta, move), program.longest(slack, push))
        new = _Point(alpha - size * move, slack + size * push, level + size * rise)
        going = (center > smallest) & jnp.all(jnp.isfinite(new.alpha)) & jnp.all(jnp.isfinite(new.slack))
        return jax.tree.map(lambda x, y: jnp.where(going, x, y), new, point), None

    return jax.lax.scan(body, program.start(), None, iterations)[0]


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def solve_dual(gram: jax.Array, members: jax.Array, c: float, iterations: int) -> jax.Array:
    """Solves the dual of Crammer and Singer; ``heads.crammer_singer`` documents it.

    Its derivative in ``gram`` is that of the optimality conditions at the solution.
    """
    return _forward(gram, members, c, iterations)[0]


def _problem(gram, members, c):
    """Scales the dual so that its quadratic part is of order 1 in units of c.

    Returns the factor of ``gram`` in the quadratic part, that part, the linear part, and which columns have an example.
    """
    unit = jnp.maximum(c * jnp.trace(gram) / gram.shape[0], 1.0)
    factor = c / unit
    return factor, factor * gram, members / unit, jnp.sum(members, axis=0) > 0


def _forward(gram, members, c, iterations):
    factor, hessian, linear, allowed = _problem(gram, members, c)
    point = _interior_point(_Program(hessian, linear, members, allowed), iterations)
    weight = point.slack / jnp.where(allowed, members - point.alpha, 1.0)
    alpha = c * point.alpha
    return alpha, (factor, hessian, allowed, weight, alpha)


def _backward(c, iterations, residuals, cotangent):
    factor, hessian, allowed, weight, alpha = residuals
    damping = 0.01 * jnp.finfo(hessian.dtype).eps ** 0.5  # where K is singular, many α have the same weights
    weight = weight + damping * jnp.trace(hessian) / hessian.shape[0]
    solution, _ = _solve_rows(_inverses(hessian, weight, allowed), jnp.where(allowed, cotangent, 0.0))
    return -factor * solution @ alpha.T, jnp.zeros_like(alpha)


solve_dual.defvjp(_forward, _backward)
