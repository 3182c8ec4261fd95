"""A search method of the literature, by name: an entry of ``METHODS``."""

import dataclasses
import functools
import inspect
from collections.abc import Callable
from typing import Concatenate, ParamSpec

from metajax.space import Space
from metajax.supernet._recipe import Recipe
from metajax.supernet._state import Search

P = ParamSpec("P")


def _on_space(build: Callable[Concatenate[Recipe, P], Search]) -> Callable[Concatenate["SupernetMethod", P], Search]:
    """Returns ``build`` as a method of ``SupernetMethod``: its recipe on the space is the first argument."""
    signature = inspect.signature(build)

    @functools.wraps(build)
    def forward(self: "SupernetMethod", *args: P.args, **kwargs: P.kwargs) -> Search:
        space = signature.bind(self, *args, **kwargs).arguments["space"]
        return build(self.recipe(space), *args, **kwargs)

    return forward


@dataclasses.dataclass(frozen=True)
class SupernetMethod:
    """A search method of the literature; ``METHODS`` has them by name.

    Attributes:
        paper: The paper that published the method.
        recipe: A function ``(space) -> Recipe``, which returns the parts and rates of the method on a space. Its docstring has
            the mathematics of the method.
        deviations: The differences from the paper or from its authors' code, in sentences; empty where there are none.

    Example:
        >>> import jax
        >>> from metajax import supernet
        >>> supernet.METHODS["gdas"].paper
        'Dong and Yang 2019, arXiv:1910.04465'
        >>> from metajax import fewshot, nn
        >>> space = supernet.spaces.cell_space(3)
        >>> network = nn.functional(lambda rngs: supernet.spaces.CellNet(space, 3, 4, 1, rngs=rngs))
        >>> search = supernet.METHODS["darts-1"].build(space, network, fewshot.cross_entropy, steps=10)
        >>> search.strengths(search.init(jax.random.key(0))).shape
        (15,)
    """

    paper: str
    recipe: Callable[[Space], Recipe]
    deviations: str = ""

    build = _on_space(Recipe.build)
    """Builds the method on a space, completely: ``Recipe.build`` of its recipe there, with the same arguments."""
