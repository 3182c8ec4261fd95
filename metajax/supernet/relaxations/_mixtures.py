"""Relaxations without randomness: every operation is computed, weighted by a function of the logits."""

import jax
from jaxtyping import Array, Float

from metajax._typing import AnyArray, checked
from metajax.space import Space, rules
from metajax.supernet._logits import masked_logits
from metajax.supernet._protocols import Logits, Relaxation
from metajax.supernet.relaxations._rules import encode_by_rule, probabilities
from metajax.types import Key


def softmax_mixture(temperature: float = 1.0) -> Relaxation:
    """Mixes the values of a choice by a softmax, as in DARTS: ``softmax(logits / temperature)``.

    Args:
        temperature: The temperature of the softmax, positive; a lower one is closer to one-hot.

    Returns:
        The relaxation; it decides by the softmax at temperature 1.

    Raises:
        InputError: If the temperature is not above 0.

    References:
        Liu et al. 2019, "DARTS: differentiable architecture search", arXiv:1806.09055.

    Example:
        >>> import jax.numpy as jnp
        >>> from metajax.supernet import Moment, spaces
        >>> space, moment = spaces.cell_space(2), Moment(0.0, jnp.asarray([0.0, 1.0, 1.0, 1.0, 1.0]))
        >>> encoding = softmax_mixture().judge(space, space.zeros(), moment, jax.random.key(0))
        >>> encoding.tolist()  # the first of five values was pruned
        [[0.0, 0.25, 0.25, 0.25, 0.25]]
    """
    rule = rules.softmax(temperature)
    encode = encode_by_rule(lambda progress: rule)
    return Relaxation(encode, encode, probabilities)


def sigmoid_mixture() -> Relaxation:
    """Weighs every value by a sigmoid of its own, so that the values of a choice do not compete; all begin at ½.

    Returns:
        The relaxation, with initial logits of exactly 0.

    References:
        Chu et al. 2020, "Fair DARTS: eliminating unfair advantages in differentiable architecture search",
        arXiv:1911.12126.

    Example:
        >>> import jax.numpy as jnp
        >>> from metajax.supernet import spaces
        >>> space = spaces.cell_space(2)
        >>> sigmoid_mixture().strengths(space, space.zeros(), jnp.ones(5)).tolist()
        [0.5, 0.5, 0.5, 0.5, 0.5]
    """
    encode = encode_by_rule(lambda progress: rules.sigmoid())

    @checked
    def strengths(
        space: Space, logits: Logits, mask: Float[AnyArray, " {space.width}"]
    ) -> Float[Array, " {space.width}"]:
        return space.relax(masked_logits(space, logits, mask), rules.sigmoid()) * mask

    return Relaxation(encode, encode, strengths, 0.0)


def exponentiated_mixture() -> Relaxation:
    """Mixes by a softmax whose gradient is taken in the weights, not in the logits.

    Gradient descent on the logits is then exponentiated gradient on the simplex. Use it with ``optax.sgd``.

    Returns:
        The relaxation, with initial logits of exactly 0.

    References:
        Li et al. 2021, "Geometry-aware gradient algorithms for neural architecture search" (GAEA), arXiv:2004.07802.

    Example:
        >>> import jax.numpy as jnp
        >>> from metajax.supernet import Moment, spaces
        >>> space, moment = spaces.cell_space(2), Moment(0.0, jnp.ones(5))
        >>> first = lambda logits: exponentiated_mixture().judge(space, logits, moment, jax.random.key(0))[0, 0]
        >>> slope = jax.grad(first)(space.zeros())["edge_0_1"]
        >>> bool(jnp.allclose(slope, jnp.eye(5)[0], atol=1e-6))  # that of the weight itself
        True
    """

    @checked
    def rule(logits: Float[AnyArray, "*batch choices"], key: Key | None = None) -> Float[Array, "*batch choices"]:
        # the value of the softmax, and the identity as derivative
        return jax.lax.stop_gradient(jax.nn.softmax(logits)) + logits - jax.lax.stop_gradient(logits)

    encode = encode_by_rule(lambda progress: rule)
    return Relaxation(encode, encode, probabilities, 0.0)
