"""The model that a search of a table ends with: saved as arrays and JSON, loaded without unpickling anything."""

import dataclasses
import functools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from metajax._typing import checked
from metajax.automl import _calibrate as calibrate
from metajax.automl import _network as network
from metajax.automl._space import MODELS, tabular_space
from metajax.automl.models import ModelType
from metajax.automl.models._fit import FittedMember
from metajax.automl.models._installed import BUILT_IN
from metajax.data._home import load_npz, save_npz
from metajax.data.tabular import Encoder
from metajax.run import write_json
from metajax.space._rows import padded_size
from metajax.types import InputError

if TYPE_CHECKING:
    import pandas as pd

_FORMAT = 4
_PARAMS = ("first", "hidden", "bias", "scale", "head", "linear", "offset")


@functools.partial(jax.jit, static_argnums=4)
def _mean_output(
    configs: network.NetworkConfig, params: Any, temperatures: jax.Array, x: jax.Array, classification: bool
) -> jax.Array:
    """The mean of the networks' probabilities or standardized values, f32[n, outputs], for rows f32[n, inputs]."""
    outputs = jax.vmap(network.apply, in_axes=(0, 0, None))(configs, params, x)
    calibrated = outputs / temperatures[:, None, None]
    return jnp.mean(jax.nn.softmax(calibrated) if classification else outputs, axis=0)


@dataclasses.dataclass(frozen=True)
class FittedModel:
    """An ensemble of trainings, of one configuration or of different ones, of one model type or of several.

    A prediction is the mean of the members' probabilities or values. A search ends with such a model; ``load_model`` reads
    it from the run directory.

    Args:
        configs: The configuration of each member, as a plain dictionary.
        encoder: Converts the raw columns to inputs.
        groups: i64[inputs], for each input the item of ``features`` that it belongs to.
        params: Parameters of the networks among the members, a pytree with a leading axis of networks.
        temperatures: f[members], by which each member divides its logits; they were fitted to held-out rows.
        others: For each member that is no network, in order, what was fitted.

    Example:
        >>> import jax
        >>> from metajax import automl
        >>> from metajax.data import tabular
        >>> iris = tabular.load("iris")
        >>> task = automl.table_task(automl.prepare(iris, seed=0))
        >>> default = task.space.encode(task.space.configs([task.default]))
        >>> model = automl.refit(default, task, jax.random.key(0)).model
        >>> labels, probabilities = model.predict(iris.frame)
        >>> bool((labels == iris.target).mean() > 0.8), probabilities.shape
        (True, (150, 3))
    """

    configs: list[dict[str, Any]]
    encoder: Encoder
    groups: np.ndarray
    params: dict[str, Any]
    temperatures: np.ndarray
    others: list[FittedMember] = dataclasses.field(default_factory=list)

    @staticmethod
    def build(
        configs: list[dict[str, Any]], encoder: Encoder, groups: np.ndarray, fitted: list[Any], temperatures: np.ndarray
    ) -> "FittedModel":
        """Joins members.

        Args:
            configs: The configuration of each member.
            encoder: Converts the raw columns to inputs.
            groups: i64[inputs], for each input the item of ``features`` that it belongs to.
            fitted: For each member, the parameters of a network or what another model type has fitted.
            temperatures: f[members], by which each member divides its logits.

        Returns:
            The model.
        """
        networks = [member for member in fitted if not isinstance(member, FittedMember)]
        params = jax.tree.map(lambda *leaves: np.stack(leaves), *networks) if networks else {}
        others = [member for member in fitted if isinstance(member, FittedMember)]
        return FittedModel(configs, encoder, groups, params, temperatures, others)

    @checked
    def predict_inputs(self, x: Float[np.ndarray | jax.Array, "n inputs"]) -> Float[np.ndarray, "n ..."]:
        """Predicts encoded rows.

        Args:
            x: Rows as ``encoder.inputs`` returns them.

        Returns:
            Probabilities f32[n, classes], or values f64[n] in the units of the target.
        """
        x, is_network = np.asarray(x), self._is_network
        n_networks = int(is_network.sum())
        total = n_networks * self._predict_networks(x) if n_networks else 0.0
        for member, temperature, count in self._distinct_others():
            total = total + count * self._calibrated(member.predict(x), temperature)
        outputs = np.asarray(total / len(is_network), np.float32)
        if self.encoder.classes is not None:
            return outputs
        return outputs[:, 0].astype(np.float64) * self.encoder.scale + self.encoder.shift

    @property
    def _is_network(self) -> np.ndarray:
        """Whether each member is a network, bool[members]."""
        return np.array([config["model"] in MODELS for config in self.configs], bool)

    def _predict_networks(self, x: np.ndarray) -> np.ndarray:
        """The mean of the networks' probabilities or standardized values, f32[n, outputs]."""
        classification, is_network, n = self.encoder.classes is not None, self._is_network, len(x)
        space = tabular_space(int(self.groups.max()) + 1, classification)
        x = np.pad(x, [(0, padded_size(n) - n), (0, 0)])  # Few sizes are compiled.
        networks = [config for config, is_one in zip(self.configs, is_network) if is_one]
        configs = network.to_network_configs(space.configs(networks), jnp.asarray(self.groups))
        temperatures = jnp.asarray(np.asarray(self.temperatures, np.float32)[is_network])
        return np.asarray(_mean_output(configs, self.params, temperatures, jnp.asarray(x), classification))[:n]

    def _distinct_others(self) -> list[tuple[FittedMember, float, int]]:
        """The members that are no networks, each once, with its temperature and how often it is there."""
        counts: dict[tuple[int, float], int] = {}
        members = {id(member): member for member in self.others}
        for member, temperature in zip(self.others, self.temperatures[~self._is_network]):
            key = id(member), float(temperature)
            counts[key] = counts.get(key, 0) + 1
        return [(members[number], temperature, count) for (number, temperature), count in counts.items()]

    def _calibrated(self, outputs: np.ndarray, temperature: float) -> np.ndarray:
        """Divides the logits of probabilities by a temperature; values stay as they are."""
        if self.encoder.classes is None or temperature == 1.0:
            return outputs
        return calibrate.apply_temperature(calibrate.logits(outputs), np.asarray(temperature))

    def predict(self, frame: "pd.DataFrame") -> tuple[np.ndarray, np.ndarray | None]:
        """Predicts the rows of a data frame.

        Args:
            frame: A data frame with the columns of the training data.

        Returns:
            Labels [n] and probabilities f32[n, classes], or values f64[n] and ``None``.

        Raises:
            InputError: if columns are missing or hold something else than in training.
        """
        output = self.predict_inputs(self.encoder.inputs(frame))
        if self.encoder.classes is None:
            return output, None
        return np.asarray(self.encoder.classes, dtype=object)[np.argmax(output, axis=1)], output

    def save(self, directory: Path) -> None:
        """Writes ``model.npz`` and ``model.json``.

        Args:
            directory: The directory, which must exist.
        """
        distinct = list({id(member): member for member in self.others}.values())
        numbers = {id(member): number for number, member in enumerate(distinct)}
        arrays = {f"{i}/{name}": a for i, member in enumerate(distinct) for name, a in member.arrays().items()}
        save_npz(
            directory / "model.npz", True, groups=self.groups, temperatures=self.temperatures, **self.params, **arrays
        )
        content = {
            "format": _FORMAT,
            "configs": self.configs,
            "encoder": dataclasses.asdict(self.encoder),
            "others": [numbers[id(member)] for member in self.others],
            "fitted": [member.header() for member in distinct],
        }
        write_json(directory / "model.json", content)

    @staticmethod
    def load(directory: Path | str, model_types: Sequence[ModelType] = ()) -> "FittedModel":
        """Reads a model that ``save`` wrote.

        Args:
            directory: The directory of a finished search.
            model_types: The model types of your own that the search was given.

        Returns:
            The model.

        Raises:
            InputError: if the directory holds no model, one of another format, a damaged one, or one with members of a type
                that is not there.
        """
        directory = Path(directory)
        path = directory / "model.json"
        if not path.is_file():
            raise InputError(f"{directory}: holds no model (model.json); give the directory of a finished search")
        try:
            content = json.loads(path.read_text())
            if content.get("format") != _FORMAT:
                raise InputError(f"{path}: format {content.get('format')!r}, this version reads {_FORMAT}")
            configs, encoder = content["configs"], Encoder(**content["encoder"])
            headers, numbers = content["fitted"], content["others"]
            names = [f"{i}/{name}" for i, header in enumerate(headers) for name in header["arrays"]]
            if any(config["model"] in MODELS for config in configs):
                names += _PARAMS
        except (json.JSONDecodeError, KeyError, TypeError, AttributeError, UnicodeDecodeError) as error:
            raise InputError(f"{path}: damaged ({error})") from error
        file = directory / "model.npz"
        arrays = load_npz(file, ("groups", "temperatures", *names))
        damaged = [name for name, a in arrays.items() if a.dtype.kind == "f" and not np.isfinite(a).all()]
        if damaged:
            raise InputError(f"{file}: damaged ({damaged[0]} holds values that are not finite)")
        params = {name: jnp.asarray(arrays[name]) for name in _PARAMS if name in arrays}
        fitted = [_read_member(file, i, header, arrays, model_types) for i, header in enumerate(headers)]
        others = [fitted[number] for number in numbers]
        return FittedModel(configs, encoder, arrays["groups"], params, arrays["temperatures"], others)


def _read_member(
    file: Path, number: int, header: dict[str, Any], arrays: dict[str, np.ndarray], model_types: Sequence[ModelType]
) -> FittedMember:
    """Returns a member that is no network."""
    kinds = {**{name: kind for name, (kind, _) in BUILT_IN.items()}, **{kind.name: kind for kind in model_types}}
    if header["model"] not in kinds:
        raise InputError(
            f"{file}: has a member of the type {header['model']!r}; give it in model_types, beside {', '.join(BUILT_IN)}"
        )
    own = {name: arrays[f"{number}/{name}"] for name in header["arrays"]}
    try:
        return FittedMember.read(kinds[header["model"]], header, own)
    except (KeyError, TypeError, IndexError) as error:
        raise InputError(f"{file}: damaged (member {number}: {error!r})") from error
