"""What a function depends on, read from its program."""

from collections.abc import Callable
from typing import Any

import jax
from jax.extend.core import Literal


def reached(function: Callable[[Any], Any], tree: Any) -> dict[str, bool]:
    """Says for each leaf of ``tree``, by its path, whether the result of ``function`` depends on it.

    The answer is read from the traced program, whatever the values are. A derivative that happens to be zero counts as a
    dependence, and so does anything that goes into an inner program (a loop, a branch) from which the result comes.

    Example:
        >>> reached(lambda h: h["a"] * 0.0, {"a": 1.0, "b": 2.0})
        {"['a']": True, "['b']": False}
    """
    program = jax.make_jaxpr(function)(tree).jaxpr
    needed = {var for var in program.outvars if not isinstance(var, Literal)}
    for equation in reversed(program.eqns):
        if any(var in needed for var in equation.outvars):
            needed |= {var for var in equation.invars if not isinstance(var, Literal)}
    paths = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(tree)]
    return {path: var in needed for path, var in zip(paths, program.invars)}
