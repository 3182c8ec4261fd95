"""Checks of the arguments of a domain. Each returns the plain Python value, or raises an error that names the argument."""

import math
from itertools import islice
from typing import Any

import numpy as np

from metajax.types import InputError

MAX_COLUMNS = 1_000_000
"""The largest number of columns that one domain may have in the encoding; more do not fit in memory for many rows."""


def integer(argument: str, value: Any) -> int:
    """Returns a whole number as ``int``. A float without a fraction is accepted, a Boolean is not."""
    plain = value.item() if isinstance(value, np.generic) else value
    if isinstance(plain, bool) or not isinstance(plain, int | float) or not math.isfinite(plain) or plain != int(plain):
        raise InputError(f"{argument} must be an integer, got {value!r}")
    return int(plain)


def number(argument: str, value: Any) -> float:
    """Returns a finite number as ``float``. A Boolean is not accepted."""
    plain = value.item() if isinstance(value, np.generic) else value
    if isinstance(plain, bool) or not isinstance(plain, int | float):
        raise InputError(f"{argument} must be a finite number, got {value!r}")
    try:
        result = float(plain)
    except OverflowError:
        result = math.inf
    if not math.isfinite(result):
        raise InputError(f"{argument} must be a finite number, got {value!r}")
    return result


def flag(argument: str, value: Any) -> bool:
    """Returns a Boolean, and accepts nothing else."""
    if not isinstance(value, bool | np.bool_):
        raise InputError(f"{argument} must be True or False, got {value!r}")
    return bool(value)


def columns(argument: str, n: int) -> int:
    """Returns a number of columns from 1 to ``MAX_COLUMNS``."""
    if not 1 <= n <= MAX_COLUMNS:
        raise InputError(f"{argument} must be an integer from 1 to {MAX_COLUMNS}, got {n}")
    return n


def choices(options: Any) -> tuple[Any, ...]:
    """Returns the choices of a ``Categorical``: plain values, no two of them equal."""
    if isinstance(options, set | frozenset):
        raise InputError(f"Categorical: choices must be a list or a tuple, because a set has no order; got {options!r}")
    try:
        values = tuple(islice(iter(options), MAX_COLUMNS + 1))
    except TypeError:
        raise InputError(f"Categorical: choices must be a list or a tuple, got {options!r}") from None
    if not values:
        raise InputError("Categorical: choices must have at least one choice")
    columns("Categorical: the number of choices", len(values))
    values = tuple(choice(f"Categorical: choices[{i}]", value) for i, value in enumerate(values))
    earlier: dict[Any, Any] = {}
    for value in values:
        if value in earlier:
            raise InputError(
                f"Categorical: choices must differ from each other, but {earlier[value]!r} and {value!r} are equal"
            )
        earlier[value] = value
    return values


def choice(argument: str, value: Any) -> Any:
    """Returns one choice: None, a Boolean, a number, text, or a tuple of these."""
    plain = value.item() if isinstance(value, np.generic) else value
    if isinstance(plain, tuple):
        return tuple(choice(f"{argument}[{i}]", part) for i, part in enumerate(plain))
    if isinstance(plain, float) and math.isnan(plain):
        raise InputError(f"{argument} must not be NaN, which equals nothing; leave it out, or use None or text")
    for kind in (bool, int, float, str):  # without subclasses, which print and compare in their own way
        if isinstance(plain, kind):
            return kind(plain)
    if plain is None:
        return None
    hint = "; give a tuple in place of the list" if isinstance(plain, list) else ""
    raise InputError(
        f"{argument} must be None, bool, int, float, str or a tuple of them, got {value!r} of type "
        f"{type(value).__name__}{hint}"
    )


def frozen(value: Any) -> Any:
    """Returns a value as a choice is held: lists and arrays become tuples, scalars of NumPy become those of Python."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    return tuple(frozen(part) for part in value) if isinstance(value, list | tuple) else value


def same_kind(a: Any, b: Any) -> bool:
    """Returns whether two equal values have Booleans in the same positions: for Python, ``True`` and ``1`` are equal."""
    if isinstance(a, tuple) and isinstance(b, tuple):
        return len(a) == len(b) and all(same_kind(x, y) for x, y in zip(a, b))
    return isinstance(a, bool) == isinstance(b, bool)
