"""A search method of the literature, by name: what ``METHODS`` holds."""

import dataclasses
from collections.abc import Callable, Sequence

import optax

from metajax.nn import Functional
from metajax.space import Space
from metajax.supernet._protocols import MakeLoss, Regularizer
from metajax.supernet._recipe import MakeNetwork, Recipe
from metajax.supernet._search import EPOCH_STEPS
from metajax.supernet._state import Search
from metajax.types import InputError


@dataclasses.dataclass(frozen=True)
class SupernetMethod:
    """A search method of the literature; ``METHODS`` has them by name.

    Attributes:
        paper: where it was published.
        recipe: ``(space) -> Recipe``: its parts and rates on a space. Its docstring has the mathematics of the method.
        deviations: what differs from the paper or from its authors' code, in sentences; empty where nothing does.

    Example:
        >>> from metajax import supernet
        >>> supernet.METHODS["gdas"].paper
        'Dong and Yang 2019, arXiv:1910.04465'
    """

    paper: str
    recipe: Callable[[Space], Recipe]
    deviations: str = ""

    def build(
        self,
        space: Space,
        network: Functional | MakeNetwork,
        loss: MakeLoss,
        weights_optimizer: optax.GradientTransformation | None = None,
        *,
        steps: int,
        learning_rate: float = 0.025,
        steps_per_epoch: int = EPOCH_STEPS,
        warm_up: float = 0.0,
        regularizers: Sequence[Regularizer] = (),
    ) -> Search:
        """Builds the method on a space, completely. ``supernet.run`` also trains it and decides.

        Args:
            space: the space of architectures.
            network: ``(partial, single_path) -> Functional``, or a Functional where the method needs no partial channels.
            loss: makes a loss from an apply function, such as ``fewshot.cross_entropy``.
            weights_optimizer: of the weights; by default momentum SGD with the method's decay, clipping and schedule.
            steps: updates of the whole search, at least 1.
            learning_rate: of the weights at the first step, for the default optimizer.
            steps_per_epoch: steps in which the training part is seen once.
            warm_up: share of the search in which weights learn alone, at least; the method may ask for more.
            regularizers: terms beside those of the method, such as an expected cost.

        Returns:
            The search; ``search.learner`` trains with ``metajax.run.train``.

        Raises:
            InputError: if the network cannot have the channels that the method needs, or as ``compose_search`` does.

        Example:
            >>> import jax
            >>> from metajax import fewshot, nn, supernet
            >>> space = supernet.spaces.cell_space(3)
            >>> network = nn.functional(lambda rngs: supernet.spaces.CellNet(space, 3, 4, 1, rngs=rngs))
            >>> search = supernet.METHODS["darts-1"].build(space, network, fewshot.cross_entropy, steps=10)
            >>> search.strengths(search.init(jax.random.key(0))).shape
            (15,)
        """
        return self.recipe(space).build(
            space,
            network,
            loss,
            weights_optimizer,
            steps=steps,
            learning_rate=learning_rate,
            steps_per_epoch=steps_per_epoch,
            warm_up=warm_up,
            regularizers=regularizers,
        )


class Methods(dict[str, SupernetMethod]):
    """A dictionary of methods that answers an unknown name with those that it has."""

    def __missing__(self, name: str) -> SupernetMethod:
        raise InputError(f"METHODS: unknown method {name!r}; accepted are {', '.join(self)}")
