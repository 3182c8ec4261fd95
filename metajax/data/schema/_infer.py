"""The kind of a column, decided by stated rules on the text of its cells."""

import re
from typing import NamedTuple

import numpy as np

from metajax.data.schema import _categories as categories
from metajax.data.schema import _dates as dates
from metajax.data.schema import _numerals as numerals
from metajax.data.schema._cells import Cells
from metajax.data.schema._column import Column

_MIN_ROWS = 20  # A column of fewer rows is not an identifier.
_YEARS = (1800, 2200)  # Consecutive whole numbers within are years, not row numbers.
# A column without a name is called so by pandas and by our reader.
_ID_NAME = re.compile(
    r"(.*[\W_])?(id|ids|uuid|guid|index|idx|rowid|row|no|key)|.*(nr|nummer)|unnamed: 0|column 1", re.IGNORECASE
)
_CAMEL = re.compile(r".*[a-z](Id|ID)")
_PADDED = re.compile(r"0\d+")
_MIN_WORDS = 3  # Words of a text on average; shorter ones are categories.
_MIN_REPEATED = 0.5  # Share of the rows of a category whose level is that of another row, too.


class Inferred(NamedTuple):
    """An inferred column.

    Attributes:
        column: The column.
        notes: Sentences that a user should read.
        is_comma: Whether its numbers can only be read with a decimal comma.
    """

    column: Column
    notes: tuple[str, ...] = ()
    is_comma: bool = False


def infer_column(cells: Cells, n: int, prefers_comma: bool = False) -> Inferred:
    """Decides the kind of a column and the parameters of its rule.

    Args:
        cells: The cells of the column.
        n: Number of rows.
        prefers_comma: Whether another column of the table has a decimal comma.
    """
    name = cells.name
    if not cells.n_known:
        return Inferred(Column(name, "empty"))
    if cells.numbers is not None:
        return Inferred(_of_numbers(cells.numbers, Column(name, "number")))
    if cells.moments is None and not cells.is_declared and (boolean_fit := categories.boolean(cells)) is not None:
        return Inferred(boolean_fit)
    if len(cells.texts) == 1 and cells.n_known == n:
        return Inferred(Column(name, "constant"))
    if cells.is_declared:
        return Inferred(categories.category(cells))
    if (date := dates.fit(cells)) is not None:
        return Inferred(date.column, (*_stray(name, date.stray), *_ambiguous(date)))
    is_padded = any(text[0] == "0" and _PADDED.fullmatch(text) for text in cells.texts)
    if not is_padded and (number := numerals.fit(cells, prefers_comma)) is not None:
        values = numerals.values(cells, number.column)
        return Inferred(_of_numbers(values, number.column), _stray(name, number.stray), number.is_comma)
    return Inferred(_of_text(cells, n))


def _of_numbers(values: np.ndarray, column: Column) -> Column:
    """A column of numbers, or an identifier or a constant."""
    present_values = values[~np.isnan(values)]
    if len(present_values) < len(values):
        return column
    low, high = present_values.min(), present_values.max()
    if low == high:
        return Column(column.name, "constant")
    is_row_number = high == low + (len(present_values) - 1) and not (_YEARS[0] <= low and high <= _YEARS[1])
    may_be_id = len(present_values) >= _MIN_ROWS and not column.unit and (is_row_number or is_id_name(column.name))
    if (
        may_be_id
        and np.all(present_values == np.floor(present_values))
        and len(np.unique(present_values)) == len(present_values)
    ):
        return Column(column.name, "identifier")
    return column


def is_id_name(name: str) -> bool:
    """Returns whether a column is called an identifier.

    Example:
        >>> [is_id_name(name) for name in ("id", "customer_id", "PassengerId", "paid", "grid")]
        [True, True, True, False, False]
    """
    return bool(_ID_NAME.fullmatch(name) or _CAMEL.fullmatch(name))


def _of_text(cells: Cells, n: int) -> Column:
    """A column of text: an identifier, a category, or free text."""
    texts = cells.texts
    if len(texts) <= categories.MAX_LEVELS and not (len(texts) == n >= _MIN_ROWS):
        return categories.category(cells)
    if len(texts) == n >= _MIN_ROWS:
        single = np.mean([not re.search(r"\s", text) for text in texts])
        digits = np.mean([any(c.isdigit() for c in text) for text in texts])
        if single >= 0.95 and (digits >= 0.95 or is_id_name(cells.name)):
            return Column(cells.name, "identifier")
    if len(texts) <= categories.MAX_LEVELS:
        return categories.category(cells)
    words = np.average([len(text.split()) for text in texts], weights=cells.counts)
    counts = np.array(list(categories.level_counts(cells).values()))
    repeated = counts[counts > 1].sum() / max(cells.n_known, 1)
    if words >= _MIN_WORDS or repeated < _MIN_REPEATED:
        return Column(cells.name, "text")
    return categories.category(cells)


def complete_column(cells: Cells, column: Column) -> Column:
    """Returns a column of an edited schema with the parameters that it leaves to the data."""
    if column.kind == "category" and column.levels is None:
        return categories.category(cells, column.missing)
    if column.kind == "boolean" and column.levels is None:
        return Column(column.name, "boolean", column.missing, levels=("false", "true"))
    if column.kind == "date":
        return dates.completed(cells, column)
    return column


def _stray(name: str, stray: dict[str, int]) -> tuple[str, ...]:
    """A note on texts that count as missing."""
    if not stray:
        return ()
    examples = ", ".join(f"{text[:30]!r} (rows: {n:,})" for text, n in list(stray.items())[:5])
    remainder = f" and {len(stray) - 5} more" if len(stray) > 5 else ""
    return (f"Column {name}: what counts as missing is {examples}{remainder}.",)


def _ambiguous(date: dates.Fit) -> tuple[str, ...]:
    """A note where day and month could be exchanged."""
    if not date.ambiguous:
        return ()
    return (
        f"Column {date.column.name}: dates are read as {date.column.format}, though day and month could be exchanged; the "
        "schema's format says which.",
    )
