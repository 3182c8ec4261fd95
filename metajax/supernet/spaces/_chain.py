"""A chain of layers, each of which chooses one operation; operations may be a user's own."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from metajax.nn import Functional, convolution, standardize
from metajax.space import Categorical, Space
from metajax.supernet._model import SuperNet
from metajax.supernet.spaces._elastic import depthwise, normal
from metajax.types import InputError, Key, Params


class Operation(NamedTuple):
    """A candidate for a layer; it keeps the shape of its input.

    Attributes:
        init: ``(key, channels) -> params``.
        apply: ``(params, x f32[n, h, w, channels]) -> f32[n, h, w, channels]``.
    """

    init: Callable[[Key, int], Params]
    apply: Callable[[Params, jax.Array], jax.Array]


def identity() -> Operation:
    """The layer is left out."""
    return Operation(lambda key, channels: {}, lambda params, x: x)


def inverted_bottleneck(expansion: int, kernel: int) -> Operation:
    """1 x 1 to ``expansion`` times the channels, depthwise, 1 x 1 back, added to the input (MobileNetV2, Sandler et al. 2018,
    arXiv:1801.04381). Batch norm without scale and shift, by the statistics of the batch."""

    def init(key: Key, channels: int) -> Params:
        a, b, c = jax.random.split(key, 3)
        hidden = channels * expansion
        return {
            "expand": normal(a, (1, 1, channels, hidden), channels),
            "depthwise": normal(b, (kernel, kernel, hidden), kernel * kernel),
            "project": normal(c, (1, 1, hidden, channels), hidden),
        }

    def apply(params: Params, x: jax.Array) -> jax.Array:
        y = jax.nn.relu(standardize(convolution(x, params["expand"])))
        y = jax.nn.relu(standardize(depthwise(y, params["depthwise"])))
        return x + standardize(convolution(y, params["project"]))

    return Operation(init, apply)


MACRO = {
    "identity": identity(),
    "expand3_kernel3": inverted_bottleneck(3, 3),
    "expand6_kernel5": inverted_bottleneck(6, 5),
}
"""The operations of NAS-Bench-Macro (Su et al. 2021, arXiv:2103.11922)."""


def chain_supernet(
    inputs: int,
    outputs: int,
    operations: Mapping[str, Operation] | None = None,
    layers: Sequence[int] = (2, 3, 3),
    channels: Sequence[int] = (16, 32, 64),
) -> SuperNet:
    """Stages of layers that each choose an operation; between stages the resolution is halved and channels change, by a mean
    and a 1 x 1 convolution. By default the 6,561 networks of a space like NAS-Bench-Macro's.

    Args:
        inputs, outputs: channels of the images, classes.
        operations: name -> candidate.
        layers: of each stage.
        channels: of each stage.

    Raises:
        InputError: if an operation changes the shape, naming it, or stages do not match.

    Example:
        >>> round(chain_supernet(3, 10).space.size)
        6561
    """
    operations = MACRO if operations is None else operations
    if len(layers) != len(channels):
        raise InputError(f"layers={tuple(layers)} and channels={tuple(channels)}; accepted is one of each for a stage")
    for name, operation in operations.items():
        x = jax.ShapeDtypeStruct((2, 8, 8, channels[0]), jnp.float32)
        made = jax.eval_shape(lambda x, o=operation: o.apply(o.init(jax.random.key(0), channels[0]), x), x)
        if made.shape != x.shape:
            raise InputError(
                f"operation {name!r} makes {made.shape} of {x.shape}; accepted are operations that keep the shape"
            )
    places = [(s, i) for s, number in enumerate(layers) for i in range(number)]
    space = Space({f"layer_{s}_{i}": Categorical(tuple(operations)) for s, i in places})

    def fresh(key: Key, wanted: Callable[[str], Sequence[str]]) -> Params:
        stem, head, key = jax.random.split(key, 3)
        pairs = list(zip(channels[:-1], channels[1:]))
        between = [normal(jax.random.fold_in(key, s), (1, 1, *pair), pair[0]) for s, pair in enumerate(pairs)]
        made = {}
        for place, (s, i) in enumerate(places):
            keys = jax.random.split(jax.random.fold_in(key, len(pairs) + place), len(operations))
            own = dict(zip(operations, keys))
            name = f"layer_{s}_{i}"
            made[name] = {o: operations[o].init(own[o], channels[s]) for o in wanted(name)}
        out = {"kernel": normal(head, (channels[-1], outputs), channels[-1]), "bias": jnp.zeros(outputs)}
        return {
            "stem": normal(stem, (3, 3, inputs, channels[0]), 9 * inputs),
            "between": between,
            "layers": made,
            "head": out,
        }

    def run(params: Params, x: jax.Array, layer: Callable[[str, jax.Array], jax.Array]) -> jax.Array:
        x = standardize(convolution(x, params["stem"]))
        for s, number in enumerate(layers):
            if s:
                n, h, w, c = x.shape
                x = x[:, : h // 2 * 2, : w // 2 * 2].reshape(n, h // 2, 2, w // 2, 2, c).mean(axis=(2, 4))
                x = standardize(convolution(x, params["between"][s - 1]))
            for i in range(number):
                x = layer(f"layer_{s}_{i}", x)
        return jnp.mean(jax.nn.relu(x), axis=(1, 2)) @ params["head"]["kernel"] + params["head"]["bias"]

    def apply(params: Params, x: jax.Array, encoding: jax.Array) -> jax.Array:
        def layer(name: str, x: jax.Array) -> jax.Array:
            weights = encoding[space.slices[name]]
            total = jnp.zeros_like(x)
            for weight, (kind, operation) in zip(weights, operations.items()):
                total = total + weight * operation.apply(params["layers"][name][kind], x)
            return total

        return run(params, x, layer)

    def build(config: Mapping[str, Any]) -> Functional:
        space.configs([config])  # checks it
        one = lambda params, name, x: operations[config[name]].apply(params["layers"][name][config[name]], x)
        return Functional(
            lambda key: fresh(key, lambda name: [config[name]]),
            lambda params, x: run(params, x, lambda name, x: one(params, name, x)),
        )

    def extract(params: Params, config: Mapping[str, Any]) -> Params:
        space.configs([config])  # checks it
        return {**params, "layers": {name: {c: params["layers"][name][c]} for name, c in config.items()}}

    return SuperNet(space, Functional(lambda key: fresh(key, lambda name: list(operations)), apply), build, extract)
