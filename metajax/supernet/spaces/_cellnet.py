"""The network around a cell: one that holds every architecture of the space, and the stand-alone ones in it."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from metajax.nn import Convolution, Functional, convolution, functional, materialize, standardize
from metajax.space import Space
from metajax.supernet._model import SuperNet
from metajax.supernet.spaces._cell import Cell, average_pool, cell_space, normalization
from metajax.types import InputError, Params

Normalize = Callable[[jax.Array], jax.Array]


class Residual(nnx.Module):
    """The reduction between stages: two 3 x 3 convolutions, the first of stride 2, beside a mean and a 1 x 1."""

    def __init__(self, channels: int, out: int, normalized: bool = True, *, rngs: nnx.Rngs):
        self.normalize = normalization(normalized)
        self.first = Convolution(channels, out, 3, 2, bias=False, rngs=rngs)
        self.second = Convolution(out, out, 3, bias=False, rngs=rngs)
        self.shortcut = Convolution(channels, out, 1, bias=False, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        return residual(x, self.first.kernel[...], self.second.kernel[...], self.shortcut.kernel[...], self.normalize)


def residual(
    x: jax.Array,
    first: jax.Array,
    second: jax.Array,
    shortcut: jax.Array,
    normalize: Callable[[jax.Array], jax.Array] = standardize,
) -> jax.Array:
    """``Residual`` as a function of its kernels."""
    x = materialize(x)
    y = normalize(convolution(jax.nn.relu(x), first, 2))
    y = normalize(convolution(jax.nn.relu(y), second))
    n, h, w, c = x.shape
    even = jnp.pad(x, ((0, 0), (0, h % 2), (0, w % 2), (0, 0)), mode="edge")
    halved = even.reshape(n, (h + 1) // 2, 2, (w + 1) // 2, 2, c).mean(axis=(2, 4))
    return y + convolution(halved, shortcut)


class CellNet(nnx.Module):
    """The network of NAS-Bench-201: a stem, stages of cells with a residual reduction between them, mean over pixels,
    linear.

    Batch norm has no scale and shift and uses the statistics of the batch (transductive). Channels double with every
    stage.

    Args:
        space: as ``cell_space`` makes.
        classes: outputs.
        channels: of the first stage (16 in the benchmark).
        stages: 3 in the benchmark.
        cells: of each stage (5 in the benchmark).
        inputs: channels of the images.
        stride: of the stem.
        partial, single_path, normalized: see ``Cell``. ``partial=(4, 2)`` begins with a quarter of the channels and goes on
            with half of them: calls then say which by ``wide``.
    """

    def __init__(
        self,
        space: Space,
        classes: int,
        channels: int = 8,
        stages: int = 2,
        cells: int = 1,
        inputs: int = 1,
        stride: int = 1,
        partial: int | tuple[int, int] = 1,
        single_path: bool = False,
        normalized: bool = True,
        *,
        rngs: nnx.Rngs,
    ):
        self.normalize = normalization(normalized)
        self.narrow, self.wide = partial if isinstance(partial, tuple) else (partial, partial)
        if channels % self.narrow or self.narrow % self.wide:
            raise InputError(
                f"CellNet: channels={channels}, partial={partial}; accepted are divisors, the second of the first"
            )
        self.stem = Convolution(inputs, channels, stride=stride, bias=False, rngs=rngs)
        widths = [channels * 2**i for i in range(stages)]
        self.stages = nnx.List(
            [
                nnx.List([Cell(space, w, self.wide, single_path, normalized, rngs=rngs) for _ in range(cells)])
                for w in widths
            ]
        )
        self.reductions = nnx.List([Residual(a, b, normalized, rngs=rngs) for a, b in zip(widths[:-1], widths[1:])])
        self.head = nnx.Linear(widths[-1], classes, rngs=rngs)

    def __call__(self, x: jax.Array, encoding: jax.Array, wide: jax.Array | None = None) -> jax.Array:
        """f32[n, h, w, inputs] and f32[space.width] -> logits f32[n, classes]; ``wide`` says whether a network that can be
        widened was, by default yes."""
        if wide is None or self.narrow == self.wide:
            return self._run(x, encoding, self.wide)
        narrow, full = (lambda x, e, k=k: self._run(x, e, k) for k in (self.narrow, self.wide))
        return jax.lax.cond(wide, full, narrow, x, encoding)

    def _run(self, x: jax.Array, encoding: jax.Array, partial: int) -> jax.Array:
        x = self.normalize(self.stem(x))
        for i, stage in enumerate(self.stages):
            if i:
                x = self.reductions[i - 1](x)
            for cell in stage:
                x = cell(x, encoding, partial)
        return self.head(jnp.mean(jax.nn.relu(self.normalize(x)), axis=(1, 2)))


def cell_supernet(
    classes: int,
    channels: int = 16,
    stages: int = 3,
    depth: int = 5,
    inputs: int = 3,
    stride: int = 1,
    nodes: int = 4,
    single_path: bool = False,
) -> SuperNet:
    """NAS-Bench-201's cells as a SuperNet: 15,625 configurations with four nodes.

    Args:
        classes, channels, stages, inputs, stride, single_path: see ``CellNet``.
        depth: cells of each stage.
        nodes: of the cell.

    ``apply`` of what ``build`` makes takes a third argument in place of batch norm by the batch, called once for each
    normalization, in a fixed order.

    Example:
        >>> made = cell_supernet(10, channels=4, stages=1, depth=1, nodes=3)
        >>> params = made.network.init(jax.random.key(0))
        >>> config = {"edge_0_1": "conv3x3", "edge_0_2": "skip", "edge_1_2": "none"}
        >>> made.build(config).apply(made.extract(params, config), jnp.ones((2, 8, 8, 3))).shape
        (2, 10)
    """
    space = cell_space(nodes)
    sizes = (channels, stages, depth, inputs, stride)
    network = functional(lambda rngs: CellNet(space, classes, *sizes, single_path=single_path, rngs=rngs))
    edges = [tuple(int(n) for n in name.split("_")[1:]) for name in space.domains]

    def extract(params: Params, config: Mapping[str, Any]) -> Params:
        space.configs([config])  # checks it

        def kernels(cell: Params) -> dict[str, jax.Array]:
            found = {}
            for i, j in edges:
                name = f"edge_{i}_{j}"
                if config[name].startswith("conv"):
                    fused = cell["conv1" if config[name] == "conv1x1" else "conv3"][i]["kernel"]
                    width, position = fused.shape[2], sum(s == i and t < j for s, t in edges)
                    found[name] = fused[..., position * width : (position + 1) * width]
            return found

        made = {i: {c: kernels(cell) for c, cell in stage.items()} for i, stage in params["stages"].items()}
        return {**params, "stages": made}

    def run(cell: Params, x: jax.Array, config: Mapping[str, Any], normalize: Normalize) -> jax.Array:
        states = [x]
        for j in range(1, nodes):
            total = jnp.zeros_like(x)
            for i in range(j):
                name, value = f"edge_{i}_{j}", states[i]
                if config[name] == "skip":
                    total = total + value
                elif config[name] == "avg_pool":
                    total = total + average_pool(value)
                elif config[name] != "none":
                    total = total + normalize(convolution(jax.nn.relu(value), cell[name]))
            states.append(total)
        return states[-1]

    def reduce(block: Params, x: jax.Array, normalize: Normalize) -> jax.Array:
        kernels = (block["first"]["kernel"], block["second"]["kernel"], block["shortcut"]["kernel"])
        return residual(x, *kernels, normalize)

    def build(config: Mapping[str, Any]) -> Functional:
        def apply(params: Params, x: jax.Array, normalize: Normalize = standardize) -> jax.Array:
            x = normalize(convolution(x, params["stem"]["kernel"], stride))
            for i, stage in params["stages"].items():
                x = reduce(params["reductions"][i - 1], x, normalize) if i else x
                for cell in stage.values():
                    x = run(cell, x, config, normalize)
            x = jnp.mean(jax.nn.relu(normalize(x)), axis=(1, 2))
            return x @ params["head"]["kernel"] + params["head"]["bias"]

        space.configs([config])  # checks it
        return Functional(lambda key: extract(network.init(key), config), apply)

    return SuperNet(space, network, build, extract)
