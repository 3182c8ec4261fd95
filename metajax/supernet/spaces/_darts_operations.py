"""The eight operations of the space of DARTS, on several edges at once."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from metajax.nn import convolution, separable, standardize
from metajax.supernet.spaces._cell import average_pool
from metajax.supernet.spaces._darts import PRIMITIVES
from metajax.supernet.spaces._shared import normal
from metajax.types import Key, Params


def max_pool(x: jax.Array) -> jax.Array:
    """Returns the largest of each 3 x 3 window, stride 1, over what lies inside the image; two separable passes."""
    for axis in (1, 2):
        n = x.shape[axis]
        after = jax.lax.slice_in_dim(x, 1, n, axis=axis)
        before = jax.lax.slice_in_dim(x, 0, n - 1, axis=axis)
        first, last = (jax.lax.slice_in_dim(x, at, at + 1, axis=axis) for at in (0, n - 1))
        left, right = (jnp.concatenate(pair, axis=axis) for pair in ((first, before), (after, last)))
        x = jnp.maximum(jnp.maximum(left, x), right)
    return x


def half(x: jax.Array, even: jax.Array, odd: jax.Array) -> jax.Array:
    """Halves the resolution without a mean: a 1 x 1 convolution of the even pixels beside one of the odd."""
    x = jax.nn.relu(x)
    shifted = jnp.pad(x[:, 1:, 1:], ((0, 0), (0, 1), (0, 1), (0, 0)))
    return standardize(jnp.concatenate([convolution(x, even, 2), convolution(shifted, odd, 2)], axis=-1))


def initial_weights(name: str, channels: int, stride: int, key: Key) -> Params:
    """Returns the initial weights of an operation."""
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
    pair = lambda a, b: {"depth": normal(a, (size, size, channels), size * size), "point": point(b, channels)}
    return pair(*keys[:2]) if name.startswith("dil") else {"first": pair(*keys[:2]), "second": pair(*keys[2:])}


def operate(name: str, edges: Sequence[Params], x: jax.Array, stride: int) -> list[jax.Array]:
    """Applies one of ``PRIMITIVES`` on edges that leave one node, given the weights of each.

    It maps f32[n, h, w, c] to f32[n, h / stride, w / stride, c] for each edge; stride is 1, or 2 from the inputs of a
    reduction cell.
    """
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
    outputs = [separable(y, kernels([edge["second"]])) for y, edge in zip(cut(between), edges)]
    return cut(standardize(jnp.concatenate(outputs, axis=-1)))


def mixed(x: jax.Array, edges: Sequence[Params], mixes: Sequence[jax.Array], stride: int) -> list[jax.Array]:
    """Returns the mixture of all operations for each of the edges that leave a node."""
    outputs = [operate(name, [edge[name] for edge in edges], x, stride) for name in PRIMITIVES[1:]]
    total = lambda mix, parts: sum((w * y for w, y in zip(mix[1:], parts)), jnp.zeros(()))
    return [total(mix, parts) for mix, parts in zip(mixes, zip(*outputs))]


def single(x: jax.Array, edges: Sequence[Params], mixes: Sequence[jax.Array], stride: int) -> list[jax.Array]:
    """Returns the same for one-hot mixes: only the chosen operation of each edge is computed.

    The edges are a loop, not one program each, because XLA takes minutes to compile a hundred of these choices.
    """

    def run_edge(edge_and_mix: tuple[Params, jax.Array]) -> jax.Array:
        edge, mix = edge_and_mix
        branch = lambda name: jax.checkpoint(lambda x: operate(name, [edge[name]], x, stride)[0])
        chosen = jnp.argmax(mix)
        return mix[chosen] * jax.lax.switch(chosen, [branch(name) for name in PRIMITIVES], x)

    return list(jax.lax.map(run_edge, jax.tree.map(lambda *parts: jnp.stack(parts), *zip(edges, mixes))))
