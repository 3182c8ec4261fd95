"""Architecture and hyperparameters in one search: a relaxed space carries both kinds of choice."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import optax

from metajax.bilevel import Descent, Inner, Problem
from metajax.space import Space
from metajax.types import Info, Key, Params, Scalar, stream


class Choice(NamedTuple):
    """A relaxed configuration: its encoding f32[width], and each name's value (numbers in their own units; weights of the
    options of a ``Categorical``; shares of a ``Subset``)."""

    encoding: jax.Array
    values: dict[str, jax.Array]


class Joint(NamedTuple):
    """The same learning twice: as a search, and for one configuration.

    Attributes:
        relaxed: ``hyper`` is a dictionary of logits: begin at ``space.logits(config)`` or ``space.zeros()``; what it arrives at
            is decided by ``space.decode(space.relax(hyper)[None])``.
        chosen: ``hyper`` is an encoding f32[width], such as a row of ``space.encode(configs)``: one compiled program trains any
            configuration, or a population of them under ``vmap``.
    """

    relaxed: Problem[Descent]
    chosen: Problem[Descent]


ChosenLoss = Callable[[Choice, Params, Any, Key], tuple[Scalar, Info]]


def joint(
    space: Space,
    init: Callable[[Key], Params],
    inner_loss: ChosenLoss,
    outer_loss: ChosenLoss,
    optimizer: Callable[[dict[str, jax.Array]], optax.GradientTransformation],
    rule: Any = "softmax",
) -> Joint:
    """A bilevel problem over all choices of a space: an operation and a learning rate are searched by the same gradient.

    Args:
        space: of all choices.
        init: ``(key) -> params`` of the network that holds every architecture.
        inner_loss, outer_loss: ``(choice, params, batch, key) -> (loss, info)``.
        optimizer: of the weights, from the values of the choice.
        rule: of ``metajax.space.rules`` for the categorical choices. A random one draws anew in every step; the optimizer
            is always given the plain softmax.

    Example:
        >>> import jax.numpy as jnp
        >>> from metajax import bilevel, hpo
        >>> from metajax.space import Categorical, Float, Space
        >>> space = Space({"unit": Categorical(("tanh", "relu")), "learning_rate": Float(1e-3, 1.0, log=True)})
        >>> def loss(choice, w, batch, key):
        ...     x, y = batch
        ...     unit = choice.values["unit"]
        ...     h = unit[0] * jnp.tanh(x @ w["a"]) + unit[1] * jax.nn.relu(x @ w["a"])
        ...     return jnp.mean((h @ w["b"] - y) ** 2), {}
        >>> init = lambda key: {"a": jax.random.normal(key, (1, 8)), "b": jnp.ones(8) / 8}
        >>> made = hpo.joint(space, init, loss, loss, lambda values: hpo.sgd(values["learning_rate"]))
        >>> batch = jnp.ones((4, 1)), jnp.ones(4)
        >>> steps = jax.tree.map(lambda a: jnp.stack([a] * 3), batch)
        >>> logits = space.logits({"learning_rate": 0.01})
        >>> found = bilevel.unroll()(made.relaxed)(logits, None, steps, batch, jax.random.key(0))
        >>> {name: g.shape for name, g in found.grad.items()}
        {'learning_rate': (), 'unit': (2,)}
    """

    def of(encode: Callable[..., jax.Array]) -> Problem[Descent]:
        def choose(hyper: Any, key: Key | None) -> Choice:
            encoding = encode(hyper, key)
            return Choice(encoding, space.values(encoding))

        inner = Inner.descent(
            lambda hyper, params, batch, key: inner_loss(choose(hyper, key), params, batch, key),
            lambda hyper, key: init(key),
            lambda hyper: optimizer(choose(hyper, None).values),
        )
        return Problem(inner, lambda hyper, params, batch, key: outer_loss(choose(hyper, key), params, batch, key))

    def relaxed(hyper: Any, key: Key | None) -> jax.Array:
        return space.relax(hyper) if key is None else space.relax(hyper, rule, stream(key, "relaxation"))

    return Joint(of(relaxed), of(lambda hyper, key: hyper))
