"""A space like that of NAS-Bench-1Shot1: blocks choose an operation and their parents."""

import dataclasses
import functools
import itertools
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from metajax.nn import Functional, convolution, dense, standardize
from metajax.space import Categorical, Space
from metajax.supernet._model import SuperNet
from metajax.supernet.spaces._darts_operations import max_pool
from metajax.supernet.spaces._shared import normal
from metajax.types import InputError, Key, Params

BLOCK_OPERATIONS = ("conv3x3", "conv1x1", "max_pool")
CONVOLUTIONS = [name for name in BLOCK_OPERATIONS if name.startswith("conv")]
PARENTS: dict[int, tuple[int, ...]] = {1: (1, 2, 2, 2, 2), 2: (1, 1, 2, 2, 3), 3: (1, 1, 1, 2, 2, 2)}
"""Parents of every block and, last, of the output, in the three spaces of the benchmark."""


def choice_blocks_space(parents: Sequence[int] = PARENTS[1]) -> Space:
    """Returns one ``Categorical`` for the operation of each block and one for its parents, where there is a choice.

    The operation of block k is ``op_k``. Its parents are ``parents_k``, with values such as ``"0+2"``. Node 0 is the input of
    the cell, the last node its output, which has no operation.

    Args:
        parents: The number of parents of each block, from 1 to k for node k; the last number is that of the output.

    Returns:
        The space.

    Raises:
        InputError: If a node has more parents than there are nodes before it, or there are fewer than two nodes.

    References:
        Zela et al. 2020, "NAS-Bench-1Shot1: benchmarking and dissecting one-shot neural architecture search",
        arXiv:2001.10422.

    Example:
        >>> choice_blocks_space().size
        14580
    """
    invalid = [k for k, number in enumerate(parents, 1) if not 1 <= number <= k]
    if invalid or len(parents) < 2:
        raise InputError(
            "choice_blocks_space: parents must be two numbers or more, where that of node k is from 1 to k, got "
            f"{tuple(parents)}"
        )
    domains: dict[str, Any] = {f"op_{k}": Categorical(BLOCK_OPERATIONS) for k in range(1, len(parents))}
    for k in range(1, len(parents) + 1):
        values = _combinations(k, parents[k - 1])
        if len(values) > 1:
            domains[f"parents_{k}"] = Categorical(tuple("+".join(map(str, value)) for value in values))
    return Space(domains)


def _combinations(node: int, number: int) -> list[tuple[int, ...]]:
    """Returns the possible parents of a node."""
    return list(itertools.combinations(range(node), number))


def _total(terms: Sequence[jax.Array]) -> jax.Array:
    """Returns the sum of one or more arrays; unlike ``sum`` it does not begin with the number 0."""
    return functools.reduce(operator.add, terms)


def choice_blocks_supernet(
    classes: int,
    channels: int = 16,
    stages: int = 3,
    depth: int = 3,
    inputs: int = 3,
    parents: Sequence[int] = PARENTS[1],
) -> SuperNet:
    """Returns cells whose blocks each apply one operation to the sum of their parents.

    The output takes its parents side by side through a 1 x 1 convolution. Relaxed, a block sees every earlier node with the
    weight of the combinations that hold it, and mixes its operations. Resolution halves and channels double between stages.
    Batch norm has no scale and shift and uses the statistics of the batch (transductive).

    Args:
        classes: The number of classes, which is that of the outputs.
        channels: The number of channels of the first stage.
        stages: The number of stages, 3 in the benchmark.
        depth: The number of cells of a stage, 3 in the benchmark.
        inputs: The number of channels of the images.
        parents: The number of parents of each block, see ``choice_blocks_space``; ``PARENTS`` has those of the benchmark.

    Returns:
        The SuperNet.

    Raises:
        InputError: In the cases of ``choice_blocks_space``.

    References:
        Zela et al. 2020, arXiv:2001.10422.

    Example:
        >>> net = choice_blocks_supernet(10, channels=4, stages=2, depth=1, parents=(1, 1, 2))
        >>> config = {"op_1": "conv3x3", "op_2": "max_pool", "parents_2": "1", "parents_3": "0+2"}
        >>> params = net.extract(net.network.init(jax.random.key(0)), config)
        >>> net.build(config).apply(params, jnp.ones((2, 8, 8, 3))).shape
        (2, 10)
    """
    space, parents = choice_blocks_space(parents), tuple(parents)
    net = _ChoiceBlocks(space, classes, channels, stages, depth, inputs, parents)
    init = lambda key: net.init(key, lambda k: CONVOLUTIONS, range(len(parents)))
    return SuperNet(space, Functional(init, net.apply), net.build, net.extract)


@dataclasses.dataclass(frozen=True, eq=False)
class _ChoiceBlocks:
    """A stem followed by stages of cells."""

    space: Space
    classes: int
    channels: int
    stages: int
    depth: int
    inputs: int
    parents: tuple[int, ...]

    @property
    def last(self) -> int:
        """The output node of a cell."""
        return len(self.parents)

    def init(self, key: Key, convolutions_of: Callable[[int], Sequence[str]], sources: Sequence[int]) -> Params:
        """Returns initial weights of the selected convolutions of every block and of the output's sources."""
        stem, head, key = jax.random.split(key, 3)
        widths = [self.channels * 2**stage for stage in range(self.stages) for _ in range(self.depth)]
        cells = [
            self._init_cell(jax.random.fold_in(key, i), before, width, convolutions_of, sources)
            for i, (before, width) in enumerate(zip((self.channels, *widths), widths))
        ]
        out = {"kernel": normal(head, (widths[-1], self.classes), widths[-1]), "bias": jnp.zeros(self.classes)}
        return {
            "stem": normal(stem, (3, 3, self.inputs, self.channels), 9 * self.inputs),
            "cells": cells,
            "head": out,
        }

    def _init_cell(
        self, key: Key, before: int, width: int, convolutions_of: Callable[[int], Sequence[str]], sources: Sequence[int]
    ) -> Params:
        """Returns initial weights of a cell."""
        own = jax.random.split(key, 2 * self.last)
        kernels = {}
        for k in range(1, self.last):
            for position, name in enumerate(convolutions_of(k)):
                size = int(name[-1])
                shape = (size, size, width, width)
                kernels[f"{name}_{k}"] = normal(jax.random.fold_in(own[k], position), shape, size * size * width)
        out = [normal(jax.random.fold_in(own[0], s), (width, width), len(sources) * width) for s in sources]
        enter = normal(own[self.last], (1, 1, before, width), before)
        return {"in": enter, "kernels": kernels, "out": jnp.stack(out)}

    def run(self, params: Params, x: jax.Array, cell: Callable[[Params, jax.Array], jax.Array]) -> jax.Array:
        """Returns the logits, given what a cell makes of its input."""
        x = _bent(x, params["stem"])
        for i, own in enumerate(params["cells"]):
            if i and i % self.depth == 0:
                x = max_pool(x)[:, ::2, ::2]
            x = jax.nn.relu(standardize(cell(own, _bent(x, own["in"]))))
        return jnp.mean(x, axis=(1, 2)) @ params["head"]["kernel"] + params["head"]["bias"]

    def apply(self, params: Params, x: jax.Array, encoding: jax.Array) -> jax.Array:
        """Returns the logits of the SuperNet under an encoding."""

        def cell(own: Params, x: jax.Array) -> jax.Array:
            nodes = [x]
            for k in range(1, self.last):
                node_input = _total([w * node for w, node in zip(self._parent_weights(encoding, k), nodes)])
                mix = encoding[self.space.slices[f"op_{k}"]]
                nodes.append(_total([w * _operate(name, own, k, node_input) for w, name in zip(mix, BLOCK_OPERATIONS)]))
            weights = self._parent_weights(encoding, self.last)
            return _total([w * dense(node, kernel) for w, node, kernel in zip(weights, nodes, own["out"])])

        return self.run(params, x, cell)

    def _parent_weights(self, encoding: jax.Array, node: int) -> list[jax.Array]:
        """Returns the weight of every earlier node in a node's parents."""
        combinations = _combinations(node, self.parents[node - 1])
        unit_weight = jnp.ones(1, encoding.dtype)
        weights = encoding[self.space.slices[f"parents_{node}"]] if len(combinations) > 1 else unit_weight
        return [
            sum((w for w, parent in zip(weights, combinations) if k in parent), jnp.zeros((), encoding.dtype))
            for k in range(node)
        ]

    def chosen(self, config: Mapping[str, Any], node: int) -> tuple[int, ...]:
        """Returns the parents of a node in a configuration."""
        combinations = _combinations(node, self.parents[node - 1])
        return tuple(map(int, config[f"parents_{node}"].split("+"))) if len(combinations) > 1 else combinations[0]

    def build(self, config: Mapping[str, Any]) -> Functional:
        """Returns the stand-alone network of a configuration."""
        self.space.configs([config])  # checks it
        outputs = self.chosen(config, self.last)

        def cell(own: Params, x: jax.Array) -> jax.Array:
            nodes = [x]
            for k in range(1, self.last):
                node_input = _total([nodes[parent] for parent in self.chosen(config, k)])
                nodes.append(_operate(config[f"op_{k}"], own, k, node_input))
            return _total([dense(nodes[parent], kernel) for parent, kernel in zip(outputs, own["out"])])

        used = lambda k: [name for name in CONVOLUTIONS if config[f"op_{k}"] == name]
        return Functional(lambda key: self.init(key, used, outputs), lambda params, x: self.run(params, x, cell))

    def extract(self, params: Params, config: Mapping[str, Any]) -> Params:
        """Returns the SuperNet's weights of a configuration."""
        self.space.configs([config])  # checks it
        names = {f"{config[f'op_{k}']}_{k}" for k in range(1, self.last)}
        rows = jnp.asarray(self.chosen(config, self.last))

        def pick(own: Params) -> Params:
            kernels = {name: kernel for name, kernel in own["kernels"].items() if name in names}
            return {**own, "kernels": kernels, "out": own["out"][rows]}

        return {**params, "cells": [pick(own) for own in params["cells"]]}


def _bent(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Applies a convolution, batch norm and a ReLU."""
    return jax.nn.relu(standardize(convolution(x, kernel)))


def _operate(name: str, own: Params, node: int, x: jax.Array) -> jax.Array:
    """Applies an operation of a block, with the weights of its cell."""
    return max_pool(x) if name == "max_pool" else _bent(x, own["kernels"][f"{name}_{node}"])
