"""Array shapes of public functions: documentation in use, checked in the tests; and the kind of an array."""

import os
from collections.abc import Callable
from typing import Any, TypeVar, cast

import jax
import numpy as np

AnyArray = jax.Array | np.ndarray
"""An argument that may be an array of JAX or of NumPy."""
F = TypeVar("F", bound=Callable[..., Any])

CHECKED = os.environ.get("METAJAX_CHECK_SHAPES", "0") == "1"
"""Whether ``checked`` compares arguments and results with their annotations. Read once, when metajax is imported."""


def is_key(x: Any) -> bool:
    """Returns whether something is an array of typed random keys, as ``jax.random.key`` makes them."""
    return isinstance(x, jax.Array) and jax.numpy.issubdtype(x.dtype, jax.dtypes.prng_key)


def checked(function: F) -> F:
    """Compares the arguments and the result of a function with its annotations, if ``METAJAX_CHECK_SHAPES=1``.

    Shapes are jaxtyping annotations, such as ``Float[Array, "tasks steps"]``. The tests set the variable; otherwise the
    function is returned as it is, at no cost. The check needs the package beartype.

    Args:
        function: the function to check, with annotations of all arguments and of the result.

    Returns:
        The function itself, or one that raises ``jaxtyping.TypeCheckError`` where a type or shape differs.
    """
    if not CHECKED:
        return function
    from beartype import BeartypeConf, beartype
    from jaxtyping import jaxtyped  # pyright: ignore[reportUnknownVariableType]

    # An int is accepted where a float is, as by type checkers.
    return cast(F, jaxtyped(function, typechecker=beartype(conf=BeartypeConf(is_pep484_tower=True))))
