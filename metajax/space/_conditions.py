"""Reads the conditions of a space: each is checked, and all of them must form a forest."""

from collections.abc import Iterable, Mapping
from typing import Any

from metajax.space._domains import Categorical, Domain, Integer
from metajax.space._layout import Condition
from metajax.types import InputError


def read_conditions(domains: Mapping[str, Domain], triples: Iterable[Any]) -> dict[str, Condition]:
    """Returns the conditions by the name of the child, with values as the parent holds them."""
    conditions: dict[str, Condition] = {}
    for triple in triples:
        try:
            child, parent, values = triple
        except (TypeError, ValueError):
            raise InputError(f"Space: a condition must be (child, parent, values), got {triple!r}") from None
        conditions[child] = _read_condition(domains, conditions, child, parent, values)
    return conditions


def _read_condition(
    domains: Mapping[str, Domain], earlier: Mapping[str, Condition], child: Any, parent: Any, values: Any
) -> Condition:
    """Returns one condition after checking it."""
    for name in (child, parent):
        if not isinstance(name, str) or name not in domains:
            raise InputError(f"Space: conditions must be on names of the space, {list(domains)}, got {name!r}")
    domain = domains[parent]
    if not isinstance(domain, Categorical | Integer):
        raise InputError(f"Space: parent {parent!r} must be a Categorical or an Integer, got {type(domain).__name__}")
    if child in earlier:
        raise InputError(
            f"Space: {child!r} must have at most one condition, got two; put all values of its one parent into one"
        )
    subject = f"Space: the condition of {child!r} on {parent!r}"
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise InputError(f"{subject} must have a tuple of values of the parent, got {values!r}")
    parent_values = [domain.to_python(domain.from_python(value, f"{subject}: {parent}")) for value in values]
    if not parent_values:
        raise InputError(f"{subject} must have at least one value of {parent!r}, got none")
    return Condition(child, parent, tuple(dict.fromkeys(parent_values)))


def parents_first(domains: Mapping[str, Domain], conditions: Mapping[str, Condition]) -> list[str]:
    """Returns the names, every parent before its children, otherwise in the order of the space."""
    order: dict[str, None] = {}
    for name in domains:
        path = [name]
        while path[-1] in conditions and conditions[path[-1]].parent not in order:
            path.append(conditions[path[-1]].parent)
            if len(path) > len(domains):
                circle = path[: path.index(path[0], 1) + 1] if path[0] in path[1:] else path
                raise InputError(f"Space: conditions must not form a circle, got {' -> '.join(circle[:20])}")
        order.update(dict.fromkeys(reversed(path)))
    return list(order)
