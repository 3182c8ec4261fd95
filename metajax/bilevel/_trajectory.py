"""The path of inner learning: the parameters after each step."""

from typing import Any

import jax
import jax.numpy as jnp

from metajax.bilevel._inner import step_key
from metajax.bilevel._problem import Problem, descent, split
from metajax.types import Batch, Hyper, Key, Params


def trajectory(problem: Problem[Any], hyper: Hyper, batch: Batch, steps: int, key: Key) -> Params:
    """Returns the parameters after 0, 1, ..., ``steps`` inner updates on one batch.

    Args:
        problem: The bilevel problem, made with ``Inner.descent``. Its outer loss is not used.
        hyper: The hyperparameters, a pytree of floating-point arrays.
        batch: One inner batch, which every step uses.
        steps: The number of updates, an integer >= 0.
        key: Randomness of the initialization and of the inner loss.

    Returns:
        The parameters with a leading axis of size ``steps + 1``.

    Raises:
        InputError: If the problem is made with ``Inner.solution``.

    Example:
        >>> import optax
        >>> from metajax import bilevel
        >>> bowl = lambda h, w, batch, key: (0.5 * w**2, {})
        >>> inner = bilevel.Inner.descent(bowl, lambda h, key: jnp.ones(()), lambda h: optax.sgd(h))
        >>> problem = bilevel.Problem(inner, bowl)
        >>> bilevel.trajectory(problem, jnp.asarray(0.5), (), 3, jax.random.key(0)).tolist()
        [1.0, 0.5, 0.25, 0.125]
    """
    inner, keys = descent(problem, "trajectory").inner, split(key)
    state = inner.begin(hyper, keys.init)

    def body(state, index):
        state, _ = inner.step(hyper, state, batch, step_key(keys.inner, index))
        return state, state.params

    _, path = jax.lax.scan(body, state, jnp.arange(steps))
    return jax.tree.map(lambda first, rest: jnp.concatenate([first[None], rest]), state.params, path)
