"""A chunk of training: steps of a learner inside one compiled scan, with the batches that a key draws."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.tree_util import Partial

from metajax.parallel import Placement
from metajax.types import Batch, Key, Learner, State, stream


def compiled_chunk(
    learner: Learner, sampler: Callable[[Key], Batch] | None, placement: Placement | None = None
) -> Callable[..., Any]:
    """Compiles chunks of steps: ``run(state, batches, length) -> (state, info, is_finite)``, once for each length.

    Args:
        learner: The learner.
        sampler: A function ``key -> batch``; ``None`` takes ``batches``, which are stacked along a leading axis. The arrays of
            a sampler that is a ``jax.tree_util.Partial`` are arguments of the program. Those that another sampler closes over
            are constants in it.
        placement: How batches are cut over devices, on each of which the state is whole; ``None`` is one device.

    Returns:
        The function. It donates the state. ``info`` has the means over the chunk, and ``is_finite`` says whether all infos are
        finite and the state holds no NaN.

    Example:
        >>> import optax
        >>> from metajax import bilevel
        >>> loss = lambda params, batch, key: (jnp.mean((params - batch) ** 2), {})
        >>> learner = bilevel.supervised(lambda key: jnp.zeros(()), loss, optax.sgd(0.1))
        >>> run = compiled_chunk(learner, lambda key: jax.random.normal(key, (64,)))
        >>> state, info, is_finite = run(learner.init(jax.random.key(0)), None, 10)
        >>> int(state.step), bool(is_finite)
        (10, True)
    """

    def body(sampler, state, batch):
        if sampler is not None:
            batch = sampler(data_key(state))
        if placement is None:
            return learner.update(state, batch)
        with placement.in_programs():
            return placement.constrain_whole(learner.update(state, placement.constrain(batch)))

    def run(sampler, state, stacked, length):
        state, info = jax.lax.scan(partial(body, sampler), state, stacked, length)
        is_finite = jnp.array(True)
        for leaf in jax.tree.leaves(info):
            is_finite &= jnp.all(jnp.isfinite(leaf))
        for leaf in jax.tree.leaves(state):
            if jnp.issubdtype(leaf.dtype, jnp.floating):
                is_finite &= ~jnp.any(jnp.isnan(leaf))
        return state, jax.tree.map(lambda x: jnp.mean(x.astype(jnp.float32), axis=0), _fields(info)), is_finite

    carried = sampler if sampler is None or isinstance(sampler, Partial) else Partial(sampler)
    if placement is not None:
        carried = placement.replicate(carried)
    return partial(jax.jit(run, static_argnums=3, donate_argnums=1), carried)


def _fields(info: Any) -> dict[str, Any]:
    """Returns an info, which may be a NamedTuple, as a dictionary."""
    return info._asdict() if hasattr(info, "_asdict") else dict(info)


def data_key(state: State) -> Key:
    """Returns the key with which ``train`` draws the batch of a step, apart from the keys that a learner draws for itself.

    Args:
        state: The state of a learner.

    Returns:
        A key that depends on ``state.key`` and ``state.step`` alone.

    Example:
        >>> from types import SimpleNamespace
        >>> state = SimpleNamespace(key=jax.random.key(0), step=jnp.array(3))
        >>> bool(data_key(state) == jax.random.fold_in(stream(state.key, "data"), 3))
        True
    """
    return jax.random.fold_in(stream(state.key, "data"), state.step)
