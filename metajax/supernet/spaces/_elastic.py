"""Elastic networks: the largest network holds every smaller one in the first of its units, kernels and layers.

Weights are shared by slicing (once-for-all, Cai et al. 2020, arXiv:1908.09791). A relaxed encoding mixes sizes by masks: a
unit counts with the weight of the sizes that have it.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from metajax.nn import Functional, convolution, standardize
from metajax.space import Categorical, Space
from metajax.supernet._model import SuperNet
from metajax.types import InputError, Key, Params


def share(block: jax.Array) -> jax.Array:
    """The weights of a choice among its values, whatever the weight of the choice itself (that of a layer that is there
    with weight p is scaled by p); zero where the choice does not exist."""
    total = jnp.sum(block)
    return jnp.where(total > 0, block / jnp.where(total > 0, total, 1.0), 0.0)


def masks(sizes: Sequence[int]) -> np.ndarray:
    """f32[sizes, max(sizes)]: row k is one for the first ``sizes[k]`` units."""
    return (np.arange(max(sizes)) < np.asarray(sizes)[:, None]).astype(np.float32)


def layered(depth: str, depths: Sequence[int], of_layer: Callable[[int], Mapping[str, Categorical]]) -> tuple[Any, Any]:
    """Domains and conditions of a stack: the choices of layer i exist where the depth exceeds i."""
    domains: dict[str, Any] = {depth: Categorical(tuple(depths))}
    conditions = []
    for layer in range(max(depths)):
        own = of_layer(layer)
        domains.update(own)
        deep = tuple(d for d in depths if d > layer)
        if len(deep) < len(depths):
            conditions += [(name, depth, deep) for name in own]
    return domains, conditions


def ascending(name: str, values: Sequence[int]) -> tuple[int, ...]:
    """The values as a tuple.

    Raises:
        InputError: unless they are positive and rise.
    """
    values = tuple(values)
    if not values or values[0] < 1 or any(a >= b for a, b in zip(values, values[1:])):
        raise InputError(f"{name}={values}; accepted are positive whole numbers in rising order")
    return values


def normal(key: Key, shape: tuple[int, ...], inputs: int) -> jax.Array:
    """Initial weights whose variance is 2 / inputs."""
    return math.sqrt(2.0 / inputs) * jax.random.normal(key, shape)


def elastic_mlp(
    inputs: int, outputs: int, depths: Sequence[int] = (1, 2, 3, 4), widths: Sequence[int] = (16, 32, 64, 128)
) -> SuperNet:
    """A perceptron of any depth and of any width in every layer.

    Args:
        inputs, outputs: features and classes.
        depths: hidden layers, rising.
        widths: units of each hidden layer, rising.

    Example:
        >>> made = elastic_mlp(4, 3, depths=range(1, 41), widths=range(8, 81, 8))
        >>> round(made.space.log10_size)
        40
        >>> params = made.network.init(jax.random.key(0))
        >>> made.network.apply(params, jnp.ones((5, 4)), made.space.relax(made.space.zeros())).shape
        (5, 3)
    """
    depths, widths = ascending("depths", depths), ascending("widths", widths)
    space = Space(*layered("depth", depths, lambda i: {f"width_{i}": Categorical(widths)}))
    widest, deepest, mask = widths[-1], depths[-1], masks(widths)

    def init(key: Key) -> Params:
        keys = jax.random.split(key, deepest + 1)
        first = {"kernel": normal(keys[0], (inputs, widest), inputs), "bias": jnp.zeros(widest)}
        rest = [{"kernel": normal(k, (widest, widest), widest), "bias": jnp.zeros(widest)} for k in keys[1:-1]]
        head = {"kernel": normal(keys[-1], (widest, outputs), widest), "bias": jnp.zeros(outputs)}
        return {"layers": [first, *rest], "head": head}

    def apply(params: Params, x: jax.Array, encoding: jax.Array) -> jax.Array:
        by_depth, total = encoding[space.slices["depth"]], 0.0
        for i, layer in enumerate(params["layers"]):
            x = jax.nn.relu(x @ layer["kernel"] + layer["bias"])
            x = x * (share(encoding[space.slices[f"width_{i}"]]) @ mask)
            if i + 1 in depths:
                total = total + by_depth[depths.index(i + 1)] * x
        return total @ params["head"]["kernel"] + params["head"]["bias"]

    def sizes(config: Mapping[str, Any]) -> list[int]:
        space.configs([config])  # checks it
        return [config[f"width_{i}"] for i in range(config["depth"])]

    def build(config: Mapping[str, Any]) -> Functional:
        made = sizes(config)

        def init_alone(key: Key) -> Params:
            keys = jax.random.split(key, len(made) + 1)
            pairs = list(zip([inputs, *made], [*made, outputs]))
            layers = [{"kernel": normal(k, pair, pair[0]), "bias": jnp.zeros(pair[1])} for k, pair in zip(keys, pairs)]
            return {"layers": layers[:-1], "head": layers[-1]}

        def apply_alone(params: Params, x: jax.Array) -> jax.Array:
            for layer in params["layers"]:
                x = jax.nn.relu(x @ layer["kernel"] + layer["bias"])
            return x @ params["head"]["kernel"] + params["head"]["bias"]

        return Functional(init_alone, apply_alone)

    def extract(params: Params, config: Mapping[str, Any]) -> Params:
        made = sizes(config)
        before = [inputs, *made[:-1]]
        layers = [
            {"kernel": layer["kernel"][:a, :b], "bias": layer["bias"][:b]}
            for layer, a, b in zip(params["layers"], before, made)
        ]
        return {"layers": layers, "head": {**params["head"], "kernel": params["head"]["kernel"][: made[-1]]}}

    return SuperNet(space, Functional(init, apply), build, extract)


def depthwise(x: jax.Array, kernel: jax.Array, stride: int = 1) -> jax.Array:
    """Each channel with a kernel of its own, "SAME" padding: x [n, h, w, c], kernel [k, k, c], k odd."""
    size, (height, width) = kernel.shape[0], x.shape[1:3]
    pad = size // 2
    padded = jnp.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    total = jnp.zeros_like(x[:, ::stride, ::stride])
    for i in range(size):
        for j in range(size):
            total = total + padded[:, i : i + height : stride, j : j + width : stride] * kernel[i, j]
    return total


def _center(kernel: jax.Array, size: int) -> jax.Array:
    cut = (kernel.shape[0] - size) // 2
    return kernel[cut : kernel.shape[0] - cut, cut : kernel.shape[1] - cut]


def elastic_convolution(
    inputs: int,
    outputs: int,
    channels: Sequence[int] = (16, 24, 32, 48, 64),
    strides: Sequence[int] = (1, 2, 1, 2, 1),
    depths: Sequence[int] = (2, 3, 4),
    kernels: Sequence[int] = (3, 5, 7),
    expansions: Sequence[int] = (3, 4, 6),
) -> SuperNet:
    """Stages of inverted bottlenecks with elastic depth, kernel and expansion, as in once-for-all networks: five stages
    have 2·10^19 configurations. Batch norm without scale and shift, by the statistics of the batch.

    Args:
        inputs, outputs: channels of the images, classes.
        channels, strides: of each stage; the first block of a stage has its stride, and is always there.
        depths: blocks of a stage, rising.
        kernels: of the depthwise convolution, odd and rising; a smaller one is the center of a larger.
        expansions: hidden channels per channel, rising.

    Example:
        >>> made = elastic_convolution(3, 10)
        >>> round(made.space.log10_size, 1)
        19.3
    """
    depths, kernels = ascending("depths", depths), ascending("kernels", kernels)
    expansions = ascending("expansions", expansions)
    if any(k % 2 == 0 for k in kernels):
        raise InputError(f"kernels={kernels}; accepted are odd numbers in rising order")
    if len(channels) != len(strides):
        raise InputError(
            f"channels={tuple(channels)} and strides={tuple(strides)}; accepted is one of each for a stage"
        )
    domains, conditions = {}, []
    for s in range(len(channels)):
        own = lambda b, s=s: {
            f"kernel_{s}_{b}": Categorical(kernels),
            f"expansion_{s}_{b}": Categorical(expansions),
        }
        more, needed = layered(f"depth_{s}", depths, own)
        domains, conditions = {**domains, **more}, [*conditions, *needed]
    space = Space(domains, conditions)
    window = np.stack([np.pad(np.ones((k, k), np.float32), (kernels[-1] - k) // 2) for k in kernels])
    before = [channels[0], *channels[:-1]]

    def shapes(s: int, b: int, expansion: int, kernel: int) -> dict[str, tuple[int, ...]]:
        start = before[s] if b == 0 else channels[s]
        hidden = start * expansion
        return {
            "expand": (1, 1, start, hidden),
            "depthwise": (kernel, kernel, hidden),
            "project": (1, 1, hidden, channels[s]),
        }

    def fresh(key: Key, made: list[list[dict[str, tuple[int, ...]]]]) -> Params:
        stem, head, *keys = jax.random.split(key, 2 + sum(map(len, made)))
        stages = []
        for stage in made:
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
        out = {"kernel": normal(head, (channels[-1], outputs), channels[-1]), "bias": jnp.zeros(outputs)}
        return {"stem": normal(stem, (3, 3, inputs, channels[0]), 9 * inputs), "stages": stages, "head": out}

    def run(block: Params, x: jax.Array, stride: int, hidden: Callable[[jax.Array], jax.Array]) -> jax.Array:
        y = hidden(jax.nn.relu(standardize(convolution(x, block["expand"]))))
        y = hidden(jax.nn.relu(standardize(depthwise(y, block["depthwise"], stride))))
        y = standardize(convolution(y, block["project"]))
        return x + y if stride == 1 and x.shape == y.shape else y

    def begin(params: Params, x: jax.Array) -> jax.Array:
        return jax.nn.relu(standardize(convolution(x, params["stem"])))

    def finish(params: Params, x: jax.Array) -> jax.Array:
        return jnp.mean(x, axis=(1, 2)) @ params["head"]["kernel"] + params["head"]["bias"]

    def apply(params: Params, x: jax.Array, encoding: jax.Array) -> jax.Array:
        x = begin(params, x)
        for s, stage in enumerate(params["stages"]):
            by_depth, total = encoding[space.slices[f"depth_{s}"]], 0.0
            for b, block in enumerate(stage):
                start = block["expand"].shape[2]
                units = share(encoding[space.slices[f"expansion_{s}_{b}"]]) @ masks([start * e for e in expansions])
                seen = jnp.tensordot(share(encoding[space.slices[f"kernel_{s}_{b}"]]), window, axes=1)
                made = {**block, "depthwise": block["depthwise"] * seen[..., None]}
                x = run(made, x, strides[s] if b == 0 else 1, lambda y, units=units: y * units)
                if b + 1 in depths:
                    total = total + by_depth[depths.index(b + 1)] * x
            x = jnp.asarray(total)
        return finish(params, x)

    def plan(config: Mapping[str, Any]) -> list[list[tuple[int, int]]]:
        space.configs([config])  # checks it
        return [
            [(config[f"expansion_{s}_{b}"], config[f"kernel_{s}_{b}"]) for b in range(config[f"depth_{s}"])]
            for s in range(len(channels))
        ]

    def build(config: Mapping[str, Any]) -> Functional:
        made = [[shapes(s, b, *choice) for b, choice in enumerate(stage)] for s, stage in enumerate(plan(config))]

        def apply_alone(params: Params, x: jax.Array) -> jax.Array:
            x = begin(params, x)
            for s, stage in enumerate(params["stages"]):
                for b, block in enumerate(stage):
                    x = run(block, x, strides[s] if b == 0 else 1, lambda y: y)
            return finish(params, x)

        return Functional(lambda key: fresh(key, made), apply_alone)

    def extract(params: Params, config: Mapping[str, Any]) -> Params:
        stages = []
        for stage, choices in zip(params["stages"], plan(config)):
            blocks = []
            for block, (expansion, kernel) in zip(stage, choices):
                hidden = block["expand"].shape[2] * expansion
                blocks.append(
                    {
                        "expand": block["expand"][..., :hidden],
                        "depthwise": _center(block["depthwise"], kernel)[..., :hidden],
                        "project": block["project"][:, :, :hidden],
                    }
                )
            stages.append(blocks)
        return {**params, "stages": stages}

    largest = [[shapes(s, b, expansions[-1], kernels[-1]) for b in range(depths[-1])] for s in range(len(channels))]
    return SuperNet(space, Functional(lambda key: fresh(key, largest), apply), build, extract)
