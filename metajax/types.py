"""The vocabulary that every part of metajax shares.

A method is a ``Learner``: a pair of pure functions, as ``optax.GradientTransformation`` is. The state is carried from step to
step, the info of a step is only looked at, and the two never mix. All randomness comes from typed JAX keys, and ``stream``
derives an independent key for each purpose by name.
"""

import hashlib
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import jax
import jaxtyping as jt
import numpy as np

Key = jt.Key[jax.Array, ""]
"""A single typed JAX random key, made by ``jax.random.key(seed)``."""
Scalar = jt.Float[jax.Array, ""]
"""A floating-point array of shape ``()``."""
Params = Any
"""A pytree of arrays: the weights of a model."""
Hyper = Any
"""A pytree of arrays: what the outer problem searches (an initialization, an architecture, a learning rate)."""
Batch = Any
"""A pytree of arrays that share their leading axis."""
Info = Mapping[str, Any]
"""Scalar arrays to log, by name."""


class LossFn(Protocol):
    """A pure function that says how bad parameters are on a batch, ``loss_fn(params, batch, key) -> (loss, info)``."""

    def __call__(self, params: Params, batch: Batch, key: Key, /) -> tuple[Scalar, Info]:
        """Evaluates the loss.

        Args:
            params: The parameters, a pytree of arrays.
            batch: The examples, in whatever form the loss expects.
            key: Randomness of this evaluation (dropout, noise). A deterministic loss ignores it.

        Returns:
            The loss, a scalar array, and scalars to log by name.
        """
        ...


class State(Protocol):
    """What a learner carries from step to step: a pytree of arrays with at least these two."""

    @property
    def step(self) -> jt.Int[jax.Array, ""]:
        """Number of updates made so far."""
        ...

    @property
    def key(self) -> Key:
        """The key from which the randomness of every step is derived. It never changes."""
        ...


class InitFn(Protocol):
    """The first half of a ``Learner``: makes the state before the first step."""

    def __call__(self, key: Key, /, *args: Any, **kwargs: Any) -> Any:
        """Makes the first state.

        Args:
            key: The randomness of the whole training; it is stored in the state.
            *args: What the learner needs to begin, such as initial parameters or hyperparameters.
            **kwargs: As ``args``.

        Returns:
            A ``State``.
        """
        ...


class UpdateFn(Protocol):
    """The second half of a ``Learner``: makes one step. It can be jitted, scanned and vmapped."""

    def __call__(self, state: Any, batch: Batch, /) -> tuple[Any, Info]:
        """Makes one step.

        Args:
            state: The ``State`` that ``init`` or an earlier update returned.
            batch: The data of this step, a pytree of arrays whose shapes are the same at every step.

        Returns:
            The next state, with the same structure, shapes and types, and scalars to log by name.
        """
        ...


class Learner(NamedTuple):
    """A learning algorithm as two pure functions, as ``optax.GradientTransformation`` is.

    The randomness of step t is ``jax.random.fold_in(stream(state.key, purpose), state.step)``. There is no generator to save,
    so a training that is resumed from a saved state ends in the same bits.

    Attributes:
        init: ``init(key, ...) -> State``.
        update: ``update(state, batch) -> (state, info)``.

    Example:
        >>> import jax.numpy as jnp, optax
        >>> from metajax import bilevel
        >>> mean_squared = lambda w, batch, key: (jnp.mean((w - batch) ** 2), {})
        >>> learner = bilevel.supervised(lambda key: jnp.zeros(()), mean_squared, optax.sgd(0.5))
        >>> state = learner.init(jax.random.key(0))
        >>> state, info = jax.jit(learner.update)(state, jnp.ones(3))
        >>> int(state.step), float(info["loss"]), float(state.params)
        (1, 1.0, 1.0)
    """

    init: InitFn
    update: UpdateFn


def stream(key: Key, name: str) -> Key:
    """Returns an independent random stream of a key, told apart by its name.

    In today's JAX ``jax.random.split(key, n)[i]`` equals ``jax.random.fold_in(key, i)``, so two users of one key that both
    count from zero draw the same bits. A name is hashed to a number of at least 2^31, which no count reaches.

    Args:
        key: A typed random key.
        name: The purpose of the stream, such as ``"data"`` or ``"init"``.

    Returns:
        The key of the stream.

    Example:
        >>> key = jax.random.key(0)
        >>> bool(stream(key, "data") == stream(key, "data")), bool(stream(key, "data") == stream(key, "init"))
        (True, False)
    """
    digest = hashlib.blake2s(name.encode(), digest_size=4).digest()
    return jax.random.fold_in(key, int.from_bytes(digest, "big") | 2**31)


def generator(key: Key) -> np.random.Generator:
    """Returns NumPy's random generator, seeded by a key: the host-side generator.

    Use it where the shape of a draw varies (permutations, for example): in JAX every new shape would compile a new program.

    Args:
        key: A typed random key.

    Returns:
        A generator that draws the same numbers whenever it is made of the same key.

    Example:
        >>> generator(stream(jax.random.key(0), "folds")).permutation(5).tolist()
        [3, 2, 0, 1, 4]
    """
    return np.random.default_rng(np.asarray(jax.random.key_data(key)).tolist())


class InputError(ValueError):
    """Bad input from a user, of any function of metajax.

    The message is one line. It names the argument, says what is required and what was passed, and says what to do where that
    helps: ``chunk must be an integer >= 1, got 0``.
    Command lines print the message without a traceback and exit with status 2.
    """
