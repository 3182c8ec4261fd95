"""What is added to the outer loss of a search, and what disturbs the encoding under which weights learn."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from metajax.space import Categorical, Space
from metajax.supernet.relaxation import blocks
from metajax.supernet.search import Disturb, Regulariser


def beta_decay(weight: float = 50.0) -> Regulariser:
    """Mean over choices of log Σ exp(logits), with a weight that grows linearly to ``weight`` (β-DARTS, Ye et al. 2022,
    arXiv:2203.01665): it keeps the softmax weights from growing apart.

    Example:
        >>> from metajax.supernet import cell_space
        >>> space = cell_space(2)
        >>> round(float(beta_decay(2.0)(space, space.zeros(), None, 0.5)), 4)  # log 5
        1.6094
    """

    def term(space, logits, encoding, progress):
        each = [jax.nn.logsumexp(logits[name]) for name, _ in blocks(space)]
        return weight * progress * jnp.mean(jnp.stack(each))

    return term


def zero_one(weight: float = 10.0) -> Regulariser:
    """Drives independent choices to 0 or 1: ``-weight · mean (encoding - ½)²`` (FairDARTS, Chu et al. 2020)."""
    return lambda space, logits, encoding, progress: -weight * jnp.mean(jnp.square(encoding - 0.5))


def dirichlet_distance(weight: float = 1e-3) -> Regulariser:
    """Distance of the concentrations elu(logits) + 1 from the even ones (DrNAS, Chen et al. 2021, section 3.2)."""

    def term(space, logits, encoding, progress):
        total = sum(jnp.sum(jnp.square(jax.nn.elu(logits[name]))) for name, _ in blocks(space))
        return weight * jnp.sqrt(total + 1e-12)

    return term


def costs(space: Space, table: Mapping[str, Mapping[Any, float]]) -> np.ndarray:
    """f32[width]: the cost of every value of every choice, from ``{choice: {value: cost}}``; missing ones are free.

    Raises:
        ValueError: if the table names a choice or a value that the space does not have.
    """
    found = np.zeros(space.width, np.float32)
    for name, values in table.items():
        domain = space.domains.get(name)
        if not isinstance(domain, Categorical):
            known = [n for n, _ in blocks(space)]
            raise ValueError(f"costs: {name!r} is not a categorical choice of the space; accepted are {known}")
        for value, cost in values.items():
            found[space.slices[name].start + int(domain.from_python(value, f"costs: {name}"))] = cost
    return found


def expected_cost(cost: Any, weight: float = 1.0, budget: float | None = None) -> Regulariser:
    """The cost that the encoding expects, as a penalty; with a budget, only the share by which it is exceeded counts.

    Parameters, operations or measured latency that add up over choices (ProxylessNAS, Cai et al. 2019,
    arXiv:1812.00332).

    Args:
        cost: f32[width], as ``costs`` makes, or a function of the encoding for a cost that does not add up.
        weight: of the penalty; in units of loss per unit of cost (per budget, with a budget).
        budget: that the architecture should keep.
    """
    of: Callable[..., Any] = cost if callable(cost) else lambda encoding: encoding @ jnp.asarray(cost, encoding.dtype)

    def term(space, logits, encoding, progress):
        amount = of(encoding)
        return weight * amount if budget is None else weight * jnp.maximum(amount / budget - 1.0, 0.0)

    return term


def random_disturbance(radius: float = 0.03) -> Disturb:
    """Uniform noise on the encoding, whose radius grows linearly (SmoothDARTS, Chen and Hsieh 2020, arXiv:2002.05283)."""

    def disturb(loss, encoding, progress, key):
        return encoding + radius * progress * jax.random.uniform(key, encoding.shape, encoding.dtype, -1.0, 1.0)

    return disturb


def adversarial_disturbance(radius: float = 0.03, steps: int = 7) -> Disturb:
    """The encoding within a box around it that makes the training loss largest, by signed gradient ascent
    (SmoothDARTS, Chen and Hsieh 2020). The outer gradient takes the disturbance as a constant."""

    def disturb(loss, encoding, progress, key):
        bound = radius * progress
        centre = jax.lax.stop_gradient(encoding)

        def ascend(_, moved):
            up = moved + 2.5 * bound / steps * jnp.sign(jax.grad(loss)(centre + moved))
            return jnp.clip(up, -bound, bound)

        moved = jax.lax.fori_loop(0, steps, ascend, jnp.zeros_like(centre))
        return encoding + jax.lax.stop_gradient(moved)

    return disturb
