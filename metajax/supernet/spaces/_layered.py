"""NAS-Bench-201's network as zero-cost proxies need it: one leaf of parameters a layer, one program for all cells."""

import jax
import jax.numpy as jnp

from metajax.nn import Functional, convolution, functional
from metajax.supernet.spaces._cell import MixedCell, cell_space, normalization
from metajax.supernet.spaces._cellnet import CellNet, residual
from metajax.types import Key, Params


def layered_cells(
    classes: int, channels: int = 16, stages: int = 3, depth: int = 5, inputs: int = 3, normalized: bool = True
) -> Functional:
    """Returns the network of ``cell_supernet`` with one leaf of parameters for every layer; it computes one cell at a time.

    ``apply(params, x, encoding)`` takes the one-hot encoding of a cell and computes the operations of that cell alone.

    Proxies look at a network layer by layer, whereas ``CellNet`` keeps the kernels that leave a node in one array. Layers of
    operations that a cell does not have get a gradient of zero and add nothing to a score. The cells of a stage are one loop,
    so that compiling does not take longer for five of them than for one.

    Args:
        classes: The number of classes, which is that of the outputs.
        channels: The number of channels of the first stage.
        stages: The number of stages.
        depth: The number of cells of each stage.
        inputs: The number of channels of the images.
        normalized: Whether there is batch norm (by the batch); ``diagnosis.synflow`` wants none.

    Returns:
        The network.

    References:
        Abdelfattah et al. 2021, "Zero-cost proxies for lightweight NAS", arXiv:2101.08134.

    Example:
        >>> space, network = cell_space(), layered_cells(10, channels=4, stages=1, depth=2)
        >>> encoding = space.encode(space.sample(jax.random.key(0), 1))[0]
        >>> network.apply(network.init(jax.random.key(1)), jnp.ones((2, 8, 8, 3)), encoding).shape
        (2, 10)
    """
    space, normalize = cell_space(), normalization(normalized)
    cell_net = functional(lambda rngs: CellNet(space, classes, channels, stages, cells=depth, inputs=inputs, rngs=rngs))
    cell = lambda width: lambda rngs: MixedCell(space, width, single_path=True, normalized=normalized, rngs=rngs)
    cells = [functional(cell(channels * 2**i)) for i in range(stages)]

    def init(key: Key) -> Params:
        params = cell_net.init(key)
        stages = [[_cut(cell) for cell in stage.values()] for stage in params["stages"].values()]
        return {**params, "stages": stages}

    def apply(params: Params, x: jax.Array, encoding: jax.Array) -> jax.Array:
        encoding = encoding.astype(x.dtype)
        x = normalize(convolution(x, params["stem"]["kernel"]))
        for i, stage in enumerate(params["stages"]):
            if i:
                block = params["reductions"][i - 1]
                first, second, shortcut = (block[name]["kernel"] for name in ("first", "second", "shortcut"))
                x = residual(x, first, second, shortcut, normalize)
            loop = lambda x, cell, i=i: (cells[i].apply(cell, x, encoding), None)
            x = jax.lax.scan(loop, x, jax.tree.map(lambda *cells_params: jnp.stack(cells_params), *map(_join, stage)))[
                0
            ]
        x = jnp.mean(jax.nn.relu(normalize(x)), axis=(1, 2))
        return x @ params["head"]["kernel"] + params["head"]["bias"]

    return Functional(init, apply)


def _cut(cell: Params) -> Params:
    """Returns the kernels of a cell by operation and edge.

    A fused kernel holds those of the edges that leave a node side by side.
    """
    edges = lambda kernel: jnp.split(kernel, kernel.shape[-1] // kernel.shape[-2], axis=-1)
    return {name: {node: edges(part["kernel"]) for node, part in group.items()} for name, group in cell.items()}


def _join(cell: Params) -> Params:
    """Returns the fused kernels of a cell."""
    fused = lambda kernels: {"kernel": jnp.concatenate(kernels, axis=-1)}
    return {name: {node: fused(kernels) for node, kernels in group.items()} for name, group in cell.items()}
