"""A finite space as groups of values: a configuration takes one value of each, and its encoding is the sum of their rows."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from metajax.space import Space, Subset
from metajax.types import InputError


class Group(NamedTuple):
    """One domain, or one item of a ``Subset``.

    Attributes:
        name: of the domain.
        rows: f64[values, width], what each value adds to the encoding.
        parent: place of the group of the parent, or -1.
        accepted: values of the parent under which the group exists.
        absent: the value that it has when it does not exist, or -1 if it always does.
        others: values that it may have when it exists.
    """

    name: str
    rows: np.ndarray
    parent: int
    accepted: tuple[int, ...]
    absent: int
    others: int


def groups(space: Space) -> list[Group]:
    """The groups of a finite space, parents before their children.

    Raises:
        InputError: if the space has a ``Float`` without grid, or a domain of more than 100,000 values.
    """
    endless = [name for name, domain in space.domains.items() if domain.size == np.inf]
    if endless:
        raise InputError(f"the space is infinite: give a grid to {endless}")
    found: list[Group] = []
    place: dict[str, int] = {}
    for name in space.order:
        domain, part = space.domains[name], space.slices[name]
        condition = space.conditions.get(name)
        parent, accepted = -1, ()
        if condition is not None:
            over = space.domains[condition.parent]
            known = [over.to_python(value) for value in over.at(np.arange(int(over.size)))]  # type: ignore[union-attr]
            parent = place[condition.parent]
            accepted = tuple(i for i, value in enumerate(known) if value in condition.values)
        if isinstance(domain, Subset):
            for item in range(domain.n):
                rows = np.zeros((2, space.width))
                rows[1, part.start + item] = 1.0
                found.append(Group(name, rows, parent, accepted, 0 if condition else -1, 2))
            continue
        size = int(domain.size)
        if size > 100_000:
            raise InputError(f"{name} has {size} values; accepted are at most 100000")
        rows = np.zeros((size + (condition is not None), space.width))
        rows[:size, part] = np.asarray(domain.encode(jnp.asarray(domain.at(np.arange(size)))))
        place[name] = len(found)
        found.append(Group(name, rows, parent, accepted, size if condition else -1, size))
    return found


class Limits(NamedTuple):
    """What a configuration must keep.

    Attributes:
        forbidden: ``[(group, values), ...]`` lists; a configuration that has one of the values in every group of a list is
            out.
        cost: for each group, f64[values]; or ``None``.
        budget: of the sum of costs.
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
    """Constraints in terms of groups; a ``Subset`` that must not be empty is one of them.

    Raises:
        InputError: if a forbidden combination names what the space does not have, or only one of cost and budget is given.
    """
    if (cost is None) != (budget is None):
        raise InputError("cost and budget belong together: give both or neither")
    if cost is not None and budget is not None:
        cost = np.asarray(cost, np.float64)
        if cost.shape != (space.width,) or not np.isfinite(cost).all() or np.isnan(budget):
            given = f"cost of shape {cost.shape}, budget={budget}"
            raise InputError(f"{given}; accepted are ({space.width},) finite numbers and a number")
    where: dict[str, list[int]] = {}
    for i, group in enumerate(parts):
        where.setdefault(group.name, []).append(i)
    lists = []
    for row, combination in enumerate(forbidden):
        made = []
        if not combination:
            raise InputError(f"forbidden[{row}] is empty, which would forbid everything; name what is forbidden")
        for name, value in combination.items():
            if name not in space.domains or isinstance(space.domains[name], Subset):
                raise InputError(
                    f"forbidden[{row}]: {name!r} is not a domain of single values; there are {list(where)}"
                )
            domain, place = space.domains[name], where[name][0]
            known = [domain.to_python(v) for v in domain.at(np.arange(int(domain.size)))]
            if value not in known:
                raise InputError(f"forbidden[{row}]: {name}: {value!r} is not one of {known[:20]}")
            made.append((place, np.arange(len(parts[place].rows)) == known.index(value)))
        lists.append(made)
    for name, places in where.items():
        domain = space.domains[name]
        if isinstance(domain, Subset) and domain.nonempty:
            empty: list[tuple[int, np.ndarray]] = [(place, np.array([True, False])) for place in places]
            first = parts[places[0]]
            if first.parent >= 0:  # empty is right where it does not exist
                over = np.isin(np.arange(len(parts[first.parent].rows)), first.accepted)
                empty.append((first.parent, over))
            lists.append(empty)
    prices = None if cost is None else [group.rows @ np.asarray(cost, np.float64) for group in parts]
    return Limits(lists, prices, float("inf") if budget is None else float(budget))


def taken_of(parts: Sequence[Group], encodings: np.ndarray) -> np.ndarray:
    """int[n, groups]: the values that exact encodings f[n, width] take."""
    found = []
    for group in parts:
        columns = np.flatnonzero(group.rows.any(axis=0))
        near = np.abs(encodings[:, None, columns] - group.rows[None][..., columns]).sum(axis=-1)
        found.append(near.argmin(axis=1))
    return np.stack(found, axis=1)


def row_sums(parts: Sequence[Group], taken: np.ndarray) -> np.ndarray:
    """f32[n, width]: the encodings of configurations given by the values that they take, int[n, groups]."""
    return np.asarray(sum(group.rows[taken[:, i]] for i, group in enumerate(parts)), np.float32)
