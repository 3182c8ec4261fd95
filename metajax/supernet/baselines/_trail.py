"""What a search without gradient looked at, and how its budget is spent."""

import contextlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from metajax.space import Space
from metajax.supernet._protocols import Evaluate
from metajax.types import InputError


class Trail(NamedTuple):
    """What a search without gradient looked at, in order.

    Attributes:
        configs: The configurations, ``{choice: value}``.
        values: The values, float[n]; larger is better.
        seconds: The seconds, float[n], that the evaluations had cost by then, where they cost anything.

    Example:
        >>> Trail([{"op": "skip"}, {"op": "conv3x3"}], np.array([0.2, 0.9]), np.zeros(2)).best
        {'op': 'conv3x3'}
    """

    configs: list[dict[str, Any]]
    values: np.ndarray
    seconds: np.ndarray

    @property
    def best(self) -> dict[str, Any]:
        """The configuration with the largest value."""
        return self.configs[int(np.argmax(self.values))]


Look = Callable[[Any], np.ndarray]
"""Evaluates a struct of configurations and notes them; ends the search once the budget is spent."""


def spend(
    space: Space,
    evaluate: Evaluate,
    seconds: float | None,
    evaluations: int | None,
    walk: Callable[[Look], None],
) -> Trail:
    """Returns what ``walk`` looked at until the budget was spent."""
    if seconds is None and evaluations is None:
        raise InputError("seconds or evaluations must be given as the budget, but both are None")
    configs, values, costs, spent_seconds = [], [], [], 0.0

    def look(candidates: Any) -> np.ndarray:
        nonlocal spent_seconds
        value, cost = evaluate(space.encode(candidates))
        for config, v, c in zip(space.dicts(candidates), value, cost):
            is_over = evaluations is not None and len(values) >= evaluations
            if is_over or (seconds is not None and spent_seconds + c > seconds):
                raise StopIteration
            configs.append(config)
            values.append(float(v))
            costs.append(float(c))
            spent_seconds += float(c)
        return np.asarray(value)

    with contextlib.suppress(StopIteration):
        walk(look)
    return Trail(configs, np.asarray(values), np.cumsum(costs))
