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
        target: What is predicted, or ``None``.
        notes: What is left out or changed, each a sentence.

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
    def infer(data: Any, target: str | None = None, task: str | None = None, given: "Schema | None" = None) -> "Schema":
        """Infers the schema of a table from the text of its cells.

        Args:
            data: A data frame, or what ``as_frame`` accepts.
            target: The name of the column to predict, or ``None``.
            task: ``classification`` or ``regression``; by default the target decides.
            given: An edited schema, whose kinds and parameters are kept. Columns that it does not name are left out, and
                parameters that it leaves open are inferred.

        Returns:
            The schema.

        Raises:
            InputError: If the table cannot be read, or the target is no column of it.
        """
        frame = as_frame(data)
        if target is not None and target not in frame.columns:
            raise InputError(f"target={target!r}: must be a column, one of {show.listed(frame.columns)}")
        values = None if target is None else frame[target]
        features = frame if target is None else frame.drop(columns=target)
        stated = given.target if given is not None else None
        table = read_table(features, values, target or "", task, given and given.columns, stated)
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
        """Reads rows. Each cell is read on its own, so that a part of the rows is read as it is among all of them.

        Args:
            data: A data frame with the used columns, in any order, or what ``as_frame`` accepts.

        Returns:
            The rows.

        Raises:
            InputError: If a column is missing, or holds infinite numbers or objects.
        """
        return self._read(data)[0]

    def surprises(self, data: Any) -> list[str]:
        """Returns what the schema cannot read in new rows, each a sentence: texts among numbers and levels that were not seen.

        Args:
            data: As for ``apply``.
        """
        return [sentence for sentence, _ in self._read(data)[1]]

    def check(self, data: Any) -> Columns:
        """Reads rows as ``apply`` does, and refuses a column of numbers or dates none of whose cells can be read.

        Args:
            data: As for ``apply``.

        Raises:
            InputError: As ``apply``, or if nothing of a column can be read.
        """
        columns, surprises = self._read(data)
        hopeless = [sentence for sentence, is_hopeless in surprises if is_hopeless]
        if hopeless:
            raise InputError(hopeless[0])
        return columns

    def _read(self, data: Any) -> tuple[Columns, list[tuple[str, bool]]]:
        frame = as_frame(data)
        used = self.used
        lacking = [column.name for column in used if column.name not in frame.columns]
        if lacking:
            raise InputError(f"the data must have the columns of the training data, but lacks {show.listed(lacking)}")
        numbers = np.empty((len(frame), len(self.numbers)))
        codes = np.empty((len(frame), sum(column.kind == "category" for column in used)), np.int32)
        at_number = at_code = 0
        surprises: list[tuple[str, bool]] = []
        for column in used:
            cells = Cells.of(frame[column.name], column.name)
            if column.kind == "category":
                codes[:, at_code] = categories.codes(cells, column)
                surprises += _unseen(cells, column, codes[:, at_code])
                at_code += 1
                continue
            block = _block(cells, column)
            numbers[:, at_number : at_number + block.shape[1]] = block
            at_number += block.shape[1]
            surprises += _unread(cells, column, block[:, 0])
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
            found = content.get("format") if isinstance(content, dict) else content
            raise InputError(f"schema: the format must be {_FORMAT} in this version, got {found!r:.40}")
        columns, target, notes = content.get("columns"), content.get("target"), content.get("notes", [])
        if not isinstance(columns, list) or not isinstance(notes, list):
            raise InputError("schema: columns and notes must be lists")
        read = tuple(Column.from_dict(column) for column in columns)
        twice = sorted(name for name, n in Counter(column.name for column in read).items() if n > 1)
        if twice:
            raise InputError(f"schema: every column must appear once, but {show.listed(twice)} appear more than once")
        return Schema(read, None if target is None else TargetColumn.from_dict(target), tuple(map(str, notes)))

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


def _unread(cells: Cells, column: Column, values: np.ndarray) -> list[tuple[str, bool]]:
    """What is unreadable in a column of numbers, dates or truth values, and whether that is all of it."""
    if column.kind == "text" or not np.isnan(values).any():
        return []
    n_known = cells.n_known
    if len(values) - np.count_nonzero(np.isnan(values)) == n_known:
        return []
    words = {**dict.fromkeys(column.missing), **dict.fromkeys(numerals.MISSING_WORDS)}
    read = np.isin(np.arange(len(cells.texts)), cells.codes[~np.isnan(values) & (cells.codes >= 0)])
    strange = [i for i in np.flatnonzero(~read) if cells.texts[i] not in words and cells.texts[i].lower() not in words]
    if not strange:
        return []
    n = int(cells.counts[strange].sum())
    kind = "truth value" if column.kind == "boolean" else column.kind
    shown = ", ".join(repr(cells.texts[i][:30]) for i in strange[:3])
    if n == n_known:
        return [(f"column {column.name}: holds text ({shown}), but the model was trained with {kind}s there", True)]
    return [
        (f"column {column.name}: no {kind} in {n:,} of {len(values):,} rows ({shown}), which count as missing", False)
    ]


def _unseen(cells: Cells, column: Column, codes: np.ndarray) -> list[tuple[str, bool]]:
    """The levels of a category that were not seen, unless it has so many that some always are."""
    assert column.levels is not None
    if len(column.levels) > categories.MAX_LEVELS or not (codes < 0).any():
        return []
    unseen = np.unique(cells.codes[(codes < 0) & (cells.codes >= 0)])
    unseen = [i for i in unseen if cells.texts[i] not in column.missing]
    if not unseen:
        return []
    n = int(cells.counts[unseen].sum())
    shown = ", ".join(repr(cells.texts[i][:30]) for i in unseen[:3])
    return [
        (
            f"column {column.name}: levels that were not seen in training in {n:,} of {len(codes):,} rows ({shown})",
            False,
        )
    ]
