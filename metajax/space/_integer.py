"""Whole numbers, encoded in the unit interval. Every value comes back from the encoding exactly."""

import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import jaxtyping as jt
import numpy as np

from metajax._typing import AnyArray, checked
from metajax.space import _checks as checks
from metajax.space import _digits as digits
from metajax.space._unit import from_unit, log_offset, to_unit
from metajax.types import InputError

_ONE_UNIFORM = 1 << 12  # up to this many values, one float32 draws them evenly


@dataclass(frozen=True)
class Integer:
    """A whole number in ``[low, high]``. The encoding is in the unit interval, by the logarithm of the number if ``log``.

    Every value is exact. Up to 2^21 values (a highest value below 2^17, if ``log``) take one column of the encoding. With more,
    the first column is the same unit coordinate, and 1 to 4 others hold the last digits in base 2^16, as codes below 1e-6 that
    a model does not notice. Where the codes are zero or not codes, as in a relaxed encoding, ``decode`` returns the whole
    number nearest to the unit coordinate, which is as fine as float32.

    A column of values is int32[n] if the bounds fit. Otherwise it is int32[n, width], the digits of ``value - low``.

    Args:
        low: The lower bound, included, within 64 bits.
        high: The upper bound, included, within 64 bits. Equal bounds are a constant.
        log: Whether values are spread evenly in the logarithm; needs ``low > 0``.

    Raises:
        InputError: If the bounds are not whole numbers of 64 bits, or ``low > high``.

    Example:
        >>> seed = Integer(0, 2**40)
        >>> seed.size, seed.width
        (1099511627777, 3)
    """

    low: int
    high: int
    log: bool = False

    def __post_init__(self) -> None:
        low, high = checks.integer("Integer: low", self.low), checks.integer("Integer: high", self.high)
        for field, value in {"low": low, "high": high, "log": checks.flag("Integer: log", self.log)}.items():
            object.__setattr__(self, field, value)
        if low > high:
            raise InputError(
                f"Integer: low and high must be integers with low <= high, got low={self.low}, high={self.high}"
            )
        if not -(2**63) <= low <= high < 2**63:
            raise InputError(
                f"Integer: low and high must be from -2^63 to 2^63 - 1, got low={self.low}, high={self.high}"
            )
        if self.log and low <= 0:
            raise InputError(f"Integer: low must be positive with log=True, got low={self.low}")

    @property
    def size(self) -> int:
        """The number of values."""
        return self.high - self.low + 1

    @property
    def _places(self) -> int:
        """The number of last digits that the unit coordinate cannot distinguish."""
        bits = self.high.bit_length() if self.log else (self.size - 1).bit_length()
        exact, in_unit = (17, 12) if self.log else (21, 18)
        return 0 if bits <= exact else -(-(bits - in_unit) // 16)

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
        """The number of columns of the encoding."""
        return 1 + self._places

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one value in a column."""
        return () if self._is_int32 else (self.width,)

    @property
    def draws(self) -> int:
        """The number of uniform random numbers that a draw takes."""
        return 1 if self.log or self.size <= _ONE_UNIFORM else digits.uniforms(self.size)

    @checked
    def at(self, index: jt.Shaped[np.ndarray, "*n"]) -> jt.Int32[np.ndarray, "..."]:
        """Returns the values with these indices, ``0 <= index < size``."""
        index = np.asarray(index)
        if self._is_int32:
            return (index + self.low).astype(np.int32)
        return digits.of_indices(index, self._places)

    @checked
    def draw(self, uniform: jt.Float[AnyArray, "*n draws"]) -> jt.Int32[jax.Array, "..."]:
        """Turns uniform random numbers f32[n, draws] into random values."""
        uniform = jnp.asarray(uniform)
        if self.log:  # a number is as frequent as the logarithm is long from half a unit below it to half a unit above
            return self._nearest(log_offset(uniform[..., 0], self.low - 0.5, float(self.size)) - 0.5)
        if self._is_int32 and self.size <= _ONE_UNIFORM:
            return self.low + jnp.minimum(jnp.floor(uniform[..., 0] * self.size), self.size - 1).astype(jnp.int32)
        return self._column(digits.draw(uniform, self.size, self._places))

    @checked
    def encode(self, column: jt.Integer[AnyArray, "..."]) -> jt.Float32[jax.Array, "*n {self.width}"]:
        """Returns the encoding f32[n, width] of a column of values."""
        column = jnp.asarray(column)
        if self._is_small:
            return to_unit(column.astype(jnp.float32), self.low, self.high, self.log)[..., None]
        if self._is_int32:
            offset = digits.of_column(column.astype(jnp.int32), self.low, self._places)
        else:
            offset = [column[..., i] for i in range(self.width)]
        span = float(self.size - 1)
        unit = digits.to_float(offset) / (span or 1.0)
        if self.log and span:  # by the offset from low, which float32 resolves where it does not resolve the numbers
            unit = jnp.log1p(unit * (span / self.low)) / math.log1p(span / self.low)
        return jnp.stack([unit, *digits.codes(offset)], axis=-1)

    @checked
    def scale(self, unit: jt.Float[AnyArray, "*n"]) -> jt.Float[jax.Array, "*n"]:
        """Maps the unit interval to the number's own units. The map is differentiable, also between whole numbers."""
        return from_unit(jnp.asarray(unit), float(self.low), float(self.high), self.log)

    @checked
    def decode(self, block: jt.Float[AnyArray, "*n columns"]) -> jt.Int32[jax.Array, "..."]:
        """Returns the column of values that is nearest to a block f32[n, width].

        A block of the first column alone gives a number as fine as float32.
        """
        block = jnp.asarray(block)
        unit = jnp.clip(block[..., 0], 0.0, 1.0)
        if self._is_small:
            return jnp.clip(jnp.round(self.scale(unit)), self.low, self.high).astype(jnp.int32)
        span = float(self.size - 1)
        return self._nearest(log_offset(unit, self.low, span) if self.log else unit * span, block[..., 1:])

    def _nearest(self, offset: jax.Array, codes: jax.Array | None = None) -> jax.Array:
        """Returns the value at an offset from ``low``, refined by the codes of the last digits."""
        parts = digits.of_float(jnp.clip(jnp.round(offset), 0.0, float(self.size - 1)), self._places)
        if self._places and codes is not None and codes.shape[-1]:
            parts = digits.refine(parts, codes)
        return self._column(digits.clip(parts, self.size - 1))

    def _column(self, parts: digits.Digits) -> jax.Array:
        return digits.to_column(parts, self.low) if self._is_int32 else jnp.stack(parts, axis=-1)

    def to_python(self, value: Any) -> int:
        """Returns a value as a Python number."""
        return int(value) if self._is_int32 else self.low + digits.to_int([int(d) for d in np.asarray(value)])

    def from_python(self, value: Any, name: str) -> Any:
        """Returns a number as the column holds it.

        Raises:
            InputError: If the value, which the message calls ``name``, is not a whole number within the bounds.
        """
        plain = value.item() if isinstance(value, np.generic) else value
        is_whole = isinstance(plain, int) or (isinstance(plain, float) and plain.is_integer())
        if isinstance(plain, bool) or not is_whole or not self.low <= plain <= self.high:
            raise InputError(f"{name}: {value!r} is not a whole number in [{self.low}, {self.high}]")
        if isinstance(plain, float) and abs(plain) >= 2**53:
            raise InputError(f"{name}: {value!r} is a float too large for exact whole numbers; give an int")
        return (
            int(plain) if self._is_int32 else digits.of_indices(np.asarray(int(plain) - self.low, object), self._places)
        )
