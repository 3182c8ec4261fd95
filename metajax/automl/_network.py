"""One network that is every network of the space.

A network embeds its inputs, scales each of them by a learned factor, and passes them through hidden levels, each a linear
layer, a normalization and an activation; the levels of a residual network have skip connections. With ``k`` members, all
members share the weights, and each has factors of its own before and after every linear layer, a bias and a head (TabM,
Gorishniy et al. 2024, arXiv:2410.24210). The learned factors of the inputs, the parametric activation, and learning rates
that follow the number of inputs of a layer are those of RealMLP (Holzmüller et al. 2024, arXiv:2407.04491).

Arrays have the shape of a ``Shape`` that the configuration fits into. What lies beyond its own sizes is zero and stays zero.
"""

import math
from typing import Any, NamedTuple, Self

import jax
import jax.numpy as jnp
import numpy as np

from metajax.automl import _encoding as encoding
from metajax.automl._class_weights import CHOICE
from metajax.automl._encoding import FREQUENCIES, Layout
from metajax.automl._space import ACTIVATIONS, BATCHES, EMBEDDINGS, MAX_UNITS, MEMBERS, NETWORKS, WIDTHS

BIAS_RATE, FRONT_SCALE_RATE, ADAPTER_RATE, FREQUENCY_RATE = 0.1, 6.0, 0.05, 0.1
"""Factors of the learning rate: of biases and activations, of the scale of each input, of a member's factors, and of the
frequencies of periodic embeddings."""
_KERNELS = ("first", "hidden", "head", "linear", "wave_kernel")


class Shape(NamedTuple):
    """The sizes that a program is compiled for.

    Attributes:
        raw: Whether raw columns are inputs.
        bins: Whether the bins of a piecewise-linear encoding are.
        periodic: Whether a periodic embedding is.
        members: Number of members that share the weights.
        levels: Number of hidden levels.
        width: Number of units of a level.
    """

    raw: bool
    bins: bool
    periodic: bool
    members: int
    levels: int
    width: int

    def join(self, other: Self) -> "Shape":
        """Returns the smallest shape that both fit into."""
        raw, bins, periodic, members, levels, width = map(max, self, other)
        return Shape(bool(raw), bool(bins), bool(periodic), members, levels, width)

    def inputs(self, layout: Layout) -> int:
        """Returns the number of inputs of the first linear layer."""
        return sum(layout.sizes(self.raw, self.bins, self.periodic))

    def multiplications(self, layout: Layout, outputs: int) -> int:
        """Returns the number of multiplications for one row."""
        n_inputs = self.inputs(layout)
        waves = self.periodic * len(layout.numeric) * FREQUENCIES * (2 * layout.periodic_outputs + 20)
        hidden = n_inputs * self.width + (self.levels - 1) * self.width**2 + self.width * outputs
        return waves + n_inputs * outputs + self.members * hidden


class NetworkConfig(NamedTuple):
    """A configuration as arrays, ready to be vmapped.

    Attributes:
        linear: 1 for a linear model, else 0.
        residual: 1 for a residual network, else 0.
        depth: Number of hidden levels.
        width: Number of hidden units.
        members: Number of members that share the weights.
        activation: Index of the activation in ``_space.ACTIVATIONS``.
        norm: Index of the normalization in ``_space.NORMS``.
        dropout: Probability that a hidden unit is dropped.
        learning_rate: Of AdamW, at its peak.
        schedule: Index of the schedule in ``_space.SCHEDULES``.
        weight_decay: Of AdamW, decoupled.
        label_smoothing: Probability that is spread over all classes.
        batch_size: Rows of an update.
        epochs: Epochs that the schedule spans.
        frequency_scale: Standard deviation of the initial frequencies of a periodic embedding.
        mask: f32[inputs], 1 for each raw column and bin that is used.
        periodic_mask: f32[m], 1 for each column whose periodic embedding is used.
        class_weight: How much more rare classes count in training, from 0 to 1.
    """

    linear: Any
    residual: Any
    depth: Any
    width: Any
    members: Any
    activation: Any
    norm: Any
    dropout: Any
    learning_rate: Any
    schedule: Any
    weight_decay: Any
    label_smoothing: Any
    batch_size: Any
    epochs: Any
    frequency_scale: Any
    mask: Any
    periodic_mask: Any
    class_weight: Any = 0.0


class Model(NamedTuple):
    """A trained network, ready to predict.

    Attributes:
        shape: Its own shape.
        config: Its configuration, without a leading axis.
        params: Its parameters.
        table: The constants of the encoding.
    """

    shape: Shape
    config: Any
    params: Any
    table: Any


def _widths(configs: dict[str, Any]) -> np.ndarray:
    """The number of units of each configuration, i64[n]."""
    members = np.asarray(MEMBERS)[np.asarray(configs["k"])]
    return np.minimum(np.asarray(WIDTHS)[np.asarray(configs["width"])], MAX_UNITS // members)


def own_shapes(configs: dict[str, Any], layout: Layout) -> list[Shape]:
    """Returns the smallest shape of each configuration."""
    column = lambda name, choices: np.asarray(choices)[np.asarray(configs[name])]
    embedding = column("embedding", EMBEDDINGS)
    is_piecewise = embedding == "piecewise"
    is_periodic = (embedding == "periodic") & (len(layout.numeric) > 0)
    is_linear = column("model", NETWORKS) == "linear"
    members, depth, width = (
        np.where(is_linear, smallest, values)
        for smallest, values in (
            (1, column("k", MEMBERS)),
            (1, np.asarray(configs["depth"])),
            (WIDTHS[0], _widths(configs)),
        )
    )
    rows = zip(~is_piecewise, is_piecewise, is_periodic, members, depth, width)
    return [Shape(*map(bool, row[:3]), *map(int, row[3:])) for row in rows]


def to_network_configs(configs: dict[str, Any], groups: np.ndarray, layout: Layout, shape: Shape) -> NetworkConfig:
    """Converts configurations of the space to the arrays of the network, all with a leading axis.

    Args:
        configs: Struct of arrays of the space.
        groups: i64[inputs], the feature of the space that each input column belongs to.
        layout: The layout of the encoded rows.
        shape: The shape that all of them are computed in.
    """
    as_float = lambda name: np.asarray(configs[name], np.float32)
    column = lambda name, choices: np.asarray(choices)[np.asarray(configs[name])]
    is_used = (np.asarray(configs["features"], bool) | (np.asarray(configs["selection"]) == 0)[:, None])[:, groups]
    embedding, model = column("embedding", EMBEDDINGS)[:, None], column("model", NETWORKS)
    masks = [is_used & (embedding != "piecewise")] if shape.raw else []
    masks += [np.repeat(is_used, layout.bins, axis=1) & (embedding == "piecewise")] if shape.bins else []
    numeric = layout.numeric if shape.periodic else np.zeros(0, int)
    return NetworkConfig(
        linear=(model == "linear").astype(np.float32),
        residual=(model == "resnet").astype(np.float32),
        depth=np.asarray(configs["depth"], np.int32),
        width=_widths(configs).astype(np.int32),
        members=np.where(model == "linear", 1, column("k", MEMBERS)).astype(np.int32),
        activation=np.asarray(configs["activation"], np.int32),
        norm=np.asarray(configs["norm"], np.int32),
        dropout=as_float("dropout"),
        learning_rate=as_float("learning_rate"),
        schedule=np.asarray(configs["schedule"], np.int32),
        weight_decay=as_float("weight_decay"),
        label_smoothing=as_float("label_smoothing") if "label_smoothing" in configs else 0.0 * as_float("dropout"),
        batch_size=column("batch_size", BATCHES).astype(np.int32),
        epochs=np.asarray(configs["epochs"], np.int32),
        frequency_scale=as_float("frequency_scale"),
        mask=np.concatenate(masks, axis=1).astype(np.float32),
        periodic_mask=(is_used[:, numeric] & (embedding == "periodic")).astype(np.float32),
        class_weight=as_float(CHOICE) if CHOICE in configs else 0.0 * as_float("dropout"),
    )


def rates(config: NetworkConfig, params: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns the factor of the learning rate and that of the weight decay for every array of parameters.

    The learning rate of a kernel is divided by the square root of the number of its inputs. For Adam this is the same as the
    parametrization of the neural tangent kernel: one learning rate suits all widths. Only kernels decay.
    """
    is_single = config.members == 1
    n_inputs = jnp.sum(config.mask)
    if "frequency" in params:
        n_inputs += params["wave_bias"].shape[-1] * jnp.sum(config.periodic_mask)
    input_rate = jax.lax.rsqrt(jnp.maximum(n_inputs, 1.0))
    hidden_rate = jax.lax.rsqrt(config.width.astype(jnp.float32))
    rate_by_name = {
        "scale": jnp.where(is_single, FRONT_SCALE_RATE, ADAPTER_RATE),
        "first": input_rate,
        "hidden": tuple(hidden_rate for _ in params["hidden"]),
        "adapter": jnp.where(is_single, 0.0, ADAPTER_RATE),
        "gain": ADAPTER_RATE,
        "bias": BIAS_RATE,
        "slope": BIAS_RATE,
        "head": hidden_rate,
        "offset": BIAS_RATE,
        "linear": input_rate,
        "frequency": FREQUENCY_RATE,
        "wave_kernel": 1 / math.sqrt(2 * FREQUENCIES),
        "wave_bias": BIAS_RATE,
    }
    decays = {name: jax.tree.map(lambda _, name=name: float(name in _KERNELS), rate_by_name[name]) for name in params}
    return {name: rate_by_name[name] for name in params}, decays


def apply(
    config: NetworkConfig, params: Any, table: encoding.Table, x: jax.Array, keep: tuple[Any, Any] | None = None
) -> jax.Array:
    """Returns the outputs f32[members, n, outputs] of one configuration for rows f32[n, inputs].

    Args:
        config: The configuration.
        params: Its parameters, in any shape that it fits into.
        table: The constants of the encoding.
        x: The rows.
        keep: Random bits u32[levels, members, n, width] and the rate at which units are kept, for dropout.
    """
    levels, members, size = params["gain"].shape
    n = x.shape[0]
    units = (jnp.arange(size) < config.width).astype(jnp.float32)
    inputs = encoding.encode(table, x) * config.mask
    if "frequency" in params:
        waves = encoding.periodic(params, x[:, table.numeric])
        mask = jnp.repeat(config.periodic_mask, params["wave_bias"].shape[0], total_repeat_length=waves.shape[1])
        inputs = jnp.concatenate([inputs, waves * mask], axis=1)

    def level(number, z):
        # Unused units take no part in a mean, so that they get no gradient.
        z = _normalize(z.reshape(members, n, size) * units, config)
        z = z * params["gain"][number][:, None] + params["bias"][number][:, None]
        h = _activate(z, config.activation, params["slope"][number]) * units
        if keep is not None:
            bits, keep_rate = keep
            is_kept = (bits[number] >> 8).astype(jnp.float32) < 2.0**24 * keep_rate
            h = jnp.where(is_kept, h / keep_rate, 0.0)
        return h

    scaled = inputs * params["scale"][:, None]
    h = level(0, scaled.reshape(members * n, -1) @ params["first"])
    for number in range(1, levels):
        adapted = (h * params["adapter"][number - 1][:, None]).reshape(members * n, size)
        next_h = level(number, adapted @ params["hidden"][number - 1]) + config.residual * h
        h = jnp.where(number < config.depth, next_h, h)
    linear = scaled[0] @ params["linear"]
    return jnp.where(config.linear > 0, linear, h @ params["head"]) + params["offset"][:, None]


def member_weights(config: NetworkConfig, members: int) -> jax.Array:
    """Returns the weights f32[members] of the mean over a model's own members."""
    is_own = jnp.arange(members) < config.members
    return is_own.astype(jnp.float32) / config.members.astype(jnp.float32)


def mean_output(config: NetworkConfig, outputs: jax.Array, classification: bool) -> jax.Array:
    """Returns the log of the members' mean probabilities, or their mean value, f32[n, outputs]."""
    weights = member_weights(config, len(outputs))
    if not classification:
        return jnp.einsum("k,kno->no", weights, outputs)
    return jax.nn.logsumexp(jax.nn.log_softmax(outputs), axis=0, b=weights[:, None, None])


def dropout_bits(seed: jax.Array, shape: Shape, rows: int) -> jax.Array:
    """Returns random u32[levels, members, rows, width], a hash of a seed u32 and of the position of each unit.

    A smaller shape has the same bits where both have some. The hash is the finalizer of MurmurHash3: XLA computes it where it
    is read, whereas a generator of JAX would be compiled for seconds and write its bits to memory.
    """
    position = jnp.uint32(0)
    sizes = (shape.levels, shape.members, rows, shape.width)
    for axis, (size, max_size) in enumerate(zip(sizes, (1, MEMBERS[-1], rows, WIDTHS[-1]))):
        counter = jnp.arange(size, dtype=jnp.uint32).reshape(-1, *[1] * (3 - axis))
        position = position * jnp.uint32(max_size) + counter
    bits = position * jnp.uint32(0x9E3779B1) + seed
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        bits = (bits ^ (bits >> shift)) * jnp.uint32(factor)
    return bits ^ (bits >> 16)


def _normalize(z: jax.Array, config: NetworkConfig) -> jax.Array:
    """No, layer or root-mean-square normalization over the units in use (the others are zero)."""
    kind, width = config.norm, config.width.astype(jnp.float32)
    mean = jnp.where(kind == 1, jnp.sum(z, -1, keepdims=True) / width, 0.0)
    square = jnp.sum(z * z, -1, keepdims=True) / width - mean**2
    return (z - mean) * jnp.where(kind == 0, 1.0, jax.lax.rsqrt(jnp.maximum(square, 0.0) + 1e-5))


def _activate(z: jax.Array, kind: jax.Array, slope: jax.Array) -> jax.Array:
    """ReLU, GELU (its sigmoid form), SiLU or tanh: three of the four are a sigmoid of a multiple of the input. The parametric
    one is SiLU, mixed with the identity by a learned weight for each unit, as RealMLP mixes its activation."""
    gate = jax.nn.sigmoid(jnp.array([0.0, 1.702, 1.0, 2.0, 1.0])[kind] * z)
    value = jnp.where(kind == 0, jnp.maximum(z, 0.0), jnp.where(kind == 3, 2.0 * gate - 1.0, z * gate))
    return jnp.where(kind == ACTIVATIONS.index("parametric"), z + slope * (value - z), value)
