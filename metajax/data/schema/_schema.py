"""The schema of a table: inferred from its cells, stored with the model, and applied to new rows exactly as learned."""

import dataclasses
import json
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from metajax.data.schema import _categories as categories
from metajax.data.schema import _dates as dates
from metajax.data.schema import _hashing as hashing
from metajax.data.schema import _numerals as numerals
from metajax.data.schema import _show as show
from metajax.data.schema._cells import Cells
from metajax.data.schema._column import Column, TargetColumn
from metajax.data.schema._frames import as_frame
from metajax.data.schema._surprises import Surprise, unreadable_cells, unseen_levels
from metajax.data.schema._table import read_table
from metajax.types import InputError

_FORMAT = 1


class Columns(NamedTuple):
    """Rows as a schema reads them.

    Attributes:
        numbers: f64[n, k], numbers, NaN where one is missing.
        codes: i32[n, c], the level of each category, -1 where it is missing or was not seen.
    """

    numbers: np.ndarray
    codes: np.ndarray

    def take(self, rows: Any) -> "Columns":
        """Returns some of the rows.

        Args:
            rows: Row numbers, a mask, or a slice.
        """
        return Columns(self.numbers[rows], self.codes[rows])


class Source(NamedTuple):
    """Where a number or a code comes from.

    Attributes:
        name: Its name, such as ``day: month``.
        column: The index of its column among those that are used.
    """

    name: str
    column: int


@dataclasses.dataclass(frozen=True)
class Schema:
    """How a table is read: what each column is, by which rule its cells are read, and what is predicted.

    Attributes:
        columns: The columns, in the order of the table.
        target: The target column, or ``None``.
        notes: Sentences on what is left out or changed.

    Example:
        >>> from metajax.data import tabular
        >>> frame = tabular.as_frame({"price": ["1,5 €", "2,5 €", "?"], "color": ["red", "blue", "red"], "k": [1, 1, 1]})
        >>> schema = Schema.infer(frame)
        >>> [column.kind for column in schema.columns]
        ['number', 'category', 'constant']
        >>> schema.apply(frame).numbers.tolist(), schema.apply(frame).codes.tolist()
        ([[1.5], [2.5], [nan]], [[0], [1], [0]])
    """

    columns: tuple[Column, ...]
    target: TargetColumn | None = None
    notes: tuple[str, ...] = ()

    @staticmethod
    def infer(
        data: Any, target: str | None = None, task: str | None = None, edited: "Schema | None" = None
    ) -> "Schema":
        """Infers the schema of a table from the text of its cells.

        Args:
            data: A data frame, or what ``as_frame`` accepts.
            target: The name of the column to predict, or ``None``.
            task: ``classification`` or ``regression``; by default the target decides.
            edited: An edited schema, whose kinds and parameters are kept. Columns that it does not name are left out, and
                parameters that it leaves open are inferred.

        Returns:
            The schema.

        Raises:
            InputError: If the table cannot be read, or the target is not a column of it.
        """
        frame = as_frame(data)
        if target is not None and target not in frame.columns:
            raise InputError(f"target={target!r}: must be a column, one of {show.listed(frame.columns)}")
        values = None if target is None else frame[target]
        features = frame if target is None else frame.drop(columns=target)
        edited_target = edited.target if edited is not None else None
        table = read_table(features, values, target or "", task, edited and edited.columns, edited_target)
        return Schema(table.columns, table.description, table.notes)

    @property
    def used(self) -> tuple[Column, ...]:
        """The columns that something is learned from."""
        return tuple(column for column in self.columns if column.is_used)

    @property
    def numbers(self) -> list[Source]:
        """The columns of ``Columns.numbers``."""
        return [Source(name, i) for i, column in enumerate(self.used) for name in _number_names(column)]

    @property
    def codes(self) -> list[Source]:
        """The columns of ``Columns.codes``."""
        return [Source(column.name, i) for i, column in enumerate(self.used) if column.kind == "category"]

    def apply(self, data: Any) -> Columns:
        """Reads rows. Each cell is read independently, so that the result for a row does not depend on the other rows.

        Args:
            data: A data frame with the used columns, in any order, or what ``as_frame`` accepts.

        Returns:
            The rows.

        Raises:
            InputError: If a column is missing, or holds infinite numbers or objects.
        """
        return self._read_rows(data)[0]

    def surprises(self, data: Any) -> list[str]:
        """Returns sentences on what the schema cannot read in new rows: texts among numbers and levels that were not seen.

        Args:
            data: As for ``apply``.
        """
        return [surprise.sentence for surprise in self._read_rows(data)[1]]

    def check(self, data: Any) -> Columns:
        """Reads rows as ``apply`` does, and refuses a column of numbers or dates none of whose cells can be read.

        Args:
            data: As for ``apply``.

        Raises:
            InputError: As ``apply``, or if nothing of a column can be read.
        """
        columns, surprises = self._read_rows(data)
        fatal = [surprise.sentence for surprise in surprises if surprise.is_fatal]
        if fatal:
            raise InputError(fatal[0])
        return columns

    def _read_rows(self, data: Any) -> tuple[Columns, list[Surprise]]:
        frame = as_frame(data)
        used = self.used
        missing = [column.name for column in used if column.name not in frame.columns]
        if missing:
            raise InputError(f"the data must have the columns of the training data, but lacks {show.listed(missing)}")
        numbers = np.empty((len(frame), len(self.numbers)))
        codes = np.empty((len(frame), sum(column.kind == "category" for column in used)), np.int32)
        at_number = at_code = 0
        surprises: list[Surprise] = []
        for column in used:
            cells = Cells.of(frame[column.name], column.name)
            if column.kind == "category":
                codes[:, at_code] = categories.codes(cells, column)
                surprises += unseen_levels(cells, column, codes[:, at_code])
                at_code += 1
                continue
            block = _block(cells, column)
            numbers[:, at_number : at_number + block.shape[1]] = block
            at_number += block.shape[1]
            surprises += unreadable_cells(cells, column, block[:, 0])
        return Columns(numbers, codes), surprises

    def described(self) -> list[dict[str, str]]:
        """Returns for each column its name, its kind and its rule in words, as a report shows them."""
        return [{"name": column.name, "kind": column.kind, "rule": show.rule(column)} for column in self.columns]

    def to_json(self) -> str:
        """Returns the schema as JSON, which can be edited."""
        return json.dumps(self.to_dict(), indent=1, ensure_ascii=False)

    def to_dict(self) -> dict[str, Any]:
        """Returns the schema as plain values."""
        target = self.target.to_dict() if self.target else None
        columns = [column.to_dict() for column in self.columns]
        return {"format": _FORMAT, "target": target, "columns": columns, "notes": list(self.notes)}

    @staticmethod
    def from_json(text: str) -> "Schema":
        """Reads a schema that ``to_json`` wrote, edited or not.

        Args:
            text: The JSON.

        Returns:
            The schema.

        Raises:
            InputError: If it is no JSON, of another format, or names a kind or parameter that does not exist.

        Example:
            >>> schema = Schema((Column("x", "number"),))
            >>> Schema.from_json(schema.to_json()) == schema
            True
        """
        try:
            content = json.loads(text)
        except json.JSONDecodeError as error:
            raise InputError(f"schema: must be JSON ({error})") from error
        return Schema.from_dict(content)

    @staticmethod
    def from_dict(content: Any) -> "Schema":
        """Returns the schema that ``to_dict`` wrote.

        Raises:
            InputError: As ``from_json``.
        """
        if not isinstance(content, dict) or content.get("format") != _FORMAT:
            file_format = content.get("format") if isinstance(content, dict) else content
            raise InputError(f"schema: the format must be {_FORMAT} in this version, got {file_format!r:.40}")
        columns, target, notes = content.get("columns"), content.get("target"), content.get("notes", [])
        if not isinstance(columns, list) or not isinstance(notes, list):
            raise InputError("schema: columns and notes must be lists")
        all_columns = tuple(Column.from_dict(column) for column in columns)
        duplicates = sorted(name for name, n in Counter(column.name for column in all_columns).items() if n > 1)
        if duplicates:
            raise InputError(
                f"schema: every column must appear once, but {show.listed(duplicates)} appear more than once"
            )
        return Schema(all_columns, None if target is None else TargetColumn.from_dict(target), tuple(map(str, notes)))

    @staticmethod
    def read(path: Path | str) -> "Schema":
        """Reads the JSON of a schema from a file.

        Args:
            path: The file.

        Raises:
            InputError: If it does not exist, or as ``from_json``.
        """
        try:
            return Schema.from_json(Path(path).read_text(encoding="utf-8-sig"))
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"schema={str(path)!r}: cannot be read ({error})") from error

    def __str__(self) -> str:
        """The schema as a table for people."""
        return show.table(self.columns, self.target, self.notes)


def _number_names(column: Column) -> list[str]:
    if column.kind == "date":
        return [f"{column.name}: {part}" for part in column.parts or ()]
    if column.kind == "text":
        return [f"{column.name}: {name}" for name in hashing.names(column.width)]
    return [] if column.kind == "category" else [column.name]


def _block(cells: Cells, column: Column) -> np.ndarray:
    """The numbers f64[n, k] of a column."""
    if column.kind == "boolean":
        return categories.truth(cells, column)[:, None]
    if column.kind == "date":
        return dates.numbers(dates.moments(cells, column), column)
    if column.kind == "text":
        texts = [text if text not in column.missing else "" for text in cells.texts]
        return hashing.features([*texts, ""], column.width)[cells.codes]
    if cells.numbers is not None:
        missing = numerals.parse(column.missing, dataclasses.replace(column, missing=()))
        return np.where(np.isin(cells.numbers, missing), np.nan, cells.numbers)[:, None]
    return numerals.values(cells, column)[:, None]
