"""A cell space and its SuperNet: every edge of a small graph chooses one operation.

The cell is that of NAS-Bench-201 (Dong and Yang 2020, arXiv:2001.00326): node j sums what its incoming edges make of the
earlier nodes. One network holds every architecture; its input is the relaxed encoding of the space.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import nnx

from metajax.nn import Convolution, patches, standardise
from metajax.space import Categorical, Space

OPERATIONS = ("none", "skip", "conv1x1", "conv3x3", "avg_pool")


def cell_space(nodes: int = 4, operations: Sequence[str] = OPERATIONS) -> Space:
    """One ``Categorical`` for each edge ``edge_i_j`` (i < j); NAS-Bench-201 has 4 nodes and 15,625 cells.

    Raises:
        ValueError: on an unknown operation or fewer than two nodes.

    Example:
        >>> cell_space().size
        15625
    """
    unknown = [o for o in operations if o not in OPERATIONS]
    if unknown:
        raise ValueError(f"cell_space: unknown operations {unknown}; accepted are {list(OPERATIONS)}")
    if nodes < 2:
        raise ValueError(f"cell_space: nodes={nodes}; accepted are 2 or more")
    return Space({f"edge_{i}_{j}": Categorical(operations) for j in range(1, nodes) for i in range(j)})


def average_pool(x: jax.Array) -> jax.Array:
    """3 x 3 mean with stride 1 over what lies inside the image, as two separable sums (half the time of a window)."""

    def along(x: jax.Array, axis: int) -> jax.Array:
        pad = [(0, 0)] * x.ndim
        pad[axis] = (1, 1)
        padded, n = jnp.pad(x, pad), x.shape[axis]
        return sum(jax.lax.slice_in_dim(padded, i, i + n, axis=axis) for i in (1, 2)) + jax.lax.slice_in_dim(
            padded, 0, n, axis=axis
        )

    count = along(along(jnp.ones((1, *x.shape[1:3], 1), x.dtype), 1), 2)
    return along(along(x, 1), 2) / count


class Cell(nnx.Module):
    """All operations on all edges, mixed by an encoding.

    Edges that leave one node share its ReLU, its patches and its pooling, and their kernels lie side by side in one
    matrix product; with batch norm by channel this is exactly the edge-by-edge computation.
    """

    def __init__(self, space: Space, channels: int, *, rngs: nnx.Rngs):
        self.space, self.channels = space, channels
        self.edges = [tuple(int(n) for n in name.split("_")[1:]) for name in space.domains]
        self.nodes = 1 + max(j for _, j in self.edges)
        self.operations = next(iter(space.domains.values())).choices  # type: ignore[union-attr]
        leaving = [sum(i == source for i, _ in self.edges) for source in range(self.nodes - 1)]
        make = lambda size: nnx.List(
            [Convolution(channels, n * channels, size, bias=False, rngs=rngs) for n in leaving]
        )
        self.conv1 = make(1) if "conv1x1" in self.operations else None
        self.conv3 = make(3) if "conv3x3" in self.operations else None

    def __call__(self, x: jax.Array, encoding: jax.Array) -> jax.Array:
        """f32[n, h, w, channels] and f32[space.width] -> the last node, f32[n, h, w, channels]."""
        states: list[jax.Array] = [x]
        incoming: list[list[jax.Array]] = [[] for _ in range(self.nodes)]
        for source in range(self.nodes - 1):
            value = states[source]
            targets = [j for i, j in self.edges if i == source]
            made = self._operations(value, source)
            for position, target in enumerate(targets):
                weights = encoding[self.space.slices[f"edge_{source}_{target}"]]
                part = slice(position * self.channels, (position + 1) * self.channels)
                total = jnp.zeros_like(value)
                for weight, name in zip(weights, self.operations):
                    if name == "none":
                        continue
                    output = made[name][..., part] if name.startswith("conv") else made[name]
                    total = total + weight * output
                incoming[target].append(total)
            states.append(sum(incoming[source + 1][1:], incoming[source + 1][0]))
        return states[-1]

    def _operations(self, value: jax.Array, source: int) -> dict[str, jax.Array]:
        active = jax.nn.relu(value)
        made = {"skip": value}
        if "avg_pool" in self.operations:
            made["avg_pool"] = average_pool(value)
        for name, group, size in (("conv1x1", self.conv1, 1), ("conv3x3", self.conv3, 3)):
            if group is not None:
                kernel = group[source].kernel[...]
                columns = active if size == 1 else patches(active, size)
                made[name] = standardise(columns @ kernel.reshape(-1, kernel.shape[-1]))
        return made


class CellNet(nnx.Module):
    """A stem, stages of one cell each with the resolution halved between them, mean over pixels, linear.

    Batch norm in the cells has no scale and shift and uses the statistics of the batch (transductive). Channels double
    with every stage.

    Args:
        space: as ``cell_space`` makes.
        classes: outputs.
        channels: of the first stage.
        stages: how many cells.
        inputs: channels of the images.
        stride: of the stem.
    """

    def __init__(
        self,
        space: Space,
        classes: int,
        channels: int = 8,
        stages: int = 2,
        inputs: int = 1,
        stride: int = 1,
        *,
        rngs: nnx.Rngs,
    ):
        self.stem = Convolution(inputs, channels, stride=stride, bias=False, rngs=rngs)
        widths = [channels * 2**i for i in range(stages)]
        self.cells = nnx.List([Cell(space, width, rngs=rngs) for width in widths])
        self.reductions = nnx.List(
            [Convolution(a, b, 1, bias=False, rngs=rngs) for a, b in zip(widths[:-1], widths[1:])]
        )
        self.head = nnx.Linear(widths[-1], classes, rngs=rngs)

    def __call__(self, x: jax.Array, encoding: jax.Array) -> jax.Array:
        """f32[n, h, w, inputs] and f32[space.width] -> logits f32[n, classes]."""
        x = standardise(self.stem(x))
        for i, cell in enumerate(self.cells):
            if i:
                n, h, w, c = x.shape
                halved = x[:, : h // 2 * 2, : w // 2 * 2].reshape(n, h // 2, 2, w // 2, 2, c).mean(axis=(2, 4))
                x = standardise(self.reductions[i - 1](jax.nn.relu(halved)))
            x = cell(x, encoding)
        return self.head(jnp.mean(jax.nn.relu(standardise(x)), axis=(1, 2)))
