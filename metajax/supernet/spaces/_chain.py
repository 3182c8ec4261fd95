"""A chain of layers, each of which chooses one operation; operations may be a user's own."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from metajax.nn import Functional, convolution, standardize
from metajax.space import Categorical, Space
from metajax.supernet._model import SuperNet
from metajax.supernet.spaces._shared import depthwise, normal
from metajax.types import InputError, Key, Params


class Operation(NamedTuple):
    """A candidate for a layer; it keeps the shape of its input.

    Attributes:
        init: A function ``(key, channels) -> params``.
        apply: A function ``(params, x f32[n, h, w, channels]) -> f32[n, h, w, channels]``.

    Example:
        >>> negate = Operation(lambda key, channels: {}, lambda params, x: -x)
        >>> chain_supernet(3, 10, {"identity": identity(), "negate": negate}, layers=(2,), channels=(4,)).space.size
        4
    """

    init: Callable[[Key, int], Params]
    apply: Callable[[Params, jax.Array], jax.Array]


def identity() -> Operation:
    """Returns the operation that leaves the layer out.

    Returns:
        The operation; it has no parameters.

    Example:
        >>> float(identity().apply({}, jnp.asarray(3.0)))
        3.0
    """
    return Operation(lambda key, channels: {}, lambda params, x: x)


def inverted_bottleneck(expansion: int, kernel: int) -> Operation:
    """Returns an inverted bottleneck: 1 x 1 to more channels, depthwise, 1 x 1 back, added to the input.

    Batch norm has no scale and shift and uses the statistics of the batch.

    Args:
        expansion: The number of hidden channels per channel, at least 1.
        kernel: The size of the depthwise convolution, odd.

    Returns:
        The operation.

    References:
        Sandler et al. 2018, "MobileNetV2: inverted residuals and linear bottlenecks", arXiv:1801.04381.

    Example:
        >>> params = inverted_bottleneck(expansion=6, kernel=5).init(jax.random.key(0), 4)
        >>> params["depthwise"].shape
        (5, 5, 24)
    """

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
    """Returns stages of layers that each choose an operation.

    Between stages the resolution is halved and channels change, by a mean and a 1 x 1 convolution. By default these are the
    6,561 networks of a space like NAS-Bench-Macro's.

    Args:
        inputs: The number of channels of the images.
        outputs: The number of classes.
        operations: The candidates for every layer, ``{name: candidate}``; by default ``MACRO``.
        layers: The number of layers of each stage.
        channels: The number of channels of each stage.

    Returns:
        The SuperNet.

    Raises:
        InputError: If an operation changes the shape, in which case the error names it, or if stages do not match.

    References:
        Su et al. 2021, "Prioritized architecture sampling with Monte-Carlo tree search" (NAS-Bench-Macro), arXiv:2103.11922.

    Example:
        >>> round(chain_supernet(3, 10).space.size)
        6561
    """
    operations = MACRO if operations is None else operations
    if len(layers) != len(channels):
        raise InputError(
            f"layers and channels must have one entry for each stage, got layers={tuple(layers)}, "
            f"channels={tuple(channels)}"
        )
    for name, operation in operations.items():
        x = jax.ShapeDtypeStruct((2, 8, 8, channels[0]), jnp.float32)
        output = jax.eval_shape(lambda x, o=operation: o.apply(o.init(jax.random.key(0), channels[0]), x), x)
        if output.shape != x.shape:
            raise InputError(
                f"operations must keep the shape of their input, but {name!r} turns {x.shape} into {output.shape}"
            )
    positions = [(s, i) for s, number in enumerate(layers) for i in range(number)]
    space = Space({f"layer_{s}_{i}": Categorical(tuple(operations)) for s, i in positions})
    net = _Chain(space, inputs, outputs, dict(operations), tuple(layers), tuple(channels))
    supernet = Functional(lambda key: net.init(key, lambda name: list(operations)), net.apply)
    return SuperNet(space, supernet, net.build, net.extract)


@dataclasses.dataclass(frozen=True, eq=False)
class _Chain:
    """A stem followed by stages of layers."""

    space: Space
    inputs: int
    outputs: int
    operations: dict[str, Operation]
    layers: tuple[int, ...]
    channels: tuple[int, ...]

    def init(self, key: Key, operations_of: Callable[[str], Sequence[str]]) -> Params:
        """Returns initial weights of the selected operations of every layer."""
        stem, head, key = jax.random.split(key, 3)
        channels = self.channels
        pairs = list(zip(channels[:-1], channels[1:]))
        between = [normal(jax.random.fold_in(key, s), (1, 1, *pair), pair[0]) for s, pair in enumerate(pairs)]
        positions = [(s, i) for s, number in enumerate(self.layers) for i in range(number)]
        layers = {}
        for position, (s, i) in enumerate(positions):
            keys = jax.random.split(jax.random.fold_in(key, len(pairs) + position), len(self.operations))
            own = dict(zip(self.operations, keys))
            name = f"layer_{s}_{i}"
            layers[name] = {o: self.operations[o].init(own[o], channels[s]) for o in operations_of(name)}
        out = {"kernel": normal(head, (channels[-1], self.outputs), channels[-1]), "bias": jnp.zeros(self.outputs)}
        return {
            "stem": normal(stem, (3, 3, self.inputs, channels[0]), 9 * self.inputs),
            "between": between,
            "layers": layers,
            "head": out,
        }

    def run(self, params: Params, x: jax.Array, layer: Callable[[str, jax.Array], jax.Array]) -> jax.Array:
        """Returns the logits, given what a layer makes of its input."""
        x = standardize(convolution(x, params["stem"]))
        for s, number in enumerate(self.layers):
            if s:
                n, h, w, c = x.shape
                x = x[:, : h // 2 * 2, : w // 2 * 2].reshape(n, h // 2, 2, w // 2, 2, c).mean(axis=(2, 4))
                x = standardize(convolution(x, params["between"][s - 1]))
            for i in range(number):
                x = layer(f"layer_{s}_{i}", x)
        return jnp.mean(jax.nn.relu(x), axis=(1, 2)) @ params["head"]["kernel"] + params["head"]["bias"]

    def apply(self, params: Params, x: jax.Array, encoding: jax.Array) -> jax.Array:
        """Returns the logits of the SuperNet under an encoding."""

        def layer(name: str, x: jax.Array) -> jax.Array:
            weights = encoding[self.space.slices[name]]
            total = jnp.zeros_like(x)
            for weight, (kind, operation) in zip(weights, self.operations.items()):
                total = total + weight * operation.apply(params["layers"][name][kind], x)
            return total

        return self.run(params, x, layer)

    def build(self, config: Mapping[str, Any]) -> Functional:
        """Returns the stand-alone network of a configuration."""
        self.space.configs([config])  # checks it
        run_operation = lambda params, name, x: self.operations[config[name]].apply(
            params["layers"][name][config[name]], x
        )
        return Functional(
            lambda key: self.init(key, lambda name: [config[name]]),
            lambda params, x: self.run(params, x, lambda name, x: run_operation(params, name, x)),
        )

    def extract(self, params: Params, config: Mapping[str, Any]) -> Params:
        """Returns the SuperNet's weights of a configuration."""
        self.space.configs([config])  # checks it
        return {**params, "layers": {name: {c: params["layers"][name][c]} for name, c in config.items()}}
