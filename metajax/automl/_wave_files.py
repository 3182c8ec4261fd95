"""Waves of trained models, and their files, one for each wave."""

import json
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from metajax.automl._task import Task
from metajax.data._home import load_npz, save_npz
from metajax.types import InputError


def is_of_folds(source: str) -> bool:
    """Whether waves of this source train chosen configurations on folds."""
    return source in ("promoted", "repeated")


class Wave(NamedTuple):
    """One trained population: what other libraries call a batch of trials.

    Attributes:
        encodings: f32[n, width], the configurations, with what their trainings decided.
        requested: f32[n, width], the configurations that were to be trained.
        split: i64[n], the split of the rows on which each was trained and evaluated: 0 is that of the search, the others
            count the task's folds from 1, and then other folds.
        score: f64[n], accuracy or R².
        loss: f64[n], calibrated log-loss or mean squared error.
        curve: f64[n, CURVE_POINTS], learning curves.
        seconds: f64[n], training time.
        source: Why it was trained: ``random`` or ``proposed`` configurations on the split of the search, ``promoted`` ones on
            the folds, ``repeated`` ones on other folds of the same rows, or ``baseline``.
        outputs: f32[m, rows, outputs], what some of the models predict for the evaluation rows.
        output_index: i64[m], the rows of ``encodings`` that ``outputs`` and ``members`` belong to.
        stop: f64[n], the share of its epochs after which each training was best.
        members: What these models have learned.
    """

    encodings: np.ndarray
    requested: np.ndarray
    split: np.ndarray
    score: np.ndarray
    loss: np.ndarray
    curve: np.ndarray
    seconds: np.ndarray
    source: str
    outputs: np.ndarray
    output_index: np.ndarray
    stop: np.ndarray
    members: list[Any]

    @property
    def is_of_folds(self) -> bool:
        """Whether chosen configurations were trained on folds, and not others tried on the split of the search."""
        return is_of_folds(self.source)


class SavedWave(NamedTuple):
    """A wave that an earlier process saved.

    Attributes:
        source: Why it was trained.
        encodings: f32[m, width], the configurations that were to be trained, each once.
    """

    source: str
    encodings: np.ndarray


class WaveFiles:
    """The files of the waves of a run.

    Args:
        directory: The directory of the files. It is created if it does not exist.
        task: The task, which converts what models have learned to arrays and back.
    """

    def __init__(self, directory: Path, task: Task):
        directory.mkdir(exist_ok=True)
        self._directory, self._task = directory, task

    def _file(self, number: int) -> Path:
        return self._directory / f"{number:04d}.npz"

    def summary(self, number: int) -> SavedWave | None:
        """Returns what the file of a wave holds, in short; ``None`` if it is missing or damaged."""
        arrays = self._arrays(number, "source", "requested")
        if arrays is None:
            return None
        requested = arrays["requested"]
        distinct_rows = dict.fromkeys(row.tobytes() for row in requested)
        distinct = [np.frombuffer(row, requested.dtype) for row in distinct_rows]
        return SavedWave(str(arrays["source"]), np.stack(distinct) if distinct else requested)

    def save(self, number: int, wave: Wave) -> None:
        """Saves a wave; members that failed have no arrays."""
        arrays, headers = wave._asdict(), []
        for i, member in enumerate(arrays.pop("members")):
            header, member_arrays = self._task.write_member(member) if member else ({}, {})
            headers.append({"header": header, "arrays": sorted(member_arrays)})
            arrays |= {f"{i}/{name}": array for name, array in member_arrays.items()}
        save_npz(self._file(number), False, **arrays, headers=json.dumps(headers))

    def _arrays(self, number: int, *names: str) -> dict[str, np.ndarray] | None:
        """Reads arrays of a wave. A damaged file is named on standard error and put aside."""
        file = self._file(number)
        if not file.is_file():
            return None
        try:
            return load_npz(file, names)
        except (InputError, ValueError) as error:
            print(f"{error}; this wave is trained again", file=sys.stderr)
            file.rename(file.with_name(f"{file.name}.damaged"))
            return None

    def load(self, number: int) -> Wave | None:
        """Returns a saved wave; ``None`` if its file is missing or damaged."""
        fields = [name for name in Wave._fields if name != "members"]
        arrays = self._arrays(number, *fields, "headers")
        if arrays is None:
            return None
        headers = json.loads(str(arrays.pop("headers")))
        keys = [[f"{i}/{name}" for name in entry["arrays"]] for i, entry in enumerate(headers)]
        member_arrays = self._arrays(number, *(key for keys_of_member in keys for key in keys_of_member))
        if member_arrays is None:
            return None
        members = []
        for entry, keys_of_member in zip(headers, keys):
            by_name = {name: member_arrays[key] for name, key in zip(entry["arrays"], keys_of_member)}
            members.append(self._task.read_member(entry["header"], by_name) if entry["header"] or by_name else {})
        values = {name: arrays[name] for name in fields}
        return Wave(**{**values, "source": str(values["source"])}, members=members)
