"""Tables: reading, judging and encoding the rows of a user's data."""

import dataclasses
import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from metajax.data._bundled import sklearn_datasets
from metajax.data._home import array_shapes, load_npz
from metajax.types import InputError

BUNDLED = ("digits", "iris", "wine", "breast_cancer", "diabetes")
_MOST_LEVELS = 50
_MOST_CLASSES = 200
_DATE = r"^\s*(\d{4}[-/.]\d{1,2}([-/.]\d{1,2})?|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}|\d{1,2}:\d{2})(\D|$)"


class Dataset(NamedTuple):
    """Raw columns and the target of a table.

    Attributes:
        frame: a pandas data frame of the features.
        target: object or float array, one value for each row, none missing.
        name: of the target.
        classes: the sorted class labels as strings, or ``None`` for regression.
        notes: what was done on reading, for the report.
    """

    frame: Any
    target: np.ndarray
    name: str
    classes: list[str] | None
    notes: list[str]


def pandas() -> Any:
    """pandas, or a line that says how to get it."""
    try:
        import pandas as pd
    except ImportError:
        raise InputError("tables need pandas: pip install 'metajax[tabular]'") from None
    return pd


def load(data: str, target: str | None = None, task: str | None = None) -> Dataset:
    """A bundled dataset by name, a CSV file, or an ``.npz`` file with arrays ``x`` and ``y``.

    Args:
        data: one of ``BUNDLED`` or a path.
        target: the column to predict; needed for a CSV.
        task: ``classification`` or ``regression``; by default judged from the target: text, booleans and at most 20
            distinct whole numbers are classes.

    Raises:
        InputError: with one line that names what was given and what is accepted.
    """
    if task not in (None, "classification", "regression"):
        raise InputError(f"task={task!r}: accepted are classification and regression")
    if data in BUNDLED:
        return judge(*_bundled(data), task)
    path = Path(data)
    if path.suffix.lower() not in (".csv", ".npz"):
        raise InputError(f"data={data!r}: accepted are {', '.join(BUNDLED)}, or a path ending in .csv or .npz")
    if not path.is_file():
        raise InputError(f"data={data!r}: no such file")
    if path.suffix.lower() == ".npz":
        frame, values = _npz(path)
        return judge(frame, values, target or "y", [], task)
    frame = read_csv(path)
    if target is None:
        raise InputError(f"target: is needed with a CSV; the columns of {data} are {_some(frame.columns)}")
    if target not in frame.columns:
        raise InputError(f"target={target!r}: no such column in {data}; it has {_some(frame.columns)}")
    if len(frame.columns) < 2:
        raise InputError(f"data={data!r}: has no column beside the target")
    return judge(frame.drop(columns=target), frame[target], target, [], task)


def read_csv(path: Path | str) -> Any:
    """A data frame.

    Raises:
        InputError: if the file is missing, empty, or no CSV.
    """
    pd = pandas()
    try:
        frame = pd.read_csv(path, skipinitialspace=True)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, ValueError, UnicodeDecodeError) as error:  # pandas' parser errors are ValueErrors
        raise InputError(f"{path}: not a readable CSV ({str(error).splitlines()[0]})") from error
    if not len(frame):
        raise InputError(f"{path}: has a header but no rows")
    duplicated = [c for c in frame.columns if str(c).rsplit(".", 1)[-1].isdigit() and str(c).rsplit(".", 1)[0] in frame]
    if duplicated and len(set(pd.read_csv(path, header=None, nrows=1, skipinitialspace=True).iloc[0])) < len(
        frame.columns
    ):
        raise InputError(f"{path}: column names appear twice ({_some(duplicated)}); give each column a name of its own")
    return frame


def _some(names: Any, most: int = 12) -> str:
    names = [str(n) for n in names]
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _bundled(name: str) -> tuple[Any, Any, str, list[str]]:
    loaded = getattr(sklearn_datasets(), f"load_{name}")(as_frame=True)
    target = loaded.target
    if name != "diabetes" and name != "digits":
        target = target.map(dict(enumerate(map(str, loaded.target_names))))
    return loaded.data, target, "target", []


def read_rows(path: Path | str) -> Any:
    """Rows to predict for: a CSV, or an ``.npz`` with an array ``x``; a target that is there too is not looked at."""
    path = Path(path)
    if path.suffix.lower() != ".npz":
        return read_csv(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    x_name = next((n for n in array_shapes(path) if n in ("x", "X")), "x")
    return _columns(load_npz(path, (x_name,))[x_name], path)


def _columns(x: np.ndarray, path: Path) -> Any:
    if x.ndim < 2 or not (np.issubdtype(x.dtype, np.number) or x.dtype == bool):
        raise InputError(f"{path}: x must be numbers of shape rows x features, got shape {x.shape} of {x.dtype}")
    x = x.reshape(len(x), -1)
    return pandas().DataFrame(x, columns=[f"x{i}" for i in range(x.shape[1])])


def _npz(path: Path) -> tuple[Any, Any]:
    names = array_shapes(path)
    x_name = next((n for n in ("x", "X") if n in names), None)
    if x_name is None or "y" not in names:
        raise InputError(f"{path}: needs the arrays x (rows x features) and y (rows); it holds {_some(names)}")
    arrays = load_npz(path, (x_name, "y"))
    x, y = arrays[x_name], arrays["y"]
    if y.ndim != 1 or len(x) != len(y):
        raise InputError(f"{path}: needs x (rows x features) and y (rows); got shapes {x.shape} and {y.shape}")
    return _columns(x, path), pandas().Series(y)


def judge(frame: Any, target: Any, name: str, notes: list[str], task: str | None) -> Dataset:
    """A dataset of a data frame and a series, checked, with constant columns left out; ``task`` as in ``load``.

    Raises:
        InputError: on what cannot be learned.
    """
    pd = pandas()
    known = target.notna().to_numpy()
    if not known.all():
        notes = [*notes, f"{int((~known).sum())} rows without a target were left out"]
        frame, target = frame[known].reset_index(drop=True), target[known].reset_index(drop=True)
    if target.nunique() < 2:
        raise InputError(
            f"the target {name}: is constant ({target.iloc[0] if len(target) else 'no value'}); nothing to learn"
        )
    numeric = pd.api.types.is_numeric_dtype(target) and not pd.api.types.is_bool_dtype(target)
    if task is None:
        whole = numeric and bool(np.all(np.mod(target[np.isfinite(target.astype(float))], 1) == 0))
        task = "classification" if not numeric or (whole and target.nunique() <= 20) else "regression"
    columns, dropped = [], []
    for column in frame.columns:
        _check(frame[column], str(column))
        (dropped if frame[column].nunique(dropna=True) < 2 and frame[column].notna().all() else columns).append(column)
    if dropped:
        notes = [*notes, f"constant columns were left out: {_some(dropped)}"]
    if not columns:
        raise InputError("every column is constant; nothing to learn from")
    frame = frame[columns]
    if task == "regression":
        if not numeric:
            raise InputError(f"the target {name}: is text, which regression cannot predict; use task='classification'")
        values = target.to_numpy(dtype=np.float64)
        if not np.all(np.isfinite(values)):
            raise InputError(f"the target {name}: has {int(np.sum(~np.isfinite(values)))} infinite values; remove them")
        if len(values) < 10:
            raise InputError(f"the data has {len(values)} rows; regression needs at least 10")
        return Dataset(frame, values, name, None, notes)
    labels = target.astype(str).to_numpy(dtype=object)
    classes = sorted(set(labels), key=lambda c: (not _is_number(c), float(c) if _is_number(c) else 0.0, c))
    if len(labels) < 3 * len(classes):
        raise InputError(
            f"the data has {len(labels)} rows for {len(classes)} classes of {name}; at least 3 rows for each class are needed"
        )
    rare = [c for c in classes if int(np.sum(labels == c)) < 3]
    if rare:
        raise InputError(f"the target {name}: the classes {_some(rare)} have fewer than 3 rows; merge or remove them")
    if len(classes) > _MOST_CLASSES:
        raise InputError(f"the target {name}: has {len(classes)} classes; accepted are at most {_MOST_CLASSES}")
    return Dataset(frame, labels, name, classes, notes)


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _check(column: Any, name: str) -> None:
    pd = pandas()
    if pd.api.types.is_numeric_dtype(column):
        infinite = int(np.isinf(column.to_numpy(dtype=np.float64, na_value=np.nan)).sum())
        if infinite:
            raise InputError(f"column {name}: has {infinite} infinite values; replace them or leave them empty")
        return
    known = column.dropna()
    if pd.api.types.is_datetime64_any_dtype(column) or (
        len(known) and known.head(1000).astype(str).str.match(_DATE).mean() > 0.9
    ):
        raise InputError(
            f"column {name}: holds dates or times (such as {known.iloc[0]}); turn it into numbers (year, month, days since a "
            "day) or remove it; mind that rows are split at random, which flatters a model of the past"
        )
    levels = column.nunique(dropna=True)
    if levels > _MOST_LEVELS and levels > 0.05 * len(column):
        raise InputError(
            f"column {name}: text with {levels} different values is no category (at most {_MOST_LEVELS}); "
            "remove the column or turn it into numbers"
        )


@dataclasses.dataclass(frozen=True)
class Encoder:
    """Turns raw columns into standardized inputs; fitted on training rows only, plain data throughout.

    Attributes:
        columns: for each feature its name, kind and statistics.
        classes: labels, or ``None`` for regression.
        shift, scale: of a regression target.
    """

    columns: list[dict[str, Any]]
    classes: list[str] | None
    shift: float = 0.0
    scale: float = 1.0

    @staticmethod
    def fit(frame: Any, target: np.ndarray, classes: list[str] | None) -> "Encoder":
        """Means, deviations and levels from these rows."""
        pd = pandas()
        columns: list[dict[str, Any]] = []
        for name in frame.columns:
            column = frame[name]
            if pd.api.types.is_numeric_dtype(column):
                values = column.to_numpy(dtype=np.float64, na_value=np.nan)
                known = values[~np.isnan(values)]
                mean, std = (float(known.mean()), float(known.std())) if len(known) else (0.0, 1.0)
                missing = bool(np.isnan(values).any())
                columns.append(
                    {
                        "name": str(name),
                        "kind": "number",
                        "mean": mean,
                        "std": std if std > 0 else 1.0,
                        "missing": missing,
                    }
                )
            else:
                counts = column.dropna().astype(str).value_counts()
                levels = sorted(counts.index[:_MOST_LEVELS])
                columns.append({"name": str(name), "kind": "category", "levels": levels})
        if classes is not None:
            return Encoder(columns, classes)
        values = target.astype(np.float64)
        return Encoder(columns, None, float(values.mean()), float(values.std()) or 1.0)

    @property
    def features(self) -> int:
        return len(self.columns)

    @property
    def groups(self) -> np.ndarray:
        """For each input, the feature it belongs to."""
        sizes = [1 + c["missing"] if c["kind"] == "number" else len(c["levels"]) + 1 for c in self.columns]
        return np.repeat(np.arange(len(sizes)), sizes)

    def inputs(self, frame: Any) -> np.ndarray:
        """f32[n, inputs]: numbers standardized, missing ones at the mean with an indicator where training had some;
        categories one-hot, a missing or unseen level in a slot of its own.

        Raises:
            InputError: if a column is missing, or holds text where numbers were.
        """
        pd = pandas()
        lacking = [c["name"] for c in self.columns if c["name"] not in frame.columns]
        if lacking:
            raise InputError(f"the data lacks the columns {_some(lacking)} that the model was trained with")
        blocks = []
        for c in self.columns:
            column = frame[c["name"]]
            if c["kind"] == "number":
                values = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
                if np.isnan(values).sum() > column.isna().sum():
                    raise InputError(f"column {c['name']}: holds text, but the model was trained with numbers there")
                if np.isinf(values).any():
                    raise InputError(f"column {c['name']}: has infinite values; replace them or leave them empty")
                gone = np.isnan(values)
                scaled = np.clip(np.where(gone, 0.0, (values - c["mean"]) / c["std"]), -10.0, 10.0)
                blocks += [scaled[:, None]] + ([gone[:, None]] if c["missing"] else [])
            else:
                position = {level: i for i, level in enumerate(c["levels"])}
                text = column.astype(object).where(column.notna(), None)
                code = np.array([position.get(str(v), len(position)) if v is not None else len(position) for v in text])
                blocks.append(np.eye(len(position) + 1)[code])
        return np.concatenate(blocks, axis=1).astype(np.float32)

    def targets(self, target: np.ndarray) -> np.ndarray:
        """i32[n] class numbers, or f32[n] standardized."""
        if self.classes is None:
            return ((target.astype(np.float64) - self.shift) / self.scale).astype(np.float32)
        position = {label: i for i, label in enumerate(self.classes)}
        return np.array([position[str(label)] for label in target], np.int32)


def split(dataset: Dataset, seed: int, shares: tuple[float, float] = (0.6, 0.2)) -> tuple[np.ndarray, ...]:
    """Row numbers of training, validation and test; classes are spread evenly, each in every part if it has 3 rows. There is no
    test if the shares sum to 1."""
    rng = np.random.default_rng(seed)
    labels = dataset.target if dataset.classes is not None else np.zeros(len(dataset.target))
    parts: list[list[np.ndarray]] = [[], [], []]
    for label in dataset.classes if dataset.classes is not None else [0]:
        rows = rng.permutation(np.flatnonzero(labels == label))
        n = len(rows)
        test = max(1, round(n * (1 - sum(shares)))) if sum(shares) < 1 else 0
        validation = max(1, round(n * shares[1]))
        for part, chosen in zip(parts, np.split(rows, [n - test - validation, n - test])):
            part.append(chosen)
    return tuple(rng.permutation(np.concatenate(part)) for part in parts)
