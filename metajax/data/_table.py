"""A table that can be learned: its schema and task are decided, and what cannot be learned is refused by name."""

import dataclasses
from typing import Any, NamedTuple

import numpy as np

from metajax._optional import optional
from metajax.data._row_roles import NO_ROW_COLUMNS, RowColumns, RowRoles, check_row_columns, read_roles
from metajax.data.schema._frames import as_frame
from metajax.data.schema._schema import Columns, Schema
from metajax.data.schema._show import listed
from metajax.data.schema._table import read_table
from metajax.types import InputError

_MAX_CLASSES = 200
_MIN_REGRESSION_ROWS = 10
_MIN_ROWS_PER_CLASS = 3


class Dataset(NamedTuple):
    """A table and its target.

    Attributes:
        frame: A pandas data frame of the features, as they were given.
        target: Array[rows] of the target, of class labels or floats, none of them missing.
        name: The name of the target.
        classes: The sorted class labels as strings, or ``None`` for regression.
        notes: Notes on what was left out or changed, for the report.
        schema: The schema that reads the columns.
        columns: The features, as the schema reads them.
        roles: Groups, times and weights of the rows.
        row_numbers: i64[rows], the index of each row in the original table, from 0; ``None`` if it is not known.
    """

    frame: Any
    target: np.ndarray
    name: str
    classes: list[str] | None
    notes: list[str]
    schema: Schema | None = None
    columns: Columns | None = None
    roles: RowRoles = RowRoles()
    row_numbers: np.ndarray | None = None

    def take(self, rows: np.ndarray) -> "Dataset":
        """Returns some of the rows.

        Args:
            rows: Row numbers.
        """
        columns = None if self.columns is None else self.columns.take(rows)
        numbers = None if self.row_numbers is None else self.row_numbers[rows]
        frame = self.frame.iloc[rows].reset_index(drop=True)
        return self._replace(
            frame=frame,
            target=self.target[rows],
            columns=columns,
            roles=self.roles.take(rows),
            row_numbers=numbers,
        )

    def counting(self) -> "Dataset":
        """Returns the rows that count: a row of weight 0 is as if it was not there."""
        weights = self.roles.weights
        return self if weights is None or weights.all() else self.take(np.flatnonzero(weights))


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


def to_dataset(
    frame: Any,
    target: Any,
    name: str,
    notes: list[str],
    task: str | None,
    schema: Schema | None = None,
    row_columns: RowColumns = NO_ROW_COLUMNS,
) -> Dataset:
    """Infers the schema of a table, decides its task, and reads it. Rows without a target are left out.

    Args:
        frame: A data frame of the features, or what ``as_frame`` accepts.
        target: A series or array of the target.
        name: The name of the target.
        notes: Notes on earlier steps, for the report.
        task: ``classification``, ``regression`` or ``None``, as in ``load``.
        schema: A schema to read the table by, where it is not to be inferred.
        row_columns: The columns that describe rows.

    Returns:
        The dataset.

    Raises:
        InputError: If nothing can be learned from it: a constant target, too few rows, no column that says anything, infinite
            values, or a column about rows that cannot be read.

    Example:
        >>> pd = pandas()
        >>> frame = pd.DataFrame({"x": [0.5 * i for i in range(10)], "k": 1})
        >>> to_dataset(frame, pd.Series(["a", "b"] * 5), "label", [], None).notes
        ['Left out, because they are constant: k.']
    """
    frame = as_frame(frame)
    target = target if hasattr(target, "iloc") else pandas().Series(np.asarray(target))
    if len(frame) != len(target):
        raise InputError(
            f"the target {name} must have one value for each row, got {len(target):,} values for {len(frame):,} rows"
        )
    target_column = (
        schema.target if schema is not None and schema.target is not None and schema.target.name == name else None
    )
    check_row_columns(frame, row_columns, name)
    full_frame, frame = frame, frame.drop(columns=row_columns.removed)
    feature_columns = None if schema is None else tuple(c for c in schema.columns if c.name not in row_columns.removed)
    table = read_table(frame, target.reset_index(drop=True), name, task, feature_columns, target_column)
    assert table.description is not None
    new_schema = Schema(table.columns, table.description, (*notes, *table.notes))
    values = table.target
    if not table.is_known.all():
        full_frame, frame, values = full_frame[table.is_known], frame[table.is_known], values[table.is_known]
    frame = frame.reset_index(drop=True)
    roles, numbers = read_roles(full_frame.reset_index(drop=True), row_columns), np.flatnonzero(table.is_known)
    if roles.weights is not None and (n_out := int(np.count_nonzero(roles.weights == 0))):
        new_schema = dataclasses.replace(
            new_schema, notes=(*new_schema.notes, f"Rows of weight 0 are left out: {n_out:,}.")
        )
    classes = None if table.description.classes is None else list(table.description.classes)
    dataset = Dataset(frame, values, name, classes, list(new_schema.notes), new_schema, None, roles, numbers).counting()
    _check_learnable(dataset, new_schema)
    return dataset._replace(columns=new_schema.apply(dataset.frame))


def _check_learnable(dataset: Dataset, schema: Schema) -> None:
    """Refuses a dataset from which nothing can be learned."""
    _check_target(dataset.target, dataset.name)
    if not schema.used:
        raise InputError(
            "the data must have a column to learn from, but every column is constant, empty or an identifier"
        )
    if dataset.classes is None:
        _check_values(dataset.target)
    else:
        _check_labels(dataset.target, dataset.classes, dataset.name)


def to_test_dataset(frame: Any, target: Any, dataset: Dataset) -> Dataset:
    """Reads test rows as the rows of a dataset were read. Rows without a target are left out.

    Args:
        frame: A data frame with the columns of the dataset.
        target: A series or array of the target.
        dataset: The dataset.

    Raises:
        InputError: If a column is missing, no row has a target, or a label is not one of the dataset's.
    """
    schema = dataset.schema
    assert schema is not None and schema.target is not None
    target = target if hasattr(target, "iloc") else pandas().Series(np.asarray(target))
    series = target.reset_index(drop=True)
    table = read_table(as_frame(frame), series, dataset.name, schema.target.task, schema.columns, schema.target)
    is_known = np.asarray(table.is_known)
    if not is_known.any():
        raise InputError(f"test: must have a value of the target {dataset.name} in some row")
    rows = as_frame(frame)[is_known].reset_index(drop=True)
    weight = RowColumns(weight=dataset.roles.columns.weight)
    check_row_columns(rows, weight, dataset.name)
    roles = read_roles(rows, weight, dataset.roles.weight_unit)
    test_dataset = dataset._replace(
        frame=rows,
        target=table.target[is_known],
        notes=[],
        columns=schema.check(rows),
        roles=roles,
        row_numbers=np.flatnonzero(is_known),
    )
    return test_dataset.counting()


def _check_target(values: np.ndarray, name: str) -> None:
    """Refuses a target that does not vary."""
    if len(values) == 0 or all(value == values[0] for value in values):
        sole_value = values[0] if len(values) else "no value"
        raise InputError(f"the target {name} must have at least two values, but it is constant ({sole_value})")


def _check_values(values: np.ndarray) -> None:
    """Refuses a regression target of few rows."""
    if len(values) < _MIN_REGRESSION_ROWS:
        raise InputError(f"the data must have at least {_MIN_REGRESSION_ROWS} rows for regression, got {len(values)}")


def _check_labels(labels: np.ndarray, classes: list[str], name: str) -> None:
    """Refuses too many classes, and classes of few rows."""
    if len(labels) < _MIN_ROWS_PER_CLASS * len(classes):
        raise InputError(
            f"the data must have at least 3 rows for each class, got {len(labels)} rows for {len(classes)} classes of "
            f"{name}"
        )
    distinct, counts = np.unique(labels.astype(str), return_counts=True)
    n_rows = dict(zip(distinct.tolist(), counts.tolist()))
    rare_classes = [label for label in classes if n_rows.get(label, 0) < _MIN_ROWS_PER_CLASS]
    if rare_classes:
        raise InputError(
            f"the target {name} must have at least 3 rows of each class; merge or remove the classes "
            f"{listed(rare_classes)}"
        )
    if len(classes) > _MAX_CLASSES:
        raise InputError(f"the target {name} must have at most {_MAX_CLASSES} classes, got {len(classes)}")
