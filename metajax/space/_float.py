"""Real numbers, encoded in the unit interval.

Every point of a ``Float`` with a grid comes back from the encoding exactly. A ``Float`` without a grid is held in 32 bits: it
comes back within about 1e-6 of its larger bound or, if it is ``log``, with a relative error of about 1e-6 times the larger
logarithm of its bounds. Domains for which this cannot be kept are refused when they are made.
"""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import jaxtyping as jt
import numpy as np

from metajax._typing import AnyArray, checked
from metajax.space import _checks as checks
from metajax.space._unit import from_unit, to_unit
from metajax.types import InputError

_ROUNDING = 2.0**-24  # of a float32, relative
_SMALLEST, _LARGEST = 2.0**-126, float(np.finfo(np.float32).max)
_MIN_NUMBERS = 1000  # float32 numbers between the bounds of a Float
_NUMBERS_PER_POINT = 8  # float32 numbers for each point of a grid


@dataclass(frozen=True)
class Float:
    """A number in ``[low, high]``. The encoding is in the unit interval, by the logarithm of the number if ``log``.

    Args:
        low: The lower bound, included. It must be 0 or of size 1.2e-38 to 3.4e38, which float32 holds.
        high: The upper bound, included, at most 8.5e37 above ``low``. Equal bounds are a constant.
        log: Whether values are spread evenly in the logarithm; needs ``low > 0``.
        grid: If given, an integer >= 2: only this many evenly spread values exist, and the domain is finite. A value between
            two of them is encoded as the nearer one.

    Raises:
        InputError: If a bound is not a number of float32, or there are too few float32 numbers between the bounds.

    Example:
        >>> rate = Float(1e-4, 1.0, log=True)
        >>> rate.encode(jnp.array([0.01])).tolist()
        [[0.5]]
    """

    low: float
    high: float
    log: bool = False
    grid: int | None = None

    width = 1
    draws = 1
    shape: ClassVar[tuple[int, ...]] = ()

    def __post_init__(self) -> None:
        low, high = checks.number("Float: low", self.low), checks.number("Float: high", self.high)
        log = checks.flag("Float: log", self.log)
        grid = None if self.grid is None else checks.integer("Float: grid", self.grid)
        for field, value in {"low": low, "high": high, "log": log, "grid": grid}.items():
            object.__setattr__(self, field, value)
        if low > high:
            raise InputError(
                f"Float: low and high must be finite with low <= high, got low={self.low}, high={self.high}"
            )
        if log and low <= 0:
            raise InputError(f"Float: low must be positive with log=True, got low={self.low}")
        if grid is not None and grid < 2:
            raise InputError(f"Float: grid must have at least 2 points, got {self.grid}")
        self._check_precision()

    def _check_precision(self) -> None:
        """Refuses bounds between which float32 has too few numbers."""
        for name, bound in (("low", self.low), ("high", self.high)):
            if bound and not _SMALLEST <= abs(bound) <= _LARGEST:
                raise InputError(
                    f"Float: {name} must be 0 or of size 1.2e-38 to 3.4e38, as float32, got {bound}; search the "
                    "exponent, or use another unit"
                )
        if self.low == self.high:
            if self.grid is not None:
                raise InputError(
                    f"Float: low < high must hold with a grid of {self.grid} points, got {self.low} for both"
                )
            return
        if self.high - self.low > 1 / _SMALLEST:  # whose inverse float32 does not hold
            raise InputError(f"Float: high - low must be at most 8.5e37, got {self.high - self.low}; use another unit")
        ends = (math.log(self.low), math.log(self.high)) if self.log else (self.low, self.high)
        largest = max(abs(ends[0]), abs(ends[1]), self.log * 1.0)
        steps = (ends[1] - ends[0]) / max(_ROUNDING * largest, _SMALLEST)
        needed = max(_MIN_NUMBERS, 0 if self.grid is None else _NUMBERS_PER_POINT * (self.grid - 1))
        if steps < needed:
            raise InputError(
                f"Float: the interval must have at least {needed} numbers of float32, but between {self.low} and "
                f"{self.high} are only about {int(steps)}; search the difference from {self.low}"
                + ("" if self.grid is None else ", or give a coarser grid")
            )

    @property
    def size(self) -> float:
        """The number of values: infinite without a grid, unless the domain is a constant."""
        if self.low == self.high:
            return 1
        return math.inf if self.grid is None else self.grid

    def _snap(self, u: jax.Array) -> jax.Array:
        """Returns the nearest point of the grid, as a unit coordinate."""
        u = jnp.clip(u, 0.0, 1.0)
        return u if self.grid is None else jnp.round(u * (self.grid - 1)) / (self.grid - 1)

    @checked
    def at(self, index: jt.Shaped[np.ndarray, "*n"]) -> jt.Float32[np.ndarray, "*n"]:
        """Returns the points of the grid with these indices, ``0 <= index < size``."""
        if self.grid is None:
            return np.full(np.shape(index), self.low, np.float32)  # a constant
        u = np.asarray(index, np.float64) / (self.grid - 1)
        return np.asarray(from_unit(u, self.low, self.high, self.log), np.float32)

    @checked
    def draw(self, uniform: jt.Float[AnyArray, "*n 1"]) -> jt.Float32[jax.Array, "*n"]:
        """Turns uniform random numbers f32[n, 1] into random values."""
        if self.grid is None:
            return self.decode(uniform)
        return self.decode(jnp.minimum(jnp.floor(uniform * self.grid), self.grid - 1) / (self.grid - 1))

    @checked
    def encode(self, column: jt.Num[AnyArray, "*n"]) -> jt.Float32[jax.Array, "*n 1"]:
        """Returns the unit coordinates f32[n, 1] of a column of values."""
        return self._snap(to_unit(jnp.asarray(column).astype(jnp.float32), self.low, self.high, self.log))[..., None]

    @checked
    def scale(self, unit: jt.Float[AnyArray, "*n"]) -> jt.Float[jax.Array, "*n"]:
        """Maps the unit interval to the number's own units. The map is differentiable and ignores the grid."""
        return from_unit(jnp.asarray(unit), self.low, self.high, self.log)

    @checked
    def decode(self, block: jt.Float[AnyArray, "*n 1"]) -> jt.Float32[jax.Array, "*n"]:
        """Returns the column of values that is nearest to a block f32[n, 1]."""
        value = self.scale(self._snap(jnp.asarray(block)[..., 0]))
        return jnp.clip(value, self.low, self.high).astype(jnp.float32)

    def to_python(self, value: Any) -> float:
        """Returns a value as a Python number within the bounds. A point of the grid is exact in float64."""
        number = min(max(float(value), self.low), self.high)
        if self.grid is None:
            return number
        ends = (math.log(self.low), math.log(self.high)) if self.log else (self.low, self.high)
        unit = ((math.log(number) if self.log else number) - ends[0]) / (ends[1] - ends[0])
        index = round(unit * (self.grid - 1))
        point = float(from_unit(index / (self.grid - 1), self.low, self.high, self.log))
        point = self.low if index == 0 else self.high if index == self.grid - 1 else point
        slack = 1e-6 * max(abs(ends[0]), abs(ends[1]), 1.0) * abs(point) if self.log else self._slack
        return point if abs(point - number) <= slack else number

    @property
    def _slack(self) -> float:
        """The rounding error of float32 at the larger bound."""
        return 1e-6 * max(abs(self.low), abs(self.high))

    def from_python(self, value: Any, name: str) -> float:
        """Returns a number as the column holds it.

        Raises:
            InputError: If the value, which the message calls ``name``, is not a number within the bounds.
        """
        if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.number):
            raise InputError(f"{name}: {value!r} is not a number in [{self.low}, {self.high}]")
        low = self.low * (1 - 1e-6) if self.log else self.low - self._slack
        if not low <= value <= self.high + self._slack:
            raise InputError(f"{name}: {value!r} is outside [{self.low}, {self.high}]")
        return min(max(float(value), self.low), self.high)
