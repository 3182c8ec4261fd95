"""The model that a search of images ends with; what it says of an image depends on that image alone."""

import dataclasses
import functools
import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from metajax import supernet
from metajax.data._home import load_npz, save_npz
from metajax.run import write_json
from metajax.types import InputError

_FORMAT, CHANNELS, STAGES = 2, 16, 2


def network(classes: int, inputs: int, stride: int, single_path: bool = False) -> supernet.SuperNet:
    """The SuperNet of the image space: a stem of 16 channels, two stages of one cell of four nodes."""
    return supernet.spaces.cell_supernet(classes, CHANNELS, STAGES, 1, inputs, stride, 4, single_path)


class _Recording:
    """Batch norm by the batch that keeps its statistics, in the order in which the network asks for them."""

    def __init__(self):
        self.kept: list[tuple[jax.Array, jax.Array]] = []

    def __call__(self, x: jax.Array) -> jax.Array:
        axes = tuple(range(x.ndim - 1))
        self.kept.append((jnp.mean(x, axes), jnp.var(x, axes)))
        return _normalize(x, *self.kept[-1])


def _normalize(x: jax.Array, mean: jax.Array, variance: jax.Array) -> jax.Array:
    return (x - mean) * jax.lax.rsqrt(variance + 1e-5)


def record(made: supernet.SuperNet, config: dict[str, Any], params: Any, x: jax.Array) -> list[Any]:
    """The statistics of every batch norm of a network on these images."""

    def run(params, x):
        recording = _Recording()
        made.build(config).apply(params, x, recording)
        return recording.kept

    return jax.jit(run)(params, x)


def replay(made: supernet.SuperNet, config: dict[str, Any], params: Any, statistics: Any, x: jax.Array) -> jax.Array:
    """Logits with batch norm by statistics recorded before."""
    kept = iter(statistics)
    return made.build(config).apply(params, x, lambda z: _normalize(z, *next(kept)))


@dataclasses.dataclass(frozen=True)
class ImageModel:
    """Several trainings of cells; a prediction is the mean of their probabilities. Batch norm uses statistics of 512 training
    images, recorded once.

    Attributes:
        configs: of each member, as a plain dictionary.
        members: of each, the parameters of its stand-alone network and its statistics.
        classes: names of the labels.
        mean, deviation: of the training images' channels.
        stride: of the stem.
        temperatures: f[members]; a member's logits are divided by its own, which was fitted to held-out images.
    """

    configs: list[dict[str, Any]]
    members: list[tuple[Any, Any]]
    classes: list[str]
    mean: np.ndarray
    deviation: np.ndarray
    stride: int
    temperatures: np.ndarray

    @staticmethod
    def fit(
        configs: list[dict[str, Any]],
        params: list[Any],
        temperatures: np.ndarray,
        classes: list[str],
        mean: np.ndarray,
        deviation: np.ndarray,
        stride: int,
        x: jax.Array,
    ) -> "ImageModel":
        """From parameters of the SuperNet, one set for each configuration, and standardized images to take statistics of."""
        made = network(len(classes), len(mean), stride)
        members = []
        for config, whole in zip(configs, params):
            cell = _cell(made, config)
            own = made.extract(whole, cell)
            members.append((own, record(made, cell, own, x)))
        return ImageModel(configs, members, classes, mean, deviation, stride, temperatures)

    def predict_inputs(self, x: Any) -> np.ndarray:
        """f32[n, classes], probabilities of standardized images f32[n, height, width, channels]."""
        made = network(len(self.classes), len(self.mean), self.stride)
        total, x = np.zeros((len(x), len(self.classes)), np.float64), jnp.asarray(x)
        temperatures = np.asarray(self.temperatures, np.float32)
        for config, (params, statistics), temperature in zip(self.configs, self.members, temperatures):
            say = _compiled(len(self.classes), len(self.mean), self.stride, json.dumps(_cell(made, config)))
            parts = [np.asarray(say(params, statistics, temperature, x[i : i + 512])) for i in range(0, len(x), 512)]
            total += np.concatenate(parts)
        return (total / len(self.members)).astype(np.float32)

    def predict(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Labels and probabilities of images f32[n, height, width, channels] in [0, 1]."""
        if x.ndim != 4 or x.shape[3] != len(self.mean):
            raise InputError(f"images have shape {x.shape}; the model was trained with {len(self.mean)} channels")
        output = self.predict_inputs((x - self.mean) / self.deviation)
        return np.asarray(self.classes, dtype=object)[np.argmax(output, axis=1)], output

    def save(self, directory: Path) -> None:
        """Writes ``model.npz`` and ``model.json``."""
        arrays = {f"{i}/{j}": leaf for i, m in enumerate(self.members) for j, leaf in enumerate(jax.tree.leaves(m))}
        arrays |= {"mean": self.mean, "deviation": self.deviation, "temperatures": self.temperatures}
        save_npz(directory / "model.npz", True, **arrays)
        told = {"format": _FORMAT, "kind": "images", "configs": self.configs, "classes": self.classes}
        write_json(directory / "model.json", {**told, "stride": self.stride})

    @staticmethod
    def load(directory: Path, told: dict[str, Any]) -> "ImageModel":
        """Reads what ``save`` wrote, from ``model.json`` as it was parsed."""
        if told.get("format") != _FORMAT:
            raise InputError(f"{directory}: model of format {told.get('format')!r}, this version reads {_FORMAT}")
        first = load_npz(directory / "model.npz", ("mean", "deviation", "temperatures"))
        made = network(len(told["classes"]), len(first["mean"]), told["stride"])
        image = jax.ShapeDtypeStruct((4, 16, 16, len(first["mean"])), jnp.float32)
        members = []
        for i, config in enumerate(told["configs"]):
            cell = _cell(made, config)
            params = jax.eval_shape(made.build(cell).init, jax.random.key(0))
            like = params, jax.eval_shape(functools.partial(record, made, cell), params, image)
            leaves, tree = jax.tree.flatten(like)
            names = [f"{i}/{j}" for j in range(len(leaves))]
            arrays = load_npz(directory / "model.npz", tuple(names))
            if not all(np.isfinite(array).all() for array in arrays.values()):
                raise InputError(f"{directory / 'model.npz'}: damaged (member {i} holds values that are not finite)")
            members.append(tree.unflatten([jnp.asarray(arrays[name]) for name in names]))
        plain = told["configs"], members, told["classes"], first["mean"], first["deviation"], told["stride"]
        return ImageModel(*plain, first["temperatures"])


def _cell(made: supernet.SuperNet, config: dict[str, Any]) -> dict[str, Any]:
    return {name: config[name] for name in made.space.domains}


@functools.lru_cache(maxsize=64)
def _compiled(classes: int, inputs: int, stride: int, cell: str):
    made, config = network(classes, inputs, stride), json.loads(cell)
    return jax.jit(lambda params, kept, t, x: jax.nn.softmax(replay(made, config, params, kept, x) / t))
