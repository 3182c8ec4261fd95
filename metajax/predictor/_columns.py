"""Columns of tables as arguments of ``Trials``, and configurations as rows of a data frame."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from metajax.predictor import _frames as frames
from metajax.predictor import _tabletext as tabletext
from metajax.space import Categorical, Integer, Space, Subset
from metajax.types import InputError


def as_numbers(name: str, values: Any) -> np.ndarray:
    """f64 array of the argument ``name`` of ``Trials``."""
    try:
        return np.asarray(values, np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"Trials: {name} must hold numbers ({error})") from error


def group_numbers(values: Any) -> np.ndarray:
    """int[n]: the number of the dataset of each trial, from names or numbers."""
    values = np.asarray(values)
    is_empty = lambda v: v is None or type(v).__name__ == "NAType" or (isinstance(v, float) and math.isnan(v))
    empty = [i for i, v in enumerate(values.ravel().tolist()) if is_empty(v)]
    if empty:
        raise InputError(f"Trials: group must name or number the dataset of every row, got none in row {empty[0]}")
    try:
        return np.unique(values, return_inverse=True)[1].ravel()
    except TypeError:  # names and numbers
        return np.unique(values.astype(str), return_inverse=True)[1].ravel()


def writer(name: str, domain: Any) -> Callable[[Any], Any]:
    """A function from the values of a domain to cells of a table."""
    if isinstance(domain, Categorical):
        return tabletext.Cells(name, domain).write
    if isinstance(domain, Subset):
        return lambda items: " ".join(map(str, items)) if items else tabletext.escaped([])
    return lambda value: value


def read_rows(space: Space, frame: Any) -> list[dict[str, Any]]:
    """Dictionaries from the cells of a data frame; an empty cell is ``None`` if that is a choice, else it is left out."""
    pd = frames.pandas()
    columns: dict[str, list[Any]] = {}
    for name, domain in space.domains.items():
        has_none = isinstance(domain, Categorical) and None in domain.choices
        read = tabletext.Cells(name, domain).read if isinstance(domain, Categorical) else None
        read = tabletext.subset if isinstance(domain, Subset) else read
        value_by_cell: dict[Any, Any] = {}
        columns[name] = []
        for row, value in enumerate(frame[name].tolist()):
            if pd.api.types.is_scalar(value) and pd.isna(value):
                columns[name].append((has_none, None))
            elif read is None:
                columns[name].append((True, tabletext.number(value) if isinstance(value, str) else value))
            else:
                key = (type(value), value if pd.api.types.is_scalar(value) else row)
                if key not in value_by_cell:
                    try:
                        value_by_cell[key] = read(value)
                    except InputError as error:
                        raise InputError(f"configuration {row}: {error}") from error
                columns[name].append((True, value_by_cell[key]))
    return [{name: column[row][1] for name, column in columns.items() if column[row][0]} for row in range(len(frame))]


def read_frame(space: Space, frame: Any, metric: str, group: str | None, context: Sequence[str]) -> dict[str, Any]:
    """The arguments of ``Trials.from_arrays`` from a data frame; see ``Trials.from_frame``."""
    required = [metric, *([group] if group else []), *context]
    missing = [c for c in [*required, *space.domains] if c not in frame.columns]
    if missing:
        raise InputError(f"Trials: the table must have the columns {missing}, got {list(frame.columns)}")
    names = list(frame.columns)
    twice = [c for c in names if names.count(c) > 1] + [c for c in required if c in space.domains]
    if twice:
        raise InputError(
            f"Trials: column names must be unique, but {twice[0]!r} occurs twice, or is both a parameter and another column"
        )
    try:
        configs = space.configs(read_rows(space, frame))
    except InputError as error:
        raise InputError(f"Trials: {error}") from error
    settings = [c for c in frame.columns if c not in required and c not in space.domains]
    return {
        "configs": configs,
        "metric": frame[metric].to_numpy(na_value=np.nan),
        "group": frame[group].to_numpy() if group else None,
        "context": frame[list(context)].to_numpy(na_value=np.nan) if context else None,
        "settings": {c: frame[c].to_numpy() for c in settings},
    }


def write_frame(
    space: Space,
    configs: Sequence[Mapping[str, Any]],
    values: np.ndarray,
    settings: Mapping[str, np.ndarray],
    metric: str,
) -> Any:
    """A data frame of trials; see ``Trials.to_frame``."""
    pd = frames.pandas()
    repeated = [name for name in [metric, *settings] if name in space.domains]
    if repeated or metric in settings:
        raise InputError(
            f"to_frame: {[*repeated, metric][0]!r} is the name of another column; pass another name as metric"
        )
    write = {name: writer(name, domain) for name, domain in space.domains.items()}
    rows = [{name: write[name](value) for name, value in config.items()} for config in configs]
    frame = pd.DataFrame(rows, columns=list(space.domains))
    for name, domain in space.domains.items():
        if isinstance(domain, Integer) and max(abs(domain.low), abs(domain.high)) > 2**53:
            frame[name] = pd.array(
                [row.get(name) for row in rows], dtype="Int64"
            )  # without this type, empty cells would turn integers into floats
    frame[metric] = values
    for name, column in settings.items():
        frame[name] = column
    return frame


def filled(value: np.ndarray, group: np.ndarray, state: np.ndarray, reported: np.ndarray) -> np.ndarray:
    """f64[n]: values, larger better, without gaps; see ``Trials.utility``."""
    result = value.copy()
    for g in np.unique(group):
        in_group = group == g
        finite_values = value[in_group & ~np.isnan(value)]
        pruned = in_group & np.isnan(value) & (state == "pruned") & bool(len(finite_values))
        result[pruned] = np.fmin(np.median(finite_values), reported[pruned]) if len(finite_values) else np.nan
        filled_values = result[in_group & ~np.isnan(result)]
        result[in_group & np.isnan(result)] = filled_values.min() if len(filled_values) else np.nanmin(value)
    return result
