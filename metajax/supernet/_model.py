"""What a SuperNet is: a space, the network that holds all of it, and the way from there to one stand-alone network."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from metajax.nn import Functional
from metajax.space import Space
from metajax.types import Params


class SuperNet(NamedTuple):
    """A space of networks and the network that holds them.

    On the one-hot encoding of a configuration, ``network`` computes what ``build(config)`` computes with the weights that
    ``extract`` takes from it.

    Attributes:
        space: of architectures.
        network: ``init(key) -> params`` and ``apply(params, x, encoding) -> logits``.
        build: ``(config) -> Functional`` of the stand-alone network, ``apply(params, x)``.
        extract: ``(params, config) -> params`` of the stand-alone network with the SuperNet's weights.
    """

    space: Space
    network: Functional
    build: Callable[[Mapping[str, Any]], Functional]
    extract: Callable[[Params, Mapping[str, Any]], Params]
