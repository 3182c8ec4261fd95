"""An elastic transformer encoder: depth, width, and the heads and hidden units of every layer."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from metajax.nn import Functional, dense
from metajax.space import Categorical, Space
from metajax.supernet._model import SuperNet
from metajax.supernet.spaces._elastic import ascending, layered, masks, normal, share
from metajax.types import Key, Params


def elastic_transformer(
    inputs: int,
    tokens: int,
    outputs: int,
    depths: Sequence[int] = (2, 3, 4),
    widths: Sequence[int] = (32, 48, 64),
    heads: Sequence[int] = (1, 2, 4),
    ratios: Sequence[int] = (1, 2, 4),
    head_size: int = 16,
) -> SuperNet:
    """Pre-norm attention and feed-forward layers over a sequence, mean over tokens, linear. Weights are shared by slicing, as
    in AutoFormer (Chen et al. 2021, arXiv:2107.00651); normalization is by the root mean square, without scale.

    Args:
        inputs, tokens, outputs: features of a token, length of the sequence, classes.
        depths: layers, rising.
        widths: of the residual stream, rising.
        heads: of each layer's attention, rising.
        ratios: hidden units of each layer's feed-forward part per unit of width, rising.
        head_size: units of a head.

    Example:
        >>> elastic_transformer(8, 4, 3).space.size  # 3 widths, and 9 choices for each of 2 to 4 layers
        22113
    """
    depths, widths = ascending("depths", depths), ascending("widths", widths)
    heads, ratios = ascending("heads", heads), ascending("ratios", ratios)
    of_layer = lambda i: {f"heads_{i}": Categorical(heads), f"ratio_{i}": Categorical(ratios)}
    domains, conditions = layered("depth", depths, of_layer)
    space = Space({"width": Categorical(widths), **domains}, conditions)
    # hidden units of every width with every ratio
    hidden_masks = masks([width * ratio for width in widths for ratio in ratios])

    def fresh(key: Key, width: int, layers: Sequence[tuple[int, int]]) -> Params:
        enter, place, out, key = jax.random.split(key, 4)
        made = []
        for i, (number, hidden) in enumerate(layers):
            a, b, c, d = jax.random.split(jax.random.fold_in(key, i), 4)
            made.append(
                {
                    "qkv": normal(a, (3, width, number, head_size), 2 * width),
                    "join": normal(b, (number, head_size, width), 2 * number * head_size),
                    "up": normal(c, (width, hidden), width),
                    "down": normal(d, (hidden, width), 2 * hidden),
                }
            )
        return {
            "enter": normal(enter, (inputs, width), 2 * inputs),
            "place": 0.1 * jax.random.normal(place, (tokens, width)),
            "layers": made,
            "head": {"kernel": normal(out, (width, outputs), 2 * width), "bias": jnp.zeros(outputs)},
        }

    def norm(x: jax.Array, mask: jax.Array) -> jax.Array:
        square = jnp.sum(mask * x * x, axis=-1, keepdims=True) / jnp.sum(mask)
        return mask * x * jax.lax.rsqrt(square + 1e-6)

    def run(layer: Params, x: jax.Array, mask: jax.Array, some: jax.Array, units: jax.Array) -> jax.Array:
        q, k, v = jnp.einsum("ntd,cdhe->cnthe", norm(x, mask), layer["qkv"])
        scores = jax.nn.softmax(jnp.einsum("nthe,nshe->nhts", q, k) / head_size**0.5, axis=-1)
        seen = jnp.einsum("nhts,nshe->nthe", scores, v) * some[:, None]
        x = x + jnp.einsum("nthe,hed->ntd", seen, layer["join"])
        return x + dense(jax.nn.gelu(dense(norm(x, mask), layer["up"])) * units, layer["down"])

    def ends(params: Params, x: jax.Array, body: Callable[[jax.Array], jax.Array], mask: jax.Array) -> jax.Array:
        x = body(dense(x, params["enter"]) + params["place"])
        return jnp.mean(norm(x, mask), axis=1) @ params["head"]["kernel"] + params["head"]["bias"]

    def apply(params: Params, x: jax.Array, encoding: jax.Array) -> jax.Array:
        by_width, by_depth = share(encoding[space.slices["width"]]), encoding[space.slices["depth"]]
        mask = by_width @ masks(widths)

        def body(x: jax.Array) -> jax.Array:
            total = jnp.zeros_like(x)
            for i, layer in enumerate(params["layers"]):
                some = share(encoding[space.slices[f"heads_{i}"]]) @ masks(heads)
                ratio = share(encoding[space.slices[f"ratio_{i}"]])
                x = run(layer, x, mask, some, jnp.outer(by_width, ratio).reshape(-1) @ hidden_masks)
                if i + 1 in depths:
                    total = total + by_depth[depths.index(i + 1)] * x
            return total

        return ends(params, x, body, mask)

    def plan(config: Mapping[str, Any]) -> list[tuple[int, int]]:
        space.configs([config])  # checks it
        return [(config[f"heads_{i}"], config[f"ratio_{i}"] * config["width"]) for i in range(config["depth"])]

    def build(config: Mapping[str, Any]) -> Functional:
        made = plan(config)
        whole = jnp.ones(config["width"])

        def apply_alone(params: Params, x: jax.Array) -> jax.Array:
            def body(x: jax.Array) -> jax.Array:
                for layer, (number, hidden) in zip(params["layers"], made):
                    x = run(layer, x, whole, jnp.ones(number), jnp.ones(hidden))
                return x

            return ends(params, x, body, whole)

        return Functional(lambda key: fresh(key, config["width"], made), apply_alone)

    def extract(params: Params, config: Mapping[str, Any]) -> Params:
        width, layers = config["width"], []
        for layer, (number, hidden) in zip(params["layers"], plan(config)):
            layers.append(
                {
                    "qkv": layer["qkv"][:, :width, :number],
                    "join": layer["join"][:number, :, :width],
                    "up": layer["up"][:width, :hidden],
                    "down": layer["down"][:hidden, :width],
                }
            )
        head = {**params["head"], "kernel": params["head"]["kernel"][:width]}
        return {
            "enter": params["enter"][:, :width],
            "place": params["place"][:, :width],
            "layers": layers,
            "head": head,
        }

    largest = [(heads[-1], widths[-1] * ratios[-1])] * depths[-1]
    return SuperNet(space, Functional(lambda key: fresh(key, widths[-1], largest), apply), build, extract)
