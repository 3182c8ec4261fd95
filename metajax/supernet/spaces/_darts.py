"""The space of DARTS (Liu et al. 2019, arXiv:1806.09055): a normal and a reduction cell, each edge one of eight operations.

Every intermediate node sums its edges from all earlier nodes, two of which are the outputs of the two cells before. A
decided cell keeps the two strongest edges into every node: 10^18 pairs of cells, in a SuperNet of 10^25.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from metajax.nn import Functional, convolution, separable, standardize
from metajax.space import Categorical, Space
from metajax.supernet._model import SuperNet
from metajax.supernet.spaces._cell import average_pool
from metajax.supernet.spaces._elastic import normal
from metajax.types import InputError, Key, Params

PRIMITIVES = ("none", "max_pool", "avg_pool", "skip", "sep_conv3x3", "sep_conv5x5", "dil_conv3x3", "dil_conv5x5")
CELLS = ("normal", "reduce")


def darts_space(nodes: int = 4) -> Space:
    """One ``Categorical`` for each edge ``normal_i_j`` and ``reduce_i_j``; nodes 0 and 1 are the inputs of a cell.

    Raises:
        InputError: unless nodes is positive.

    Example:
        >>> round(darts_space().log10_size, 1)
        25.3
    """
    if nodes < 1:
        raise InputError(f"darts_space: nodes={nodes}; accepted is a positive whole number")
    return Space({name: Categorical(PRIMITIVES) for cell in CELLS for name in cell_edges(cell, nodes)})


def cell_edges(cell: str, nodes: int) -> list[str]:
    return [f"{cell}_{i}_{j}" for j in range(2, 2 + nodes) for i in range(j)]


def _nodes(space: Space) -> int:
    return max(int(name.rsplit("_", 1)[1]) for name in space.domains) - 1


def log10_cells(nodes: int = 4) -> float:
    """How many pairs of decided cells there are, as a power of ten.

    Example:
        >>> round(log10_cells(), 1)
        18.0
    """
    return 2 * sum(math.log10(math.comb(j, 2) * (len(PRIMITIVES) - 1) ** 2) for j in range(2, 2 + nodes))


def derive(space: Space, strengths: Any, threshold: float = 0.0, keep: int = 2) -> dict[str, str]:
    """The decided cells: of the edges into every node, the ``keep`` whose strongest operation other than ``none`` is
    strongest, each with that operation; the other edges are ``none``.

    Args:
        space: from ``darts_space``.
        strengths: f32[space.width], as ``Search.strengths`` gives.
        threshold: of those, edges stay whose operation is at least as strong (FairDARTS' .85); a node may then have fewer.
        keep: edges into a node.

    Example:
        >>> space = darts_space(1)
        >>> derive(space, space.relax({name: jnp.arange(8.0) for name in space.domains}))["normal_0_2"]
        'dil_conv5x5'
    """
    values, found = np.asarray(strengths), dict.fromkeys(space.domains, PRIMITIVES[0])
    for cell in CELLS:
        for j in range(2, 2 + _nodes(space)):
            best = {f"{cell}_{i}_{j}": values[space.slices[f"{cell}_{i}_{j}"]][1:] for i in range(j)}
            for name in sorted(best, key=lambda name: -best[name].max())[:keep]:
                if best[name].max() >= threshold:
                    found[name] = PRIMITIVES[1 + int(best[name].argmax())]
    return found


def max_pool(x: jax.Array) -> jax.Array:
    """The largest of each 3 x 3 window, stride 1, over what lies inside the image; two separable passes."""
    for axis in (1, 2):
        n = x.shape[axis]
        after = jax.lax.slice_in_dim(x, 1, n, axis=axis)
        before = jax.lax.slice_in_dim(x, 0, n - 1, axis=axis)
        first, last = (jax.lax.slice_in_dim(x, at, at + 1, axis=axis) for at in (0, n - 1))
        left, right = (jnp.concatenate(pair, axis=axis) for pair in ((first, before), (after, last)))
        x = jnp.maximum(jnp.maximum(left, x), right)
    return x


def half(x: jax.Array, even: jax.Array, odd: jax.Array) -> jax.Array:
    """Half the resolution without a mean: a 1 x 1 convolution of the even pixels beside one of the odd."""
    x = jax.nn.relu(x)
    shifted = jnp.pad(x[:, 1:, 1:], ((0, 0), (0, 1), (0, 1), (0, 0)))
    return standardize(jnp.concatenate([convolution(x, even, 2), convolution(shifted, odd, 2)], axis=-1))


def weights(name: str, channels: int, stride: int, key: Key) -> Params:
    """Initial weights of an operation."""
    keys = jax.random.split(key, 4)
    point = lambda k, out: normal(k, (channels, out), channels)
    if name == "skip" and stride == 2:
        return {
            "even": point(keys[0], channels - channels // 2)[None, None],
            "odd": point(keys[1], channels // 2)[None, None],
        }
    if "conv" not in name:
        return {}
    size = int(name[-1])
    made = lambda a, b: {"depth": normal(a, (size, size, channels), size * size), "point": point(b, channels)}
    return made(*keys[:2]) if name.startswith("dil") else {"first": made(*keys[:2]), "second": made(*keys[2:])}


def operate(name: str, edges: Sequence[Params], x: jax.Array, stride: int) -> list[jax.Array]:
    """One of ``PRIMITIVES`` on edges that leave one node, given the weights of each: f32[n, h, w, c] ->
    f32[n, h / stride, w / stride, c] for each edge; stride is 1, or 2 from the inputs of a reduction cell."""
    if name == "none":
        return [jnp.zeros_like(x[:, ::stride, ::stride])] * len(edges)
    if name == "skip":
        return [x if stride == 1 else half(x, **params) for params in edges]
    if name.endswith("pool"):
        pool = max_pool if name == "max_pool" else average_pool
        return [standardize(pool(x)[:, ::stride, ::stride])] * len(edges)

    kernels = lambda parts: [(part["depth"], part["point"]) for part in parts]
    active, cut = jax.nn.relu(x), lambda y: jnp.split(y, len(edges), axis=-1)
    if name.startswith("dil"):
        return cut(standardize(separable(active, kernels(edges), stride, 2)))
    between = jax.nn.relu(standardize(separable(active, kernels([edge["first"] for edge in edges]), stride)))
    made = [separable(y, kernels([edge["second"]])) for y, edge in zip(cut(between), edges)]
    return cut(standardize(jnp.concatenate(made, axis=-1)))


def _mixed(x: jax.Array, edges: Sequence[Params], mixes: Sequence[jax.Array], stride: int) -> list[jax.Array]:
    """All operations of the edges that leave a node, mixed."""
    made = [operate(name, [edge[name] for edge in edges], x, stride) for name in PRIMITIVES[1:]]
    total = lambda mix, parts: sum((w * y for w, y in zip(mix[1:], parts)), jnp.zeros(()))
    return [total(mix, parts) for mix, parts in zip(mixes, zip(*made))]


def _alone(x: jax.Array, edges: Sequence[Params], mixes: Sequence[jax.Array], stride: int) -> list[jax.Array]:
    """The same for one-hot mixes: only the chosen operation of each edge is computed. The edges are a loop, not one program
    each, because XLA takes minutes to compile a hundred of these choices."""

    def one(edge_and_mix: tuple[Params, jax.Array]) -> jax.Array:
        edge, mix = edge_and_mix
        branch = lambda name: jax.checkpoint(lambda x: operate(name, [edge[name]], x, stride)[0])
        chosen = jnp.argmax(mix)
        return mix[chosen] * jax.lax.switch(chosen, [branch(name) for name in PRIMITIVES], x)

    return list(jax.lax.map(one, jax.tree.map(lambda *parts: jnp.stack(parts), *zip(edges, mixes))))


def darts_supernet(
    classes: int,
    channels: int = 16,
    layers: int = 8,
    inputs: int = 3,
    nodes: int = 4,
    partial: int = 1,
    single_path: bool = False,
) -> SuperNet:
    """The SuperNet of DARTS; the paper searches with 16 channels and 8 cells and trains what it found with 36 and 20.

    Cells at a third and two thirds of the depth reduce: they halve the resolution and double the channels. Batch norm has
    no scale and shift and uses the statistics of the batch (transductive).

    Args:
        classes: outputs.
        channels: of the first cells' nodes; the stem has three times as many.
        layers: cells.
        inputs: channels of the images.
        nodes: intermediate nodes of a cell.
        partial: the operations see the first of every ``partial`` channels (PC-DARTS, Xu et al. 2020, arXiv:1907.05737);
            for searching alone.
        single_path: compute the strongest operation of each edge alone; exact on one-hot encodings.

    Raises:
        InputError: if channels is no multiple of partial, or layers is below 3.

    Example:
        >>> made = darts_supernet(10, channels=4, layers=3, nodes=1)
        >>> config = derive(made.space, made.space.relax(made.space.zeros()))
        >>> params = made.extract(made.network.init(jax.random.key(0)), config)
        >>> made.build(config).apply(params, jnp.ones((2, 8, 8, 3))).shape
        (2, 10)
    """
    if channels % partial or layers < 3:
        raise InputError(
            f"darts_supernet: channels={channels}, partial={partial}, layers={layers}; accepted are multiples and 3 or more"
        )
    space = darts_space(nodes)
    reductions = (layers // 3, 2 * layers // 3)
    widths = [channels * 2 ** sum(i >= r for r in reductions) for i in range(layers)]
    kinds = [CELLS[i in reductions] for i in range(layers)]

    def stride(kind: str, source: int) -> int:
        return 2 if kind == "reduce" and source < 2 else 1

    def fresh(key: Key, wanted: Callable[[str], Sequence[str]]) -> Params:
        stem, head, key = jax.random.split(key, 3)
        outs = [3 * channels, 3 * channels, *(nodes * w for w in widths)]  # of what comes before each cell
        cells = {}
        for i, (kind, width) in enumerate(zip(kinds, widths)):
            a, b, own = jax.random.split(jax.random.fold_in(key, i), 3)
            before, here = outs[i], outs[i + 1]
            halved = i > 0 and kinds[i - 1] == "reduce"
            pieces = {"even": width - width // 2, "odd": width // 2} if halved else {"kernel": width}
            keys = jax.random.split(a, len(pieces))
            made = {}
            for place, name in enumerate(cell_edges(kind, nodes)):
                source, edge_key = int(name.split("_")[1]), jax.random.fold_in(own, place)
                made[name] = {
                    op: weights(
                        op, width // partial, stride(kind, source), jax.random.fold_in(edge_key, PRIMITIVES.index(op))
                    )
                    for op in wanted(name)
                }
            cells[str(i)] = {
                "before": {n: normal(k, (1, 1, before, out), before) for k, (n, out) in zip(keys, pieces.items())},
                "here": {"kernel": normal(b, (1, 1, here, width), here)},
                "edges": made,
            }
        last = nodes * widths[-1]
        return {
            "stem": normal(stem, (3, 3, inputs, 3 * channels), 9 * inputs),
            "cells": cells,
            "head": {"kernel": normal(head, (last, classes), last), "bias": jnp.zeros(classes)},
        }

    def squeeze(x: jax.Array, part: Params) -> jax.Array:
        return half(x, **part) if "even" in part else standardize(convolution(jax.nn.relu(x), part["kernel"]))

    def pass_by(made: jax.Array, whole: jax.Array, step: int) -> jax.Array:
        if partial == 1:
            return made
        rest = whole[..., made.shape[-1] :]
        rest = rest if step == 1 else max_pool(rest)[:, ::2, ::2]
        joined = jnp.concatenate([made, rest], axis=-1)
        return joined.reshape(*joined.shape[:-1], partial, -1).swapaxes(-1, -2).reshape(joined.shape)

    def run(params: Params, x: jax.Array, leaving: Callable[..., list[jax.Array]]) -> jax.Array:
        before = here = standardize(convolution(x, params["stem"]))
        for i, kind in enumerate(kinds):
            cell = params["cells"][str(i)]
            states = [squeeze(before, cell["before"]), squeeze(here, cell["here"])]
            totals: list[Any] = [0.0] * (2 + nodes)
            for source in range(1 + nodes):
                if source > 1:
                    states.append(totals[source])
                step, whole = stride(kind, source), states[source]
                seen = whole[..., : whole.shape[-1] // partial]
                targets = range(max(2, source + 1), 2 + nodes)
                names = [f"{kind}_{source}_{j}" for j in targets]
                for j, made in zip(targets, leaving(names, [cell["edges"][n] for n in names], seen, step)):
                    totals[j] = totals[j] + pass_by(made, whole, step)
            before, here = here, jnp.concatenate([*states[2:], totals[-1]], axis=-1)
        return jnp.mean(here, axis=(1, 2)) @ params["head"]["kernel"] + params["head"]["bias"]

    def apply(params: Params, x: jax.Array, encoding: jax.Array) -> jax.Array:
        mix = _alone if single_path else _mixed
        return run(
            params, x, lambda names, edges, x, step: mix(x, edges, [encoding[space.slices[n]] for n in names], step)
        )

    def build(config: Mapping[str, Any]) -> Functional:
        space.configs([config])  # checks it

        def leaving(names, edges, x, step):
            return [operate(config[n], [edge[config[n]]], x, step)[0] for n, edge in zip(names, edges)]

        return Functional(
            lambda key: fresh(key, lambda name: [config[name]]), lambda params, x: run(params, x, leaving)
        )

    def extract(params: Params, config: Mapping[str, Any]) -> Params:
        space.configs([config])  # checks it
        pick = lambda edges: {n: {config[n]: edge[config[n]]} for n, edge in edges.items()}
        cells = {i: {**cell, "edges": pick(cell["edges"])} for i, cell in params["cells"].items()}
        return {**params, "cells": cells}

    return SuperNet(space, Functional(lambda key: fresh(key, lambda name: PRIMITIVES), apply), build, extract)
