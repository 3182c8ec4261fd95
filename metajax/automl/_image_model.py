"""The model that a search of images ends with; its prediction for an image depends on that image alone."""

import dataclasses
import functools
import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from metajax import supernet
from metajax.automl import _export as export
from metajax.automl import _export_card as export_card
from metajax.automl import _export_program as export_program
from metajax.automl._ensemble import member_weights
from metajax.automl._metrics import labels
from metajax.data._home import load_npz, save_npz
from metajax.run import write_json
from metajax.types import InputError

_FORMAT, CHANNELS, STAGES = 3, 16, 2


def network(classes: int, inputs: int, stride: int, single_path: bool = False) -> supernet.SuperNet:
    """Returns the SuperNet of the image space: a stem of 16 channels, two stages of one cell of four nodes."""
    return supernet.spaces.cell_supernet(classes, CHANNELS, STAGES, 1, inputs, stride, 4, single_path)


class _Recording:
    """Batch norm by the batch that records its statistics, in the order in which the network asks for them."""

    def __init__(self):
        self.statistics: list[tuple[jax.Array, jax.Array]] = []

    def __call__(self, x: jax.Array) -> jax.Array:
        axes = tuple(range(x.ndim - 1))
        self.statistics.append((jnp.mean(x, axes), jnp.var(x, axes)))
        return _normalize(x, *self.statistics[-1])


def _normalize(x: jax.Array, mean: jax.Array, variance: jax.Array) -> jax.Array:
    """Applies batch norm by these statistics."""
    return (x - mean) * jax.lax.rsqrt(variance + 1e-5)


def record(net: supernet.SuperNet, config: dict[str, Any], params: Any, x: jax.Array) -> list[Any]:
    """Returns the statistics of every batch norm of a network on these images."""

    def run(params, x):
        recording = _Recording()
        net.build(config).apply(params, x, recording)
        return recording.statistics

    return jax.jit(run)(params, x)


def replay(net: supernet.SuperNet, config: dict[str, Any], params: Any, statistics: Any, x: jax.Array) -> jax.Array:
    """Returns logits, with batch norm by statistics that were recorded before."""
    recorded = iter(statistics)
    return net.build(config).apply(params, x, lambda z: _normalize(z, *next(recorded)))


@dataclasses.dataclass(frozen=True)
class ImageModel:
    """Several trainings of cells; a prediction is the mean of their probabilities.

    Batch norm uses statistics of 512 training images, recorded once.

    Attributes:
        configs: The configuration of each member, a plain dictionary.
        members: The parameters of each member's stand-alone network, and its statistics.
        classes: Names of the labels.
        mean: Mean of the training images' channels, f32[channels].
        deviation: Their standard deviation, f32[channels].
        stride: Stride of the stem.
        temperatures: f[members]; a member's logits are divided by its own, which was fitted to held-out images.
        weights: f[members], which sum to 1; by default all are equal.
        threshold: The probability from which an image is labeled as the second of two classes.
    """

    configs: list[dict[str, Any]]
    members: list[tuple[Any, Any]]
    classes: list[str]
    mean: np.ndarray
    deviation: np.ndarray
    stride: int
    temperatures: np.ndarray
    weights: np.ndarray | None = None
    threshold: float = 0.5

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
        weights: np.ndarray | None = None,
    ) -> "ImageModel":
        """Makes the model from parameters of the SuperNet, one set for each configuration.

        Statistics are taken of ``x``, standardized images.
        """
        net = network(len(classes), len(mean), stride)
        members = []
        for config, supernet_params in zip(configs, params):
            cell = _cell(net, config)
            cell_params = net.extract(supernet_params, cell)
            members.append((cell_params, record(net, cell, cell_params, x)))
        return ImageModel(configs, members, classes, mean, deviation, stride, temperatures, weights)

    def predict_inputs(self, x: Any) -> np.ndarray:
        """Returns probabilities f32[n, classes] of standardized images f32[n, height, width, channels]."""
        net = network(len(self.classes), len(self.mean), self.stride)
        total, x = np.zeros((len(x), len(self.classes)), np.float64), jnp.asarray(x)
        temperatures = np.asarray(self.temperatures, np.float32)
        for config, (params, statistics), temperature, weight in zip(
            self.configs, self.members, temperatures, self.member_weights
        ):
            predict = _compiled(len(self.classes), len(self.mean), self.stride, json.dumps(_cell(net, config)))
            parts = [
                np.asarray(predict(params, statistics, temperature, x[i : i + 512])) for i in range(0, len(x), 512)
            ]
            total += weight * np.concatenate(parts)
        return total.astype(np.float32)

    @property
    def member_weights(self) -> np.ndarray:
        """The weights f64[members] of the mean, which sum to 1."""
        return member_weights(self.weights, len(self.members))

    def predict(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns labels and probabilities of images f32[n, height, width, channels] in [0, 1]."""
        if x.ndim != 4 or x.shape[3] != len(self.mean):
            raise InputError(f"predict: images must have the shape [n, height, width, {len(self.mean)}], got {x.shape}")
        output = self.predict_inputs((x - self.mean) / self.deviation)
        return np.asarray(self.classes, dtype=object)[labels(output, self.threshold)], output

    def save(self, directory: Path) -> None:
        """Writes ``model.npz`` and ``model.json``."""
        arrays = {f"{i}/{j}": leaf for i, m in enumerate(self.members) for j, leaf in enumerate(jax.tree.leaves(m))}
        arrays |= {"mean": self.mean, "deviation": self.deviation, "temperatures": self.temperatures}
        arrays["weights"] = self.member_weights
        save_npz(directory / "model.npz", True, **arrays)
        header = {"format": _FORMAT, "kind": "images", "configs": self.configs, "classes": self.classes}
        write_json(directory / "model.json", {**header, "stride": self.stride, "threshold": self.threshold})

    def export(self, path: Path | str, run: Path | str | None = None, shape: tuple[int, ...] | None = None) -> None:
        """Writes a folder that predicts without metajax, as ``FittedModel.export`` does.

        Args:
            path: The folder, which must be new or empty.
            run: The run directory of the search, whose data, scores and settings the model card quotes.
            shape: Height, width and channels of an image; by default those of the run.

        Raises:
            InputError: If the folder holds files, flatbuffers is not installed, or the shape is not known.
        """
        export.check_folder(path)
        shape = export_card.image_shape(run) if shape is None else shape
        program = export_program.serialize(self._predict_jax, shape)
        features = f"images of {' x '.join(map(str, shape))} (height x width x channels)"
        facts = export_card.ModelFacts(
            "images", self.configs, self.member_weights, self.classes, "the label", features, len(program)
        )
        files = {
            export.PROGRAM: program,
            export.ENCODER: export.image_json(self.classes, self.threshold),
            export.LOADER: export.loader("_exported_image_loader"),
            export.CARD: export_card.card(facts, run),
        }
        export.write_folder(path, files)

    def _predict_jax(self, x: jax.Array) -> jax.Array:
        """Probabilities f32[n, classes] of images f32[n, height, width, channels] in [0, 1], in operations of JAX."""
        with jax.enable_x64(False):
            net = network(len(self.classes), len(self.mean), self.stride)
            standardized = (x - np.asarray(self.mean, np.float32)) / np.asarray(self.deviation, np.float32)
            total = jnp.zeros((x.shape[0], len(self.classes)), jnp.float32)
            terms = zip(self.configs, self.members, self.temperatures.tolist(), self.member_weights.tolist())
            for config, (params, statistics), temperature, weight in terms:
                logits = replay(net, _cell(net, config), params, statistics, standardized)
                total = total + weight * jax.nn.softmax(logits / temperature)
        return total

    @staticmethod
    def load(directory: Path, header: dict[str, Any]) -> "ImageModel":
        """Reads what ``save`` wrote; ``header`` is the parsed ``model.json``."""
        if header.get("format") != _FORMAT:
            raise InputError(f"{directory}: has the format {header.get('format')!r}, but this version reads {_FORMAT}")
        shared = load_npz(directory / "model.npz", ("mean", "deviation", "temperatures", "weights"))
        net = network(len(header["classes"]), len(shared["mean"]), header["stride"])
        image = jax.ShapeDtypeStruct((4, 16, 16, len(shared["mean"])), jnp.float32)
        members = []
        for i, config in enumerate(header["configs"]):
            cell = _cell(net, config)
            params = jax.eval_shape(net.build(cell).init, jax.random.key(0))
            template = params, jax.eval_shape(functools.partial(record, net, cell), params, image)
            leaves, tree = jax.tree.flatten(template)
            names = [f"{i}/{j}" for j in range(len(leaves))]
            arrays = load_npz(directory / "model.npz", tuple(names))
            if not all(np.isfinite(array).all() for array in arrays.values()):
                raise InputError(f"{directory / 'model.npz'}: is damaged (member {i} holds values that are not finite)")
            members.append(tree.unflatten([jnp.asarray(arrays[name]) for name in names]))
        fields = header["configs"], members, header["classes"], shared["mean"], shared["deviation"], header["stride"]
        return ImageModel(*fields, shared["temperatures"], shared["weights"], header["threshold"])


def _cell(net: supernet.SuperNet, config: dict[str, Any]) -> dict[str, Any]:
    """Returns the choices of the cell alone."""
    return {name: config[name] for name in net.space.domains}


@functools.lru_cache(maxsize=64)
def _compiled(classes: int, inputs: int, stride: int, cell: str):
    """Returns the compiled probabilities of a cell."""
    net, config = network(classes, inputs, stride), json.loads(cell)
    return jax.jit(lambda params, statistics, t, x: jax.nn.softmax(replay(net, config, params, statistics, x) / t))
