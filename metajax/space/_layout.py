"""The layout of a search space: what its encoding and its relaxation need to know of it, and nothing more."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np

from metajax.space._domains import Domain

Configs = dict[str, Any]
"""Many configurations as a struct of arrays: name -> array[n]. A ``Subset`` has array[n, items], and an ``Integer`` with bounds
outside of 32 bits has array[n, digits]."""


class Condition(NamedTuple):
    """A domain that exists only where another one takes certain values.

    Attributes:
        child: The name of the conditional domain.
        parent: The name of the ``Categorical`` or ``Integer`` domain that it depends on.
        values: The values of the parent for which the child exists.
    """

    child: str
    parent: str
    values: tuple[Any, ...]


class Layout(Protocol):
    """The positions of domains in the encoding, and the dependencies between domains.

    Attributes:
        domains: Name -> domain, in the order of the encoding.
        conditions: Name of a conditional domain -> its condition.
        order: The names, every parent before its children.
        slices: Name -> the columns of the encoding that belong to the domain.
        width: The number of columns of the encoding.
    """

    domains: dict[str, Domain]
    conditions: dict[str, Condition]
    order: list[str]
    slices: dict[str, slice]
    width: int


def side_by_side(widths: Mapping[str, int]) -> dict[str, slice]:
    """Returns the columns of each name when blocks of these widths stand side by side."""
    ends = np.cumsum([0, *widths.values()])
    return {name: slice(int(a), int(b)) for name, a, b in zip(widths, ends[:-1], ends[1:])}
