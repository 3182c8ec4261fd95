"""The model that a search of a table ends with: saved as arrays and JSON, loaded without unpickling anything."""

import collections
import dataclasses
import functools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from jaxtyping import Float

from metajax._typing import checked
from metajax.automl import _calibrate as calibrate
from metajax.automl import _descent as descent
from metajax.automl import _export as export
from metajax.automl import _export_card as export_card
from metajax.automl import _export_program as export_program
from metajax.automl import _network as network
from metajax.automl import _network_params as network_params
from metajax.automl._ensemble import member_weights
from metajax.automl._metrics import labels
from metajax.automl.models import ModelType
from metajax.automl.models._fit import FittedMember
from metajax.automl.models._installed import BUILT_IN
from metajax.automl.models._threads import n_workers, side_by_side
from metajax.data._home import load_npz, save_npz
from metajax.data.tabular import Encoder
from metajax.run import write_json
from metajax.types import InputError

if TYPE_CHECKING:
    import pandas as pd

_FORMAT = 6
_ROWS_FOR_WORKERS = 1_000
"""With fewer rows, the members predict one after the other."""
_MAY_BE_INFINITE = "/table/"
"""Arrays with this text in their name may hold infinities: they are the edges of bins."""


@dataclasses.dataclass(frozen=True)
class FittedModel:
    """An ensemble of trainings, of one configuration or of different ones, of one model type or of several.

    A prediction is the weighted mean of the members' probabilities or values. A search ends with such a model; ``load_model``
    reads it from the run directory.

    Args:
        configs: The configuration of each member, as a plain dictionary.
        encoder: Converts the raw columns to inputs.
        members: The trained network of each member, or what another model type has fitted.
        temperatures: f[members], by which each member divides its logits; they were fitted to held-out rows.
        weights: f[members], which sum to 1; by default all are equal.
        threshold: The probability from which a row is labeled as the second of two classes.

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
    members: list[network.Model | FittedMember]
    temperatures: np.ndarray
    weights: np.ndarray | None = None
    threshold: float = 0.5

    @checked
    def predict_inputs(self, x: Float[np.ndarray | jax.Array, "n inputs"]) -> Float[np.ndarray, "n ..."]:
        """Predicts encoded rows.

        Args:
            x: Rows as ``encoder.inputs`` returns them.

        Returns:
            Probabilities f32[n, classes], or values f64[n] in the units of the target.
        """
        x, distinct = np.asarray(x), {id(member): member for member in self.members}
        # A member that is there more than once predicts once.
        total: dict[tuple[int, float], float] = collections.defaultdict(float)
        for member, temperature, weight in zip(self.members, self.temperatures.tolist(), self.member_weights.tolist()):
            total[id(member), temperature] += weight
        jobs = [functools.partial(self._predict_member, distinct[member], t, x) for member, t in total]
        is_large = len(jobs) >= n_workers() and len(x) >= _ROWS_FOR_WORKERS
        outputs = side_by_side(jobs) if is_large else [job() for job in jobs]
        mean = np.sum([np.float32(weight) * output for weight, output in zip(total.values(), outputs)], axis=0)
        if self.encoder.classes is not None:
            return mean
        return mean[:, 0].astype(np.float64) * self.encoder.scale + self.encoder.shift

    @property
    def member_weights(self) -> np.ndarray:
        """The weights f64[members] of the mean, which sum to 1."""
        return member_weights(self.weights, len(self.members))

    def _predict_member(self, member: network.Model | FittedMember, temperature: float, x: np.ndarray) -> np.ndarray:
        """The probabilities of a member at its temperature, or its standardized values, f32[n, outputs]."""
        classification = self.encoder.classes is not None
        if isinstance(member, FittedMember):
            output = member.predict(x)
            if not classification or temperature == 1.0:
                return output
            logits = calibrate.logits(output)
        else:
            output = descent.predict(member, x, classification)
            if not classification:
                return output
            logits = output
        return calibrate.apply_temperature(logits, np.asarray(temperature)).astype(np.float32)

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
        return np.asarray(self.encoder.classes, dtype=object)[labels(output, self.threshold)], output

    def save(self, directory: Path) -> None:
        """Writes ``model.npz`` and ``model.json``.

        Args:
            directory: The directory, which must exist.
        """
        distinct = list({id(member): member for member in self.members}.values())
        numbers = {id(member): number for number, member in enumerate(distinct)}
        written_members = [write_member(member) for member in distinct]
        arrays = {
            f"{i}/{name}": a
            for i, (_, member_arrays) in enumerate(written_members)
            for name, a in member_arrays.items()
        }
        save_npz(directory / "model.npz", True, temperatures=self.temperatures, weights=self.member_weights, **arrays)
        content = {
            "format": _FORMAT,
            "configs": self.configs,
            "threshold": self.threshold,
            "encoder": self.encoder.to_dict(),
            "members": [numbers[id(member)] for member in self.members],
            "distinct": [header for header, _ in written_members],
        }
        write_json(directory / "model.json", content)

    def export(self, path: Path | str, run: Path | str | None = None) -> None:
        """Writes a folder that predicts without metajax: with NumPy, JAX and flatbuffers alone.

        The folder has the ensemble as one program in the format of ``jax.export`` (``model.stablehlo``), the rules by which
        columns are read (``encoder.json``), a loader (``load.py``) and a model card (``MODEL_CARD.md``).

        Args:
            path: The folder, which must be new or empty.
            run: The run directory of the search, whose data, scores and settings the model card quotes.

        Raises:
            InputError: If the folder holds files, flatbuffers is not installed, a member is of a model type without
                ``predict_jax``, or a file of the run is damaged.
        """
        export.check_folder(path)
        weights, classes, schema = self.member_weights, self.encoder.classes, self.encoder.schema
        ensemble = export_program.Ensemble(self.members, self.temperatures, weights, classes is not None)
        program = export_program.of_table(ensemble, len(self.encoder.groups))
        target = "the target" if schema.target is None else schema.target.name
        features = f"{len(schema.used)} columns"
        facts = export_card.ModelFacts("table", self.configs, weights, classes, target, features, len(program))
        files = {
            export.PROGRAM: program,
            export.ENCODER: export.encoder_json(self.encoder, self.threshold),
            export.LOADER: export.loader("_exported_loader"),
            export.CARD: export_card.card(facts, run),
        }
        export.write_folder(path, files)

    @staticmethod
    def load(directory: Path | str, model_types: Sequence[ModelType] = ()) -> "FittedModel":
        """Reads a model that ``save`` wrote.

        Args:
            directory: The directory of a finished search.
            model_types: The model types of your own that the search was given.

        Returns:
            The model.

        Raises:
            InputError: if the directory holds no model, one of another format, one with a member of a model type that is
                not given, or a damaged one.
        """
        directory = Path(directory)
        path = directory / "model.json"
        if not path.is_file():
            raise InputError(
                f"{directory}: holds no model (model.json is missing); pass the directory of a finished search"
            )
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content.get("format") != _FORMAT:
                raise InputError(f"{path}: has the format {content.get('format')!r}, but this version reads {_FORMAT}")
            configs, encoder = content["configs"], Encoder.from_dict(content["encoder"])
            threshold = float(content["threshold"])
            headers, numbers = content["distinct"], content["members"]
            names = [f"{i}/{name}" for i, header in enumerate(headers) for name in header["arrays"]]
        except InputError:
            raise
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(f"{path}: is damaged ({error})") from error
        file = directory / "model.npz"
        arrays = load_npz(file, ("temperatures", "weights", *names))
        checked_names = [name for name, a in arrays.items() if a.dtype.kind == "f" and _MAY_BE_INFINITE not in name]
        damaged = [name for name in checked_names if not np.isfinite(arrays[name]).all()]
        if damaged:
            raise InputError(f"{file}: is damaged ({damaged[0]} holds values that are not finite)")
        members = [_read_numbered(file, i, header, arrays, model_types) for i, header in enumerate(headers)]
        all_members = [members[number] for number in numbers]
        return FittedModel(configs, encoder, all_members, arrays["temperatures"], arrays["weights"], threshold)


def write_member(params: network.Model | FittedMember) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Returns what JSON holds of a member, and its arrays."""
    if isinstance(params, FittedMember):
        return params.header(), params.arrays()
    arrays = network_params.to_arrays(params)
    return {"model": None, "arrays": sorted(arrays)}, arrays


def read_member(
    header: dict[str, Any], arrays: dict[str, np.ndarray], model_types: Sequence[ModelType] = ()
) -> network.Model | FittedMember:
    """Returns a member of what ``write_member`` returned; that of a network names no model type.

    Raises:
        InputError: If it is of a model type that is not given.
    """
    types = {**{name: kind for name, (kind, _) in BUILT_IN.items()}, **{kind.name: kind for kind in model_types}}
    if header["model"] is None:
        return network_params.from_arrays(arrays)
    if header["model"] in types:
        return FittedMember.read(types[header["model"]], header, arrays)
    raise InputError(
        f"model_types must include the type {header['model']!r} of a member, which is not one of {', '.join(BUILT_IN)}"
    )


def _read_numbered(
    file: Path, number: int, header: dict[str, Any], arrays: dict[str, np.ndarray], model_types: Sequence[ModelType]
) -> network.Model | FittedMember:
    """Returns the member of this number of a file."""
    member_arrays = {name: arrays[f"{number}/{name}"] for name in header["arrays"]}
    try:
        return read_member(header, member_arrays, model_types)
    except InputError as error:
        raise InputError(f"{file}: {error}") from None
    except (KeyError, TypeError, IndexError) as error:
        raise InputError(f"{file}: is damaged (member {number}: {error!r})") from error
