"""What is added to the outer loss of a search, and what disturbs the encoding under which weights learn."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from metajax.space import Categorical, Space
from metajax.supernet._relaxations import Relaxation, blocks
from metajax.supernet._search import Disturb, Regularizer
from metajax.types import InputError


def beta_decay(weight: float = 0.5) -> Regularizer:
    """Mean over choices of log Σ exp(logits), which keeps the softmax weights from growing apart (β-DARTS, Ye et al. 2022,
    arXiv:2203.01665).

    Its weight grows by ``weight`` with every epoch that was completed, whatever the length of the search: the authors' code
    takes ``50 · epoch / 100``.

    Args:
        weight: added to the weight of the term after each epoch.

    Example:
        >>> import jax.numpy as jnp
        >>> from metajax.supernet import Moment, cell_space
        >>> space = cell_space(2)
        >>> moment = Moment(jnp.asarray(0.1), jnp.ones(5), epoch=2.7)
        >>> round(float(beta_decay()(space, space.zeros(), None, moment)), 4)  # 2 epochs: 2 x 0.5 x log 5
        1.6094
    """

    def term(space, logits, encoding, moment):
        each = [jax.nn.logsumexp(logits[name]) for name, _ in blocks(space)]
        return weight * jnp.floor(moment.epoch) * jnp.mean(jnp.stack(each))

    return term


def zero_one(weight: float = 10.0) -> Regularizer:
    """Drives independent choices to 0 or 1: ``-weight · mean (encoding - ½)²`` over the open values (FairDARTS, Chu et al.
    2020, arXiv:1911.12126)."""

    def term(space, logits, encoding, moment):
        return -weight * jnp.sum(moment.mask * jnp.square(encoding - 0.5)) / jnp.sum(moment.mask)

    return term


def entropy_bonus(relaxation: Relaxation, weight: float = 1e-4) -> Regularizer:
    """``-weight ·`` the sum over choices of the entropy of their probabilities, so that a controller keeps exploring (ENAS,
    Pham et al. 2018, arXiv:1802.03268).

    Args:
        relaxation: whose strengths are the probabilities, such as ``policy()``.
        weight: in units of reward per nat.
    """

    def term(space, logits, encoding, moment):
        p = relaxation.strengths(space, logits, moment.mask)
        return weight * jnp.sum(jnp.where(p > 0, p * jnp.log(jnp.where(p > 0, p, 1.0)), 0.0))

    return term


def costs(space: Space, table: Mapping[str, Mapping[Any, float]]) -> np.ndarray:
    """f32[width]: the cost of every value of every choice, from ``{choice: {value: cost}}``; missing ones are free.

    Raises:
        InputError: if the table names a choice or a value that the space does not have.
    """
    found = np.zeros(space.width, np.float32)
    for name, values in table.items():
        domain = space.domains.get(name)
        if not isinstance(domain, Categorical):
            known = [n for n, _ in blocks(space)]
            raise InputError(f"costs: {name!r} is not a categorical choice of the space; accepted are {known}")
        for value, cost in values.items():
            found[space.slices[name].start + int(domain.from_python(value, f"costs: {name}"))] = cost
    return found


def expected_cost(cost: Any, weight: float = 1.0, budget: float | None = None) -> Regularizer:
    """The cost that the encoding expects, as a penalty; with a budget, only the share by which it is exceeded counts.

    Parameters, operations or measured latency that add up over choices (ProxylessNAS, Cai et al. 2019,
    arXiv:1812.00332).

    Args:
        cost: f32[width], as ``costs`` makes, or a function of the encoding for a cost that does not add up.
        weight: of the penalty; in units of loss per unit of cost (per budget, with a budget).
        budget: that the architecture should keep.
    """
    of: Callable[..., Any] = cost if callable(cost) else lambda encoding: encoding @ jnp.asarray(cost, encoding.dtype)

    def term(space, logits, encoding, moment):
        amount = of(encoding)
        return weight * amount if budget is None else weight * jnp.maximum(amount / budget - 1.0, 0.0)

    return term


def radius_at(progress: jax.Array, start: float, end: float) -> jax.Array:
    """The radius of a disturbance, which grows linearly over the search."""
    return start + (end - start) * progress


def on_simplex(space: Space, encoding: jax.Array) -> jax.Array:
    """Clips each choice's weights to [0, 1] and divides them by their sum; where nothing is left, the largest becomes 1."""
    for _, part in blocks(space):
        block = jnp.clip(encoding[part], 0.0, 1.0)
        largest = jax.nn.one_hot(jnp.argmax(encoding[part]), block.shape[0], dtype=block.dtype)
        whole = jnp.sum(block)
        block = jnp.where(whole > 0, block / jnp.where(whole > 0, whole, 1.0), largest)
        encoding = encoding.at[part].set(block)
    return encoding


def random_disturbance(start: float = 0.03, end: float = 0.3) -> Disturb:
    """Uniform noise on the encoding, clipped to the simplex (SmoothDARTS, Chen and Hsieh 2020, arXiv:2002.05283).

    Args:
        start, end: radius at the first and at the last step; it grows linearly (by steps, in the authors' code by epochs).
    """

    def disturb(space, loss, encoding, moment, key):
        radius = radius_at(moment.progress, start, end)
        noise = radius * jax.random.uniform(key, encoding.shape, encoding.dtype, -1.0, 1.0)
        return on_simplex(space, encoding + noise * moment.mask)

    return disturb


def adversarial_disturbance(start: float = 0.03, end: float = 0.3, steps: int = 7) -> Disturb:
    """The encoding within a box around it that makes the training loss large (SmoothDARTS, Chen and Hsieh 2020,
    arXiv:2002.05283).

    Signed gradient ascent from a random point of the box, in steps of ``2 · radius / steps``, each clipped to the box and to
    the simplex. Where the loss did not grow, the encoding stays as it was. The outer gradient takes the disturbance as a
    constant. The authors attack with the running statistics of batch norm; here they are the batch's.

    Args:
        start, end: radius of the box at the first and at the last step; it grows linearly.
        steps: of the ascent.

    Raises:
        InputError: unless ``steps`` is positive.
    """
    if steps < 1:
        raise InputError(f"adversarial_disturbance: steps={steps}; accepted is a whole number from 1")

    def disturb(space, loss, encoding, moment, key):
        radius = radius_at(moment.progress, start, end)
        center = jax.lax.stop_gradient(encoding)
        inside = lambda moved: on_simplex(space, center + jnp.clip(moved - center, -radius, radius) * moment.mask)

        def ascend(_, moved):
            return inside(moved + 2.0 * radius / steps * jnp.sign(jax.grad(loss)(moved)))

        noise = radius * jax.random.uniform(key, encoding.shape, encoding.dtype, -1.0, 1.0)
        moved = jax.lax.fori_loop(0, steps, ascend, inside(center + noise))
        moved = jnp.where(loss(moved) >= loss(center), moved, center)
        return encoding + jax.lax.stop_gradient(moved - center)

    return disturb
