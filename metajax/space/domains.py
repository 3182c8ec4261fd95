"""The kinds of choice a search space is made of, each knowing its own encoding.

A domain turns a column of values into a block of the encoding and back (``encode``, ``decode``), and a block of uniform
random numbers f32[n, width] into a random column (``draw``). Values are held as arrays: the index of the
choice (``Categorical``), the number itself (``Float``, ``Integer``), a row of booleans (``Subset``).
"""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np


def _values(u: Any, low: float, high: float, log: bool) -> Any:
    """Unit interval -> [low, high], linearly or in the logarithm; works on NumPy and JAX arrays alike."""
    if not log:
        return low + u * (high - low)
    exp = np.exp if isinstance(u, np.ndarray | float) else jnp.exp
    return exp(math.log(low) + u * (math.log(high) - math.log(low)))


def _units(x: jax.Array, low: float, high: float, log: bool) -> jax.Array:
    if high == low:
        return jnp.zeros_like(x)
    if log:
        return (jnp.log(x) - math.log(low)) / (math.log(high) - math.log(low))
    return (x - low) / (high - low)


@dataclass(frozen=True)
class Categorical:
    """One of several unordered choices; encoded one-hot.

    Example:
        >>> Categorical(("relu", "tanh")).size
        2
    """

    choices: tuple[Any, ...]

    def __init__(self, choices: Any):
        object.__setattr__(self, "choices", tuple(choices))
        if not self.choices:
            raise ValueError("Categorical: choices is empty; give at least one")
        if len(set(map(repr, self.choices))) != len(self.choices):
            raise ValueError(f"Categorical: choices has duplicates: {self.choices}")

    @property
    def size(self) -> int:
        return len(self.choices)

    width = size
    shape: ClassVar[tuple[int, ...]] = ()

    def at(self, index: np.ndarray) -> np.ndarray:
        return np.asarray(index, np.int64).astype(np.int32)

    def draw(self, uniform: jax.Array) -> jax.Array:
        return self.decode(uniform)  # the largest of equal uniforms is every one as often

    def encode(self, column: jax.Array) -> jax.Array:
        return jax.nn.one_hot(column, self.size, dtype=jnp.float32)

    def decode(self, block: jax.Array) -> jax.Array:
        return jnp.argmax(block, axis=-1).astype(jnp.int32)

    def to_python(self, value: Any) -> Any:
        return self.choices[int(value)]

    def from_python(self, value: Any, name: str) -> int:
        for i, choice in enumerate(self.choices):
            if choice == value and isinstance(choice, bool) == isinstance(value, bool):
                return i
        raise ValueError(f"{name}: {value!r} is not one of {list(self.choices)}")


@dataclass(frozen=True)
class Float:
    """A number in ``[low, high]``; encoded in the unit interval, by its logarithm if ``log``.

    Args:
        low, high: the bounds, both included.
        log: spread evenly in the logarithm; needs ``low > 0``.
        grid: if given, only this many evenly spread values exist, and the domain is finite.
    """

    low: float
    high: float
    log: bool = False
    grid: int | None = None

    def __post_init__(self):
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ValueError(f"Float: need finite low < high, got low={self.low}, high={self.high}")
        if self.log and self.low <= 0:
            raise ValueError(f"Float: log=True needs low > 0, got low={self.low}")
        if self.grid is not None and self.grid < 2:
            raise ValueError(f"Float: grid needs at least 2 points, got {self.grid}")

    @property
    def size(self) -> float:
        return math.inf if self.grid is None else self.grid

    width = 1
    shape: ClassVar[tuple[int, ...]] = ()

    def _snap(self, u: jax.Array) -> jax.Array:
        u = jnp.clip(u, 0.0, 1.0)
        return u if self.grid is None else jnp.round(u * (self.grid - 1)) / (self.grid - 1)

    def at(self, index: np.ndarray) -> np.ndarray:
        assert self.grid is not None
        u = np.asarray(index, np.float64) / (self.grid - 1)
        return np.asarray(_values(u, self.low, self.high, self.log), np.float32)

    def draw(self, uniform: jax.Array) -> jax.Array:
        return self.decode(uniform)

    def encode(self, column: jax.Array) -> jax.Array:
        return self._snap(_units(jnp.asarray(column).astype(jnp.float32), self.low, self.high, self.log))[..., None]

    def scale(self, unit: jax.Array) -> jax.Array:
        """Unit interval -> the number's own units, differentiable, off the grid."""
        return _values(unit, self.low, self.high, self.log)

    def decode(self, block: jax.Array) -> jax.Array:
        value = self.scale(self._snap(block[..., 0]))
        return jnp.clip(value, self.low, self.high).astype(jnp.float32)

    def to_python(self, value: Any) -> float:
        return float(value)

    def from_python(self, value: Any, name: str) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float | np.number):
            raise ValueError(f"{name}: {value!r} is not a number in [{self.low}, {self.high}]")
        slack = 1e-6 * max(abs(self.low), abs(self.high))
        if not self.low - slack <= float(value) <= self.high + slack:
            raise ValueError(f"{name}: {value!r} is outside [{self.low}, {self.high}]")
        return float(value)


@dataclass(frozen=True)
class Integer:
    """A whole number in ``[low, high]``, both included; encoded in the unit interval, by its logarithm if ``log``."""

    low: int
    high: int
    log: bool = False

    def __post_init__(self):
        if int(self.low) != self.low or int(self.high) != self.high or self.low > self.high:
            raise ValueError(f"Integer: need whole numbers low <= high, got low={self.low}, high={self.high}")
        if self.log and self.low <= 0:
            raise ValueError(f"Integer: log=True needs low > 0, got low={self.low}")

    @property
    def size(self) -> int:
        return self.high - self.low + 1

    width = 1
    shape: ClassVar[tuple[int, ...]] = ()

    def at(self, index: np.ndarray) -> np.ndarray:
        return (np.asarray(index, np.int64) + self.low).astype(np.int32)

    def draw(self, uniform: jax.Array) -> jax.Array:
        if self.log:
            return self.decode(uniform)
        return self.low + jnp.minimum(jnp.floor(uniform[..., 0] * self.size), self.size - 1).astype(jnp.int32)

    def encode(self, column: jax.Array) -> jax.Array:
        return _units(jnp.asarray(column).astype(jnp.float32), self.low, self.high, self.log)[..., None]

    def scale(self, unit: jax.Array) -> jax.Array:
        """Unit interval -> the number's own units, differentiable, between whole numbers too."""
        return _values(unit, float(self.low), float(self.high), self.log)

    def decode(self, block: jax.Array) -> jax.Array:
        value = self.scale(jnp.clip(block[..., 0], 0.0, 1.0))
        return jnp.clip(jnp.round(value), self.low, self.high).astype(jnp.int32)

    def to_python(self, value: Any) -> int:
        return int(value)

    def from_python(self, value: Any, name: str) -> int:
        whole = isinstance(value, int | np.integer) or (isinstance(value, float) and value.is_integer())
        if isinstance(value, bool) or not whole or not self.low <= int(value) <= self.high:
            raise ValueError(f"{name}: {value!r} is not a whole number in [{self.low}, {self.high}]")
        return int(value)


@dataclass(frozen=True)
class Subset:
    """Any subset of ``n`` things, such as which features are used; encoded multi-hot.

    Args:
        n: how many things there are.
        nonempty: exclude the empty subset; an empty draw or decoding is replaced by the single most wanted item.
        share: the expected share of things in a random draw.
    """

    n: int
    nonempty: bool = False
    share: float = 0.5

    def __post_init__(self):
        if self.n < 1:
            raise ValueError(f"Subset: n must be at least 1, got {self.n}")
        if not 0 < self.share < 1:
            raise ValueError(f"Subset: share={self.share}; accepted are numbers between 0 and 1")

    @property
    def size(self) -> int:
        return 2**self.n - int(self.nonempty)

    @property
    def width(self) -> int:
        return self.n

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.n,)

    def at(self, index: np.ndarray) -> np.ndarray:
        index = np.asarray(index, object) + int(self.nonempty)
        bits = np.stack([(index >> i) & 1 for i in range(self.n)], axis=-1)
        return bits.astype(bool)

    def draw(self, uniform: jax.Array) -> jax.Array:
        return self.decode(uniform - (0.5 - self.share))

    def encode(self, column: jax.Array) -> jax.Array:
        return jnp.asarray(column).astype(jnp.float32)

    def decode(self, block: jax.Array) -> jax.Array:
        chosen = block >= 0.5
        if self.nonempty:
            best = jax.nn.one_hot(jnp.argmax(block, axis=-1), self.n, dtype=jnp.float32) > 0
            chosen = jnp.where(jnp.any(chosen, axis=-1, keepdims=True), chosen, best)
        return chosen

    def to_python(self, value: Any) -> tuple[int, ...]:
        return tuple(int(i) for i in np.flatnonzero(np.asarray(value)))

    def from_python(self, value: Any, name: str) -> np.ndarray:
        items = list(value)
        if any(isinstance(i, bool) or int(i) != i or not 0 <= int(i) < self.n for i in items):
            raise ValueError(f"{name}: {value!r} is not a subset of the indices 0..{self.n - 1}")
        row = np.zeros(self.n, bool)
        row[[int(i) for i in items]] = True
        if self.nonempty and not row.any():
            raise ValueError(f"{name}: the empty subset is excluded; give at least one of 0..{self.n - 1}")
        return row


Domain = Categorical | Float | Integer | Subset
