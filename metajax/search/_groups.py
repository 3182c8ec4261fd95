"""A finite space as groups of values: a configuration takes one value of each, and its encoding is the sum of their rows."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Float32, Float64, Integer

from metajax._typing import checked
from metajax.space import Space, Subset
from metajax.types import InputError


class Group(NamedTuple):
    """One domain, or one item of a ``Subset``.

    Attributes:
        name: Name of the domain.
        rows: f64[values, width], what each value adds to the encoding.
        parent: Index of the group of the parent, or -1.
        accepted: Values of the parent under which the group exists.
        absent: The value of the group if it does not exist, or -1 if it always exists.
        others: Number of values that it may have if it exists.
    """

    name: str
    rows: Float64[np.ndarray, "values width"]
    parent: int
    accepted: tuple[int, ...]
    absent: int
    others: int


def groups(space: Space) -> list[Group]:
    """The groups of a finite space, parents before their children.

    Raises:
        InputError: If the space has a ``Float`` without grid, or a domain of more than 100,000 values.
    """
    endless = [name for name, domain in space.domains.items() if domain.size == np.inf]
    if endless:
        raise InputError(f"the space must be finite; give a grid to {endless}")
    parts: list[Group] = []
    index_of: dict[str, int] = {}
    for name in space.order:
        domain, part = space.domains[name], space.slices[name]
        condition = space.conditions.get(name)
        parent, accepted = -1, ()
        if condition is not None:
            parent_domain = space.domains[condition.parent]
            values = parent_domain.at(np.arange(int(parent_domain.size)))  # type: ignore[union-attr]
            parent_values = [parent_domain.to_python(value) for value in values]  # type: ignore[union-attr]
            parent = index_of[condition.parent]
            accepted = tuple(i for i, value in enumerate(parent_values) if value in condition.values)
        if isinstance(domain, Subset):
            for item in range(domain.n):
                rows = np.zeros((2, space.width))
                rows[1, part.start + item] = 1.0
                parts.append(Group(name, rows, parent, accepted, 0 if condition else -1, 2))
            continue
        size = int(domain.size)
        if size > 100_000:
            raise InputError(f"{name} must have at most 100,000 values, got {size:,}; give it a grid or fewer choices")
        rows = np.zeros((size + (condition is not None), space.width))
        rows[:size, part] = np.asarray(domain.encode(jnp.asarray(domain.at(np.arange(size)))))
        index_of[name] = len(parts)
        parts.append(Group(name, rows, parent, accepted, size if condition else -1, size))
    return parts


class Limits(NamedTuple):
    """The constraints of a search.

    Attributes:
        forbidden: Rules ``[(group, values), ...]``; a configuration whose value is one of ``values`` in every group of a rule
            is excluded.
        cost: f64[values] for each group, or ``None``.
        budget: Largest sum of costs.
    """

    forbidden: list[list[tuple[int, np.ndarray]]]
    cost: list[np.ndarray] | None
    budget: float


def limits(
    space: Space,
    parts: Sequence[Group],
    forbidden: Sequence[Mapping[str, Any]] = (),
    cost: Any = None,
    budget: float | None = None,
) -> Limits:
    """Constraints in terms of groups; that a ``Subset`` must not be empty is one of them.

    Raises:
        InputError: If a forbidden combination names what the space does not have, or only one of cost and budget is given.
    """
    if (cost is None) != (budget is None):
        raise InputError("cost and budget must be passed together")
    if cost is not None and budget is not None:
        cost = np.asarray(cost, np.float64)
        if cost.shape != (space.width,) or not np.isfinite(cost).all() or np.isnan(budget):
            raise InputError(
                f"cost must hold finite numbers of shape ({space.width},) and budget must be a number, "
                f"got cost of shape {cost.shape} and budget {budget}"
            )
    indices_by_name: dict[str, list[int]] = {}
    for i, group in enumerate(parts):
        indices_by_name.setdefault(group.name, []).append(i)
    rules = [_rule(space, parts, indices_by_name, row, combination) for row, combination in enumerate(forbidden)]
    for name, indices in indices_by_name.items():
        domain = space.domains[name]
        if isinstance(domain, Subset) and domain.nonempty:
            empty: list[tuple[int, np.ndarray]] = [(i, np.array([True, False])) for i in indices]
            first = parts[indices[0]]
            if first.parent >= 0:  # where the subset does not exist, empty is right
                subset_exists = np.isin(np.arange(len(parts[first.parent].rows)), first.accepted)
                empty.append((first.parent, subset_exists))
            rules.append(empty)
    prices = None if cost is None else [group.rows @ np.asarray(cost, np.float64) for group in parts]
    return Limits(rules, prices, float("inf") if budget is None else float(budget))


def _rule(
    space: Space,
    parts: Sequence[Group],
    indices_by_name: Mapping[str, list[int]],
    row: int,
    combination: Mapping[str, Any],
) -> list[tuple[int, np.ndarray]]:
    """The rule of one forbidden combination; ``row`` is its number, for errors."""
    if not combination:
        raise InputError(
            f"forbidden[{row}] must name at least one value, got an empty combination, which would forbid everything"
        )
    rule = []
    for name, value in combination.items():
        if name not in space.domains or isinstance(space.domains[name], Subset):
            raise InputError(
                f"forbidden[{row}]: {name!r} must be a domain of single values, one of {list(indices_by_name)}"
            )
        domain, index = space.domains[name], indices_by_name[name][0]
        domain_values = [domain.to_python(v) for v in domain.at(np.arange(int(domain.size)))]
        if value not in domain_values:
            raise InputError(f"forbidden[{row}]: {name} must be one of {domain_values[:20]}, got {value!r}")
        rule.append((index, np.arange(len(parts[index].rows)) == domain_values.index(value)))
    return rule


@checked
def assignments_of(
    parts: Sequence[Group], encodings: Float[np.ndarray, "n width"]
) -> Integer[np.ndarray, "n {len(parts)}"]:
    """int[n, groups]: the values of configurations, by their encodings f[n, width]."""
    columns = []
    for group in parts:
        own_columns = np.flatnonzero(group.rows.any(axis=0))
        near = np.abs(encodings[:, None, own_columns] - group.rows[None][..., own_columns]).sum(axis=-1)
        columns.append(near.argmin(axis=1))
    return np.stack(columns, axis=1)


@checked
def row_sums(
    parts: Sequence[Group], assignments: Integer[np.ndarray, "n {len(parts)}"]
) -> Float32[np.ndarray, "n width"]:
    """f32[n, width]: the encodings of configurations given by the values that they take, int[n, groups]."""
    return np.asarray(sum(group.rows[assignments[:, i]] for i, group in enumerate(parts)), np.float32)
