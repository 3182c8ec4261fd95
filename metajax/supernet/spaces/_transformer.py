"""An elastic transformer encoder: depth, width, and the heads and hidden units of every layer."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from metajax.nn import Functional, dense
from metajax.space import Categorical, Space
from metajax.supernet._model import SuperNet
from metajax.supernet.spaces._shared import ascending, layered_domains, masks, normal, share
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
    """Returns pre-norm attention and feed-forward layers over a sequence, a mean over tokens, and a linear layer.

    Weights are shared by slicing. Normalization is by the root mean square, without scale.

    Args:
        inputs: The number of features of a token.
        tokens: The length of the sequence, in tokens.
        outputs: The number of classes.
        depths: The possible numbers of layers, positive and rising.
        widths: The possible widths of the residual stream, positive and rising.
        heads: The possible numbers of heads of each layer's attention, positive and rising.
        ratios: The possible numbers of hidden units of each layer's feed-forward part per unit of width, positive and rising.
        head_size: The number of units of a head.

    Returns:
        The SuperNet.

    Raises:
        InputError: If sizes do not rise.

    References:
        Chen et al. 2021, "AutoFormer: searching transformers for visual recognition", arXiv:2107.00651.

    Example:
        >>> elastic_transformer(8, 4, 3).space.size  # 3 widths, and 9 choices for each of 2 to 4 layers
        22113
    """
    depths, widths = ascending("depths", depths), ascending("widths", widths)
    heads, ratios = ascending("heads", heads), ascending("ratios", ratios)
    of_layer = lambda i: {f"heads_{i}": Categorical(heads), f"ratio_{i}": Categorical(ratios)}
    domains, conditions = layered_domains("depth", depths, of_layer)
    space = Space({"width": Categorical(widths), **domains}, conditions)
    net = _ElasticTransformer(space, inputs, tokens, outputs, depths, widths, heads, ratios, head_size)
    largest = [(heads[-1], widths[-1] * ratios[-1])] * depths[-1]
    return SuperNet(
        space, Functional(lambda key: net.init(key, widths[-1], largest), net.apply), net.build, net.extract
    )


@dataclasses.dataclass(frozen=True, eq=False)
class _ElasticTransformer:
    """Layers of the largest sizes, each of which may be the last."""

    space: Space
    inputs: int
    tokens: int
    outputs: int
    depths: tuple[int, ...]
    widths: tuple[int, ...]
    heads: tuple[int, ...]
    ratios: tuple[int, ...]
    head_size: int

    def init(self, key: Key, width: int, layers: Sequence[tuple[int, int]]) -> Params:
        """Returns initial weights for a width, and the heads and hidden units of every layer."""
        enter, position_key, out, key = jax.random.split(key, 4)
        weights = []
        for i, (number, hidden) in enumerate(layers):
            a, b, c, d = jax.random.split(jax.random.fold_in(key, i), 4)
            weights.append(
                {
                    "qkv": normal(a, (3, width, number, self.head_size), 2 * width),
                    "join": normal(b, (number, self.head_size, width), 2 * number * self.head_size),
                    "up": normal(c, (width, hidden), width),
                    "down": normal(d, (hidden, width), 2 * hidden),
                }
            )
        head = {"kernel": normal(out, (width, self.outputs), 2 * width), "bias": jnp.zeros(self.outputs)}
        return {
            "enter": normal(enter, (self.inputs, width), 2 * self.inputs),
            "place": 0.1 * jax.random.normal(position_key, (self.tokens, width)),
            "layers": weights,
            "head": head,
        }

    def run_layer(
        self, layer: Params, x: jax.Array, mask: jax.Array, by_head: jax.Array, units: jax.Array
    ) -> jax.Array:
        """Applies attention and a feed-forward part, of which heads and hidden units count with these weights."""
        q, k, v = jnp.einsum("ntd,cdhe->cnthe", _norm(x, mask), layer["qkv"])
        scores = jax.nn.softmax(jnp.einsum("nthe,nshe->nhts", q, k) / self.head_size**0.5, axis=-1)
        attended = jnp.einsum("nhts,nshe->nthe", scores, v) * by_head[:, None]
        x = x + jnp.einsum("nthe,hed->ntd", attended, layer["join"])
        return x + dense(jax.nn.gelu(dense(_norm(x, mask), layer["up"])) * units, layer["down"])

    def apply(self, params: Params, x: jax.Array, encoding: jax.Array) -> jax.Array:
        """Returns the logits of the SuperNet under an encoding."""
        slices = self.space.slices
        by_width, by_depth = share(encoding[slices["width"]]), encoding[slices["depth"]]
        mask = by_width @ masks(self.widths)
        # hidden units of every width with every ratio
        hidden_masks = masks([width * ratio for width in self.widths for ratio in self.ratios])

        def body(x: jax.Array) -> jax.Array:
            total = jnp.zeros_like(x)
            for i, layer in enumerate(params["layers"]):
                by_head = share(encoding[slices[f"heads_{i}"]]) @ masks(self.heads)
                ratio = share(encoding[slices[f"ratio_{i}"]])
                units = jnp.outer(by_width, ratio).reshape(-1) @ hidden_masks
                x = self.run_layer(layer, x, mask, by_head, units)
                if i + 1 in self.depths:
                    total = total + by_depth[self.depths.index(i + 1)] * x
            return total

        return _between_ends(params, x, body, mask)

    def plan(self, config: Mapping[str, Any]) -> list[tuple[int, int]]:
        """Returns the heads and the hidden units of every layer of a configuration."""
        self.space.configs([config])  # checks it
        return [(config[f"heads_{i}"], config[f"ratio_{i}"] * config["width"]) for i in range(config["depth"])]

    def build(self, config: Mapping[str, Any]) -> Functional:
        """Returns the stand-alone network of a configuration."""
        plan = self.plan(config)
        all_channels = jnp.ones(config["width"])

        def apply(params: Params, x: jax.Array) -> jax.Array:
            def body(x: jax.Array) -> jax.Array:
                for layer, (number, hidden) in zip(params["layers"], plan):
                    x = self.run_layer(layer, x, all_channels, jnp.ones(number), jnp.ones(hidden))
                return x

            return _between_ends(params, x, body, all_channels)

        return Functional(lambda key: self.init(key, config["width"], plan), apply)

    def extract(self, params: Params, config: Mapping[str, Any]) -> Params:
        """Returns the SuperNet's weights of a configuration."""
        width, layers = config["width"], []
        for layer, (number, hidden) in zip(params["layers"], self.plan(config)):
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


def _norm(x: jax.Array, mask: jax.Array) -> jax.Array:
    """Divides by the root mean square over the units of the mask."""
    square = jnp.sum(mask * x * x, axis=-1, keepdims=True) / jnp.sum(mask)
    return mask * x * jax.lax.rsqrt(square + 1e-6)


def _between_ends(params: Params, x: jax.Array, body: Callable[[jax.Array], jax.Array], mask: jax.Array) -> jax.Array:
    """Applies the embedding, the body and the head."""
    x = body(dense(x, params["enter"]) + params["place"])
    return jnp.mean(_norm(x, mask), axis=1) @ params["head"]["kernel"] + params["head"]["bias"]
