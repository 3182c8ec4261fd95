"""The kinds of choice of a search space. Each knows its own encoding.

A domain turns a column of values into a block of the encoding and back (``encode``, ``decode``), and a block of uniform random
numbers f32[n, draws] into a random column (``draw``). A column holds the index of the choice (``Categorical``), the number
itself (``Float``, ``Integer``), or a row of Booleans (``Subset``).
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import jaxtyping as jt
import numpy as np

from metajax._typing import AnyArray, checked
from metajax.space import _checks as checks
from metajax.space._float import Float
from metajax.space._integer import Integer
from metajax.types import InputError


@dataclass(frozen=True)
class Categorical:
    """One of several unordered choices. The encoding is one-hot.

    Args:
        choices: None, Booleans, numbers, text, and tuples of these. No two may be equal, as ``1``, ``1.0`` and ``True`` are.

    Raises:
        InputError: If there are no choices, two are equal, or one is of another type.

    Example:
        >>> Categorical(("relu", "tanh")).size
        2
    """

    choices: tuple[Any, ...]

    def __init__(self, choices: Any):
        object.__setattr__(self, "choices", checks.choices(choices))

    @property
    def size(self) -> int:
        """The number of choices."""
        return len(self.choices)

    width = size
    draws = size
    shape: ClassVar[tuple[int, ...]] = ()

    @cached_property
    def _index(self) -> dict[Any, int]:
        return {choice: i for i, choice in enumerate(self.choices)}

    @checked
    def at(self, index: jt.Shaped[np.ndarray, "*n"]) -> jt.Int32[np.ndarray, "*n"]:
        """Returns the values with these indices, ``0 <= index < size``."""
        return np.asarray(index, np.int64).astype(np.int32)

    @checked
    def draw(self, uniform: jt.Float[AnyArray, "*n {self.draws}"]) -> jt.Int32[jax.Array, "*n"]:
        """Turns uniform random numbers f32[n, draws] into random values."""
        return self.decode(uniform)  # each of the uniform numbers is the largest equally often

    @checked
    def encode(self, column: jt.Integer[AnyArray, "*n"]) -> jt.Float32[jax.Array, "*n {self.width}"]:
        """Returns the one-hot encoding f32[n, width] of a column of values."""
        return jax.nn.one_hot(column, self.size, dtype=jnp.float32)

    @checked
    def decode(self, block: jt.Float[AnyArray, "*n {self.width}"]) -> jt.Int32[jax.Array, "*n"]:
        """Returns the column of values that is nearest to a block f32[n, width]."""
        return jnp.argmax(block, axis=-1).astype(jnp.int32)

    def to_python(self, value: Any) -> Any:
        """Returns the choice with an index."""
        return self.choices[int(value)]

    def from_python(self, value: Any, name: str) -> int:
        """Returns the index of a choice.

        Raises:
            InputError: If the value, which the message calls ``name``, is not one of the choices.
        """
        plain = checks.frozen(value)
        try:
            index = self._index.get(plain)
        except TypeError:  # what cannot be hashed is not a choice
            index = None
        if index is None or not checks.same_kind(self.choices[index], plain):
            raise InputError(f"{name}: {value!r} is not one of {_some(self.choices)}")
        return index


@dataclass(frozen=True)
class Subset:
    """Any subset of ``n`` items, such as the features that a model uses. The encoding is multi-hot.

    Args:
        n: The number of items, 1 to 1,000,000.
        nonempty: Whether the empty subset is excluded. An empty draw or decoding is then replaced by the one item with the
            largest entry.
        share: The expected share of items in a random draw, between 0 and 1.

    Raises:
        InputError: If an argument is out of range.

    Example:
        >>> features = Subset(4)
        >>> features.size, features.to_python(features.from_python([0, 3], "features"))
        (16, (0, 3))
    """

    n: int
    nonempty: bool = False
    share: float = 0.5

    def __post_init__(self) -> None:
        object.__setattr__(self, "n", checks.columns("Subset: n", checks.integer("Subset: n", self.n)))
        object.__setattr__(self, "nonempty", checks.flag("Subset: nonempty", self.nonempty))
        object.__setattr__(self, "share", checks.number("Subset: share", self.share))
        if not 0 < self.share < 1:
            raise InputError(f"Subset: share must be between 0 and 1, got {self.share}")

    @property
    def size(self) -> int:
        """The number of subsets."""
        return 2**self.n - int(self.nonempty)

    @property
    def width(self) -> int:
        """The number of columns of the encoding."""
        return self.n

    @property
    def draws(self) -> int:
        """The number of uniform random numbers that a draw takes."""
        return self.n

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one value in a column."""
        return (self.n,)

    @checked
    def at(self, index: jt.Shaped[np.ndarray, "*n"]) -> jt.Bool[np.ndarray, "*n {self.n}"]:
        """Returns the values with these indices, ``0 <= index < size``: bit i tells whether item i is in the subset."""
        index = np.asarray(index, object) + int(self.nonempty)
        bits = np.stack([(index >> i) & 1 for i in range(self.n)], axis=-1)
        return bits.astype(bool)

    @checked
    def draw(self, uniform: jt.Float[AnyArray, "*n {self.draws}"]) -> jt.Bool[jax.Array, "*n {self.n}"]:
        """Turns uniform random numbers f32[n, draws] into random subsets."""
        return self.decode(uniform - (0.5 - self.share))

    @checked
    def encode(self, column: jt.Bool[AnyArray, "*n {self.n}"]) -> jt.Float32[jax.Array, "*n {self.n}"]:
        """Returns the multi-hot encoding f32[n, width] of a column of subsets."""
        return jnp.asarray(column).astype(jnp.float32)

    @checked
    def decode(self, block: jt.Float[AnyArray, "*n {self.n}"]) -> jt.Bool[jax.Array, "*n {self.n}"]:
        """Returns the column of subsets that is nearest to a block f32[n, width]: the items with an entry of at least 0.5."""
        is_member = jnp.asarray(block) >= 0.5
        if self.nonempty:
            best = jax.nn.one_hot(jnp.argmax(block, axis=-1), self.n, dtype=jnp.float32) > 0
            is_member = jnp.where(jnp.any(is_member, axis=-1, keepdims=True), is_member, best)
        return is_member

    def to_python(self, value: Any) -> tuple[int, ...]:
        """Returns the indices of the items in a subset."""
        return tuple(int(i) for i in np.flatnonzero(np.asarray(value)))

    def from_python(self, value: Any, name: str) -> np.ndarray:
        """Returns a row of Booleans from indices of items.

        Raises:
            InputError: If the value, which the message calls ``name``, is not a subset.
        """
        try:
            items = [checks.integer(name, item) for item in value]
        except (InputError, TypeError):
            items = [-1]
        if not all(0 <= item < self.n for item in items):
            raise InputError(f"{name}: {value!r} is not a subset of the indices 0 to {self.n - 1}")
        row = np.zeros(self.n, bool)
        row[items] = True
        if self.nonempty and not row.any():
            raise InputError(
                f"{name} must have at least one of the indices 0 to {self.n - 1}, because the empty subset is excluded"
            )
        return row


Domain = Categorical | Float | Integer | Subset
"""One of the four kinds of choice."""


def _some(choices: tuple[Any, ...]) -> str:
    """Returns the first choices in words, and how many others there are."""
    return f"{list(choices)}" if len(choices) <= 20 else f"{list(choices[:20])} and {len(choices) - 20} others"
