"""Checks of the settings of an experiment."""

from typing import Any

from metajax.types import InputError


def check_at_least(config: Any, minimum: float, *names: str) -> None:
    """Raises an error that names the first setting below a minimum by its flag.

    Args:
        config: The config of an experiment.
        minimum: The smallest value allowed.
        *names: The fields of the config to check, which are numbers.

    Raises:
        InputError: If a field is smaller than the minimum.

    Example:
        >>> import types
        >>> check_at_least(types.SimpleNamespace(steps=10, inner_steps=0), 1, "steps", "inner_steps")
        Traceback (most recent call last):
        metajax.types.InputError: --inner-steps must be at least 1, got 0
    """
    for name in names:
        if getattr(config, name) < minimum:
            raise InputError(f"--{name.replace('_', '-')} must be at least {minimum}, got {getattr(config, name)}")
