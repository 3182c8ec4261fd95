"""Architecture and hyperparameters in one search: a relaxed space carries both kinds of choice."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax
import optax
from jaxtyping import Array, Float

from metajax.bilevel import Descent, Inner, Problem
from metajax.space import Space
from metajax.types import Batch, Hyper, Info, Key, Params, Scalar, stream


class RelaxedConfig(NamedTuple):
    """A configuration whose discrete choices may be mixtures.

    Attributes:
        encoding: The encoding of the configuration.
        values: The value of each name: a number in its own units, the weights of the options of a ``Categorical``, the shares
            of a ``Subset``.
    """

    encoding: Float[Array, " width"]
    values: dict[str, jax.Array]


class JointProblem(NamedTuple):
    """The same learning twice: as a search over all configurations, and for one of them.

    Attributes:
        relaxed: ``hyper`` is a dictionary of logits. Begin at ``space.logits(config)`` or ``space.zeros()``, and decide what
            the search arrives at by ``space.decode(space.relax(hyper)[None])``.
        encoded: ``hyper`` is an encoding of shape ``[width]``, such as a row of ``space.encode(configs)``. One compiled program
            trains any configuration, or a population of them under ``vmap``.
    """

    relaxed: Problem[Descent]
    encoded: Problem[Descent]


class ConfigLoss(Protocol):
    """A loss under a configuration, ``loss(config, params, batch, key) -> (loss, info)``."""

    def __call__(self, config: RelaxedConfig, params: Params, batch: Batch, key: Key, /) -> tuple[Scalar, Info]:
        """Evaluates the loss; ``config`` says which architecture and which hyperparameters."""
        ...


def joint_problem(
    space: Space,
    init: Callable[[Key], Params],
    inner_loss: ConfigLoss,
    outer_loss: ConfigLoss,
    optimizer: Callable[[dict[str, jax.Array]], optax.GradientTransformation],
    rule: Any = "softmax",
) -> JointProblem:
    """Makes a bilevel problem over all choices of a space: an operation and a learning rate are searched by one gradient.

    Args:
        space: The space of all choices.
        init: ``(key) -> params`` of the network that holds every architecture.
        inner_loss: ``(config, params, batch, key) -> (loss, info)`` on training data.
        outer_loss: The same on held-out data.
        optimizer: The optimizer of the weights, from the values of the configuration.
        rule: The relaxation of the categorical choices: a name or an object of ``metajax.space.rules``. A random rule draws
            anew in every step; the optimizer always reads the plain softmax.

    Returns:
        The problem with logits and the problem with an encoding as hyperparameters.

    Example:
        >>> import jax.numpy as jnp
        >>> from metajax import bilevel, hpo
        >>> from metajax.space import Categorical, Float, Space
        >>> space = Space({"square": Categorical((False, True)), "learning_rate": Float(1e-3, 1.0, log=True)})
        >>> def loss(config, w, batch, key):
        ...     plain, square = config.values["square"]
        ...     return jnp.mean((w * (plain * batch + square * batch**2) - batch**2) ** 2), {}
        >>> sgd = lambda values: hpo.sgd(values["learning_rate"])
        >>> search = hpo.joint_problem(space, lambda key: jnp.ones(()), loss, loss, sgd)
        >>> x, logits = jnp.arange(3.0), space.logits({"learning_rate": 0.01})
        >>> result = jax.jit(bilevel.unroll()(search.relaxed))(logits, None, jnp.stack([x, x]), x, jax.random.key(0))
        >>> bool(result.grad["square"][1] < result.grad["square"][0])  # the square should get more weight
        True
    """

    def problem(encode: Callable[[Hyper, Key | None], jax.Array]) -> Problem[Descent]:
        def config(hyper: Hyper, key: Key | None) -> RelaxedConfig:
            encoding = encode(hyper, key)
            return RelaxedConfig(encoding, space.values(encoding))

        inner = Inner.descent(
            lambda hyper, params, batch, key: inner_loss(config(hyper, key), params, batch, key),
            lambda hyper, key: init(key),
            lambda hyper: optimizer(config(hyper, None).values),
        )
        return Problem(inner, lambda hyper, params, batch, key: outer_loss(config(hyper, key), params, batch, key))

    def relaxed(hyper: Hyper, key: Key | None) -> jax.Array:
        return space.relax(hyper) if key is None else space.relax(hyper, rule, stream(key, "relaxation"))

    return JointProblem(problem(relaxed), problem(lambda hyper, key: hyper))
