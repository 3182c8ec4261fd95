"""The model that a search of a table ends with: saved as arrays and JSON, loaded without unpickling anything."""

import dataclasses
import functools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from metajax._typing import checked
from metajax.automl import _network as network
from metajax.automl._space import tabular_space
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
    """The mean of the members' probabilities or standardized values, f32[n, outputs], for rows f32[n, inputs]."""
    outputs = jax.vmap(network.apply, in_axes=(0, 0, None))(configs, params, x)
    calibrated = outputs / temperatures[:, None, None]
    return jnp.mean(jax.nn.softmax(calibrated) if classification else outputs, axis=0)


@dataclasses.dataclass(frozen=True)
class FittedModel:
    """An ensemble of trainings, of one configuration or of different ones.

    A prediction is the mean of the members' probabilities or values. A search ends with such a model; ``load_model`` reads
    it from the run directory.

    Args:
        configs: The configuration of each member, as a plain dictionary.
        encoder: Converts the raw columns to inputs.
        groups: i64[inputs], for each input the item of ``features`` that it belongs to.
        params: Parameters of the network, a pytree with a leading axis of members.
        temperatures: f[members], by which each member divides its logits; they were fitted to held-out rows.

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

    @checked
    def predict_inputs(self, x: Float[np.ndarray | jax.Array, "n inputs"]) -> Float[np.ndarray, "n ..."]:
        """Predicts encoded rows.

        Args:
            x: Rows as ``encoder.inputs`` returns them.

        Returns:
            Probabilities f32[n, classes], or values f64[n] in the units of the target.
        """
        classification = self.encoder.classes is not None
        space = tabular_space(int(self.groups.max()) + 1, classification)
        x, n = np.asarray(x), len(x)
        x = np.pad(x, [(0, padded_size(n) - n), (0, 0)])  # Few sizes are compiled.
        configs = network.to_network_configs(space.configs(self.configs), jnp.asarray(self.groups))
        temperatures = jnp.asarray(np.asarray(self.temperatures, np.float32))
        outputs = np.asarray(_mean_output(configs, self.params, temperatures, jnp.asarray(x), classification))[:n]
        if classification:
            return outputs
        return outputs[:, 0].astype(np.float64) * self.encoder.scale + self.encoder.shift

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
        save_npz(directory / "model.npz", groups=self.groups, temperatures=self.temperatures, **self.params)
        content = {"format": _FORMAT, "configs": self.configs, "encoder": self.encoder.to_dict()}
        write_json(directory / "model.json", content)

    @staticmethod
    def load(directory: Path | str) -> "FittedModel":
        """Reads a model that ``save`` wrote.

        Args:
            directory: The directory of a finished search.

        Returns:
            The model.

        Raises:
            InputError: if the directory holds no model, one of another format, or a damaged one.
        """
        directory = Path(directory)
        path = directory / "model.json"
        if not path.is_file():
            raise InputError(f"{directory}: holds no model (model.json); give the directory of a finished search")
        try:
            content = json.loads(path.read_text())
            if content.get("format") != _FORMAT:
                raise InputError(f"{path}: format {content.get('format')!r}, this version reads {_FORMAT}")
            configs, encoder = content["configs"], Encoder.from_dict(content["encoder"])
        except InputError:
            raise
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(f"{path}: damaged ({error})") from error
        arrays = load_npz(directory / "model.npz", ("groups", "temperatures", *_PARAMS))
        damaged = [name for name in ("temperatures", *_PARAMS) if not np.isfinite(arrays[name]).all()]
        if damaged:
            raise InputError(f"{directory / 'model.npz'}: damaged ({damaged[0]} holds values that are not finite)")
        params = {name: jnp.asarray(arrays[name]) for name in _PARAMS}
        return FittedModel(configs, encoder, arrays["groups"], params, arrays["temperatures"])
