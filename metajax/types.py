"""The vocabulary that every part of metajax shares.

A method is a ``Learner``: a pair of pure functions, as ``optax.GradientTransformation`` is. State is carried from step
to step; ``Info`` is for looking at; the two never mix.
"""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import jax
import numpy as np

Key = jax.Array
"""A typed JAX random key, made by ``jax.random.key(seed)``."""
Scalar = jax.Array
"""An array of shape ``()``."""
Params = Any
"""A pytree of arrays: the weights of a model."""
Hyper = Any
"""A pytree of arrays: what the outer problem searches (an initialization, an architecture, a learning rate)."""
Batch = Any
"""A pytree of arrays that share their leading axis."""
Info = Mapping[str, Any]
"""Scalars to log."""
LossFn = Callable[[Params, Batch, Key], tuple[Scalar, Info]]
"""Any pure function of parameters, a batch and a key."""


class State(Protocol):
    """What a learner carries: a pytree of arrays with at least these two."""

    @property
    def step(self) -> jax.Array: ...

    @property
    def key(self) -> jax.Array: ...


class Learner(NamedTuple):
    """A learning algorithm as two pure functions.

    Attributes:
        init: ``init(key, ...) -> State``.
        update: ``update(state, batch) -> (state, info)``; can be jitted, scanned and vmapped. The randomness of step t is
            ``jax.random.fold_in(state.key, state.step)``, so there is no generator to save and resuming is exact.
    """

    init: Callable[..., Any]
    update: Callable[[Any, Batch], tuple[Any, Info]]


def stream(key: Key, name: str) -> Key:
    """Returns an independent random stream of a key, told apart by name.

    In today's JAX ``jax.random.split(key, n)[i]`` equals ``jax.random.fold_in(key, i)``, so two users of one key that count
    from zero draw the same bits. A name is hashed to a number of at least 2^31, which no count reaches.

    Args:
        key: a typed random key, of any shape under ``vmap``.
        name: the purpose of the stream, such as ``"data"`` or ``"init"``.

    Example:
        >>> key = jax.random.key(0)
        >>> bool(stream(key, "data") == stream(key, "data")), bool(stream(key, "data") == stream(key, "init"))
        (True, False)
    """
    digest = hashlib.blake2s(name.encode(), digest_size=4).digest()
    return jax.random.fold_in(key, int.from_bytes(digest, "big") | 2**31)


def generator(key: Key) -> np.random.Generator:
    """NumPy's generator seeded by a key, for what is drawn on the host: permutations, of whose every length JAX would compile
    another program."""
    return np.random.default_rng(np.asarray(jax.random.key_data(key)).tolist())


class InputError(ValueError):
    """Bad input from a user: one line that names the argument, what was given and what is accepted.

    Command lines print it without a traceback and exit with status 2.
    """
