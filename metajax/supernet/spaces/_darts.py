"""The space of DARTS: a normal and a reduction cell, each edge one of eight operations.

Every intermediate node sums its edges from all earlier nodes, two of which are the outputs of the two cells before. A
decided cell keeps the two strongest edges into every node: 10^18 pairs of cells, in a SuperNet of 10^25.
"""

import math

import numpy as np
from numpy.typing import ArrayLike

from metajax.space import Categorical, Space
from metajax.types import InputError

PRIMITIVES = ("none", "max_pool", "avg_pool", "skip", "sep_conv3x3", "sep_conv5x5", "dil_conv3x3", "dil_conv5x5")
"""The operations of an edge."""
CELLS = ("normal", "reduce")
"""The two kinds of cells."""


def darts_space(nodes: int = 4) -> Space:
    """Returns the space of DARTS: one ``Categorical`` for each edge ``normal_i_j`` and ``reduce_i_j``.

    Args:
        nodes: The number of intermediate nodes of a cell, at least 1. Nodes 0 and 1 are the inputs of a cell.

    Returns:
        The space.

    Raises:
        InputError: If ``nodes`` is below 1.

    References:
        Liu et al. 2019, "DARTS: differentiable architecture search", arXiv:1806.09055.

    Example:
        >>> round(darts_space().log10_size, 1)
        25.3
    """
    if nodes < 1:
        raise InputError(f"darts_space: nodes must be an integer >= 1, got {nodes}")
    return Space({name: Categorical(PRIMITIVES) for cell in CELLS for name in cell_edges(cell, nodes)})


def cell_edges(cell: str, nodes: int) -> list[str]:
    """Returns the names of the edges of a cell, in the order of their targets."""
    return [f"{cell}_{i}_{j}" for j in range(2, 2 + nodes) for i in range(j)]


def _nodes(space: Space) -> int:
    """Returns the number of intermediate nodes of a cell."""
    return max(int(name.rsplit("_", 1)[1]) for name in space.domains) - 1


def log10_cells(nodes: int = 4) -> float:
    """Returns how many pairs of decided cells there are, as a power of ten.

    Args:
        nodes: The number of intermediate nodes of a cell, at least 1.

    Returns:
        The logarithm.

    Example:
        >>> round(log10_cells(), 1)
        18.0
    """
    return 2 * sum(math.log10(math.comb(j, 2) * (len(PRIMITIVES) - 1) ** 2) for j in range(2, 2 + nodes))


def derive(space: Space, strengths: ArrayLike, threshold: float = 0.0, max_edges: int = 2) -> dict[str, str]:
    """Returns the decided cells: of the edges into every node, those whose strongest operation is strongest.

    The operation ``none`` does not count. Every selected edge has its strongest operation; the other edges are ``none``.

    Args:
        space: The space, from ``darts_space``.
        strengths: The strengths, f32[space.width], as ``Search.strengths`` returns them.
        threshold: The strength below which the operation of a selected edge becomes ``none`` (FairDARTS' .85); a node may then
            have fewer edges.
        max_edges: The largest number of edges into a node.

    Returns:
        A configuration of the space.

    References:
        Liu et al. 2019, arXiv:1806.09055.

    Example:
        >>> import jax.numpy as jnp
        >>> space = darts_space(1)
        >>> derive(space, space.relax({name: jnp.arange(8.0) for name in space.domains}))["normal_0_2"]
        'dil_conv5x5'
    """
    values, config = np.asarray(strengths), dict.fromkeys(space.domains, PRIMITIVES[0])
    for cell in CELLS:
        for j in range(2, 2 + _nodes(space)):
            best = {f"{cell}_{i}_{j}": values[space.slices[f"{cell}_{i}_{j}"]][1:] for i in range(j)}
            for name in sorted(best, key=lambda name: -best[name].max())[:max_edges]:
                if best[name].max() >= threshold:
                    config[name] = PRIMITIVES[1 + int(best[name].argmax())]
    return config
