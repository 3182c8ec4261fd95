"""Columns that describe rows instead of features: groups, times and weights."""

from typing import Any, NamedTuple

import numpy as np

from metajax._optional import optional
from metajax.data.schema import _dates as dates
from metajax.data.schema import _numerals as numerals
from metajax.data.schema._cells import Cells
from metajax.data.schema._show import listed
from metajax.types import InputError


class RowColumns(NamedTuple):
    """The names of the columns that describe rows.

    Attributes:
        group: Rows with equal values belong together: they are never on both sides of a split. Nothing is learned from it.
        time: Rows are split in the order of these numbers or dates: what comes later is predicted from what came before. It
            stays among the features.
        weight: The weight of each row. Nothing is learned from it.
    """

    group: str | None = None
    time: str | None = None
    weight: str | None = None

    @property
    def removed(self) -> list[str]:
        """The columns that are not features."""
        return [name for name in (self.group, self.weight) if name is not None]


NO_ROW_COLUMNS = RowColumns()
"""No column describes rows."""


class RowRoles(NamedTuple):
    """Groups, times and weights of the rows of a table.

    Attributes:
        groups: i64[rows], numbers of groups, or ``None``.
        times: f64[rows], larger where later, or ``None``.
        weights: f64[rows], at least 0, 1 on average, or ``None``.
        columns: The names of these columns.
        weight_unit: The number by which the weights were divided.
    """

    groups: np.ndarray | None = None
    times: np.ndarray | None = None
    weights: np.ndarray | None = None
    columns: RowColumns = NO_ROW_COLUMNS
    weight_unit: float = 1.0

    def take(self, rows: Any) -> "RowRoles":
        """Returns some of the rows.

        Args:
            rows: Row numbers, or a mask.
        """
        select = lambda column: None if column is None else column[rows]
        return self._replace(groups=select(self.groups), times=select(self.times), weights=select(self.weights))


def check_row_columns(frame: Any, columns: RowColumns, target: str) -> None:
    """Refuses names of columns that do not exist or that are the target.

    Raises:
        InputError: If a name is not a column of the features.
    """
    for role, name in columns._asdict().items():
        if name is not None and name == target:
            raise InputError(f"{role}={name!r}: must be another column than the target")
        if name is not None and name not in frame.columns:
            raise InputError(f"{role}={name!r}: must be a column of the data, one of {listed(frame.columns)}")


def read_roles(frame: Any, columns: RowColumns, weight_unit: float | None = None) -> RowRoles:
    """Reads groups, times and weights from their columns.

    Args:
        frame: A data frame that has these columns.
        columns: Their names.
        weight_unit: The number by which the weights are divided; by default their mean.

    Raises:
        InputError: If one of them has a gap or cannot be read.
    """
    cells = {role: Cells.of(frame[name], name) for role, name in columns._asdict().items() if name is not None}
    weights, unit = _weights(cells["weight"], weight_unit) if "weight" in cells else (None, 1.0)
    return RowRoles(
        groups=_groups(cells["group"]) if "group" in cells else None,
        times=_times(cells["time"]) if "time" in cells else None,
        weights=weights,
        columns=columns,
        weight_unit=unit,
    )


def as_weights(values: Any, argument: str, unit: float | None = None) -> tuple[np.ndarray, float]:
    """Returns weights f64[rows], divided by the mean of the positive ones or by a unit, and this divisor.

    Raises:
        InputError: If one is not a number, is missing, infinite or negative, or all are 0.
    """
    try:
        values = np.asarray(values, np.float64)
    except (TypeError, ValueError):
        raise InputError(f"{argument}: must have finite numbers >= 0, but some values are not numbers") from None
    is_invalid = ~np.isfinite(values) | (values < 0)
    if is_invalid.any():
        raise InputError(f"{argument}: must have finite numbers >= 0, got {values[is_invalid][0]:g}")
    if not values.any():
        raise InputError(f"{argument}: must have a positive weight in at least one row, but all weights are zero")
    if unit is None:
        largest = float(values.max())
        unit = largest * float(np.mean(values[values > 0] / largest))  # The sum of large ones would be infinite.
    return values / unit, unit


def as_groups(values: Any, argument: str) -> np.ndarray:
    """Returns the numbers of groups i64[rows] of any values.

    Raises:
        InputError: If a value is missing, or there are fewer than 2 groups.
    """
    pd = optional("pandas", "groups")
    numbers = np.asarray(pd.factorize(pd.Series(values), use_na_sentinel=True)[0], np.int64)
    _refuse_gaps(argument, numbers < 0)
    if int(numbers.max(initial=-1)) < 1:
        raise InputError(f"{argument}: must have at least 2 groups, because some are held out; got 1")
    return numbers


def _groups(cells: Cells) -> np.ndarray:
    return as_groups(np.where(cells.codes < 0, np.nan, cells.codes), f"group={cells.name!r}")


def _times(cells: Cells) -> np.ndarray:
    """Dates as seconds, or numbers."""
    if (date := dates.fit(cells)) is not None:
        values = dates.moments(cells, date.column)
        times = np.where(np.isnat(values), np.nan, values.astype(np.int64) / 1e6)
    else:
        times = _numbers("time", cells, "numbers or dates")
    _refuse_gaps(f"time={cells.name!r}", np.isnan(times))
    if (times == times[0]).all():
        raise InputError(f"time={cells.name!r}: must differ between rows, but all rows have the same time")
    return times


def _weights(cells: Cells, unit: float | None) -> tuple[np.ndarray, float]:
    values = _numbers("weight", cells, "finite numbers >= 0")
    argument = f"weight={cells.name!r}"
    _refuse_gaps(argument, np.isnan(values))
    return as_weights(values, argument, unit)


def _numbers(role: str, cells: Cells, required: str) -> np.ndarray:
    """The cells as numbers f64[rows], NaN where one is missing."""
    if cells.numbers is not None:
        return cells.numbers
    number_fit = numerals.fit(cells)
    if number_fit is None:
        raise InputError(f"{role}={cells.name!r}: must have {required}, got values such as {listed(cells.texts, 3)}")
    return numerals.values(cells, number_fit.column)


def _refuse_gaps(argument: str, is_missing: np.ndarray) -> None:
    if missing := int(np.count_nonzero(is_missing)):
        raise InputError(
            f"{argument}: must have a value in every row, but {missing:,} rows have none; fill or drop these rows"
        )
