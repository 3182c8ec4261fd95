"""The network of DARTS around its two cells: the SuperNet, and the stand-alone networks in it."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from metajax.nn import Functional, convolution, standardize
from metajax.space import Space
from metajax.supernet._model import SuperNet
from metajax.supernet.spaces._cell import shuffled_beside
from metajax.supernet.spaces._darts import CELLS, PRIMITIVES, cell_edges, darts_space
from metajax.supernet.spaces._darts_operations import half, initial_weights, max_pool, mixed, operate, single
from metajax.supernet.spaces._shared import normal
from metajax.types import InputError, Key, Params

EdgeOutputs = Callable[[list[str], list[Params], jax.Array, int], list[jax.Array]]
"""``(edges that leave a node, their weights, the node's value, stride) -> what each edge makes of it``."""


def darts_supernet(
    classes: int,
    channels: int = 16,
    layers: int = 8,
    inputs: int = 3,
    nodes: int = 4,
    partial: int = 1,
    single_path: bool = False,
) -> SuperNet:
    """Returns the SuperNet of DARTS; the paper searches with 16 channels and 8 cells and trains what it found with 36 and 20.

    Cells at a third and two thirds of the depth reduce: they halve the resolution and double the channels. Batch norm has
    no scale and shift and uses the statistics of the batch (transductive).

    Args:
        classes: The number of classes, which is that of the outputs.
        channels: The number of channels of the first cells' nodes; the stem has three times as many.
        layers: The number of cells, at least 3.
        inputs: The number of channels of the images.
        nodes: The number of intermediate nodes of a cell.
        partial: The divisor of the channels: the operations see only the first 1/partial of them (PC-DARTS, Xu et al. 2020,
            arXiv:1907.05737). Such a SuperNet is for searching alone.
        single_path: Whether only the strongest operation of each edge is computed; this is exact on one-hot encodings.

    Returns:
        The SuperNet.

    Raises:
        InputError: If ``channels`` is not a multiple of ``partial``, or ``layers`` is below 3.

    References:
        Liu et al. 2019, "DARTS: differentiable architecture search", arXiv:1806.09055.

    Example:
        >>> from metajax.supernet.spaces import derive
        >>> net = darts_supernet(10, channels=4, layers=3, nodes=1)
        >>> config = derive(net.space, net.space.relax(net.space.zeros()))
        >>> params = net.extract(net.network.init(jax.random.key(0)), config)
        >>> net.build(config).apply(params, jnp.ones((2, 8, 8, 3))).shape
        (2, 10)
    """
    if channels % partial or layers < 3:
        raise InputError(
            "darts_supernet: channels must be a multiple of partial, and layers an integer >= 3, got "
            f"channels={channels}, partial={partial}, layers={layers}"
        )
    net = _DartsNetwork(darts_space(nodes), classes, channels, layers, inputs, nodes, partial, single_path)
    supernet = Functional(lambda key: net.init(key, lambda name: PRIMITIVES), net.apply)
    return SuperNet(net.space, supernet, net.build, net.extract)


@dataclasses.dataclass(frozen=True, eq=False)
class _DartsNetwork:
    """A stem followed by cells, each of which sees the outputs of the two cells before it."""

    space: Space
    classes: int
    channels: int
    layers: int
    inputs: int
    nodes: int
    partial: int
    single_path: bool

    @property
    def kinds(self) -> list[str]:
        """The kind of every cell."""
        return [CELLS[i in self.reductions] for i in range(self.layers)]

    @property
    def reductions(self) -> tuple[int, int]:
        """The cells that reduce."""
        return self.layers // 3, 2 * self.layers // 3

    @property
    def widths(self) -> list[int]:
        """The channels of every cell's nodes."""
        return [self.channels * 2 ** sum(i >= r for r in self.reductions) for i in range(self.layers)]

    def init(self, key: Key, operations_of: Callable[[str], Sequence[str]]) -> Params:
        """Returns initial weights of the selected operations of every edge."""
        stem, head, key = jax.random.split(key, 3)
        cells = {str(i): self._init_cell(i, jax.random.fold_in(key, i), operations_of) for i in range(self.layers)}
        last = self.nodes * self.widths[-1]
        return {
            "stem": normal(stem, (3, 3, self.inputs, 3 * self.channels), 9 * self.inputs),
            "cells": cells,
            "head": {"kernel": normal(head, (last, self.classes), last), "bias": jnp.zeros(self.classes)},
        }

    def _init_cell(self, i: int, key: Key, operations_of: Callable[[str], Sequence[str]]) -> Params:
        """Returns initial weights of a cell and of what comes before it."""
        kind, width = self.kinds[i], self.widths[i]
        outs = [3 * self.channels, 3 * self.channels, *(self.nodes * w for w in self.widths)]  # of what comes before
        a, b, own = jax.random.split(key, 3)
        previous, current = outs[i], outs[i + 1]
        is_halved = i > 0 and self.kinds[i - 1] == "reduce"
        pieces = {"even": width - width // 2, "odd": width // 2} if is_halved else {"kernel": width}
        keys = jax.random.split(a, len(pieces))
        edges = {}
        for position, name in enumerate(cell_edges(kind, self.nodes)):
            stride, edge_key = _stride(kind, int(name.split("_")[1])), jax.random.fold_in(own, position)
            edges[name] = {
                op: initial_weights(
                    op, width // self.partial, stride, jax.random.fold_in(edge_key, PRIMITIVES.index(op))
                )
                for op in operations_of(name)
            }
        return {
            "before": {n: normal(k, (1, 1, previous, out), previous) for k, (n, out) in zip(keys, pieces.items())},
            "here": {"kernel": normal(b, (1, 1, current, width), current)},
            "edges": edges,
        }

    def run(self, params: Params, x: jax.Array, edge_outputs: EdgeOutputs) -> jax.Array:
        """Returns the logits, given what edges make of a node's value."""
        previous = current = standardize(convolution(x, params["stem"]))
        for i, kind in enumerate(self.kinds):
            cell = params["cells"][str(i)]
            inputs = [_squeeze(previous, cell["before"]), _squeeze(current, cell["here"])]
            previous, current = current, self._run_cell(kind, cell["edges"], inputs, edge_outputs)
        return jnp.mean(current, axis=(1, 2)) @ params["head"]["kernel"] + params["head"]["bias"]

    def _run_cell(self, kind: str, edges: Params, states: list[jax.Array], edge_outputs: EdgeOutputs) -> jax.Array:
        """Returns the intermediate nodes of a cell side by side, from its two inputs."""
        totals: list[Any] = [0.0] * (2 + self.nodes)
        for source in range(1 + self.nodes):
            if source > 1:
                states.append(totals[source])
            stride, source_state = _stride(kind, source), states[source]
            partial_state = source_state[..., : source_state.shape[-1] // self.partial]
            targets = range(max(2, source + 1), 2 + self.nodes)
            names = [f"{kind}_{source}_{j}" for j in targets]
            for j, output in zip(targets, edge_outputs(names, [edges[n] for n in names], partial_state, stride)):
                totals[j] = totals[j] + self._pass_by(output, source_state, stride)
        return jnp.concatenate([*states[2:], totals[-1]], axis=-1)

    def _pass_by(self, output: jax.Array, source_state: jax.Array, stride: int) -> jax.Array:
        """Returns what an edge made of the first channels beside the others, shuffled."""
        if self.partial == 1:
            return output
        bypassed = source_state[..., output.shape[-1] :]
        bypassed = bypassed if stride == 1 else max_pool(bypassed)[:, ::2, ::2]
        return shuffled_beside(output, bypassed, self.partial)

    def apply(self, params: Params, x: jax.Array, encoding: jax.Array) -> jax.Array:
        """Returns the logits of the SuperNet under an encoding."""
        mix = single if self.single_path else mixed
        return self.run(
            params,
            x,
            lambda names, edges, x, stride: mix(x, edges, [encoding[self.space.slices[n]] for n in names], stride),
        )

    def build(self, config: Mapping[str, Any]) -> Functional:
        """Returns the stand-alone network of a configuration."""
        self.space.configs([config])  # checks it

        def edge_outputs(names: list[str], edges: list[Params], x: jax.Array, stride: int) -> list[jax.Array]:
            return [operate(config[n], [edge[config[n]]], x, stride)[0] for n, edge in zip(names, edges)]

        return Functional(
            lambda key: self.init(key, lambda name: [config[name]]), lambda params, x: self.run(params, x, edge_outputs)
        )

    def extract(self, params: Params, config: Mapping[str, Any]) -> Params:
        """Returns the SuperNet's weights of a configuration."""
        self.space.configs([config])  # checks it
        pick = lambda edges: {n: {config[n]: edge[config[n]]} for n, edge in edges.items()}
        cells = {i: {**cell, "edges": pick(cell["edges"])} for i, cell in params["cells"].items()}
        return {**params, "cells": cells}


def _stride(kind: str, source: int) -> int:
    """Returns the stride of the edges that leave a node."""
    return 2 if kind == "reduce" and source < 2 else 1


def _squeeze(x: jax.Array, part: Params) -> jax.Array:
    """Brings an input of a cell to the cell's channels and resolution."""
    return half(x, **part) if "even" in part else standardize(convolution(jax.nn.relu(x), part["kernel"]))
