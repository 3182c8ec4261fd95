"""Reads tables from files and from memory, and the tables that scikit-learn bundles."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from metajax._optional import optional
from metajax.data._bundled import sklearn_datasets
from metajax.data._home import array_shapes, load_npz
from metajax.data._row_roles import NO_ROW_COLUMNS, RowColumns
from metajax.data._table import Dataset, pandas, to_dataset, to_test_dataset
from metajax.data.schema._delimited import read_delimited
from metajax.data.schema._frames import as_frame
from metajax.data.schema._schema import Schema
from metajax.data.schema._show import listed
from metajax.types import InputError

BUNDLED = ("digits", "iris", "wine", "breast_cancer", "diabetes")
"""Datasets of scikit-learn that ``load`` knows by name."""
_DELIMITED = (".csv", ".tsv", ".tab", ".txt")
_BINARY = (".parquet", ".feather", ".arrow")
_ENDINGS = ".csv, .tsv, .txt (also with .gz), .parquet, .feather or .npz"


class _Read(NamedTuple):
    """A table in memory: a data frame, notes on the reading, and the target, if it is a separate array."""

    frame: Any
    notes: list[str]
    target: Any = None


def load(
    data: Any,
    target: str | None = None,
    task: str | None = None,
    schema: Schema | None = None,
    row_columns: RowColumns = NO_ROW_COLUMNS,
) -> Dataset:
    """Loads a table: a bundled dataset by name, a file, or a table in memory.

    Args:
        data: One of ``BUNDLED``; the path of a CSV (delimited by comma, semicolon, tab or vertical bar), Parquet or Feather
            file, or of an ``.npz`` file with arrays ``x`` and ``y``; or what ``as_frame`` accepts, such as a data frame.
        target: The column to predict; only bundled datasets and ``.npz`` files do without.
        task: ``classification`` or ``regression``. By default the target decides: text, Booleans and at most 20 distinct whole
            numbers are classes.
        schema: An edited schema to read the table by; by default it is inferred.
        row_columns: The columns that say which rows belong together, when they are from, and how much they count.

    Returns:
        The checked dataset, with its schema.

    Raises:
        InputError: If the data cannot be read, or nothing can be learned from it.

    Example:
        >>> iris = load("iris")
        >>> iris.frame.shape, iris.classes
        ((150, 4), ['setosa', 'versicolor', 'virginica'])
        >>> print(str(iris.schema).splitlines()[1])
          sepal length (cm)  number
    """
    if task not in (None, "classification", "regression"):
        raise InputError(f"task={task!r}: must be 'classification' or 'regression'")
    if isinstance(data, str) and data in BUNDLED:
        return to_dataset(*_bundled(data), task, schema, row_columns)
    is_file = isinstance(data, str | Path)
    if is_file and not Path(data).is_file() and _ending(Path(data)) in (*_DELIMITED, *_BINARY, ".npz"):
        raise InputError(f"data={str(data)!r}: no such file")
    if is_file and _ending(Path(data)) not in (*_DELIMITED, *_BINARY, ".npz"):
        raise InputError(f"data={str(data)!r}: must be one of {', '.join(BUNDLED)}, or a path ending in {_ENDINGS}")
    table = _read(Path(data)) if is_file else _Read(as_frame(data), [])
    location = f" in {data}" if is_file else ""
    if table.target is not None:
        return to_dataset(table.frame, table.target, target or "y", table.notes, task, schema, row_columns)
    if target is None and schema is not None and schema.target is not None:
        target = schema.target.name
    if target is None:
        raise InputError(f"target: must name a column{location}, one of {listed(table.frame.columns)}")
    if target not in table.frame.columns:
        raise InputError(f"target={target!r}: must be a column{location}, one of {listed(table.frame.columns)}")
    if len(table.frame.columns) < 2:
        raise InputError(f"data: must have at least one column beside the target{location}")
    features = table.frame.drop(columns=target)
    return to_dataset(features, table.frame[target], target, table.notes, task, schema, row_columns)


def load_test(data: Any, dataset: Dataset) -> Dataset:
    """Loads test rows for a dataset: they are read by its schema.

    Args:
        data: A file or a table in memory, as in ``load``, with the columns and the target of the dataset.
        dataset: The dataset that is learned from.

    Returns:
        The test rows.

    Raises:
        InputError: If they cannot be read, a column is missing, or a label is not one of the dataset's.

    Example:
        >>> iris = load("iris")
        >>> rows = iris.frame.assign(target=iris.target)
        >>> len(load_test(rows.iloc[::3], iris).target)
        50
    """
    is_file = isinstance(data, str | Path)
    if is_file and not Path(data).is_file():
        raise InputError(f"test={str(data)!r}: no such file")
    if is_file and _ending(Path(data)) not in (*_DELIMITED, *_BINARY, ".npz"):
        raise InputError(f"test={str(data)!r}: must be a path ending in {_ENDINGS}")
    table = _read(Path(data)) if is_file else _Read(as_frame(data), [])
    if table.target is not None:
        return to_test_dataset(table.frame, table.target, dataset)
    if dataset.name not in table.frame.columns:
        raise InputError(f"test: must have the target {dataset.name!r} as a column, got {listed(table.frame.columns)}")
    return to_test_dataset(table.frame.drop(columns=dataset.name), table.frame[dataset.name], dataset)


def read_csv(path: Path | str) -> Any:
    """Reads a delimited file with a header as text.

    Every cell stays as it stands in the file; an empty one is the empty text. Delimiter, compression and encoding are detected.

    Args:
        path: The file.

    Returns:
        A data frame of text.

    Raises:
        InputError: If the file is missing, empty or no text, a row has more or fewer fields than the header, or a column name
            appears twice.

    Example:
        >>> frame = read_csv("cars.csv")  # doctest: +SKIP
    """
    return read_delimited(Path(path)).frame


def read_rows(path: Path | str) -> Any:
    """Reads rows to predict for. A target in the file is ignored.

    Args:
        path: A file, as for ``load``; an ``.npz`` needs an array ``x`` only.

    Returns:
        A data frame; the columns of an array are ``x0``, ``x1``, ...

    Raises:
        InputError: If the file is missing or cannot be read.

    Example:
        >>> rows = read_rows("new_cars.csv")  # doctest: +SKIP
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    if path.suffix.lower() != ".npz":
        return _read(path).frame
    x_name = next((n for n in array_shapes(path) if n in ("x", "X")), "x")
    return _columns(load_npz(path, (x_name,))[x_name], path)


def _ending(path: Path) -> str:
    """The suffix of a path in small letters, without that of gzip."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    return next((suffix for suffix in reversed(suffixes) if suffix != ".gz"), "")


def _read(path: Path) -> _Read:
    ending = _ending(path)
    if ending == ".npz":
        return _npz(path)
    if ending in _BINARY:
        return _Read(as_frame(_binary(path, ending)), [])
    table = read_delimited(path)
    return _Read(table.frame, table.notes)


def _binary(path: Path, ending: str) -> Any:
    """The rows of a Parquet or Feather file."""
    optional("pyarrow", f"{path}:")
    pd = pandas()
    try:
        frame = pd.read_parquet(path) if ending == ".parquet" else pd.read_feather(path)
    except (OSError, ValueError, KeyError, TypeError, NotImplementedError) as error:
        raise InputError(f"{path} is not a readable {ending[1:]} file ({str(error).splitlines()[0]})") from error
    if not len(frame):
        raise InputError(f"{path} must have at least one row")
    return frame


def _bundled(name: str) -> tuple[Any, Any, str, list[str]]:
    loaded = getattr(sklearn_datasets(), f"load_{name}")(as_frame=True)
    target = loaded.target
    if name != "diabetes" and name != "digits":
        target = target.map(dict(enumerate(map(str, loaded.target_names))))
    return loaded.data, target, "target", []


def _npz(path: Path) -> _Read:
    names = array_shapes(path)
    x_name = next((n for n in ("x", "X") if n in names), None)
    if x_name is None or "y" not in names:
        raise InputError(f"{path} must have the arrays x (rows x features) and y (rows), got {listed(names)}")
    arrays = load_npz(path, (x_name, "y"))
    x, y = arrays[x_name], arrays["y"]
    if y.ndim != 1 or len(x) != len(y):
        raise InputError(f"{path} must have x (rows x features) and y (rows), got the shapes {x.shape} and {y.shape}")
    return _Read(_columns(x, path), [], pandas().Series(y))


def _columns(x: np.ndarray, path: Path) -> Any:
    if x.ndim < 2 or not (np.issubdtype(x.dtype, np.number) or x.dtype == bool):
        raise InputError(f"{path}: x must be numbers of shape rows x features, got shape {x.shape} of {x.dtype}")
    return as_frame(x.reshape(len(x), -1))
