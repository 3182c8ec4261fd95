"""A whole table: its schema, and the values of its target."""

from typing import Any, NamedTuple

import numpy as np

from metajax.data.schema import _numerals as numerals
from metajax.data.schema._cells import Cells, spelled
from metajax.data.schema._column import Column, TargetColumn
from metajax.data.schema._infer import complete_column, infer_column
from metajax.data.schema._show import listed
from metajax.types import InputError

MAX_CLASSES_OF_NUMBERS = 20
"""A target with more distinct whole numbers is one of regression."""


class Table(NamedTuple):
    """The inferred columns of a table, and its target.

    Attributes:
        columns: The columns of the features.
        description: The target column, or ``None``.
        notes: Sentences on what is left out or changed.
        target: [n] labels, as text, or values f64[n]; ``None`` or NaN where a row has none. Empty without a target.
        is_known: bool[n], whether a row has a target.
    """

    columns: tuple[Column, ...]
    description: TargetColumn | None
    notes: tuple[str, ...]
    target: np.ndarray
    is_known: np.ndarray


def read_table(
    frame: Any,
    target: Any,
    name: str,
    task: str | None,
    edited_columns: tuple[Column, ...] | None = None,
    edited_target: TargetColumn | None = None,
) -> Table:
    """Infers the columns of features and target, or completes given ones.

    Args:
        frame: A data frame of the features.
        target: A series of the target, or ``None``.
        name: The name of the target.
        task: ``classification``, ``regression`` or ``None``, as in ``Schema.infer``.
        edited_columns: Columns to keep, or ``None``.
        edited_target: A target to keep, or ``None``.

    Raises:
        InputError: If a given column does not exist, or the target does not fit the task.
    """
    columns, notes, is_comma = _columns(frame, edited_columns)
    if target is None:
        return Table(columns, None, tuple(notes), np.empty(0), np.ones(len(frame), bool))
    cells = Cells.of(target, name)
    if edited_target is not None:
        described = _complete_target(edited_target, cells)
    else:
        described = infer_target(cells, task, is_comma)
    if task is not None and described.task != task:
        raise InputError(f"task={task!r}: must agree with the schema, where {name} is a target of {described.task}")
    values = read_target(cells, described)
    valued = (
        ~np.isnan(values) if described.task == "regression" else np.array([label is not None for label in values], bool)
    )
    n_unknown = int(np.count_nonzero(~valued))
    if n_unknown:
        notes.append(f"Rows without a target are left out: {n_unknown:,}.")
    return Table(columns, described, tuple(notes), values, valued)


def _columns(frame: Any, edited_columns: tuple[Column, ...] | None) -> tuple[tuple[Column, ...], list[str], bool]:
    """Returns the columns of a table, notes on them, and whether the table has decimal commas."""
    n = len(frame)
    table_names = dict.fromkeys(frame.columns)
    if edited_columns is not None:
        missing = [column.name for column in edited_columns if column.is_used and column.name not in table_names]
        if missing:
            raise InputError(
                f"schema: must name columns of the table only, but names {listed(missing)}; the table has "
                f"{listed(table_names)}"
            )
        present_columns = [column for column in edited_columns if column.name in table_names]
        columns = tuple(
            complete_column(Cells.of(frame[column.name], column.name), column) for column in present_columns
        )
        schema_names = {column.name for column in present_columns}
        unnamed_columns = [name for name in table_names if name not in schema_names]
        notes = (
            [f"Columns that the schema does not name are left out: {listed(unnamed_columns)}."]
            if unnamed_columns
            else []
        )
        commas = any(column.kind == "number" and column.decimal == "," for column in columns)
        return columns, _dropped(columns) + notes, commas
    # The cells of one column at a time, which bounds the memory.
    inferred = {name: infer_column(Cells.of(frame[name], name), n) for name in table_names}
    is_comma = any(column_fit.is_comma for column_fit in inferred.values())
    if is_comma:  # 1,234 and 1.234 are read as the other columns say
        numbers = [name for name, column_fit in inferred.items() if column_fit.column.kind == "number"]
        inferred |= {name: infer_column(Cells.of(frame[name], name), n, True) for name in numbers}
    columns = tuple(column_fit.column for column_fit in inferred.values())
    if not any(column.is_used for column in columns):  # numbers that look like row numbers are all there is
        columns = tuple(
            _as_number(Cells.of(frame[c.name], c.name), c) if c.kind == "identifier" else c for c in columns
        )
    notes = [note for column_fit in inferred.values() for note in column_fit.notes]
    return columns, _dropped(columns) + notes, is_comma


def _as_number(cells: Cells, column: Column) -> Column:
    """An identifier as a column of numbers, if it is one."""
    if cells.numbers is not None:
        return Column(column.name, "number")
    number_fit = numerals.fit(cells)
    return number_fit.column if number_fit is not None else column


def _dropped(columns: tuple[Column, ...]) -> list[str]:
    """Notes on the columns that nothing is learned from."""
    reasons = {"identifier": "identifiers or row numbers", "constant": "constant", "empty": "empty"}
    notes = []
    for kind, reason in reasons.items():
        names = [column.name for column in columns if column.kind == kind]
        if names:
            notes.append(f"Left out, because they are {reason}: {listed(names)}.")
    return notes


def infer_target(cells: Cells, task: str | None, prefers_comma: bool = False) -> TargetColumn:
    """Decides what is predicted: text, truth values and at most 20 distinct whole numbers are classes.

    Words such as ``NA`` are labels like others, but where the other values are many numbers.

    Args:
        cells: The cells of the target.
        task: ``classification``, ``regression`` or ``None``.
        prefers_comma: Whether the table has decimal commas.

    Raises:
        InputError: If the task is regression and the target is text or dates.
    """
    name = cells.name
    rule = _number_rule(cells, prefers_comma)
    if task is None:
        task = "regression" if rule is not None and _is_quantity(cells, rule) else "classification"
    if task == "classification":
        return TargetColumn(name, task, _labels(cells))
    if rule is None:
        content = "dates" if cells.moments is not None else "text"
        raise InputError(
            f"the target {name} must have numbers for regression, got {content}; use task='classification' for it"
        )
    return TargetColumn(name, task, rule=rule)


def _number_rule(cells: Cells, prefers_comma: bool) -> Column | None:
    """Returns the rule that reads the target as numbers, or ``None`` if it is not numeric."""
    if cells.numbers is not None:
        return Column(cells.name, "number")
    if cells.moments is not None or cells.is_declared or not cells.texts:
        return None
    number_fit = numerals.fit(cells, prefers_comma)
    if number_fit is None or any(text.lower() not in numerals.MISSING_WORDS for text in number_fit.stray):
        return None
    return number_fit.column


def _is_quantity(cells: Cells, rule: Column) -> bool:
    """Whether numbers are more than names of classes."""
    values = np.unique(cells.numbers[~np.isnan(cells.numbers)] if cells.numbers is not None else _parsed(cells, rule))
    return len(values) > MAX_CLASSES_OF_NUMBERS or bool(np.any(values != np.floor(values)))


def _parsed(cells: Cells, rule: Column) -> np.ndarray:
    values = numerals.parse(cells.texts, rule)
    return values[~np.isnan(values)]


def _labels(cells: Cells) -> tuple[str, ...]:
    """The class labels in the order of their numbers, then of the alphabet. The spellings ``1`` and ``1.0`` become ``1``."""
    spellings: dict[str, list[str]] = {}
    for text in cells.texts:
        spellings.setdefault(spelled(text), []).append(text)
    labels = [texts[0] if len(texts) == 1 else key for key, texts in spellings.items()]
    order = dict(zip(labels, numerals.parse(labels, Column(cells.name, "number"))))
    return tuple(sorted(labels, key=lambda label: (np.isnan(order[label]), np.nan_to_num(order[label]), label)))


def _complete_target(target: TargetColumn, cells: Cells) -> TargetColumn:
    """A given target with its classes, and a check that no others occur."""
    if target.task == "regression":
        return target
    labels = _labels(cells)
    if not target.classes:
        return TargetColumn(target.name, target.task, labels)
    known_labels = {spelled(label) for label in target.classes}
    unknown_labels = [label for label in labels if spelled(label) not in known_labels]
    if unknown_labels:
        raise InputError(
            f"the target {target.name} must have labels among the classes of the schema, got {listed(unknown_labels)}"
        )
    return target


def read_target(cells: Cells, target: TargetColumn) -> np.ndarray:
    """Returns labels, as text, or values f64[n]; ``None`` or NaN where a cell is missing."""
    if target.rule is not None:
        return numerals.values(cells, target.rule)
    label = {spelled(label): label for label in target.classes or ()}
    labels = np.array([*(label.get(spelled(text)) for text in cells.texts), None], object)
    return labels[cells.codes]
