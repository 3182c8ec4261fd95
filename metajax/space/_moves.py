"""Single values of a domain: the first one, and the neighbors of a value."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from metajax.space._domains import Categorical, Domain, Float, Integer


def first_value(domain: Domain) -> Any:
    """Returns the value that the column of an inactive parameter holds."""
    if isinstance(domain, Float) and domain.grid is None:
        return np.float32(domain.low)
    return domain.at(np.array([0]))[0]


def neighbor_values(domain: Domain, value: Any) -> list[Any]:
    """Returns the values of a domain that are one step from a value."""
    if isinstance(domain, Categorical):
        return [i for i in range(domain.size) if i != int(value)]
    if isinstance(domain, Integer):
        number = domain.to_python(value)
        return [domain.from_python(v, "") for v in (number - 1, number + 1) if domain.low <= v <= domain.high]
    if isinstance(domain, Float):
        unit = domain.encode(jnp.asarray([value]))
        delta = 0.1 if domain.grid is None else 1.0 / (domain.grid - 1)
        moved = [np.asarray(domain.decode(jnp.clip(unit + d, 0.0, 1.0)))[0] for d in (-delta, delta)]
        return [v for v in moved if v != value]
    flipped = [np.logical_xor(value, np.arange(domain.n) == i) for i in range(domain.n)]
    return [row for row in flipped if row.any() or not domain.nonempty]
