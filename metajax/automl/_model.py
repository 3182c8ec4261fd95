"""The model that a search of a table ends with: saved as arrays and JSON, loaded without unpickling anything."""

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from jaxtyping import Float

from metajax._typing import checked
from metajax.automl import _calibrate as calibrate
from metajax.automl import _descent as descent
from metajax.automl import _network as network
from metajax.data._home import load_npz, save_npz
from metajax.data.tabular import Encoder
from metajax.run import write_json
from metajax.types import InputError

if TYPE_CHECKING:
    import pandas as pd

_FORMAT = 4


@dataclasses.dataclass(frozen=True)
class FittedModel:
    """An ensemble of trainings, of one configuration or of different ones.

    A prediction is the mean of the members' probabilities or values. A search ends with such a model; ``load_model`` reads
    it from the run directory.

    Args:
        configs: The configuration of each member, as a plain dictionary.
        encoder: Converts the raw columns to inputs.
        members: The trained network of each member.
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
    members: list[network.Model]
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
        total = np.zeros(0)
        for member, temperature in zip(self.members, self.temperatures):
            output = descent.predict(member, np.asarray(x), classification)
            if classification:
                output = calibrate.apply_temperature(output, np.asarray(temperature)).astype(np.float32)
            total = total + output if len(total) else output
        mean = total / np.float32(len(self.members))
        return mean if classification else mean[:, 0].astype(np.float64) * self.encoder.scale + self.encoder.shift

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
        members = [network.to_arrays(member) for member in self.members]
        arrays = {f"{i}/{name}": array for i, member in enumerate(members) for name, array in member.items()}
        save_npz(directory / "model.npz", temperatures=self.temperatures, **arrays)
        encoder = dataclasses.asdict(self.encoder)
        content = {"format": _FORMAT, "configs": self.configs, "encoder": encoder, "arrays": [list(m) for m in members]}
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
            configs, encoder, names = content["configs"], Encoder(**content["encoder"]), content["arrays"]
            files = [[f"{i}/{name}" for name in member] for i, member in enumerate(names)]
        except (json.JSONDecodeError, KeyError, TypeError, AttributeError, UnicodeDecodeError) as error:
            raise InputError(f"{path}: damaged ({error})") from error
        arrays = load_npz(directory / "model.npz", ("temperatures", *(name for member in files for name in member)))
        damaged = [name for name, array in arrays.items() if "/table/" not in name and not np.isfinite(array).all()]
        if damaged:
            raise InputError(f"{directory / 'model.npz'}: damaged ({damaged[0]} holds values that are not finite)")
        members = [network.from_arrays({name: arrays[file] for name, file in zip(*pair)}) for pair in zip(names, files)]
        return FittedModel(configs, encoder, members, arrays["temperatures"])
