"""The model that a search ends with: saved as arrays and JSON, loaded without unpickling anything."""

import dataclasses
import functools
import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from metajax.automl import _network as network
from metajax.automl._space import tabular_space
from metajax.data._home import load_npz, save_npz
from metajax.data.tabular import Encoder
from metajax.run import write_json
from metajax.space._rows import room
from metajax.types import InputError

_FORMAT = 3


@functools.partial(jax.jit, static_argnums=4)
def _mean(coded: network.Coded, params: Any, temperatures: jax.Array, x: jax.Array, classification: bool) -> jax.Array:
    """What the members say of rows f32[n, inputs], probabilities or standardized values, on average: f32[n, outputs]."""
    outputs = jax.vmap(network.apply, in_axes=(0, 0, None))(coded, params, x)
    calibrated = outputs / temperatures[:, None, None]
    return jnp.mean(jax.nn.softmax(calibrated) if classification else outputs, axis=0)


@dataclasses.dataclass(frozen=True)
class FittedModel:
    """Several trainings, of one configuration or of different ones; a prediction is the mean of their probabilities or values.

    Attributes:
        configs: of each member, as a plain dictionary.
        encoder: raw columns -> inputs.
        groups: for each input, the item of ``features`` it belongs to.
        params: pytree with a leading axis of members.
        temperatures: f[members]; a member's logits are divided by its own, which was fitted to held-out rows.
    """

    configs: list[dict[str, Any]]
    encoder: Encoder
    groups: np.ndarray
    params: dict[str, Any]
    temperatures: np.ndarray

    def predict_inputs(self, x: Any) -> np.ndarray:
        """Probabilities f32[n, classes], or values f64[n] in the target's units."""
        space = tabular_space(int(self.groups.max()) + 1, self.encoder.classes is not None)
        x, n = np.asarray(x), len(x)
        x = np.pad(x, [(0, room(n) - n), (0, 0)])  # few sizes are compiled
        coded = network.code(space.configs(self.configs), self.groups)
        temperatures = np.asarray(self.temperatures, np.float32)
        outputs = np.asarray(_mean(coded, self.params, temperatures, x, self.encoder.classes is not None))[:n]
        if self.encoder.classes is not None:
            return outputs
        return outputs[:, 0].astype(np.float64) * self.encoder.scale + self.encoder.shift

    def predict(self, frame: Any) -> tuple[np.ndarray, np.ndarray | None]:
        """Labels and probabilities, or values and ``None``, for a data frame with the training columns."""
        output = self.predict_inputs(self.encoder.inputs(frame))
        if self.encoder.classes is None:
            return output, None
        return np.asarray(self.encoder.classes, dtype=object)[np.argmax(output, axis=1)], output

    def save(self, directory: Path) -> None:
        """Writes ``model.npz`` and ``model.json``."""
        save_npz(directory / "model.npz", groups=self.groups, temperatures=self.temperatures, **self.params)
        write_json(
            directory / "model.json",
            {"format": _FORMAT, "configs": self.configs, "encoder": dataclasses.asdict(self.encoder)},
        )

    @staticmethod
    def load(directory: Path | str) -> "FittedModel":
        """Reads what ``save`` wrote.

        Raises:
            InputError: if the run has no model or it is damaged.
        """
        directory = Path(directory)
        path = directory / "model.json"
        if not path.is_file():
            raise InputError(f"{directory}: holds no model (model.json); give the directory of a finished search")
        try:
            text = json.loads(path.read_text())
            if text.get("format") != _FORMAT:
                raise InputError(f"{path}: format {text.get('format')!r}, this version reads {_FORMAT}")
            configs, encoder = text["configs"], Encoder(**text["encoder"])
        except (json.JSONDecodeError, KeyError, TypeError, AttributeError, UnicodeDecodeError) as error:
            raise InputError(f"{path}: damaged ({error})") from error
        names = ("first", "hidden", "bias", "scale", "head", "linear", "offset")
        arrays = load_npz(directory / "model.npz", ("groups", "temperatures", *names))
        damaged = [n for n in ("temperatures", *names) if not np.isfinite(arrays[n]).all()]
        if damaged:
            raise InputError(f"{directory / 'model.npz'}: damaged ({damaged[0]} holds values that are not finite)")
        params = {n: jnp.asarray(arrays[n]) for n in names}
        return FittedModel(configs, encoder, arrays["groups"], params, arrays["temperatures"])
