"""The dictionary behind the tables of methods."""

from typing import TypeVar

from metajax.types import InputError

T = TypeVar("T")


class MethodTable(dict[str, T]):
    """A dictionary of methods by name that answers an unknown name with those that it has.

    Example:
        >>> MethodTable(maml=1, reptile=2)["mamll"]
        Traceback (most recent call last):
        metajax.types.InputError: method must be one of maml, reptile, got 'mamll'
    """

    def __missing__(self, name: str) -> T:
        raise InputError(f"method must be one of {', '.join(self)}, got {name!r}")
