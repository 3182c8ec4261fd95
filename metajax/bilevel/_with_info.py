"""A loss that returns no info is refused in a sentence, before JAX differentiates it."""

from collections.abc import Callable, Mapping
from typing import Any

import jax

from metajax.types import InputError


def with_info(loss: Callable[..., Any], name: str) -> Callable[..., Any]:
    """Returns the same loss, which is refused where it does not return ``(loss, info)``.

    Args:
        loss: A function that is to return a scalar and a mapping of scalars to log.
        name: What it is called in the error.

    Example:
        >>> with_info(lambda w: w**2, "loss_fn")(3.0)
        Traceback (most recent call last):
        metajax.types.InputError: loss_fn must return (loss, info), such as `return loss, {}`, but returned a float
    """

    def checked(*args: Any) -> Any:
        out = loss(*args)
        if isinstance(out, tuple) and len(out) == 2 and isinstance(out[1], Mapping):
            return out
        kind = f"a {type(out).__name__}"
        if isinstance(out, jax.Array):
            kind = f"an array of shape {out.shape}"
        elif isinstance(out, tuple):
            kind = (
                f"a tuple of {len(out)}" if len(out) != 2 else f"a pair whose second part is a {type(out[1]).__name__}"
            )
        raise InputError(f"{name} must return (loss, info), such as `return loss, {{}}`, but returned {kind}")

    return checked
