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
    named = jax.tree_util.tree_flatten_with_path(params)[0]
    paths = [path_name(path) for path, _ in named]
    if not any(map(selected, paths)):
        raise InputError(f"partition: no parameter is selected; the paths are {', '.join(paths)}")
    pick = lambda wanted: jax.tree_util.tree_map_with_path(
        lambda path, leaf: leaf if selected(path_name(path)) == wanted else None, params
    )
    return pick(True), pick(False)


def combine(first: Params, second: Params) -> Params:
    """The whole of what ``partition`` split."""
    return jax.tree.map(lambda a, b: b if a is None else a, first, second, is_leaf=lambda x: x is None)


def path_name(path: Any) -> str:
    """A key path of JAX's as ``"a/b/0"``."""
    return "/".join(str(getattr(entry, "key", getattr(entry, "name", getattr(entry, "idx", entry)))) for entry in path)
