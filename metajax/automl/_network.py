"""One network that is every model of the space.

Each configuration is the largest network with masks: of features, of units, of levels. So a population of different
configurations trains as a few vmapped programs.
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from metajax.automl._space import BATCHES, MAX_DEPTH, MAX_WIDTH


class NetworkConfig(NamedTuple):
    """A configuration as arrays, ready to be vmapped.

    Attributes:
        linear: 1 for a linear model, else 0.
        residual: 1 for a residual network, else 0.
        depth: Number of hidden levels.
        width: Number of hidden units.
        activation: Index of the activation in ``_space.ACTIVATIONS``.
        norm: Index of the normalization in ``_space.NORMS``.
        dropout: Probability that a hidden unit is dropped.
        learning_rate: Of AdamW, at its peak.
        weight_decay: Of AdamW, decoupled.
        label_smoothing: Probability that is spread over all classes.
        batch_size: Rows of an update.
        epochs: Passes over the rows.
        features: f32[inputs], 1 for each input column that is used.
    """

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
"""Width and number of levels of the arrays that models are trained in, the cheapest first. Each is a compiled program."""


@jax.jit
def to_network_configs(configs: dict[str, Any], groups: jax.Array) -> NetworkConfig:
    """Converts configurations of the space to the arrays of the network, all with a leading axis.

    Args:
        configs: Struct of arrays of the space.
        groups: i32[inputs], the feature of the space that each input column belongs to.
    """
    as_float = lambda name: jnp.asarray(configs[name]).astype(jnp.float32)
    is_used = jnp.asarray(configs["features"]) | (jnp.asarray(configs["selection"]) == 0)[:, None]
    smoothing = as_float("label_smoothing") if "label_smoothing" in configs else 0.0 * as_float("dropout")
    model = jnp.asarray(configs["model"])
    return NetworkConfig(
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
        is_used[:, groups].astype(jnp.float32),
    )


def shapes(configs: dict[str, Any]) -> np.ndarray:
    """Returns the index i64[n] of the first of ``SHAPES`` that each configuration fits into."""
    widths, depths = np.asarray(configs["width"]), np.asarray(configs["depth"])
    fits = np.stack([(widths <= width) & (depths <= depth) for width, depth in SHAPES]) | (
        np.asarray(configs["model"]) == 0
    )
    return np.argmax(fits, axis=0)


def init(config: NetworkConfig, key: jax.Array, outputs: int) -> dict[str, jax.Array]:
    """Returns initial parameters of one configuration, in the largest shape.

    The units that are used have He's initialization (He et al. 2015); those that are unused never get a gradient.
    """
    inputs = config.features.shape[-1]
    n_used = jnp.maximum(jnp.sum(config.features), 1.0)
    width = config.width.astype(jnp.float32)
    sizes = [(inputs, MAX_WIDTH), (MAX_DEPTH - 1, MAX_WIDTH, MAX_WIDTH), (MAX_WIDTH, outputs)]
    ends = np.cumsum([math.prod(size) for size in sizes])
    # One draw for all arrays: JAX would compile each draw on its own.
    parts = jnp.split(jax.random.normal(key, (int(ends[-1]),)), ends[:-1])
    first, hidden, head = (part.reshape(size) for part, size in zip(parts, sizes))
    return {
        "first": first * jnp.sqrt(2.0 / n_used),
        "hidden": hidden * jnp.sqrt(2.0 / width),
        "bias": jnp.zeros((MAX_DEPTH, MAX_WIDTH)),
        "scale": jnp.ones((MAX_DEPTH, MAX_WIDTH)),
        "head": head * jnp.sqrt(1.0 / width),
        "linear": jnp.zeros((inputs, outputs)),
        "offset": jnp.zeros(outputs),
    }


def crop(params: dict[str, Any], shape: tuple[int, int]) -> dict[str, Any]:
    """Crops parameters of the largest shape to ``(width, levels)``; leading axes stay.

    Each hidden level becomes an array of its own: the gradient of a slice would be written into zeros as large as the whole
    array.
    """
    width, levels = shape
    return {
        **params,
        "first": params["first"][..., :width],
        "hidden": tuple(params["hidden"][..., level, :width, :width] for level in range(levels - 1)),
        "bias": params["bias"][..., :levels, :width],
        "scale": params["scale"][..., :levels, :width],
        "head": params["head"][..., :width, :],
    }


def pad(params: dict[str, Any]) -> dict[str, np.ndarray]:
    """Pads the parameters of one model to the largest shape again, with zeros where it has no units."""
    params = {**params, "hidden": np.stack(params["hidden"])}
    inputs, outputs = params["linear"].shape
    full = {
        "first": (inputs, MAX_WIDTH),
        "hidden": (MAX_DEPTH - 1, MAX_WIDTH, MAX_WIDTH),
        "bias": (MAX_DEPTH, MAX_WIDTH),
        "scale": (MAX_DEPTH, MAX_WIDTH),
        "head": (MAX_WIDTH, outputs),
    }
    widths = lambda name, shape: [(0, larger - size) for larger, size in zip(full.get(name, shape), shape)]
    arrays = {name: np.asarray(value) for name, value in params.items()}
    return {name: np.pad(array, widths(name, array.shape)) for name, array in arrays.items()}


def apply(config: NetworkConfig, params: Any, x: jax.Array, key: jax.Array | None = None) -> jax.Array:
    """Returns the outputs f32[n, outputs] of one configuration for f32[n, inputs].

    Args:
        config: The configuration.
        params: Its parameters, in any shape that it fits into.
        x: The rows.
        key: Random key of dropout; without it nothing is dropped.
    """
    levels, size = params["bias"].shape
    units = (jnp.arange(size) < config.width).astype(jnp.float32)
    width = config.width.astype(jnp.float32)
    keep_rate = 1.0 - config.dropout
    # One draw for all levels, the same in every shape.
    random_bytes = None if key is None else _random_bytes(key, (MAX_DEPTH, len(x), MAX_WIDTH))

    def layer(z, level):
        z = _normalize(z * units, config.norm, width) * params["scale"][level] + params["bias"][level]
        h = _activate(z, config.activation) * units
        if random_bytes is not None:
            is_kept = random_bytes[level, :, :size].astype(jnp.float32) < 256.0 * keep_rate
            h = jnp.where(is_kept, h / keep_rate, 0.0)
        return h

    h = layer(x @ (params["first"] * config.features[:, None]), 0)
    for level in range(1, levels):
        new = layer(h @ params["hidden"][level - 1], level) + config.residual * h
        h = jnp.where(level < config.depth, new, h)
    network = h @ params["head"]
    linear = x @ (params["linear"] * config.features[:, None])
    return jnp.where(config.linear > 0, linear, network) + params["offset"]


def _random_bytes(key: jax.Array, shape: tuple[int, int, int]) -> jax.Array:
    """Random u8, four from each word; ``jax.random.bits`` would draw a word for each."""
    words = jax.random.bits(key, (*shape[:2], shape[2] // 4), jnp.uint32)
    return jax.lax.bitcast_convert_type(words, jnp.uint8).reshape(shape)


def _normalize(z: jax.Array, kind: jax.Array, width: jax.Array) -> jax.Array:
    """No, layer or root-mean-square normalization over the ``width`` units in use (the others are zero)."""
    mean = jnp.where(kind == 1, jnp.sum(z, -1, keepdims=True) / width, 0.0)
    square = jnp.sum(z * z, -1, keepdims=True) / width - mean**2
    return (z - mean) * jnp.where(kind == 0, 1.0, jax.lax.rsqrt(jnp.maximum(square, 0.0) + 1e-5))


def _activate(z: jax.Array, kind: jax.Array) -> jax.Array:
    """ReLU, GELU (its sigmoid form), SiLU or tanh; three of the four are a sigmoid of a multiple of the input."""
    slope = jnp.array([0.0, 1.702, 1.0, 2.0])[kind]
    gate = jax.nn.sigmoid(slope * z)
    return jnp.where(kind == 0, jnp.maximum(z, 0.0), jnp.where(kind == 3, 2.0 * gate - 1.0, z * gate))
