"""An elastic perceptron: the largest network holds every smaller one in the first of its units and layers.

Weights are shared by slicing. A relaxed encoding mixes sizes by masks: a unit counts with the weight of the sizes that have it.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from metajax.nn import Functional
from metajax.space import Categorical, Space
from metajax.supernet._model import SuperNet
from metajax.supernet.spaces._shared import ascending, layered_domains, masks, normal, share
from metajax.types import Key, Params


def elastic_mlp(
    inputs: int, outputs: int, depths: Sequence[int] = (1, 2, 3, 4), widths: Sequence[int] = (16, 32, 64, 128)
) -> SuperNet:
    """Returns a perceptron of any depth and of any width in every layer.

    Args:
        inputs: The number of features.
        outputs: The number of classes.
        depths: The possible numbers of hidden layers, positive and rising.
        widths: The possible numbers of units of each hidden layer, positive and rising.

    Returns:
        The SuperNet.

    Raises:
        InputError: If depths or widths do not rise.

    References:
        Cai et al. 2020, "Once-for-all: train one network and specialize it for efficient deployment", arXiv:1908.09791.

    Example:
        >>> net = elastic_mlp(4, 3, depths=range(1, 41), widths=range(8, 81, 8))
        >>> round(net.space.log10_size)
        40
        >>> params = net.network.init(jax.random.key(0))
        >>> net.network.apply(params, jnp.ones((5, 4)), net.space.relax(net.space.zeros())).shape
        (5, 3)
    """
    depths, widths = ascending("depths", depths), ascending("widths", widths)
    space = Space(*layered_domains("depth", depths, lambda i: {f"width_{i}": Categorical(widths)}))
    net = _ElasticMLP(space, inputs, outputs, depths, widths)
    return SuperNet(space, Functional(net.init, net.apply), net.build, net.extract)


@dataclasses.dataclass(frozen=True, eq=False)
class _ElasticMLP:
    """Hidden layers of the largest width, each of which may be the last."""

    space: Space
    inputs: int
    outputs: int
    depths: tuple[int, ...]
    widths: tuple[int, ...]

    def init(self, key: Key) -> Params:
        """Returns initial weights of the largest network."""
        widest, deepest = self.widths[-1], self.depths[-1]
        keys = jax.random.split(key, deepest + 1)
        first = {"kernel": normal(keys[0], (self.inputs, widest), self.inputs), "bias": jnp.zeros(widest)}
        other_layers = [{"kernel": normal(k, (widest, widest), widest), "bias": jnp.zeros(widest)} for k in keys[1:-1]]
        head = {"kernel": normal(keys[-1], (widest, self.outputs), widest), "bias": jnp.zeros(self.outputs)}
        return {"layers": [first, *other_layers], "head": head}

    def apply(self, params: Params, x: jax.Array, encoding: jax.Array) -> jax.Array:
        """Returns the logits of the SuperNet under an encoding."""
        by_depth, total, mask = encoding[self.space.slices["depth"]], 0.0, masks(self.widths)
        for i, layer in enumerate(params["layers"]):
            x = jax.nn.relu(x @ layer["kernel"] + layer["bias"])
            x = x * (share(encoding[self.space.slices[f"width_{i}"]]) @ mask)
            if i + 1 in self.depths:
                total = total + by_depth[self.depths.index(i + 1)] * x
        return total @ params["head"]["kernel"] + params["head"]["bias"]

    def sizes(self, config: Mapping[str, Any]) -> list[int]:
        """Returns the widths of the hidden layers of a configuration."""
        self.space.configs([config])  # checks it
        return [config[f"width_{i}"] for i in range(config["depth"])]

    def build(self, config: Mapping[str, Any]) -> Functional:
        """Returns the stand-alone network of a configuration."""
        sizes = self.sizes(config)

        def init(key: Key) -> Params:
            keys = jax.random.split(key, len(sizes) + 1)
            pairs = list(zip([self.inputs, *sizes], [*sizes, self.outputs]))
            layers = [{"kernel": normal(k, pair, pair[0]), "bias": jnp.zeros(pair[1])} for k, pair in zip(keys, pairs)]
            return {"layers": layers[:-1], "head": layers[-1]}

        def apply(params: Params, x: jax.Array) -> jax.Array:
            for layer in params["layers"]:
                x = jax.nn.relu(x @ layer["kernel"] + layer["bias"])
            return x @ params["head"]["kernel"] + params["head"]["bias"]

        return Functional(init, apply)

    def extract(self, params: Params, config: Mapping[str, Any]) -> Params:
        """Returns the SuperNet's weights of a configuration."""
        sizes = self.sizes(config)
        before = [self.inputs, *sizes[:-1]]
        layers = [
            {"kernel": layer["kernel"][:a, :b], "bias": layer["bias"][:b]}
            for layer, a, b in zip(params["layers"], before, sizes)
        ]
        return {"layers": layers, "head": {**params["head"], "kernel": params["head"]["kernel"][: sizes[-1]]}}
