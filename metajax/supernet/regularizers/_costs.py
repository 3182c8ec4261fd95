"""What an architecture costs, as a term of the outer loss."""

from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32

from metajax._typing import AnyArray, checked
from metajax.space import Categorical, Space
from metajax.supernet._logits import choice_slices
from metajax.supernet._protocols import Logits, Moment, Regularizer
from metajax.types import InputError, Scalar


@checked
def cost_table(space: Space, table: Mapping[str, Mapping[Any, float | int]]) -> Float32[np.ndarray, " {space.width}"]:
    """Returns the cost of every value of every choice, in the order of an encoding.

    Args:
        space: The space that is searched.
        table: The costs, ``{choice: {value: cost}}``; missing ones are free.

    Returns:
        The costs in the order of an encoding, f32[width].

    Raises:
        InputError: If the table names a choice or a value that the space does not have.

    Example:
        >>> from metajax.supernet import spaces
        >>> cost_table(spaces.cell_space(2), {"edge_0_1": {"conv1x1": 1.0, "conv3x3": 9.0}}).tolist()
        [0.0, 0.0, 1.0, 9.0, 0.0]
    """
    costs = np.zeros(space.width, np.float32)
    for name, values in table.items():
        domain = space.domains.get(name)
        if not isinstance(domain, Categorical):
            known = [n for n, _ in choice_slices(space)]
            raise InputError(f"cost_table: the names must be categorical choices of the space, {known}, got {name!r}")
        for value, cost in values.items():
            costs[space.slices[name].start + int(domain.from_python(value, f"cost_table: {name}"))] = cost
    return costs


def expected_cost(
    cost: Float[AnyArray, " width"] | Callable[[Float[Array, " width"]], Scalar],
    weight: float = 1.0,
    budget: float | None = None,
) -> Regularizer:
    """Penalizes the cost that the encoding expects; with a budget, only the share by which it is exceeded.

    Parameters, operations or measured latency add up over choices: ``weight · <cost, encoding>``.

    Args:
        cost: The costs, f32[width], as ``cost_table`` makes them, or a function of the encoding for a cost that does not add
            up, such as ``diagnosis.Cost.of``.
        weight: The factor of the penalty, in units of loss per unit of cost (per budget, with a budget).
        budget: The largest cost that the architecture should have.

    Returns:
        The regularizer.

    References:
        Cai et al. 2019, "ProxylessNAS: direct neural architecture search on target task and hardware", arXiv:1812.00332.

    Example:
        >>> from metajax.supernet import Moment, spaces
        >>> space, moment = spaces.cell_space(2), Moment(0.5, jnp.ones(5))
        >>> prices = cost_table(space, {"edge_0_1": {"conv1x1": 1.0, "conv3x3": 9.0}})
        >>> encoding = space.relax(space.zeros())
        >>> [round(float(expected_cost(prices, 1.0, b)(space, {}, encoding, moment)), 3) for b in (None, 1.0, 3.0)]
        [2.0, 1.0, 0.0]
    """
    is_function = callable(cost)
    cost_of: Callable[..., Any] = cost if is_function else lambda e: e @ jnp.asarray(cost, e.dtype)

    @checked
    def term(space: Space, logits: Logits, encoding: Float[AnyArray, " {space.width}"], moment: Moment) -> Scalar:
        expected = cost_of(encoding)
        return weight * expected if budget is None else weight * jnp.maximum(expected / budget - 1.0, 0.0)

    return term
