"""Terms on the logits and on the encoding."""

import jax
import jax.numpy as jnp
from jaxtyping import Float

from metajax._typing import AnyArray, checked
from metajax.space import Space
from metajax.supernet._logits import choice_slices
from metajax.supernet._protocols import Logits, Moment, Regularizer, Relaxation
from metajax.types import Scalar


def beta_decay(weight: float = 0.5) -> Regularizer:
    """Keeps the softmax weights from growing apart: the mean over choices of ``log Σ exp(logits)``.

    The factor of the term grows by ``weight`` with every completed epoch, whatever the length of the search: the authors'
    code takes ``50 · epoch / 100``.

    Args:
        weight: The number that is added to the factor of the term after each epoch.

    Returns:
        The regularizer.

    References:
        Ye et al. 2022, "β-DARTS: beta-decay regularization for differentiable architecture search", arXiv:2203.01665.

    Example:
        >>> from metajax.supernet import Moment, spaces
        >>> space = spaces.cell_space(2)
        >>> moment = Moment(jnp.asarray(0.1), jnp.ones(5), epoch=2.7)
        >>> round(float(beta_decay()(space, space.zeros(), jnp.ones(5), moment)), 4)  # 2 epochs: 2 x 0.5 x log 5
        1.6094
    """

    @checked
    def term(space: Space, logits: Logits, encoding: Float[AnyArray, " {space.width}"], moment: Moment) -> Scalar:
        log_sums = [jax.nn.logsumexp(logits[name]) for name, _ in choice_slices(space)]
        return weight * jnp.floor(moment.epoch) * jnp.mean(jnp.stack(log_sums))

    return term


def zero_one(weight: float = 10.0) -> Regularizer:
    """Drives independent choices to 0 or 1: ``-weight · mean (encoding - ½)²`` over the open values.

    Args:
        weight: The factor of the term.

    Returns:
        The regularizer.

    References:
        Chu et al. 2020, "Fair DARTS" (the zero-one loss), arXiv:1911.12126.

    Example:
        >>> from metajax.supernet import Moment, spaces
        >>> space, moment = spaces.cell_space(2), Moment(0.5, jnp.ones(5))
        >>> [float(zero_one()(space, {}, jnp.full(5, value), moment)) for value in (0.75, 1.0)]
        [-0.625, -2.5]
    """

    @checked
    def term(space: Space, logits: Logits, encoding: Float[AnyArray, " {space.width}"], moment: Moment) -> Scalar:
        return -weight * jnp.sum(moment.mask * jnp.square(encoding - 0.5)) / jnp.sum(moment.mask)

    return term


def entropy_bonus(relaxation: Relaxation, weight: float = 1e-4) -> Regularizer:
    """Keeps a controller exploring: ``-weight ·`` the sum over choices of the entropy of their probabilities.

    Args:
        relaxation: The relaxation whose strengths are the probabilities, such as ``relaxations.controller()``.
        weight: The factor of the term, in units of reward per nat.

    Returns:
        The regularizer.

    References:
        Pham et al. 2018, "Efficient neural architecture search via parameter sharing" (ENAS), arXiv:1802.03268.

    Example:
        >>> from metajax.supernet import Moment, relaxations, spaces
        >>> space, moment = spaces.cell_space(2), Moment(0.5, jnp.ones(5))
        >>> bonus = entropy_bonus(relaxations.softmax_mixture(), weight=1.0)
        >>> round(float(bonus(space, space.zeros(), jnp.ones(5), moment)), 4)  # -log 5
        -1.6094
    """

    @checked
    def term(space: Space, logits: Logits, encoding: Float[AnyArray, " {space.width}"], moment: Moment) -> Scalar:
        p = relaxation.strengths(space, logits, moment.mask)
        return weight * jnp.sum(jnp.where(p > 0, p * jnp.log(jnp.where(p > 0, p, 1.0)), 0.0))

    return term
