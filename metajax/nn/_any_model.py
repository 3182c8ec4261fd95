"""Any model as two pure functions, told apart by its type."""

import sys
from typing import Any

from metajax.nn import adapters
from metajax.nn._functional import Functional
from metajax.types import InputError


def functional(module: Any, *example: Any) -> Functional:
    """Makes a pair of pure functions of a model, so that its parameters are a plain pytree.

    Args:
        module: One of
            a function ``nnx.Rngs -> nnx.Module`` (a class such as ``partial(MLP, 1, (40, 40), 1)`` that takes ``rngs=``
            is wrapped as ``lambda rngs: MLP(..., rngs=rngs)``);
            an ``nnx.Module``, whose present weights ``init`` then returns whatever the key (a pre-trained network);
            a Linen module, with example inputs;
            an Equinox module, whose present weights ``init`` then returns whatever the key;
            a pair of functions ``(init, apply)``, returned as it is.
            For Haiku, and for functions that make Equinox modules, see ``nn.adapters``.
        *example: Example inputs for a Linen module.

    Returns:
        ``(init, apply)``. State that is not a parameter (running statistics, random counters) is held at its initial
        value: what learns must be in the parameters.

    Raises:
        InputError: If ``module`` is not one of these.

    Example:
        >>> import jax
        >>> from flax import nnx
        >>> init, apply = functional(lambda rngs: nnx.Linear(2, 3, rngs=rngs))
        >>> apply(init(jax.random.key(0)), jax.numpy.ones((5, 2))).shape
        (5, 3)
    """
    from flax import linen, nnx

    equinox = sys.modules.get("equinox")  # there can be no module of it before it is imported
    if type(module).__module__.startswith("haiku."):
        raise InputError(
            "functional: module must not be a transformed Haiku function; use nn.adapters.from_haiku, with example "
            "inputs"
        )
    if isinstance(module, tuple) and len(module) == 2 and all(callable(f) for f in module):
        return adapters.from_functions(*module)
    if isinstance(module, linen.Module):
        return adapters.from_linen(module, *example)
    if equinox is not None and isinstance(module, equinox.Module):
        return adapters.from_equinox(lambda key: module)
    if isinstance(module, nnx.Module) or callable(module):
        return adapters.from_nnx(module)
    raise InputError(
        "functional: module must be an nnx.Module, a function of nnx.Rngs that returns one, a Linen module with "
        f"example inputs, an Equinox module, or a pair (init, apply), got {type(module).__name__}"
    )
