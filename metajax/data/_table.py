"""A table that can be learned: its task is decided, and what cannot be learned is refused by name."""

import math
from typing import Any, NamedTuple

import numpy as np

from metajax._optional import optional
from metajax.types import InputError

MAX_LEVELS = 50  # of a categorical column
_MAX_CLASSES = 200
_MAX_CLASSES_OF_NUMBERS = 20  # a target with more distinct whole numbers is a regression target
_MIN_REGRESSION_ROWS = 10
_MIN_ROWS_PER_CLASS = 3
_DATE = r"^\s*(\d{4}[-/.]\d{1,2}([-/.]\d{1,2})?|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}|\d{1,2}:\d{2})(\D|$)"


class Dataset(NamedTuple):
    """The raw columns and the target of a table.

    Attributes:
        frame: A pandas data frame of the features.
        target: Array[rows] of the target, of objects or floats, none of them missing.
        name: The name of the target.
        classes: The sorted class labels as strings, or ``None`` for regression.
        notes: What was done on reading, for the report.
    """

    frame: Any
    target: np.ndarray
    name: str
    classes: list[str] | None
    notes: list[str]


def pandas() -> Any:
    """Imports pandas, which is optional.

    Returns:
        The module.

    Raises:
        InputError: If pandas is not installed. The message says how to install it.

    Example:
        >>> pandas().DataFrame({"x": [1.0, 2.0]}).shape
        (2, 1)
    """
    return optional("pandas", "a table")


def judge(frame: Any, target: Any, name: str, notes: list[str], task: str | None) -> Dataset:
    """Checks a table and decides its task. Rows without a target and constant columns are left out.

    Args:
        frame: A data frame of the features.
        target: A series of the target.
        name: The name of the target.
        notes: What was done before, for the report.
        task: ``classification``, ``regression`` or ``None``, as in ``load``.

    Returns:
        The dataset.

    Raises:
        InputError: If nothing can be learned from it: a constant target, too few rows, dates, text that is no category, or
            infinite values.

    Example:
        >>> pd = pandas()
        >>> frame = pd.DataFrame({"x": range(10), "constant": 1})
        >>> judge(frame, pd.Series(["a", "b"] * 5), "label", [], None).notes
        ['constant columns were left out: constant']
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
        task = (
            "classification" if not numeric or (whole and target.nunique() <= _MAX_CLASSES_OF_NUMBERS) else "regression"
        )
    columns, dropped = [], []
    for column in frame.columns:
        _check(frame[column], str(column))
        (dropped if frame[column].nunique(dropna=True) < 2 and frame[column].notna().all() else columns).append(column)
    if dropped:
        notes = [*notes, f"constant columns were left out: {listed(dropped)}"]
    if not columns:
        raise InputError("every column is constant; nothing to learn from")
    frame = frame[columns]
    if task == "regression":
        if not numeric:
            raise InputError(f"the target {name}: is text, which regression cannot predict; use task='classification'")
        values = target.to_numpy(dtype=np.float64)
        if not np.all(np.isfinite(values)):
            raise InputError(f"the target {name}: has {int(np.sum(~np.isfinite(values)))} infinite values; remove them")
        if len(values) < _MIN_REGRESSION_ROWS:
            raise InputError(f"the data has {len(values)} rows; regression needs at least {_MIN_REGRESSION_ROWS}")
        return Dataset(frame, values, name, None, notes)
    labels = target.astype(str).to_numpy(dtype=object)
    classes = sorted(set(labels), key=lambda c: (not _is_number(c), float(c) if _is_number(c) else 0.0, c))
    if len(labels) < _MIN_ROWS_PER_CLASS * len(classes):
        raise InputError(
            f"the data has {len(labels)} rows for {len(classes)} classes of {name}; at least 3 rows for each class are needed"
        )
    rare = [c for c in classes if int(np.sum(labels == c)) < _MIN_ROWS_PER_CLASS]
    if rare:
        raise InputError(f"the target {name}: the classes {listed(rare)} have fewer than 3 rows; merge or remove them")
    if len(classes) > _MAX_CLASSES:
        raise InputError(f"the target {name}: has {len(classes)} classes; accepted are at most {_MAX_CLASSES}")
    return Dataset(frame, labels, name, classes, notes)


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _check(column: Any, name: str) -> None:
    """Refuses a column that holds infinite values, dates, or text that is not a category."""
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
            "day) or remove it; mind that rows are split at random, which overestimates a model of the future"
        )
    levels = column.nunique(dropna=True)
    if levels > MAX_LEVELS and levels > 0.05 * len(column):
        raise InputError(
            f"column {name}: text with {levels} different values is not a category (at most {MAX_LEVELS}); "
            "remove the column or turn it into numbers"
        )


def listed(names: Any, limit: int = 12) -> str:
    """Returns the first names in words, and how many more there are."""
    names = [str(n) for n in names]
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")
