"""A SuperNet: a space, the network that holds all of it, and the way from there to one stand-alone network."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from metajax.nn import Functional
from metajax.space import Space
from metajax.types import Params


class SuperNet(NamedTuple):
    """A space of networks and the network that holds them.

    On the one-hot encoding of a configuration, ``network`` computes what ``build(config)`` computes with the weights that
    ``extract`` takes from it.

    ``supernet.spaces`` has such networks; a tuple of these four is one of your own.

    Attributes:
        space: The space of architectures.
        network: The network, with ``init(key) -> params`` and ``apply(params, x, encoding) -> logits``.
        build: A function ``(config) -> Functional``, which returns the stand-alone network, with ``apply(params, x)``.
        extract: A function ``(params, config) -> params``, which returns the SuperNet's weights for the stand-alone network.

    Example:
        >>> import jax
        >>> from metajax.supernet import spaces
        >>> net = spaces.elastic_mlp(4, 3, depths=(1, 2), widths=(8, 16))
        >>> config = {"depth": 1, "width_0": 8}
        >>> net.extract(net.network.init(jax.random.key(0)), config)["layers"][0]["kernel"].shape
        (4, 8)
    """

    space: Space
    network: Functional
    build: Callable[[Mapping[str, Any]], Functional]
    extract: Callable[[Params, Mapping[str, Any]], Params]
