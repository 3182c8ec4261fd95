"""Delimited text as a data frame of text: every cell as it stands in the file."""

import csv
import io
import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from metajax._optional import optional
from metajax.data.schema._encodings import read_text
from metajax.data.schema._show import listed
from metajax.types import InputError

_DELIMITERS = (",", ";", "\t", "|")
_STATED = re.compile(r"sep=(.)\r?\n")  # Spreadsheets write it above the header.
_SAMPLE_ROWS, _SAMPLE_CHARACTERS = 100, 1_000_000
_CHUNK = 20_000  # Rows that are Python lists at a time, which bounds the memory.


class Delimited(NamedTuple):
    """The content of a delimited file.

    Attributes:
        frame: A data frame of text; an empty cell is "".
        notes: Notes on what was guessed or left out.
    """

    frame: Any
    notes: list[str]


def read_delimited(path: Path) -> Delimited:
    """Reads a file of rows, the first of which names the columns.

    The delimiter is a comma, semicolon, tab or vertical bar: the one in the header that divides most rows into as many fields,
    or the one that a line such as ``sep=;`` above the header states.
    Cells may be quoted. Blank lines are left out, unless there is only one column, where they are empty cells.

    Args:
        path: The file.

    Raises:
        InputError: If the file is not text, has no header or no rows, a row has more or fewer fields than the header, or two
            columns have one name.
    """
    content, notes = read_text(path)
    if not content.strip():
        raise InputError(f"{path} is empty; its first row must name the columns")
    delimiter_match = _STATED.match(content)
    if delimiter_match:
        content = content[delimiter_match.end() :]
    delimiter = delimiter_match[1] if delimiter_match else _delimiter(content[:_SAMPLE_CHARACTERS])
    rows = _numbered(path, content, delimiter, first_line=2 if delimiter_match else 1)
    header = next((row for _, row in rows if row), [])
    names = _names(path, header)
    frame, n_blank = _frame(path, rows, names)
    if not len(frame):
        raise InputError(f"{path} must have at least one row below the header")
    if n_blank:
        notes.append(f"Blank lines are left out: {n_blank:,}.")
    nameless = [name for name, title in zip(names, header) if not title.strip() and (frame[name] == "").all()]
    return Delimited(frame.drop(columns=nameless), notes)


def _reader(content: str, delimiter: str) -> Any:
    return csv.reader(io.StringIO(content, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True)


def _delimiter(content: str) -> str:
    """The delimiter that is in the header and divides most rows of a sample into as many fields."""
    best, choice = (0.0, 1), ","
    for delimiter in _DELIMITERS:
        rows: list[list[str]] = []
        try:
            for row in itertools.islice(filter(None, _reader(content, delimiter)), _SAMPLE_ROWS):
                rows.append(row)
        except csv.Error:
            pass  # The sample ends here; reading will name the row.
        if rows and (width := len(rows[0])) > 1:
            share = sum(len(row) == width for row in rows) / len(rows)
            if (share, width) > best:
                best, choice = (share, width), delimiter
    if best[1] > 1:
        return choice
    return next((mark for mark in _DELIMITERS if mark not in content), "\x1f")  # One column: nothing divides its cells.


def _numbered(path: Path, content: str, delimiter: str, first_line: int) -> Iterator[tuple[int, list[str]]]:
    """Yields each row with the number of its last line."""
    reader, lines_before = _reader(content, delimiter), first_line - 1
    try:
        for row in reader:
            yield lines_before + reader.line_num, row
    except csv.Error as error:
        raise InputError(
            f"{path}: line {lines_before + reader.line_num} cannot be read ({error}); is a quote left open?"
        ) from error


def _names(path: Path, header: list[str]) -> list[str]:
    """The names of the columns; those without one are numbered."""
    names = [name.strip() or f"column {i + 1}" for i, name in enumerate(header)]
    duplicates = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    if duplicates:
        raise InputError(
            f"{path} must have a different name for each column, but {listed(duplicates)} appear more than once"
        )
    return names


def _frame(path: Path, rows: Iterator[tuple[int, list[str]]], names: list[str]) -> tuple[Any, int]:
    """The rows as columns of text, and the number of blank lines between them, which are left out."""
    pd = optional("pandas", "a CSV")
    width, n_blank, n_trailing = len(names), 0, 0
    chunks = []

    def checked() -> Iterator[list[str]]:
        nonlocal n_blank, n_trailing
        for line, row in rows:
            if len(row) == width:
                n_blank, n_trailing = n_blank + n_trailing, 0
                yield row
            elif row:
                raise InputError(
                    f"{path}: line {line} must have {width} fields, as the header, got {len(row)}; quote cells that "
                    "contain the delimiter, and give every row as many fields as the header"
                )
            elif width == 1:
                yield [""]
            else:
                n_trailing += 1

    fields = checked()
    while chunk := list(itertools.islice(fields, _CHUNK)):
        chunks.append({name: pd.array(column, dtype="string") for name, column in zip(names, zip(*chunk))})
    if not chunks:
        return pd.DataFrame({name: pd.Series([], dtype="string") for name in names}), n_blank
    frames = [pd.DataFrame(chunk, copy=False) for chunk in chunks]
    return (frames[0] if len(frames) == 1 else pd.concat(frames, ignore_index=True)), n_blank
