"""A search space: named domains and the conditions between them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from metajax.space._conditions import parents_first, read_conditions
from metajax.space._counting import Counting
from metajax.space._domains import Domain
from metajax.space._layout import Condition, side_by_side
from metajax.space._relax import Relaxation
from metajax.space._sampling import Sampling
from metajax.types import InputError


class Space(Counting, Sampling, Relaxation):
    """Named choices and the dependencies between them.

    A child that is inactive has no value: its part of the encoding is zero, its column holds the first value of the domain, and
    it does not multiply the size. Every child has one condition, on a ``Categorical`` or ``Integer`` parent, so that the
    conditions form a forest and the size is exact.

    Spaces are immutable and hashable, so they can be static arguments of compiled functions.

    Args:
        domains: Name -> domain, in the order of the encoding.
        conditions: Each a ``Condition(child, parent, values)``, or a tuple of the three.

    Attributes:
        order: The names, every parent before its children.
        width: The number of columns of the encoding.
        slices: Name -> the columns of the encoding that belong to the domain.

    Raises:
        InputError: If a name is not text, a value is not a domain, or a condition names what does not exist or closes a circle.

    Example:
        >>> from metajax.space import Categorical, Integer
        >>> space = Space({"op": Categorical(("skip", "conv")), "kernel": Integer(1, 3)}, [("kernel", "op", ("conv",))])
        >>> space.size, space.width
        (4, 3)
        >>> space.decode(space.encode(space.at([0, 3])))
        [{'op': 'skip'}, {'op': 'conv', 'kernel': 3}]
    """

    def __init__(
        self, domains: Mapping[str, Domain], conditions: Sequence[Condition | tuple[str, str, tuple[Any, ...]]] = ()
    ):
        if not isinstance(domains, Mapping) or not domains:
            raise InputError("Space: domains must have at least one name and domain")
        for name, domain in domains.items():
            if not isinstance(name, str) or not name:
                raise InputError(f"Space: a name must be text that is not empty, got {name!r}")
            if not isinstance(domain, Domain):
                raise InputError(f"Space: {name} must be a Categorical, Float, Integer or Subset, got {domain!r}")
        self.domains: dict[str, Domain] = dict(domains)
        self.conditions: dict[str, Condition] = read_conditions(self.domains, conditions)
        self.order: list[str] = parents_first(self.domains, self.conditions)
        self.slices: dict[str, slice] = side_by_side({name: domain.width for name, domain in self.domains.items()})
        self.width: int = sum(domain.width for domain in self.domains.values())

    @property
    def domain_of_column(self) -> np.ndarray:
        """int[width]: the index in ``domains`` of the domain that each column of the encoding belongs to."""
        widths = [domain.width for domain in self.domains.values()]
        return np.repeat(np.arange(len(widths)), widths)

    def __repr__(self) -> str:
        return f"Space({len(self.domains)} domains, width {self.width}, 10^{self.log10_size:.1f} configurations)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Space) and (list(self.domains.items()), self.conditions) == (
            list(other.domains.items()),
            other.conditions,
        )

    def __hash__(self) -> int:
        return hash((tuple(self.domains.items()), tuple(self.conditions.values())))
