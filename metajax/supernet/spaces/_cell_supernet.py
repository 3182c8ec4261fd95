"""The cells of NAS-Bench-201 as a SuperNet: the network that holds them, and the stand-alone ones in it."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from metajax.nn import Functional, convolution, functional, standardize
from metajax.space import Space
from metajax.supernet._model import SuperNet
from metajax.supernet.spaces._cell import average_pool, cell_space
from metajax.supernet.spaces._cellnet import CellNet, residual
from metajax.types import Params

Normalize = Callable[[jax.Array], jax.Array]


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
    """Returns NAS-Bench-201's cells as a SuperNet: 15,625 configurations with four nodes.

    Args:
        classes: The number of classes, which is that of the outputs.
        channels: The number of channels of the first stage.
        stages: The number of stages.
        depth: The number of cells of each stage.
        inputs: The number of channels of the images.
        stride: The stride of the stem.
        nodes: The number of nodes of the cell, at least 2.
        single_path: Whether only the strongest operation of every edge is computed; see ``MixedCell``.

    Returns:
        The SuperNet. The ``apply`` of a network that ``build`` makes takes a third argument in place of batch norm by the
        batch. It is called once for each normalization, in a fixed order.

    References:
        Dong and Yang 2020, arXiv:2001.00326.

    Example:
        >>> net = cell_supernet(10, channels=4, stages=1, depth=1, nodes=3)
        >>> params = net.network.init(jax.random.key(0))
        >>> config = {"edge_0_1": "conv3x3", "edge_0_2": "skip", "edge_1_2": "none"}
        >>> net.build(config).apply(net.extract(params, config), jnp.ones((2, 8, 8, 3))).shape
        (2, 10)
    """
    space = cell_space(nodes)
    sizes = (channels, stages, depth, inputs, stride)
    network = functional(lambda rngs: CellNet(space, classes, *sizes, single_path=single_path, rngs=rngs))
    cells = _Cells(space, network, nodes, stride)
    return SuperNet(space, network, cells.build, cells.extract)


@dataclasses.dataclass(frozen=True, eq=False)
class _Cells:
    """The stand-alone networks in a ``CellNet``."""

    space: Space
    network: Functional
    nodes: int
    stride: int

    def extract(self, params: Params, config: Mapping[str, Any]) -> Params:
        """Returns the SuperNet's weights of a configuration."""
        self.space.configs([config])  # checks it
        edges = [tuple(int(n) for n in name.split("_")[1:]) for name in self.space.domains]

        def kernels(cell: Params) -> dict[str, jax.Array]:
            own = {}
            for i, j in edges:
                name = f"edge_{i}_{j}"
                if config[name].startswith("conv"):
                    fused = cell["conv1" if config[name] == "conv1x1" else "conv3"][i]["kernel"]
                    width, position = fused.shape[2], sum(s == i and t < j for s, t in edges)
                    own[name] = fused[..., position * width : (position + 1) * width]
            return own

        stages = {i: {c: kernels(cell) for c, cell in stage.items()} for i, stage in params["stages"].items()}
        return {**params, "stages": stages}

    def build(self, config: Mapping[str, Any]) -> Functional:
        """Returns the stand-alone network of a configuration."""

        def apply(params: Params, x: jax.Array, normalize: Normalize = standardize) -> jax.Array:
            x = normalize(convolution(x, params["stem"]["kernel"], self.stride))
            for i, stage in params["stages"].items():
                x = _reduce(params["reductions"][i - 1], x, normalize) if i else x
                for cell in stage.values():
                    x = self._run_cell(cell, x, config, normalize)
            x = jnp.mean(jax.nn.relu(normalize(x)), axis=(1, 2))
            return x @ params["head"]["kernel"] + params["head"]["bias"]

        self.space.configs([config])  # checks it
        return Functional(lambda key: self.extract(self.network.init(key), config), apply)

    def _run_cell(self, cell: Params, x: jax.Array, config: Mapping[str, Any], normalize: Normalize) -> jax.Array:
        """Returns the last node of a cell that computes the operations of a configuration."""
        states = [x]
        for j in range(1, self.nodes):
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


def _reduce(block: Params, x: jax.Array, normalize: Normalize) -> jax.Array:
    """Applies the reduction between stages."""
    kernels = (block["first"]["kernel"], block["second"]["kernel"], block["shortcut"]["kernel"])
    return residual(x, *kernels, normalize)
