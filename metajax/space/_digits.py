"""Whole numbers of up to 64 bits in programs whose integers have 32.

A number is a list of int32 arrays, most significant first. The first digit counts multiples of ``BASE ** places``; each of the
other ``places`` digits is below ``BASE``.
"""

from functools import reduce

import jax
import jax.numpy as jnp
import numpy as np

BASE = 1 << 16
_CODE = 2.0**-36
_LIMB = 16
_CHUNKS = (12, 11)

Digits = list[jax.Array]


def of_int(number: int, places: int) -> list[int]:
    """Returns the digits of a Python number."""
    return [number >> (_LIMB * places), *((number >> (_LIMB * p)) & (BASE - 1) for p in reversed(range(places)))]


def of_indices(numbers: np.ndarray, places: int) -> np.ndarray:
    """Returns the digits int32[n, 1 + places] of whole numbers of any size, on the host."""
    return np.stack([np.asarray(d).astype(np.int32) for d in of_int(numbers, places)], axis=-1)  # type: ignore[arg-type]


def to_int(digits: list[int]) -> int:
    """Returns the Python number that has these digits."""
    return reduce(lambda number, digit: number * BASE + digit, digits)


def of_float(number: jax.Array, places: int) -> Digits:
    """Returns the digits of whole numbers that are held as float32."""
    digits = []
    for place in reversed(range(places + 1)):
        unit = float(BASE) ** place
        digit = jnp.floor(number / unit)  # exact, as is everything below: units are powers of two
        digits.append(digit.astype(jnp.int32))
        number = number - digit * unit
    return digits


def to_float(digits: Digits) -> jax.Array:
    """Returns nearly the nearest float32: every digit but the first may round once."""
    places = len(digits) - 1
    return sum(
        (d.astype(jnp.float32) * float(BASE) ** (places - i) for i, d in reversed(list(enumerate(digits)))),
        jnp.zeros((), jnp.float32),
    )


def of_column(column: jax.Array, low: int, places: int) -> Digits:
    """Returns the digits of ``column - low``, where both are within 32 bits."""
    offset = column.astype(jnp.uint32) - jnp.uint32(low % 2**32)
    parts = [(offset >> (_LIMB * p)) & jnp.uint32(BASE - 1) if p < 2 else jnp.zeros_like(offset) for p in range(places)]
    top = offset >> (_LIMB * places) if places < 2 else jnp.zeros_like(offset)
    return [part.astype(jnp.int32) for part in (top, *reversed(parts))]


def to_column(digits: Digits, low: int) -> jax.Array:
    """Returns ``low`` plus the number that has these digits as int32; both are within 32 bits."""
    total = jnp.uint32(low % 2**32)
    for place, digit in enumerate(reversed(digits)):
        if _LIMB * place < 32:
            total = total + (digit.astype(jnp.uint32) << (_LIMB * place))
    return jax.lax.bitcast_convert_type(jnp.asarray(total, jnp.uint32), jnp.int32)


def codes(digits: Digits) -> Digits:
    """Returns the codes of the digits after the first in the encoding: multiples of 2^-36 from 2^-36 to 2^-20.

    They are exact in float32 and too small for a model to notice. Zero is not a code.
    """
    return [(d + 1).astype(jnp.float32) * _CODE for d in digits[1:]]


def refine(digits: Digits, block: jax.Array) -> Digits:
    """Returns the nearest number whose last digits are those of the codes, or ``digits`` where ``block`` holds no codes."""
    places = len(digits) - 1
    scaled = block / _CODE
    valid = jnp.all((scaled == jnp.round(scaled)) & (scaled >= 1) & (scaled <= BASE), axis=-1)
    last = [jnp.clip(scaled[..., i], 1, BASE).astype(jnp.int32) - 1 for i in range(places)]
    unit = float(BASE) ** places
    gap = (to_float([jnp.zeros_like(digits[0]), *last]) - to_float([jnp.zeros_like(digits[0]), *digits[1:]])) / unit
    first = digits[0] - (gap > 0.5).astype(jnp.int32) + (gap < -0.5).astype(jnp.int32)
    return [jnp.where(valid, refined, digit) for refined, digit in zip([first, *last], digits)]


def clip(digits: Digits, highest: int) -> Digits:
    """Limits a number to 0..highest."""
    top = of_int(highest, len(digits) - 1)
    over = jnp.zeros(jnp.shape(digits[0]), bool)
    for digit, limit in zip(reversed(digits), reversed(top)):
        over = (digit > limit) | ((digit == limit) & over)
    under = digits[0] < 0
    return [jnp.where(under, 0, jnp.where(over, jnp.int32(limit), digit)) for digit, limit in zip(digits, top)]


def uniforms(size: int) -> int:
    """Returns how many float32 numbers ``draw`` needs so that no value is more frequent than another by a share of 2^-11."""
    return -(-(size.bit_length() + 11) // sum(_CHUNKS))


def draw(uniform: jax.Array, size: int, places: int) -> Digits:
    """Returns the digits of ``floor(size * u)``, where the bits of u are 23 bits of each of the uniform numbers f32[..., k]."""
    limbs = size.bit_length() // _LIMB + 1
    factor = [(size >> (_LIMB * i)) & (BASE - 1) for i in range(limbs)]
    product = [jnp.zeros(uniform.shape[:-1], jnp.uint32)] * limbs
    for column in reversed(range(uniform.shape[-1])):
        bits = (uniform[..., column] * 2.0 ** sum(_CHUNKS)).astype(jnp.uint32)
        for chunk, width in ((bits & jnp.uint32((1 << _CHUNKS[1]) - 1), _CHUNKS[1]), (bits >> _CHUNKS[1], _CHUNKS[0])):
            product = _scaled(factor, chunk, product, width)
    product += [jnp.zeros_like(product[0])] * (places + 2)
    first = product[places] + (product[places + 1] << _LIMB)
    return [d.astype(jnp.int32) for d in (first, *reversed(product[:places]))]


def _scaled(factor: list[int], chunk: jax.Array, addends: list[jax.Array], width: int) -> list[jax.Array]:
    """Returns ``(factor * chunk + rest) >> width`` digit by digit, the least significant first."""
    carry, total = jnp.zeros_like(chunk), []
    for limb, addend in zip(factor, addends):
        carry = carry + addend + jnp.uint32(limb) * chunk
        total.append(carry & jnp.uint32(BASE - 1))
        carry = carry >> _LIMB
    total.append(carry)
    return [(a >> width) | ((b << (_LIMB - width)) & jnp.uint32(BASE - 1)) for a, b in zip(total[:-1], total[1:])]
