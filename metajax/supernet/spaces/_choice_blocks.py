"""A space like that of NAS-Bench-1Shot1 (Zela et al. 2020, arXiv:2001.10422): blocks choose an operation and their parents."""

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
from metajax.supernet.spaces._darts import max_pool
from metajax.supernet.spaces._elastic import normal
from metajax.types import InputError, Key, Params

BLOCK_OPERATIONS = ("conv3x3", "conv1x1", "max_pool")
PARENTS = {1: (1, 2, 2, 2, 2), 2: (1, 1, 2, 2, 3), 3: (1, 1, 1, 2, 2, 2)}
"""Parents of every block and, last, of the output, in the three spaces of the benchmark."""


def choice_blocks_space(parents: Sequence[int] = PARENTS[1]) -> Space:
    """One ``Categorical`` for the operation of each block, ``op_k``, and one for its parents, ``parents_k`` with values such
    as ``"0+2"``, where there is a choice. Node 0 is the input of the cell, the last node its output, which has no operation.

    Args:
        parents: how many each block has; the last number is that of the output.

    Raises:
        InputError: if a node has more parents than there are nodes before it.

    Example:
        >>> choice_blocks_space().size
        14580
    """
    bad = [k for k, number in enumerate(parents, 1) if not 1 <= number <= k]
    if bad or len(parents) < 2:
        raise InputError(
            f"choice_blocks_space: parents={tuple(parents)}; accepted are from 1 to k for node k, two nodes or more"
        )
    domains: dict[str, Any] = {f"op_{k}": Categorical(BLOCK_OPERATIONS) for k in range(1, len(parents))}
    for k in range(1, len(parents) + 1):
        values = _combinations(k, parents[k - 1])
        if len(values) > 1:
            domains[f"parents_{k}"] = Categorical(tuple("+".join(map(str, value)) for value in values))
    return Space(domains)


def total(terms: Sequence[jax.Array]) -> jax.Array:
    """The sum of one or more arrays; unlike ``sum`` it does not begin with the number 0."""
    return functools.reduce(operator.add, terms)


def _combinations(node: int, number: int) -> list[tuple[int, ...]]:
    return list(itertools.combinations(range(node), number))


def choice_blocks_supernet(
    classes: int,
    channels: int = 16,
    stages: int = 3,
    depth: int = 3,
    inputs: int = 3,
    parents: Sequence[int] = PARENTS[1],
) -> SuperNet:
    """Cells whose blocks each apply one operation to the sum of their parents; the output takes its parents side by side
    through a 1 x 1 convolution.

    Relaxed, a block sees every earlier node with the weight of the combinations that hold it, and mixes its operations.
    Resolution halves and channels double between stages. Batch norm without scale and shift, by the statistics of the
    batch (transductive).

    Args:
        classes: outputs.
        channels: of the first stage.
        stages: 3 in the benchmark.
        depth: cells of a stage, 3 in the benchmark.
        inputs: channels of the images.
        parents: see ``choice_blocks_space``; ``PARENTS`` has those of the benchmark.

    Example:
        >>> made = choice_blocks_supernet(10, channels=4, stages=2, depth=1, parents=(1, 1, 2))
        >>> config = {"op_1": "conv3x3", "op_2": "max_pool", "parents_2": "1", "parents_3": "0+2"}
        >>> params = made.extract(made.network.init(jax.random.key(0)), config)
        >>> made.build(config).apply(params, jnp.ones((2, 8, 8, 3))).shape
        (2, 10)
    """
    space = choice_blocks_space(parents)
    last = len(parents)
    kinds = [name for name in BLOCK_OPERATIONS if name.startswith("conv")]
    widths = [channels * 2**stage for stage in range(stages) for _ in range(depth)]

    def fresh(key: Key, wanted: Callable[[int], Sequence[str]], sources: Sequence[int]) -> Params:
        stem, head, key = jax.random.split(key, 3)
        made = []
        for i, (before, width) in enumerate(zip((channels, *widths), widths)):
            own = jax.random.split(jax.random.fold_in(key, i), 2 * last)
            kernels = {}
            for k in range(1, last):
                for place, name in enumerate(wanted(k)):
                    size = int(name[-1])
                    shape = (size, size, width, width)
                    kernels[f"{name}_{k}"] = normal(jax.random.fold_in(own[k], place), shape, size * size * width)
            out = [normal(jax.random.fold_in(own[0], s), (width, width), len(sources) * width) for s in sources]
            made.append(
                {"in": normal(own[last], (1, 1, before, width), before), "kernels": kernels, "out": jnp.stack(out)}
            )
        return {
            "stem": normal(stem, (3, 3, inputs, channels), 9 * inputs),
            "cells": made,
            "head": {"kernel": normal(head, (widths[-1], classes), widths[-1]), "bias": jnp.zeros(classes)},
        }

    def bent(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return jax.nn.relu(standardize(convolution(x, kernel)))

    def run(params: Params, x: jax.Array, cell: Callable[[Params, jax.Array], jax.Array]) -> jax.Array:
        x = bent(x, params["stem"])
        for i, own in enumerate(params["cells"]):
            if i and i % depth == 0:
                x = max_pool(x)[:, ::2, ::2]
            x = jax.nn.relu(standardize(cell(own, bent(x, own["in"]))))
        return jnp.mean(x, axis=(1, 2)) @ params["head"]["kernel"] + params["head"]["bias"]

    def operate(name: str, own: Params, node: int, x: jax.Array) -> jax.Array:
        return max_pool(x) if name == "max_pool" else bent(x, own["kernels"][f"{name}_{node}"])

    def holding(encoding: jax.Array, node: int) -> list[jax.Array]:
        """The weight of every earlier node in a node's parents."""
        combinations = _combinations(node, parents[node - 1])
        one = jnp.ones(1, encoding.dtype)
        weights = encoding[space.slices[f"parents_{node}"]] if len(combinations) > 1 else one
        return [
            sum((w for w, parent in zip(weights, combinations) if k in parent), jnp.zeros((), encoding.dtype))
            for k in range(node)
        ]

    def apply(params: Params, x: jax.Array, encoding: jax.Array) -> jax.Array:
        def cell(own: Params, x: jax.Array) -> jax.Array:
            nodes = [x]
            for k in range(1, last):
                seen = total([w * node for w, node in zip(holding(encoding, k), nodes)])
                mix = encoding[space.slices[f"op_{k}"]]
                nodes.append(total([w * operate(name, own, k, seen) for w, name in zip(mix, BLOCK_OPERATIONS)]))
            return total(
                [w * dense(node, kernel) for w, node, kernel in zip(holding(encoding, last), nodes, own["out"])]
            )

        return run(params, x, cell)

    def chosen(config: Mapping[str, Any], node: int) -> tuple[int, ...]:
        combinations = _combinations(node, parents[node - 1])
        return tuple(map(int, config[f"parents_{node}"].split("+"))) if len(combinations) > 1 else combinations[0]

    def build(config: Mapping[str, Any]) -> Functional:
        space.configs([config])  # checks it

        def cell(own: Params, x: jax.Array) -> jax.Array:
            nodes = [x]
            for k in range(1, last):
                seen = total([nodes[parent] for parent in chosen(config, k)])
                nodes.append(operate(config[f"op_{k}"], own, k, seen))
            return total([dense(nodes[parent], kernel) for parent, kernel in zip(chosen(config, last), own["out"])])

        used = lambda k: [name for name in kinds if config[f"op_{k}"] == name]
        return Functional(lambda key: fresh(key, used, chosen(config, last)), lambda params, x: run(params, x, cell))

    def extract(params: Params, config: Mapping[str, Any]) -> Params:
        space.configs([config])  # checks it
        names = {f"{config[f'op_{k}']}_{k}" for k in range(1, last)}
        rows = jnp.asarray(chosen(config, last))

        def pick(own: Params) -> Params:
            kept = {name: kernel for name, kernel in own["kernels"].items() if name in names}
            return {**own, "kernels": kept, "out": own["out"][rows]}

        return {**params, "cells": [pick(own) for own in params["cells"]]}

    every = Functional(lambda key: fresh(key, lambda k: kinds, range(last)), apply)
    return SuperNet(space, every, build, extract)
