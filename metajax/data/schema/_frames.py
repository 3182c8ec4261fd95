"""Anything that holds a table, as a data frame with text as column names."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from metajax._optional import optional
from metajax.data.schema._show import listed
from metajax.types import InputError


def as_frame(data: Any) -> Any:
    """Returns a table as a pandas data frame.

    Args:
        data: A data frame of pandas; an object with a function ``to_pandas`` (a dataset of Hugging Face, a table of Arrow, a
            frame of Polars); an array [n, features], whose columns are called ``x0``, ``x1``, ...; or a dictionary of columns.

    Returns:
        The data frame, with text as column names.

    Raises:
        InputError: If it is not one of these, or two columns have one name.

    Example:
        >>> as_frame(np.zeros((2, 3))).columns.tolist()
        ['x0', 'x1', 'x2']
    """
    pd = optional("pandas", "a table")
    frame: Any = data
    if not isinstance(data, pd.DataFrame) and hasattr(data, "to_pandas"):
        frame = data.to_pandas()
    elif isinstance(data, np.ndarray) and data.ndim == 2:
        frame = pd.DataFrame(data, columns=[f"x{i}" for i in range(data.shape[1])])
    elif isinstance(data, Mapping) and not hasattr(data, "column_names"):  # not the parts of a Hugging Face dataset
        try:
            frame = pd.DataFrame(dict(data))
        except ValueError as error:
            raise InputError(f"data: cannot be read as a table ({error})") from error
    if not isinstance(frame, pd.DataFrame):
        raise InputError(
            "data: must be a data frame, an object with to_pandas (such as one split of a Hugging Face dataset), an "
            f"array of two dimensions or a dictionary of columns, got {type(data).__name__}"
        )
    if any(not isinstance(name, str) for name in frame.columns):
        frame = frame.set_axis([str(name) for name in frame.columns], axis=1)
    if not frame.columns.is_unique:
        duplicates = frame.columns[frame.columns.duplicated()].unique()
        raise InputError(
            f"data: must have a different name for each column, but {listed(duplicates)} appear more than once"
        )
    return frame
