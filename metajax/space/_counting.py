"""The size of a space in closed form, and its configurations by index.

The size is a product over domains that exist together and a sum over the values of a parent. An index is a mixed-radix number
whose digits are the values of the roots; the remainder of a digit counts the configurations of the children that exist there.
"""

import math
from functools import cached_property
from typing import Any

import numpy as np

from metajax.space._domains import Integer
from metajax.space._layout import Configs, Layout
from metajax.types import InputError


class Counting(Layout):
    """The methods of a space that count and enumerate its configurations."""

    def children(self, name: str) -> list[str]:
        """Returns the names of the domains that depend on a domain.

        Args:
            name: The name of the parent.
        """
        return [c.child for c in self.conditions.values() if c.parent == name]

    @property
    def roots(self) -> list[str]:
        """The names of the domains without a condition, which exist in every configuration."""
        return [name for name in self.domains if name not in self.conditions]

    @property
    def size(self) -> int | float:
        """The number of distinct configurations: an exact ``int``, or ``inf`` with a ``Float`` without a grid."""
        return _times(*(self._tree_sizes[name] for name in self.roots))

    @property
    def log10_size(self) -> float:
        """The decimal logarithm of the size, which is infinite for an infinite space."""
        size = self.size
        return math.inf if size == math.inf else math.log10(size)

    def at(self, index: Any) -> Configs:
        """Returns the configurations with these indices.

        Args:
            index: Whole numbers of any size with ``0 <= index < size``: one number, a list or an array.

        Raises:
            InputError: If the space is infinite, or an index is not a whole number inside it.

        Example:
            >>> from metajax.space import Integer, Space
            >>> space = Space({"layers": Integer(1, 3), "units": Integer(1, 2)})
            >>> space.dicts(space.at([0, 5]))
            [{'layers': 1, 'units': 1}, {'layers': 3, 'units': 2}]
        """
        size = self.size
        if size == math.inf:
            floats = [n for n, d in self.domains.items() if d.size == math.inf]
            raise InputError(f"Space.at: the space must be finite; give a grid to {floats}")
        numbers = np.atleast_1d(np.asarray(index))
        is_whole = numbers.dtype.kind in "iu" or all(isinstance(i, int | np.integer) for i in numbers.tolist())
        if numbers.size and not is_whole:
            raise InputError(
                f"Space.at: index must be an integer or an array of integers, got {numbers.ravel()[:5].tolist()}"
            )
        outside = numbers[(numbers < 0) | (numbers >= size)]
        if outside.size:
            raise InputError(f"Space.at: index must be between 0 and {size - 1}, got {outside[0]}")
        numbers = numbers.astype(np.int64 if size < 2**62 else object)
        columns = {n: np.repeat(d.at(np.array([0])), len(numbers), axis=0) for n, d in self.domains.items()}
        self._fill(columns, numbers)
        return columns

    def _fill(self, columns: Configs, index: np.ndarray) -> None:
        """Writes the values of these indices into the columns. The first name is the fastest digit."""
        pending = [(self.roots, index, np.arange(len(index)))]
        while pending:
            names, index, rows = pending.pop()
            for name in names:
                radix = self._tree_sizes[name]
                digit, index = index % radix, index // radix
                start = 0
                for first_value, count, children in self._runs(name):
                    branch = _times(*(self._tree_sizes[child] for child in children))
                    in_run = (digit >= start) & (digit < start + count * branch)
                    offset, run_rows = digit[in_run] - start, rows[in_run]
                    start += count * branch
                    if len(run_rows):
                        columns[name][run_rows] = self.domains[name].at(first_value + offset // branch)
                        if children:
                            pending.append((children, offset % branch, run_rows))

    def _runs(self, name: str) -> list[tuple[int, int, list[str]]]:
        """Returns the values of a domain in order, as runs ``(first value, number of values, children that exist there)``."""
        domain, size = self.domains[name], self.domains[name].size
        children_by_index: dict[int, list[str]] = {}
        for child in self.children(name):
            for value in self.conditions[child].values:
                index = value - domain.low if isinstance(domain, Integer) else domain.from_python(value, name)
                children_by_index.setdefault(int(index), []).append(child)
        runs, start = [], 0
        for index in sorted(children_by_index):
            if index > start:
                runs.append((start, index - start, []))
            runs.append((index, 1, children_by_index[index]))
            start = index + 1
        return [*runs, (start, int(size) - start, [])] if start < size else runs

    @cached_property
    def _tree_sizes(self) -> dict[str, int | float]:
        """Returns, for each domain, the number of configurations of itself and of all domains that depend on it."""
        sizes: dict[str, int | float] = {}
        parents = {condition.parent for condition in self.conditions.values()}
        for name in reversed(self.order):
            sizes[name] = (
                sum(_times(count, *(sizes[child] for child in children)) for _, count, children in self._runs(name))
                if name in parents
                else self.domains[name].size
            )
        return sizes


def _times(*factors: int | float) -> int | float:
    """Returns the product. It is infinite if a factor is: a large whole number times infinity would overflow."""
    return math.inf if math.inf in factors else math.prod(factors)
