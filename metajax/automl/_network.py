"""One network that is every model of the space: masked to a shape, so that a population is a few vmapped programs."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from metajax.automl._space import BATCHES, MAX_DEPTH, MAX_WIDTH


class Coded(NamedTuple):
    """A configuration as arrays, ready to be vmapped."""

    linear: jax.Array
    residual: jax.Array
    depth: jax.Array
    width: jax.Array
    activation: jax.Array
    norm: jax.Array
    dropout: jax.Array
    learning_rate: jax.Array
    weight_decay: jax.Array
    label_smoothing: jax.Array
    batch_size: jax.Array
    epochs: jax.Array
    features: jax.Array


SHAPES = ((32, MAX_DEPTH), (MAX_WIDTH, 2), (MAX_WIDTH, MAX_DEPTH))
"""Width and levels of the arrays that members are trained in, the cheapest first; each is a program of its own."""


@jax.jit
def code(configs: dict[str, Any], groups: jax.Array) -> Coded:
    """Struct of arrays of the space -> arrays of the network, all with a leading axis.

    Args:
        groups: i32[inputs], the feature of the space that each input column belongs to.
    """
    as_float = lambda name: jnp.asarray(configs[name]).astype(jnp.float32)
    chosen = jnp.asarray(configs["features"]) | (jnp.asarray(configs["selection"]) == 0)[:, None]
    smoothing = as_float("label_smoothing") if "label_smoothing" in configs else 0.0 * as_float("dropout")
    model = jnp.asarray(configs["model"])
    return Coded(
        (model == 0).astype(jnp.float32),
        (model == 2).astype(jnp.float32),
        jnp.asarray(configs["depth"]),
        jnp.asarray(configs["width"]),
        jnp.asarray(configs["activation"]),
        jnp.asarray(configs["norm"]),
        as_float("dropout"),
        as_float("learning_rate"),
        as_float("weight_decay"),
        smoothing,
        jnp.asarray(BATCHES)[jnp.asarray(configs["batch_size"])],
        jnp.asarray(configs["epochs"]),
        chosen[:, groups].astype(jnp.float32),
    )


def shapes(configs: dict[str, Any]) -> np.ndarray:
    """The first of ``SHAPES`` that each configuration fits in: i64[n]."""
    wide, deep = np.asarray(configs["width"]), np.asarray(configs["depth"])
    fits = np.stack([(wide <= w) & (deep <= d) for w, d in SHAPES]) | (np.asarray(configs["model"]) == 0)
    return np.argmax(fits, axis=0)


def init(coded: Coded, key: jax.Array, outputs: int) -> dict[str, jax.Array]:
    """He initialization for the units that are used, in the largest shape; what is unused never gets a gradient."""
    inputs = coded.features.shape[-1]
    used = jnp.maximum(jnp.sum(coded.features), 1.0)
    width = coded.width.astype(jnp.float32)
    sizes = [(inputs, MAX_WIDTH), (MAX_DEPTH - 1, MAX_WIDTH, MAX_WIDTH), (MAX_WIDTH, outputs)]
    ends = np.cumsum([math.prod(size) for size in sizes])
    # one draw for all: each would be compiled for itself
    parts = jnp.split(jax.random.normal(key, (int(ends[-1]),)), ends[:-1])
    first, hidden, head = (part.reshape(size) for part, size in zip(parts, sizes))
    return {
        "first": first * jnp.sqrt(2.0 / used),
        "hidden": hidden * jnp.sqrt(2.0 / width),
        "bias": jnp.zeros((MAX_DEPTH, MAX_WIDTH)),
        "scale": jnp.ones((MAX_DEPTH, MAX_WIDTH)),
        "head": head * jnp.sqrt(1.0 / width),
        "linear": jnp.zeros((inputs, outputs)),
        "offset": jnp.zeros(outputs),
    }


def cut(params: dict[str, Any], shape: tuple[int, int]) -> dict[str, Any]:
    """Parameters of the largest shape, in ``(width, levels)``; leading axes stay. Each hidden level is an array of its own:
    of a part of one, the gradient would be written into zeros as large as the whole."""
    width, levels = shape
    return {
        **params,
        "first": params["first"][..., :width],
        "hidden": tuple(params["hidden"][..., level, :width, :width] for level in range(levels - 1)),
        "bias": params["bias"][..., :levels, :width],
        "scale": params["scale"][..., :levels, :width],
        "head": params["head"][..., :width, :],
    }


def fill(params: dict[str, Any]) -> dict[str, np.ndarray]:
    """One member's parameters in the largest shape again, zero where it has no units."""
    params = {**params, "hidden": np.stack(params["hidden"])}
    inputs, outputs = params["linear"].shape
    full = {
        "first": (inputs, MAX_WIDTH),
        "hidden": (MAX_DEPTH - 1, MAX_WIDTH, MAX_WIDTH),
        "bias": (MAX_DEPTH, MAX_WIDTH),
        "scale": (MAX_DEPTH, MAX_WIDTH),
        "head": (MAX_WIDTH, outputs),
    }
    wider = lambda name, value: np.pad(value, [(0, n - m) for n, m in zip(full.get(name, value.shape), value.shape)])
    return {name: wider(name, np.asarray(value)) for name, value in params.items()}


def apply(coded: Coded, params: Any, x: jax.Array, key: jax.Array | None = None) -> jax.Array:
    """f32[n, inputs] -> f32[n, outputs] of one configuration, whose parameters have any shape that it fits in; a key turns
    dropout on."""
    levels, size = params["bias"].shape
    units = (jnp.arange(size) < coded.width).astype(jnp.float32)
    width = coded.width.astype(jnp.float32)
    keep = 1.0 - coded.dropout
    # one draw for all levels, in every shape the same
    drawn = None if key is None else _bytes(key, (MAX_DEPTH, len(x), MAX_WIDTH))

    def layer(z, level):
        z = _norm(z * units, coded.norm, width) * params["scale"][level] + params["bias"][level]
        h = _activate(z, coded.activation) * units
        if drawn is not None:
            kept = drawn[level, :, :size].astype(jnp.float32) < 256.0 * keep
            h = jnp.where(kept, h / keep, 0.0)
        return h

    h = layer(x @ (params["first"] * coded.features[:, None]), 0)
    for level in range(1, levels):
        new = layer(h @ params["hidden"][level - 1], level) + coded.residual * h
        h = jnp.where(level < coded.depth, new, h)
    network = h @ params["head"]
    linear = x @ (params["linear"] * coded.features[:, None])
    return jnp.where(coded.linear > 0, linear, network) + params["offset"]


def _bytes(key: jax.Array, shape: tuple[int, int, int]) -> jax.Array:
    """Random u8, four from each word; ``jax.random.bits`` draws a word for each."""
    words = jax.random.bits(key, (*shape[:2], shape[2] // 4), jnp.uint32)
    return jax.lax.bitcast_convert_type(words, jnp.uint8).reshape(shape)


def _norm(z: jax.Array, kind: jax.Array, width: jax.Array) -> jax.Array:
    """None, layer or root-mean-square normalization over the ``width`` units in use (the others are zero)."""
    mean = jnp.where(kind == 1, jnp.sum(z, -1, keepdims=True) / width, 0.0)
    square = jnp.sum(z * z, -1, keepdims=True) / width - mean**2
    return (z - mean) * jnp.where(kind == 0, 1.0, jax.lax.rsqrt(jnp.maximum(square, 0.0) + 1e-5))


def _activate(z: jax.Array, kind: jax.Array) -> jax.Array:
    """ReLU, GELU (its sigmoid form), SiLU or tanh; three of the four are a sigmoid of a multiple of the input."""
    slope = jnp.array([0.0, 1.702, 1.0, 2.0])[kind]
    gate = jax.nn.sigmoid(slope * z)
    return jnp.where(kind == 0, jnp.maximum(z, 0.0), jnp.where(kind == 3, 2.0 * gate - 1.0, z * gate))
