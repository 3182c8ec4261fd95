"""Reads tables from files, and the tables that scikit-learn bundles."""

from pathlib import Path
from typing import Any

import numpy as np

from metajax.data._bundled import sklearn_datasets
from metajax.data._home import array_shapes, load_npz
from metajax.data._table import Dataset, judge, listed, pandas
from metajax.types import InputError

BUNDLED = ("digits", "iris", "wine", "breast_cancer", "diabetes")
"""Datasets of scikit-learn that ``load`` knows by name."""


def load(data: str, target: str | None = None, task: str | None = None) -> Dataset:
    """Loads a table: a bundled dataset by name, a CSV file, or an ``.npz`` file with arrays ``x`` and ``y``.

    Args:
        data: One of ``BUNDLED``, or a path.
        target: The column to predict; a CSV needs it.
        task: ``classification`` or ``regression``. By default the target decides: text, Booleans and at most 20 distinct whole
            numbers are classes.

    Returns:
        The checked dataset.

    Raises:
        InputError: If the data cannot be read or learned, with one line that names what was given and what is accepted.

    Example:
        >>> iris = load("iris")
        >>> iris.frame.shape, iris.classes
        ((150, 4), ['setosa', 'versicolor', 'virginica'])
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
        raise InputError(f"target: is needed with a CSV; the columns of {data} are {listed(frame.columns)}")
    if target not in frame.columns:
        raise InputError(f"target={target!r}: no such column in {data}; it has {listed(frame.columns)}")
    if len(frame.columns) < 2:
        raise InputError(f"data={data!r}: has no column beside the target")
    return judge(frame.drop(columns=target), frame[target], target, [], task)


def read_csv(path: Path | str) -> Any:
    """Reads a CSV file with a header.

    Args:
        path: The file.

    Returns:
        A data frame.

    Raises:
        InputError: If the file is missing, empty or not a CSV, or a column name appears twice.

    Example:
        >>> frame = read_csv("cars.csv")  # doctest: +SKIP
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
        raise InputError(
            f"{path}: column names appear twice ({listed(duplicated)}); give each column a name of its own"
        )
    return frame


def read_rows(path: Path | str) -> Any:
    """Reads rows to predict for. A target in the file is ignored.

    Args:
        path: A CSV file, or an ``.npz`` file with an array ``x``.

    Returns:
        A data frame; the columns of an array are ``x0``, ``x1``, ...

    Raises:
        InputError: If the file is missing or cannot be read.

    Example:
        >>> rows = read_rows("new_cars.csv")  # doctest: +SKIP
    """
    path = Path(path)
    if path.suffix.lower() != ".npz":
        return read_csv(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    x_name = next((n for n in array_shapes(path) if n in ("x", "X")), "x")
    return _columns(load_npz(path, (x_name,))[x_name], path)


def _bundled(name: str) -> tuple[Any, Any, str, list[str]]:
    loaded = getattr(sklearn_datasets(), f"load_{name}")(as_frame=True)
    target = loaded.target
    if name != "diabetes" and name != "digits":
        target = target.map(dict(enumerate(map(str, loaded.target_names))))
    return loaded.data, target, "target", []


def _npz(path: Path) -> tuple[Any, Any]:
    names = array_shapes(path)
    x_name = next((n for n in ("x", "X") if n in names), None)
    if x_name is None or "y" not in names:
        raise InputError(f"{path}: needs the arrays x (rows x features) and y (rows); it holds {listed(names)}")
    arrays = load_npz(path, (x_name, "y"))
    x, y = arrays[x_name], arrays["y"]
    if y.ndim != 1 or len(x) != len(y):
        raise InputError(f"{path}: needs x (rows x features) and y (rows); got shapes {x.shape} and {y.shape}")
    return _columns(x, path), pandas().Series(y)


def _columns(x: np.ndarray, path: Path) -> Any:
    if x.ndim < 2 or not (np.issubdtype(x.dtype, np.number) or x.dtype == bool):
        raise InputError(f"{path}: x must be numbers of shape rows x features, got shape {x.shape} of {x.dtype}")
    x = x.reshape(len(x), -1)
    return pandas().DataFrame(x, columns=[f"x{i}" for i in range(x.shape[1])])
