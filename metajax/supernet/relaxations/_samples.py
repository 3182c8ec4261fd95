"""Relaxations that draw an encoding at every step, with a derivative through the sample."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from metajax._typing import AnyArray, checked
from metajax.space import Space, rules
from metajax.space._temperature import checked_temperature
from metajax.supernet._logits import masked_logits
from metajax.supernet._protocols import Logits, Relaxation
from metajax.supernet.relaxations._rules import encode_by_rule, probabilities


def _falling(start: float, end: float) -> Callable[[jax.Array], jax.Array]:
    """Returns a temperature that falls linearly with the progress. Raises InputError if it is not positive."""
    checked_temperature(start, "start")
    checked_temperature(end, "end")
    return lambda progress: start + (end - start) * progress


def straight_through_path(start: float = 10.0, end: float = 0.1) -> Relaxation:
    """Draws one path, with the gradient of a Gumbel-softmax sample at a falling temperature.

    Args:
        start: The temperature at the first step, positive.
        end: The temperature at the last step, positive.

    Returns:
        The relaxation; its encodings are one-hot, so that a network may compute single paths.

    Raises:
        InputError: If a temperature is not above 0.

    References:
        Dong and Yang 2019, "Searching for a robust neural architecture in four GPU hours" (GDAS), arXiv:1910.04465.

    Example:
        >>> from metajax.supernet import Moment, spaces
        >>> space, moment = spaces.cell_space(2), Moment(0.5, jnp.ones(5))
        >>> path = straight_through_path().judge(space, space.zeros(), moment, jax.random.key(0))
        >>> sorted(path[0].round(3).tolist())
        [0.0, 0.0, 0.0, 0.0, 1.0]
    """
    temperature = _falling(start, end)
    encode = encode_by_rule(lambda progress: rules.straight_through(temperature(progress)))
    return Relaxation(encode, encode, probabilities)


def concrete_sample(start: float = 1.0, end: float = 0.03) -> Relaxation:
    """Draws from the concrete distribution (a Gumbel-softmax sample) at a falling temperature.

    Args:
        start: The temperature at the first step, positive.
        end: The temperature at the last step, positive.

    Returns:
        The relaxation.

    References:
        Xie et al. 2019, "SNAS: stochastic neural architecture search", arXiv:1812.09926.

    Example:
        >>> from metajax.supernet import Moment, spaces
        >>> space, key = spaces.cell_space(2), jax.random.key(0)
        >>> largest = lambda progress: concrete_sample().judge(space, space.zeros(), Moment(progress, jnp.ones(5)), key).max()
        >>> bool(largest(0.0) < largest(1.0))  # later samples are closer to one-hot
        True
    """
    temperature = _falling(start, end)
    encode = encode_by_rule(lambda progress: rules.gumbel_softmax(temperature(progress)))
    return Relaxation(encode, encode, probabilities)


def dirichlet_sample() -> Relaxation:
    """Draws from a Dirichlet distribution with concentrations ``elu(logits) + 1``.

    Returns:
        The relaxation; it decides by the mean of the distribution.

    References:
        Chen et al. 2021, "DrNAS: Dirichlet neural architecture search", arXiv:2006.10355.

    Example:
        >>> from metajax.supernet import Moment, spaces
        >>> space, moment = spaces.cell_space(2), Moment(0.5, jnp.ones(5))
        >>> sample = dirichlet_sample().judge(space, space.zeros(), moment, jax.random.key(0))
        >>> sample.shape, round(float(sample.sum()), 4)
        ((1, 5), 1.0)
    """

    @checked
    def strengths(
        space: Space, logits: Logits, mask: Float[AnyArray, " {space.width}"]
    ) -> Float[Array, " {space.width}"]:
        mean = lambda x, key=None: (jax.nn.elu(x) + 1.0) / jnp.sum(jax.nn.elu(x) + 1.0)
        return space.relax(masked_logits(space, logits, mask), mean) * mask

    encode = encode_by_rule(lambda progress: rules.dirichlet())
    return Relaxation(encode, encode, strengths)
