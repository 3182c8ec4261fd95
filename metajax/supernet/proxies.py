"""Zero-cost proxies: what a network at its initial weights says about how good it will be (Abdelfattah et al. 2021,
arXiv:2101.08134). Larger is better for every one of them. All are pure and can be jitted and mapped over encodings."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
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
