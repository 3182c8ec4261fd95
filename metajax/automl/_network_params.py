"""The parameters of a network: initial ones, in the arrays of another shape, and as plain arrays to be saved."""

from typing import Any

import numpy as np

from metajax.automl import _encoding as encoding
from metajax.automl._encoding import FREQUENCIES, Layout
from metajax.automl._network import Model, NetworkConfig, Shape

_INITIAL_BIAS = 0.1  # The standard deviation of initial biases, which differ between members.


def init(config: NetworkConfig, rng: np.random.Generator, shape: Shape, layout: Layout, outputs: int) -> dict[str, Any]:
    """Returns initial parameters of one configuration in its own shape, f32.

    Weights have He's initialization (He et al. 2015). The factors of the inputs are ones or, of an ensemble, random signs,
    so that its members differ (Gorishniy et al. 2024). This runs on the host, where nothing is compiled for a shape.
    """
    inputs, levels, width, members = shape.inputs(layout), shape.levels, shape.width, shape.members
    n_used_inputs = float(config.mask.sum() + layout.periodic_outputs * config.periodic_mask.sum())
    normal = lambda scale, *size: (scale * rng.standard_normal(size)).astype(np.float32)
    ones, zeros = (lambda *size: np.ones(size, np.float32)), (lambda *size: np.zeros(size, np.float32))
    spread = members > 1
    params = {
        "scale": np.where(rng.random((members, inputs)) < 0.5 * spread, -1.0, 1.0).astype(np.float32),
        "first": normal(np.sqrt(2.0 / max(n_used_inputs, 1.0)), inputs, width),
        "hidden": tuple(normal(np.sqrt(2.0 / width), width, width) for _ in range(levels - 1)),
        "adapter": ones(levels - 1, members, width),
        "gain": ones(levels, members, width),
        "bias": normal(_INITIAL_BIAS, levels, members, width),
        "slope": ones(levels, width),
        "head": normal(np.sqrt(1.0 / width), members, width, outputs),
        "offset": zeros(members, outputs),
        "linear": zeros(inputs, outputs),
    }
    if shape.periodic:
        params["frequency"] = normal(float(config.frequency_scale), len(layout.numeric), FREQUENCIES)
        params["wave_kernel"] = normal(np.sqrt(1.0 / FREQUENCIES), 2 * FREQUENCIES, layout.periodic_outputs)
        params["wave_bias"] = zeros(layout.periodic_outputs)
    return params


def _own_inputs(own_shape: Shape, shape: Shape, layout: Layout) -> np.ndarray:
    """The inputs of ``shape`` that are inputs of a smaller shape, i64[n]."""
    sizes = layout.sizes(shape.raw, shape.bins, shape.periodic)
    starts = np.cumsum([0, *sizes])
    parts = zip(starts, sizes, (own_shape.raw, own_shape.bins, own_shape.periodic))
    return np.concatenate([start + np.arange(size * is_own) for start, size, is_own in parts])


def pad(params: dict[str, Any], own_shape: Shape, shape: Shape, layout: Layout) -> dict[str, Any]:
    """Pads the parameters of one model from its own shape to that of a program, with zeros where it has no units."""
    inputs, index = shape.inputs(layout), _own_inputs(own_shape, shape, layout)
    padded = {}
    for name, size in _sizes(params, shape).items():
        array = params[name]
        if name in ("scale", "first", "linear"):
            axis = int(name == "scale")
            expanded = np.zeros((*array.shape[:axis], inputs, *array.shape[axis + 1 :]), np.float32)
            expanded[(slice(None), index) if axis else index] = array
            array, size = expanded, (size[0], inputs) if axis else (inputs, size[1])
        padded[name] = np.pad(array, [(0, large - small) for large, small in zip(size, array.shape)])
    w = shape.width - own_shape.width
    hidden = [np.pad(kernel, [(0, w), (0, w)]) for kernel in params["hidden"]]
    empty = np.zeros((shape.width, shape.width), np.float32)
    padded["hidden"] = tuple(hidden + [empty] * (shape.levels - own_shape.levels))
    if shape.periodic:
        m, outputs = len(layout.numeric), layout.periodic_outputs
        sizes = {"frequency": (m, FREQUENCIES), "wave_kernel": (2 * FREQUENCIES, outputs), "wave_bias": (outputs,)}
        padded |= {name: params.get(name, np.zeros(size, np.float32)) for name, size in sizes.items()}
    return padded


def _sizes(params: dict[str, Any], shape: Shape) -> dict[str, tuple[int, ...]]:
    """The sizes of arrays in a shape, except for the number of inputs, which is that of ``params``."""
    inputs, outputs = params["linear"].shape
    return {
        "scale": (shape.members, inputs),
        "first": (inputs, shape.width),
        "adapter": (shape.levels - 1, shape.members, shape.width),
        "gain": (shape.levels, shape.members, shape.width),
        "bias": (shape.levels, shape.members, shape.width),
        "slope": (shape.levels, shape.width),
        "head": (shape.members, shape.width, outputs),
        "offset": (shape.members, outputs),
        "linear": (inputs, outputs),
    }


def crop(params: dict[str, Any], own_shape: Shape, shape: Shape, layout: Layout) -> dict[str, Any]:
    """Crops the parameters of one model from the shape of a program to its own: the inverse of ``pad``."""
    index, arrays = _own_inputs(own_shape, shape, layout), dict(params)
    arrays |= {"scale": params["scale"][:, index], "first": params["first"][index], "linear": params["linear"][index]}
    cropped: dict[str, Any] = {
        name: np.ascontiguousarray(arrays[name][tuple(map(slice, size))])
        for name, size in _sizes(arrays, own_shape).items()
    }
    cropped["hidden"] = tuple(
        kernel[: own_shape.width, : own_shape.width] for kernel in params["hidden"][: own_shape.levels - 1]
    )
    names = ("frequency", "wave_kernel", "wave_bias") if own_shape.periodic else ()
    return cropped | {name: params[name] for name in names}


def to_arrays(model: Model) -> dict[str, np.ndarray]:
    """Returns everything that a model holds as arrays by name."""
    parts = {"config": model.config._asdict(), "table": model.table._asdict()}
    params = {**model.params, **{f"hidden{i}": kernel for i, kernel in enumerate(model.params["hidden"])}}
    del params["hidden"]
    values_by_name = {
        f"{part}/{name}": value
        for part, fields in (parts | {"params": params}).items()
        for name, value in fields.items()
    }
    return {"shape": np.asarray(model.shape, np.int64)} | {
        name: np.asarray(value) for name, value in values_by_name.items()
    }


def from_arrays(arrays: dict[str, np.ndarray]) -> Model:
    """Returns the model that ``to_arrays`` was given."""
    fields = lambda part: {name.split("/")[1]: a for name, a in arrays.items() if name.startswith(f"{part}/")}
    sizes = arrays["shape"].tolist()
    shape = Shape(*map(bool, sizes[:3]), *sizes[3:])
    params: dict[str, Any] = dict(fields("params"))
    params["hidden"] = tuple(params.pop(f"hidden{i}") for i in range(shape.levels - 1))
    return Model(shape, NetworkConfig(**fields("config")), params, encoding.Table(**fields("table")))
