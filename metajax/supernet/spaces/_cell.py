"""A cell space: every edge of a small graph chooses one operation.

The cell is that of NAS-Bench-201 (Dong and Yang 2020, arXiv:2001.00326): node j sums the outputs of its incoming edges.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from metajax.nn import Convolution, convolution, materialize, standardize
from metajax.space import Categorical, Space
from metajax.types import InputError, Key, stream

OPERATIONS = ("none", "skip", "conv1x1", "conv3x3", "avg_pool")
"""The operations of NAS-Bench-201, in the order of an encoding."""


def cell_space(nodes: int = 4, operations: Sequence[str] = OPERATIONS) -> Space:
    """Returns one ``Categorical`` for each edge ``edge_i_j`` (i < j); NAS-Bench-201 has 4 nodes and 15,625 cells.

    Args:
        nodes: The number of nodes of the cell, input and output included, at least 2.
        operations: The operations that every edge chooses from, some of ``OPERATIONS``.

    Returns:
        The space.

    Raises:
        InputError: If an operation is unknown or there are fewer than two nodes.

    References:
        Dong and Yang 2020, "NAS-Bench-201: extending the scope of reproducible neural architecture search",
        arXiv:2001.00326.

    Example:
        >>> cell_space().size
        15625
    """
    unknown = [o for o in operations if o not in OPERATIONS]
    if unknown:
        raise InputError(f"cell_space: operations must be among {list(OPERATIONS)}, got {unknown}")
    if nodes < 2:
        raise InputError(f"cell_space: nodes must be an integer >= 2, got {nodes}")
    return Space({f"edge_{i}_{j}": Categorical(operations) for j in range(1, nodes) for i in range(j)})


def average_pool(x: jax.Array) -> jax.Array:
    """Returns the 3 x 3 mean with stride 1 over what lies inside the image, as two separable sums.

    They take half the time of a window.
    """

    def along(x: jax.Array, axis: int) -> jax.Array:
        pad = [(0, 0)] * x.ndim
        pad[axis] = (1, 1)
        padded, n = jnp.pad(x, pad), x.shape[axis]
        return sum(jax.lax.slice_in_dim(padded, i, i + n, axis=axis) for i in (1, 2)) + jax.lax.slice_in_dim(
            padded, 0, n, axis=axis
        )

    count = along(along(jnp.ones((1, *x.shape[1:3], 1), x.dtype), 1), 2)
    return along(along(x, 1), 2) / count


def normalization(normalized: bool) -> Callable[[jax.Array], jax.Array]:
    """Returns batch norm by the batch, or the identity."""
    return standardize if normalized else lambda x: x


class MixedCell(nnx.Module):
    """All operations on all edges of a cell, mixed by an encoding.

    Edges that leave one node share its ReLU and its pooling, and their kernels lie side by side in one convolution; with
    batch norm by channel this is exactly the edge-by-edge computation.

    Args:
        space: The space, as ``cell_space`` makes it.
        channels: The number of channels of the input and of every node, a multiple of ``partial``.
        partial: The divisor of the channels: only the first 1/partial of them take part, the others pass by, and channels are
            shuffled after every edge (PC-DARTS, Xu et al. 2020, arXiv:1907.05737). Such a cell is for searching alone.
        single_path: Whether only the strongest operation of every edge is computed, at run time, times its weight. This is
            exact on one-hot encodings and several times cheaper, and gives no gradient for the weights of what was not
            computed.
        normalized: Whether there is batch norm; proxies that follow the weights' flow want none.
        rngs: The randomness of the initial weights.

    Raises:
        InputError: If ``channels`` is not a multiple of ``partial``.

    Example:
        >>> space = cell_space(3)
        >>> cell = MixedCell(space, channels=4, rngs=nnx.Rngs(0))
        >>> cell(jnp.ones((2, 6, 6, 4)), space.relax(space.zeros())).shape
        (2, 6, 6, 4)
    """

    def __init__(
        self,
        space: Space,
        channels: int,
        partial: int = 1,
        single_path: bool = False,
        normalized: bool = True,
        *,
        rngs: nnx.Rngs,
    ):
        if channels % partial:
            raise InputError(
                f"MixedCell: channels must be a multiple of partial, got channels={channels}, partial={partial}"
            )
        self.space: Space = space
        self.partial: int = partial
        self.single_path: bool = single_path
        self.normalize: Callable[[jax.Array], jax.Array] = normalization(normalized)
        channels = channels // partial
        self.channels: int = channels
        self.edges: list[tuple[int, ...]] = [tuple(int(n) for n in name.split("_")[1:]) for name in space.domains]
        self.nodes: int = 1 + max(j for _, j in self.edges)
        self.operations: tuple[Any, ...] = next(iter(space.domains.values())).choices  # type: ignore[union-attr]
        edge_counts = [sum(i == source for i, _ in self.edges) for source in range(self.nodes - 1)]
        make = lambda size: nnx.List(
            [Convolution(channels, n * channels, size, bias=False, rngs=rngs) for n in edge_counts]
        )
        self.conv1: nnx.List[Convolution] | None = make(1) if "conv1x1" in self.operations else None
        self.conv3: nnx.List[Convolution] | None = make(3) if "conv3x3" in self.operations else None

    def __call__(self, x: jax.Array, encoding: jax.Array, partial: int | None = None) -> jax.Array:
        """Returns the last node, f32[n, h, w, channels].

        Args:
            x: The first node, f32[n, h, w, channels].
            encoding: The encoding, f32[space.width].
            partial: The divisor of the channels, by default that of the cell. With a larger one, the cell computes with the
                first part of every kernel alone, as the narrower cell would (``widened`` fills the rest when the cell grows).
        """
        partial = partial or self.partial
        channels = x.shape[-1] // partial
        states: list[jax.Array] = [x]
        incoming: list[list[jax.Array]] = [[] for _ in range(self.nodes)]
        for source in range(self.nodes - 1):
            source_state = states[source]
            value = source_state[..., :channels]
            targets = [j for i, j in self.edges if i == source]
            edges = self._alone if self.single_path else self._mixed
            weights = [encoding[self.space.slices[f"edge_{source}_{target}"]] for target in targets]
            for target, output in zip(targets, edges(value, source, weights)):
                bypassed = source_state[..., output.shape[-1] :]
                incoming[target].append(output if partial == 1 else shuffled_beside(output, bypassed, partial))
            states.append(sum(incoming[source + 1][1:], incoming[source + 1][0]))
        return states[-1]

    def _mixed(self, value: jax.Array, source: int, weights: list[jax.Array]) -> list[jax.Array]:
        """Returns the outputs of the edges that leave ``source``: all operations once, then one sum an edge."""
        outputs, edges = self._operations(value, source), []
        for position, mix in enumerate(weights):
            total = jnp.zeros_like(value)
            for weight, name in zip(mix, self.operations):
                if name != "none":
                    output = outputs[name][position] if name.startswith("conv") else outputs[name]
                    total = total + weight * output
            edges.append(total)
        return edges

    def _alone(self, value: jax.Array, source: int, weights: list[jax.Array]) -> list[jax.Array]:
        """Returns the same for single paths.

        A branch stores only its input for the backward pass. The batch norm after a convolution is computed again there; the
        convolution is not, because its derivative does not need its output.
        """
        has_weights, edges = jnp.array([name.startswith("conv") for name in self.operations]), []
        for position, mix in enumerate(weights):
            chosen = jnp.argmax(mix)
            branches = [jax.checkpoint(self._operation(name, source, position)) for name in self.operations]
            output = jax.lax.switch(chosen, branches, value)
            output = jax.lax.cond(has_weights[chosen], jax.checkpoint(self.normalize), lambda x: x, output)
            edges.append(mix[chosen] * output)
        return edges

    def _operation(self, name: str, source: int, position: int) -> Callable[[jax.Array], jax.Array]:
        """Returns one operation of an edge, without batch norm."""
        if name == "none":
            return jnp.zeros_like
        if name == "skip":
            return lambda value: value
        if name == "avg_pool":
            return average_pool
        group = self.conv1 if name == "conv1x1" else self.conv3
        assert group is not None
        kernel = group[source].kernel[...][..., position * self.channels : (position + 1) * self.channels]
        return lambda value: convolution(jax.nn.relu(value), kernel[..., : value.shape[-1], : value.shape[-1]])

    def _operations(self, value: jax.Array, source: int) -> dict[str, Any]:
        """Returns each operation of ``source``'s value; of a convolution, its output for each edge."""
        value = materialize(value)
        active = jax.nn.relu(value)
        outputs: dict[str, Any] = {"skip": value}
        if "avg_pool" in self.operations:
            outputs["avg_pool"] = average_pool(value)
        for name, group in (("conv1x1", self.conv1), ("conv3x3", self.conv3)):
            if group is not None:
                kernel = group[source].kernel[...]
                edges = kernel.shape[-1] // self.channels
                kernel = _narrow(kernel, edges, value.shape[-1])
                outputs[name] = jnp.split(self.normalize(convolution(active, kernel)), edges, axis=-1)
        return outputs


def shuffled_beside(output: jax.Array, bypassed: jax.Array, partial: int) -> jax.Array:
    """Returns what an edge made of the first 1/partial of the channels beside the rest, with the channels shuffled."""
    joined = jnp.concatenate([output, bypassed], axis=-1)
    return joined.reshape(*joined.shape[:-1], partial, -1).swapaxes(-1, -2).reshape(joined.shape)


def _narrow(kernel: jax.Array, edges: int, channels: int) -> jax.Array:
    """Returns the first channels, in and out, of kernels that lie side by side."""
    if kernel.shape[-2] == channels:
        return kernel
    by_edge = kernel.reshape(*kernel.shape[:-1], edges, -1)
    return by_edge[..., :channels, :, :channels].reshape(*kernel.shape[:-2], channels, edges * channels)


def widened(tree: Any, narrow: int, wide: int, key: Key) -> Any:
    """Fills the kernels of a cell network that begins to use more of its channels.

    Every new channel becomes a copy of a random old one, in and out (net2wider as in DrNAS, Chen et al. 2021,
    arXiv:2006.10355, whose authors do not divide what comes from copies).

    Args:
        tree: The parameters of ``CellNet``, or the optimizer's moments of them: the same key copies the same channels.
        narrow, wide: The shares of channels before and after, as 1/narrow and 1/wide.
        key: The key of the draws.
    """

    def fill(path: Any, leaf: Any) -> Any:
        names = [str(getattr(entry, "key", getattr(entry, "name", getattr(entry, "idx", entry)))) for entry in path]
        where = next((i for i, name in enumerate(names) if name in ("conv1", "conv3")), None)
        if where is None:
            return leaf
        channels = leaf.shape[-2]
        by_edge = leaf.reshape(*leaf.shape[:-1], -1, channels)  # [..., in, edges, out]
        old, edges = channels * wide // narrow, by_edge.shape[-2]
        inward, outward = jax.random.split(stream(key, "/".join(names[names.index("stages") :])))
        draw = lambda k: jax.random.randint(k, (edges, channels - old), 0, old)
        take = lambda kernel, i, o: kernel[..., i, :][..., o]
        own = jnp.arange(old)
        rows = [jnp.concatenate([own, duplicates]) for duplicates in draw(inward)]
        columns = [jnp.concatenate([own, duplicates]) for duplicates in draw(outward)]
        filled = [take(by_edge[..., e, :], i, o) for e, (i, o) in enumerate(zip(rows, columns))]
        return jnp.stack(filled, axis=-2).reshape(leaf.shape)

    return jax.tree_util.tree_map_with_path(fill, tree)
