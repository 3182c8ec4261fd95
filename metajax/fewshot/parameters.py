"""Selecting parameters by their paths: which adapt to a task, and which are shared."""

from collections.abc import Callable
from typing import Any

import jax

from metajax.types import InputError, Params

Selection = Callable[[str], bool]
"""Returns whether a parameter is selected, from its path such as ``"body/convolutions/0/kernel"``."""


def under(*names: str) -> Selection:
    """Selects the parameters below some of the entries at the top of the tree.

    Args:
        *names: Names of entries, such as ``"head"``.

    Returns:
        The selection.

    Example:
        >>> selected = under("head")
        >>> selected("head/kernel"), selected("body/kernel")
        (True, False)
    """
    return lambda path: path.split("/")[0] in names


def is_norm(path: str) -> bool:
    """Selects the parameters of normalization layers: their paths have the word ``norm`` in them, in any case.

    Args:
        path: Path of a parameter, such as ``"norms/0/scale"`` (``nn.Conv4``) or ``"BatchNorm_0/bias"`` (Linen).

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


def partition(params: Params, selected: Selection) -> tuple[Params, Params]:
    """Splits parameters into those that are selected and the rest.

    Args:
        params: A pytree of parameters.
        selected: Returns whether the parameter with a path is selected.

    Returns:
        ``(selected, rest)``: trees of the same structure in which the other's leaves are ``None``.

    Raises:
        InputError: If nothing is selected; the message names the paths there are.

    Example:
        >>> partition({"body": 1.0, "head": 2.0}, under("head"))
        ({'body': None, 'head': 2.0}, {'body': 1.0, 'head': None})
    """
    if not any(map(selected, paths(params))):
        raise InputError(
            f"partition: the selection must match a parameter, but matches none of {', '.join(paths(params))}"
        )
    pick = lambda is_selected: jax.tree_util.tree_map_with_path(
        lambda path, leaf: leaf if selected(_name(path)) == is_selected else None, params
    )
    return pick(True), pick(False)


def combine(first: Params, second: Params) -> Params:
    """Puts together what ``partition`` split.

    Args:
        first: A tree in which some leaves are ``None``.
        second: A tree with the leaves that the first one lacks.

    Returns:
        The whole tree.

    Example:
        >>> combine({"body": None, "head": 2.0}, {"body": 1.0, "head": None})
        {'body': 1.0, 'head': 2.0}
    """
    return jax.tree.map(lambda a, b: b if a is None else a, first, second, is_leaf=lambda x: x is None)


def _name(path: Any) -> str:
    """A key path of JAX as ``"a/b/0"``."""
    return "/".join(str(getattr(entry, "key", getattr(entry, "name", getattr(entry, "idx", entry)))) for entry in path)
