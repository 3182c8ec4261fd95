"""Splitting parameters by name: which adapt to a task, and which are shared."""

from collections.abc import Callable
from typing import Any

import jax

from metajax.types import InputError, Params

Selection = Callable[[str], bool]
"""Says of a parameter, by its path such as ``"body/convolutions/0/kernel"``, whether it is selected."""


def under(*names: str) -> Selection:
    """Selects what lies below one of the entries ``names`` of the parameters: ``under("head")``."""
    return lambda path: path.split("/")[0] in names


def partition(params: Params, selected: Selection) -> tuple[Params, Params]:
    """``(selected, rest)``: trees of the same structure in which the other's leaves are ``None``.

    Raises:
        InputError: if nothing is selected; names the paths there are.
    """
    if not any(map(selected, paths(params))):
        raise InputError(f"partition: no parameter is selected; the paths are {', '.join(paths(params))}")
    pick = lambda wanted: jax.tree_util.tree_map_with_path(
        lambda path, leaf: leaf if selected(_name(path)) == wanted else None, params
    )
    return pick(True), pick(False)


def is_norm(path: str) -> bool:
    """Whether a parameter belongs to a normalization layer: its path has the word ``norm`` in it, in any case.

    Args:
        path: Path of the parameter, such as ``"norms/0/scale"`` (``nn.Conv4``) or ``"BatchNorm_0/bias"`` (Linen).

    Returns:
        ``True`` for scale and shift of normalization layers.

    Example:
        >>> is_norm("body/norms/0/scale"), is_norm("BatchNorm_0/bias"), is_norm("head/kernel")
        (True, True, False)
    """
    return "norm" in path.lower()


def paths(params: Params) -> list[str]:
    """Returns the paths of all parameters, in the order of the leaves.

    Args:
        params: A pytree of parameters.

    Returns:
        One path for each leaf, its entries separated by slashes.

    Example:
        >>> paths({"head": {"kernel": 1.0, "bias": 0.0}})
        ['head/bias', 'head/kernel']
    """
    return [_name(path) for path, _ in jax.tree_util.tree_flatten_with_path(params)[0]]


def combine(first: Params, second: Params) -> Params:
    """The whole of what ``partition`` split."""
    return jax.tree.map(lambda a, b: b if a is None else a, first, second, is_leaf=lambda x: x is None)


def _name(path: Any) -> str:
    """A key path of JAX's as ``"a/b/0"``."""
    return "/".join(str(getattr(entry, "key", getattr(entry, "name", getattr(entry, "idx", entry)))) for entry in path)
