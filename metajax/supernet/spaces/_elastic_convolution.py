"""An elastic convolutional network: the largest one holds every smaller one in its first channels and blocks."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from metajax.nn import Functional, convolution, standardize
from metajax.space import Categorical, Space
from metajax.supernet._model import SuperNet
from metajax.supernet.spaces._shared import ascending, depthwise, layered_domains, masks, normal, share
from metajax.types import InputError, Key, Params

Shapes = list[list[dict[str, tuple[int, ...]]]]
"""The shapes of the kernels of every block of every stage."""


def elastic_convolution(
    inputs: int,
    outputs: int,
    channels: Sequence[int] = (16, 24, 32, 48, 64),
    strides: Sequence[int] = (1, 2, 1, 2, 1),
    depths: Sequence[int] = (2, 3, 4),
    kernels: Sequence[int] = (3, 5, 7),
    expansions: Sequence[int] = (3, 4, 6),
) -> SuperNet:
    """Returns stages of inverted bottlenecks with elastic depth, kernel and expansion, as in once-for-all networks.

    Five stages have 2·10^19 configurations. Batch norm has no scale and shift and uses the statistics of the batch.

    Args:
        inputs: The number of channels of the images.
        outputs: The number of classes.
        channels: The number of channels of each stage.
        strides: The stride of each stage. The first block of a stage has its stride, and is always there.
        depths: The possible numbers of blocks of a stage, positive and rising.
        kernels: The possible sizes of the depthwise convolution, odd and rising; a smaller one is the center of a larger one.
        expansions: The possible numbers of hidden channels per channel, positive and rising.

    Returns:
        The SuperNet.

    Raises:
        InputError: If sizes do not rise, a kernel is even, or there are not as many strides as channels.

    References:
        Cai et al. 2020, "Once-for-all: train one network and specialize it for efficient deployment", arXiv:1908.09791.

    Example:
        >>> net = elastic_convolution(3, 10)
        >>> round(net.space.log10_size, 1)
        19.3
    """
    depths, kernels = ascending("depths", depths), ascending("kernels", kernels)
    expansions = ascending("expansions", expansions)
    if any(k % 2 == 0 for k in kernels):
        raise InputError(f"kernels must be odd integers in ascending order, got {kernels}")
    if len(channels) != len(strides):
        raise InputError(
            f"channels and strides must have one entry for each stage, got channels={tuple(channels)}, "
            f"strides={tuple(strides)}"
        )
    domains, conditions = {}, []
    for s in range(len(channels)):
        own = lambda b, s=s: {
            f"kernel_{s}_{b}": Categorical(kernels),
            f"expansion_{s}_{b}": Categorical(expansions),
        }
        layer_domains, needed = layered_domains(f"depth_{s}", depths, own)
        domains, conditions = {**domains, **layer_domains}, [*conditions, *needed]
    space = Space(domains, conditions)
    net = _ElasticConvolution(space, inputs, outputs, tuple(channels), tuple(strides), depths, kernels, expansions)
    largest = [[net.shapes(s, b, expansions[-1], kernels[-1]) for b in range(depths[-1])] for s in range(len(channels))]
    return SuperNet(space, Functional(lambda key: net.init(key, largest), net.apply), net.build, net.extract)


@dataclasses.dataclass(frozen=True, eq=False)
class _ElasticConvolution:
    """A stem followed by stages of inverted bottlenecks."""

    space: Space
    inputs: int
    outputs: int
    channels: tuple[int, ...]
    strides: tuple[int, ...]
    depths: tuple[int, ...]
    kernels: tuple[int, ...]
    expansions: tuple[int, ...]

    def shapes(self, s: int, b: int, expansion: int, kernel: int) -> dict[str, tuple[int, ...]]:
        """Returns the shapes of the kernels of block b of stage s."""
        start = self.channels[max(s - 1, 0)] if b == 0 else self.channels[s]
        hidden = start * expansion
        return {
            "expand": (1, 1, start, hidden),
            "depthwise": (kernel, kernel, hidden),
            "project": (1, 1, hidden, self.channels[s]),
        }

    def init(self, key: Key, shapes: Shapes) -> Params:
        """Returns initial weights of these shapes."""
        stem, head, *keys = jax.random.split(key, 2 + sum(map(len, shapes)))
        stages = []
        for stage in shapes:
            blocks = []
            for block in stage:
                a, b, c = jax.random.split(keys.pop(0), 3)
                e, d, p = block["expand"], block["depthwise"], block["project"]
                blocks.append(
                    {
                        "expand": normal(a, e, e[2]),
                        "depthwise": normal(b, d, d[0] * d[1]),
                        "project": normal(c, p, p[2]),
                    }
                )
            stages.append(blocks)
        last, first = self.channels[-1], self.channels[0]
        out = {"kernel": normal(head, (last, self.outputs), last), "bias": jnp.zeros(self.outputs)}
        return {"stem": normal(stem, (3, 3, self.inputs, first), 9 * self.inputs), "stages": stages, "head": out}

    def stride(self, s: int, b: int) -> int:
        """Returns the stride of block b of stage s."""
        return self.strides[s] if b == 0 else 1

    def apply(self, params: Params, x: jax.Array, encoding: jax.Array) -> jax.Array:
        """Returns the logits of the SuperNet under an encoding."""
        x = _begin(params, x)
        for s, stage in enumerate(params["stages"]):
            by_depth, total = encoding[self.space.slices[f"depth_{s}"]], 0.0
            for b, block in enumerate(stage):
                x = self._mixed_block(s, b, block, x, encoding)
                if b + 1 in self.depths:
                    total = total + by_depth[self.depths.index(b + 1)] * x
            x = jnp.asarray(total)
        return _finish(params, x)

    def _mixed_block(self, s: int, b: int, block: Params, x: jax.Array, encoding: jax.Array) -> jax.Array:
        """Applies a block whose hidden channels and kernel count with the weights of the sizes that have them."""
        start, largest = block["expand"].shape[2], self.kernels[-1]
        window = np.stack([np.pad(np.ones((k, k), np.float32), (largest - k) // 2) for k in self.kernels])
        expansion = share(encoding[self.space.slices[f"expansion_{s}_{b}"]])
        units = expansion @ masks([start * e for e in self.expansions])
        mixed_window = jnp.tensordot(share(encoding[self.space.slices[f"kernel_{s}_{b}"]]), window, axes=1)
        weighted = {**block, "depthwise": block["depthwise"] * mixed_window[..., None]}
        return _run_block(weighted, x, self.stride(s, b), lambda y: y * units)

    def plan(self, config: Mapping[str, Any]) -> list[list[tuple[int, int]]]:
        """Returns the expansion and the kernel of every block of a configuration."""
        self.space.configs([config])  # checks it
        return [
            [(config[f"expansion_{s}_{b}"], config[f"kernel_{s}_{b}"]) for b in range(config[f"depth_{s}"])]
            for s in range(len(self.channels))
        ]

    def build(self, config: Mapping[str, Any]) -> Functional:
        """Returns the stand-alone network of a configuration."""
        plan = self.plan(config)
        shapes = [[self.shapes(s, b, *choice) for b, choice in enumerate(stage)] for s, stage in enumerate(plan)]

        def apply(params: Params, x: jax.Array) -> jax.Array:
            x = _begin(params, x)
            for s, stage in enumerate(params["stages"]):
                for b, block in enumerate(stage):
                    x = _run_block(block, x, self.stride(s, b), lambda y: y)
            return _finish(params, x)

        return Functional(lambda key: self.init(key, shapes), apply)

    def extract(self, params: Params, config: Mapping[str, Any]) -> Params:
        """Returns the SuperNet's weights of a configuration."""
        stages = [
            [_cut_block(block, *choice) for block, choice in zip(stage, choices)]
            for stage, choices in zip(params["stages"], self.plan(config))
        ]
        return {**params, "stages": stages}


def _begin(params: Params, x: jax.Array) -> jax.Array:
    """Applies the stem."""
    return jax.nn.relu(standardize(convolution(x, params["stem"])))


def _run_block(block: Params, x: jax.Array, stride: int, hidden: Callable[[jax.Array], jax.Array]) -> jax.Array:
    """Applies an inverted bottleneck; ``hidden`` weighs its hidden channels."""
    y = hidden(jax.nn.relu(standardize(convolution(x, block["expand"]))))
    y = hidden(jax.nn.relu(standardize(depthwise(y, block["depthwise"], stride))))
    y = standardize(convolution(y, block["project"]))
    return x + y if stride == 1 and x.shape == y.shape else y


def _finish(params: Params, x: jax.Array) -> jax.Array:
    """Returns the logits from the mean over pixels."""
    return jnp.mean(x, axis=(1, 2)) @ params["head"]["kernel"] + params["head"]["bias"]


def _cut_block(block: Params, expansion: int, kernel: int) -> Params:
    """Returns the first hidden channels of a block and the center of its kernel."""
    hidden = block["expand"].shape[2] * expansion
    depthwise = block["depthwise"]
    cut = (depthwise.shape[0] - kernel) // 2
    center = depthwise[cut : depthwise.shape[0] - cut, cut : depthwise.shape[1] - cut]
    return {
        "expand": block["expand"][..., :hidden],
        "depthwise": center[..., :hidden],
        "project": block["project"][:, :, :hidden],
    }
