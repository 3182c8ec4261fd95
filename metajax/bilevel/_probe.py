"""Inner optimizers whose derivative is NaN where a gradient is zero are named before they spoil a hypergradient."""

import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from metajax.bilevel._inner import Descent
from metajax.types import Hyper, Key

_SINGULAR = ("sqrt", "div", "pow", "log")
"""Operations that may have no derivative at zero."""


def warn_of_nan_derivative(inner: Descent, hyper: Hyper, key: Key) -> None:
    """Warns if the derivative of the first inner update is NaN at a gradient of zero.

    ReLU units that are off and padded rows have such gradients, and one NaN spoils the whole hypergradient. The optimizer is
    tried once for each trace, on parameters and hyperparameters of ones, with one element in place of each array: what matters
    is its formula.

    Args:
        inner: The inner problem; its optimizer is differentiated.
        hyper: The hyperparameters, of which only the structure is read.
        key: A random key, of which only the type is read.

    Example:
        >>> import optax
        >>> bowl = lambda h, w, batch, key: (0.5 * w**2, {})
        >>> inner = Descent(bowl, lambda h, key: jnp.ones(()), lambda h: optax.adam(h))
        >>> with warnings.catch_warnings(record=True, action="always") as caught:
        ...     warn_of_nan_derivative(inner, jnp.asarray(0.5), jax.random.key(0))
        >>> len(caught)
        1
    """
    params = jax.eval_shape(inner.init, hyper, key)
    ones_like = lambda leaf: np.ones((1,) * leaf.ndim, leaf.dtype)
    ones = jax.tree.map(lambda leaf: np.ones(jnp.shape(leaf), jnp.result_type(leaf)), hyper)
    weights = jax.tree.map(ones_like, params)

    def moved(grads: Any) -> jax.Array:
        optimizer = inner.optimizer(jax.tree.map(jnp.asarray, ones))
        updates, _ = optimizer.update(grads, optimizer.init(weights), weights)
        return sum((jnp.sum(leaf) for leaf in jax.tree.leaves(updates)), jnp.zeros(()))

    try:
        grads = jax.tree.map(np.zeros_like, weights)
        program = str(jax.make_jaxpr(moved)(grads))
        if not any(name in program for name in _SINGULAR):  # most optimizers: nothing is compiled for them
            return
        with jax.ensure_compile_time_eval():
            derivative = jax.jit(jax.grad(moved))(grads)
            is_nan = any(bool(jnp.isnan(leaf).any()) for leaf in jax.tree.leaves(derivative))
    except Exception:  # An optimizer that needs the true shapes is not tried.
        return
    if is_nan:
        warnings.warn(
            "inner optimizer: its derivative is NaN where a gradient is zero, and the hypergradient is then NaN, too. Give "
            "optax.adam and adamw eps_root=1e-8 (as hpo.adam has); in place of clip_by_global_norm, adaptive_grad_clip and "
            "normalize_by_update_norm, which divide by a norm, use optax.clip",
            stacklevel=2,
        )
