"""A temperature is positive."""

from typing import Any

from jax.core import Tracer

from metajax.types import InputError


def checked_temperature(temperature: Any, name: str) -> None:
    """Refuses a temperature that is not positive; inside of a compiled program its value is not known.

    Args:
        temperature: The temperature.
        name: The name of the argument in the error.

    Raises:
        InputError: If it is not a positive number.

    Example:
        >>> checked_temperature(0.0, "softmax: temperature")
        Traceback (most recent call last):
        metajax.types.InputError: softmax: temperature must be positive, got 0.0
    """
    if not isinstance(temperature, Tracer) and not 0 < float(temperature) < float("inf"):
        raise InputError(f"{name} must be positive, got {temperature}")
