"""Domains of numbers, encoded in the unit interval: ``Float`` and ``Integer``.

Every value of an ``Integer`` and every point of a ``Float`` with a grid comes back from the encoding exactly. A ``Float``
without grid is held in 32 bits: it comes back within about 1e-6 of its larger bound or, if it is ``log``, with a relative error
of about 1e-6 times the larger logarithm of its bounds. Domains for which this cannot be kept are refused when they are made.
"""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from metajax.space import _checks as checks
from metajax.space import _digits as digits
from metajax.types import InputError

_ROUNDING = 2.0**-24  # of a float32, relative
_SMALLEST, _LARGEST = 2.0**-126, float(np.finfo(np.float32).max)
_FEWEST = 1000  # float32 numbers between the bounds of a Float
_PER_POINT = 8  # float32 numbers for each point of a grid
_ONE_UNIFORM = 1 << 12  # up to this many values, one float32 draws them evenly


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


def _beyond(unit: jax.Array, low: float, most: float) -> jax.Array:
    """What a number that is evenly spread in the logarithm from ``low`` to ``low + most`` has above ``low``."""
    return float(low) * jnp.expm1(unit * math.log1p(most / low))


@dataclass(frozen=True)
class Float:
    """A number in ``[low, high]``; encoded in the unit interval, by its logarithm if ``log``.

    Args:
        low, high: the bounds, both included, and within float32 (1.2e-38 to 3.4e38 in size, or 0), at most 8.5e37
            apart. Equal bounds are a constant.
        log: spread evenly in the logarithm; needs ``low > 0``.
        grid: if given, only this many evenly spread values exist, and the domain is finite. A value between two of them is
            encoded as the nearer one.

    Raises:
        InputError: if a bound is not a number of float32, or the bounds have too few float32 numbers between them.

    Example:
        >>> space = Float(1e-4, 1.0, log=True)
        >>> space.decode(space.encode(jnp.array([0.01]))).round(6).tolist()
        [0.009999999776482582]
    """

    low: float
    high: float
    log: bool = False
    grid: int | None = None

    width = 1
    draws = 1
    shape: ClassVar[tuple[int, ...]] = ()

    def __post_init__(self):
        low, high = checks.number("Float: low", self.low), checks.number("Float: high", self.high)
        log = checks.flag("Float: log", self.log)
        grid = None if self.grid is None else checks.whole("Float: grid", self.grid)
        for field, value in {"low": low, "high": high, "log": log, "grid": grid}.items():
            object.__setattr__(self, field, value)
        if low > high:
            raise InputError(f"Float: need finite low < high (or equal, for a constant), got low={low}, high={high}")
        if log and low <= 0:
            raise InputError(f"Float: log=True needs low > 0, got low={low}")
        if grid is not None and grid < 2:
            raise InputError(f"Float: grid needs at least 2 points, got {grid}")
        self._check_precision()

    def _check_precision(self) -> None:
        for name, bound in (("low", self.low), ("high", self.high)):
            if bound and not _SMALLEST <= abs(bound) <= _LARGEST:
                raise InputError(
                    f"Float: {name}={bound} is outside of float32; accepted are 0 and sizes from 1.2e-38 to 3.4e38 (search "
                    "the exponent, or another unit)"
                )
        if self.low == self.high:
            if self.grid is not None:
                raise InputError(
                    f"Float: low and high are both {self.low}, so a grid of {self.grid} points has no room"
                )
            return
        if self.high - self.low > 1 / _SMALLEST:  # whose inverse float32 does not hold
            raise InputError(
                f"Float: high - low is {self.high - self.low}; accepted are at most 8.5e37 (use another unit)"
            )
        ends = (math.log(self.low), math.log(self.high)) if self.log else (self.low, self.high)
        most = max(abs(ends[0]), abs(ends[1]), self.log * 1.0)
        steps = (ends[1] - ends[0]) / max(_ROUNDING * most, _SMALLEST)
        needed = max(_FEWEST, 0 if self.grid is None else _PER_POINT * (self.grid - 1))
        if steps < needed:
            raise InputError(
                f"Float: float32 tells only about {int(steps)} numbers from {self.low} to {self.high} apart, and "
                f"{needed} are needed; search the difference from {self.low}"
                + ("" if self.grid is None else ", or give a coarser grid")
            )

    @property
    def size(self) -> float:
        if self.low == self.high:
            return 1
        return math.inf if self.grid is None else self.grid

    def _snap(self, u: jax.Array) -> jax.Array:
        u = jnp.clip(u, 0.0, 1.0)
        return u if self.grid is None else jnp.round(u * (self.grid - 1)) / (self.grid - 1)

    def at(self, index: np.ndarray) -> np.ndarray:
        if self.grid is None:
            return np.full(np.shape(index), self.low, np.float32)  # a constant
        u = np.asarray(index, np.float64) / (self.grid - 1)
        return np.asarray(_values(u, self.low, self.high, self.log), np.float32)

    def draw(self, uniform: jax.Array) -> jax.Array:
        if self.grid is None:
            return self.decode(uniform)
        return self.decode(jnp.minimum(jnp.floor(uniform * self.grid), self.grid - 1) / (self.grid - 1))

    def encode(self, column: jax.Array) -> jax.Array:
        return self._snap(_units(jnp.asarray(column).astype(jnp.float32), self.low, self.high, self.log))[..., None]

    def scale(self, unit: jax.Array) -> jax.Array:
        """Unit interval -> the number's own units, differentiable, off the grid."""
        return _values(unit, self.low, self.high, self.log)

    def decode(self, block: jax.Array) -> jax.Array:
        value = self.scale(self._snap(block[..., 0]))
        return jnp.clip(value, self.low, self.high).astype(jnp.float32)

    def to_python(self, value: Any) -> float:
        """Within the bounds; a point of the grid is given in float64."""
        found = min(max(float(value), self.low), self.high)
        if self.grid is None:
            return found
        ends = (math.log(self.low), math.log(self.high)) if self.log else (self.low, self.high)
        unit = ((math.log(found) if self.log else found) - ends[0]) / (ends[1] - ends[0])
        place = round(unit * (self.grid - 1))
        point = float(_values(place / (self.grid - 1), self.low, self.high, self.log))
        point = self.low if place == 0 else self.high if place == self.grid - 1 else point
        slack = 1e-6 * max(abs(ends[0]), abs(ends[1]), 1.0) * abs(point) if self.log else self._slack
        return point if abs(point - found) <= slack else found

    @property
    def _slack(self) -> float:
        return 1e-6 * max(abs(self.low), abs(self.high))

    def from_python(self, value: Any, name: str) -> float:
        if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.number):
            raise InputError(f"{name}: {value!r} is not a number in [{self.low}, {self.high}]")
        low = self.low * (1 - 1e-6) if self.log else self.low - self._slack
        if not low <= value <= self.high + self._slack:
            raise InputError(f"{name}: {value!r} is outside [{self.low}, {self.high}]")
        return min(max(float(value), self.low), self.high)


@dataclass(frozen=True)
class Integer:
    """A whole number in ``[low, high]``, both included; encoded in the unit interval, by its logarithm if ``log``.

    Every value is exact. Up to 2^21 values (a highest value below 2^17, if ``log``) are one column of the encoding. With more,
    the first column is the same unit coordinate, and 1 to 4 others hold the last digits in base 2^16, as codes that are below
    1e-6 and so unnoticed by a model. Where the codes are zero or are not codes, as in a relaxed encoding, ``decode`` takes the
    whole number nearest to the unit coordinate, which is as fine as float32.

    A column of values is int32[n] if the bounds fit; otherwise it is int32[n, width], the digits of ``value - low``.

    Args:
        low, high: the bounds, within 64 bits. Equal bounds are a constant.
        log: spread evenly in the logarithm; needs ``low > 0``.

    Raises:
        InputError: if the bounds are not whole numbers of 64 bits, or ``low > high``.

    Example:
        >>> seed = Integer(0, 2**40)
        >>> seed.size, seed.width
        (1099511627777, 3)
    """

    low: int
    high: int
    log: bool = False

    def __post_init__(self):
        low, high = checks.whole("Integer: low", self.low), checks.whole("Integer: high", self.high)
        for field, value in {"low": low, "high": high, "log": checks.flag("Integer: log", self.log)}.items():
            object.__setattr__(self, field, value)
        if low > high:
            raise InputError(f"Integer: need whole numbers low <= high, got low={low}, high={high}")
        if not -(2**63) <= low <= high < 2**63:
            raise InputError(f"Integer: low={low}, high={high}; accepted are whole numbers from -2^63 to 2^63 - 1")
        if self.log and low <= 0:
            raise InputError(f"Integer: log=True needs low > 0, got low={low}")

    @property
    def size(self) -> int:
        return self.high - self.low + 1

    @property
    def _places(self) -> int:
        """How many of the last digits the unit coordinate cannot tell."""
        bits = self.high.bit_length() if self.log else (self.size - 1).bit_length()
        exact, told = (17, 12) if self.log else (21, 18)
        return 0 if bits <= exact else -(-(bits - told) // 16)

    @property
    def _is_int32(self) -> bool:
        return self.low >= -(2**31) and self.high < 2**31

    @property
    def _is_small(self) -> bool:
        """Whether float32 holds every value and every sum of them."""
        is_narrow = self.log and self.high < 2 * self.low  # whose logarithms float32 hardly tells apart
        return self._places == 0 and max(abs(self.low), abs(self.high)) <= 2**20 and not is_narrow

    @property
    def width(self) -> int:
        return 1 + self._places

    @property
    def shape(self) -> tuple[int, ...]:
        return () if self._is_int32 else (self.width,)

    @property
    def draws(self) -> int:
        return 1 if self.log or self.size <= _ONE_UNIFORM else digits.uniforms(self.size)

    def at(self, index: np.ndarray) -> np.ndarray:
        index = np.asarray(index)
        if self._is_int32:
            return (index + self.low).astype(np.int32)
        return digits.of_indices(index, self._places)

    def draw(self, uniform: jax.Array) -> jax.Array:
        if self.log:  # as often as the logarithm from half a unit below to half a unit above is long
            return self._nearest(_beyond(uniform[..., 0], self.low - 0.5, float(self.size)) - 0.5)
        if self._is_int32 and self.size <= _ONE_UNIFORM:
            return self.low + jnp.minimum(jnp.floor(uniform[..., 0] * self.size), self.size - 1).astype(jnp.int32)
        return self._column(digits.draw(uniform, self.size, self._places))

    def encode(self, column: jax.Array) -> jax.Array:
        column = jnp.asarray(column)
        if self._is_small:
            return _units(column.astype(jnp.float32), self.low, self.high, self.log)[..., None]
        if self._is_int32:
            held = digits.of_column(column.astype(jnp.int32), self.low, self._places)
        else:
            held = [column[..., i] for i in range(self.width)]
        most = float(self.size - 1)
        unit = digits.to_float(held) / (most or 1.0)
        if self.log and most:  # of the offset from low, which float32 tells where it does not tell the numbers
            unit = jnp.log1p(unit * (most / self.low)) / math.log1p(most / self.low)
        return jnp.stack([unit, *digits.codes(held)], axis=-1)

    def scale(self, unit: jax.Array) -> jax.Array:
        """Unit interval -> the number's own units, differentiable, between whole numbers too."""
        return _values(unit, float(self.low), float(self.high), self.log)

    def decode(self, block: jax.Array) -> jax.Array:
        """The nearest column of values; a block of the first column alone is enough for a number of float32's fineness."""
        unit = jnp.clip(block[..., 0], 0.0, 1.0)
        if self._is_small:
            return jnp.clip(jnp.round(self.scale(unit)), self.low, self.high).astype(jnp.int32)
        most = float(self.size - 1)
        return self._nearest(_beyond(unit, self.low, most) if self.log else unit * most, block[..., 1:])

    def _nearest(self, offset: jax.Array, codes: jax.Array | None = None) -> jax.Array:
        held = digits.of_float(jnp.clip(jnp.round(offset), 0.0, float(self.size - 1)), self._places)
        if self._places and codes is not None and codes.shape[-1]:
            held = digits.refine(held, codes)
        return self._column(digits.clip(held, self.size - 1))

    def _column(self, held: digits.Digits) -> jax.Array:
        return digits.to_column(held, self.low) if self._is_int32 else jnp.stack(held, axis=-1)

    def to_python(self, value: Any) -> int:
        return int(value) if self._is_int32 else self.low + digits.to_int([int(d) for d in np.asarray(value)])

    def from_python(self, value: Any, name: str) -> Any:
        plain = value.item() if isinstance(value, np.generic) else value
        whole = isinstance(plain, int) or (isinstance(plain, float) and plain.is_integer())
        if isinstance(plain, bool) or not whole or not self.low <= plain <= self.high:
            raise InputError(f"{name}: {value!r} is not a whole number in [{self.low}, {self.high}]")
        if isinstance(plain, float) and abs(plain) >= 2**53:
            raise InputError(f"{name}: {value!r} is a float too large for exact whole numbers; give an int")
        return (
            int(plain) if self._is_int32 else digits.of_indices(np.asarray(int(plain) - self.low, object), self._places)
        )
