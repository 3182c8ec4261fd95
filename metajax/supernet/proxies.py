"""Zero-cost proxies: what a network at its initial weights says about how good it will be (Abdelfattah et al. 2021,
arXiv:2101.08134). Larger is better for every one of them. All are pure and can be jitted and mapped over encodings."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core
from jax.flatten_util import ravel_pytree

from metajax.types import Params, Scalar

Apply = Callable[[Params, jax.Array], jax.Array]
"""``(params, x) -> logits f32[n, classes]``, such as ``lambda p, x: network.apply(p, x, encoding)``."""
Loss = Callable[[jax.Array, jax.Array], Scalar]
"""``(logits, labels) -> scalar``."""


def _value(apply: Apply, loss: Loss, x: jax.Array, y: jax.Array) -> Callable[[Params], Scalar]:
    return lambda params: loss(apply(params, x), y)


def _sum(tree: Any) -> Scalar:
    leaves = [jnp.sum(leaf) for leaf in jax.tree.leaves(tree)]
    return sum(leaves[1:], leaves[0])


def gradient_norm(apply: Apply, loss: Loss, params: Params, x: jax.Array, y: jax.Array) -> Scalar:
    """The norm of the gradient of the loss."""
    return jnp.linalg.norm(ravel_pytree(jax.grad(_value(apply, loss, x, y))(params))[0])


def snip(apply: Apply, loss: Loss, params: Params, x: jax.Array, y: jax.Array) -> Scalar:
    """How much the loss hangs on single weights: Σ |w · ∂loss/∂w| (Lee et al. 2019, arXiv:1810.02340).

    Example:
        >>> linear = lambda w, x: x @ w
        >>> square = lambda out, y: 0.5 * jnp.sum((out - y) ** 2)
        >>> float(snip(linear, square, jnp.array([[2.0], [-1.0]]), jnp.eye(2), jnp.zeros((2, 1))))
        5.0
    """
    grads = jax.grad(_value(apply, loss, x, y))(params)
    return _sum(jax.tree.map(lambda w, g: jnp.abs(w * g), params, grads))


def grasp(apply: Apply, loss: Loss, params: Params, x: jax.Array, y: jax.Array) -> Scalar:
    """How removing weights would change the gradient's norm: -Σ w · (H g), the Hessian-vector product exact (Wang et al.
    2020, arXiv:2002.07376)."""
    gradient = jax.grad(_value(apply, loss, x, y))
    grads = gradient(params)
    product = jax.jvp(gradient, (params,), (grads,))[1]
    return -_sum(jax.tree.map(lambda w, h: w * h, params, product))


def synflow(apply: Apply, params: Params, x: jax.Array) -> Scalar:
    """The flow through all paths: Σ w · ∂R/∂w with R the sum of outputs for an input of ones and weights replaced by their
    sizes, in the logarithm (Tanaka et al. 2020, arXiv:2006.05467). Needs no data: of ``x`` only the shape counts. For
    networks without normalisation; behind batch norm it says nothing."""
    ones, sizes = jnp.ones((1, *x.shape[1:]), x.dtype), jax.tree.map(jnp.abs, params)
    grads = jax.grad(lambda p: jnp.sum(apply(p, ones)))(sizes)
    return jnp.log(jnp.maximum(_sum(jax.tree.map(lambda w, g: w * g, sizes, grads)), 1e-30))


def jacobian_covariance(apply: Apply, params: Params, x: jax.Array) -> Scalar:
    """How differently the network reacts to different inputs: -Σ (log λ + 1/λ) over the eigenvalues of the correlation of its
    gradients in the inputs (Mellor et al. 2020, arXiv:2006.04647v1)."""
    slopes = jax.grad(lambda inputs: jnp.sum(apply(params, inputs)))(x).reshape(len(x), -1)
    centred = slopes - jnp.mean(slopes, axis=1, keepdims=True)
    unit = centred / jnp.maximum(jnp.linalg.norm(centred, axis=1, keepdims=True), 1e-12)
    values = jnp.maximum(jnp.linalg.eigvalsh(unit @ unit.T), 0.0) + 1e-5
    return -jnp.sum(jnp.log(values) + 1.0 / values)


def ntk_condition(apply: Apply, params: Params, x: jax.Array) -> Scalar:
    """Minus the condition number of the neural tangent kernel of the summed outputs (TE-NAS, Chen et al. 2021,
    arXiv:2102.11535), in the logarithm."""

    def row(i: jax.Array) -> jax.Array:
        return ravel_pytree(jax.grad(lambda p: jnp.sum(apply(p, x)[i]))(params))[0]

    slopes = jax.lax.map(row, jnp.arange(len(x)))
    values = jnp.linalg.eigvalsh(slopes @ slopes.T)
    return -(jnp.log(jnp.maximum(values[-1], 1e-30)) - jnp.log(jnp.maximum(values[0], 1e-12 * values[-1] + 1e-30)))


def naswot(apply: Apply, params: Params, x: jax.Array) -> Scalar:
    """How differently inputs switch the ReLUs on: log det of the matrix of units in which the codes of two inputs agree
    (NASWOT, Mellor et al. 2021, arXiv:2006.04647).

    Every ReLU of ``apply`` counts, also one behind which the encoding of a SuperNet gives no weight: give it the
    stand-alone network, ``SuperNet.build(config)``.

    Raises:
        ValueError: if there is no ReLU.

    Example:
        >>> x = jnp.eye(2)
        >>> apart = naswot(lambda w, x: jax.nn.relu(x @ w), jnp.array([[1.0, -1.0], [-1.0, 1.0]]), x)  # codes 10 and 01
        >>> round(float(apart), 2)  # log det [[2, 0], [0, 2]]
        1.39
    """
    number, codes = len(x), []
    closed = jax.make_jaxpr(apply)(params, x)
    _collect(closed.jaxpr, closed.consts, jax.tree.leaves((params, x)), codes)
    if not codes:
        raise ValueError("naswot: the network has no ReLU")
    on = jnp.concatenate([code.reshape(number, -1) for code in codes], axis=1).astype(x.dtype)
    agreeing = on @ on.T + (1 - on) @ (1 - on).T
    # inputs with equal codes would make it singular
    return jnp.linalg.slogdet(agreeing + 1e-3 * jnp.eye(number, dtype=x.dtype))[1]


def _collect(jaxpr: Any, consts: Any, args: Any, codes: list[jax.Array]) -> list[Any]:
    """Runs a program and notes where its ReLUs, ``max(v, 0)``, are on; those inside loops and branches are not seen."""
    values = dict(zip((*jaxpr.constvars, *jaxpr.invars), (*consts, *args)))
    read = lambda var: var.val if isinstance(var, core.Literal) else values[var]
    for equation in jaxpr.eqns:
        given = [read(var) for var in equation.invars]
        inner = equation.params.get("call_jaxpr", equation.params.get("jaxpr"))
        zero = any(not isinstance(v, jax.Array) and np.ndim(v) == 0 and v == 0 for v in given)
        if equation.primitive.name == "max" and zero:
            codes.append(jnp.maximum(*given) > 0)
        if equation.primitive.name in _CALLS and inner is not None:
            closed = (inner.jaxpr, inner.consts) if isinstance(inner, core.ClosedJaxpr) else (inner, ())
            made = _collect(*closed, given, codes)
        else:
            made = equation.primitive.bind(*given, **equation.params)
            made = made if equation.primitive.multiple_results else [made]
        values.update(zip(equation.outvars, made))
    return [read(var) for var in jaxpr.outvars]


# programs within programs that compute what they hold
_CALLS = ("pjit", "jit", "closed_call", "core_call", "custom_jvp_call", "custom_vjp_call", "remat2", "checkpoint")
