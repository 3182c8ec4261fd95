"""Sentences about the cells of new rows that a schema cannot read."""

from typing import NamedTuple

import numpy as np

from metajax.data.schema import _categories as categories
from metajax.data.schema import _numerals as numerals
from metajax.data.schema._cells import Cells
from metajax.data.schema._column import Column


class Surprise(NamedTuple):
    """Cells of a new column that a schema cannot read.

    Attributes:
        sentence: A sentence that names them.
        is_fatal: Whether no cell of the column can be read.
    """

    sentence: str
    is_fatal: bool


def unreadable_cells(cells: Cells, column: Column, values: np.ndarray) -> list[Surprise]:
    """Returns what is unreadable in a column of numbers, dates or truth values."""
    if column.kind == "text" or not np.isnan(values).any():
        return []
    n_known = cells.n_known
    if len(values) - np.count_nonzero(np.isnan(values)) == n_known:
        return []
    words = {**dict.fromkeys(column.missing), **dict.fromkeys(numerals.MISSING_WORDS)}
    is_read = np.isin(np.arange(len(cells.texts)), cells.codes[~np.isnan(values) & (cells.codes >= 0)])
    strange = [
        i for i in np.flatnonzero(~is_read) if cells.texts[i] not in words and cells.texts[i].lower() not in words
    ]
    if not strange:
        return []
    n = int(cells.counts[strange].sum())
    kind = "truth value" if column.kind == "boolean" else column.kind
    examples = ", ".join(repr(cells.texts[i][:30]) for i in strange[:3])
    if n == n_known:
        sentence = f"column {column.name}: holds text ({examples}), but the model was trained with {kind}s there"
        return [Surprise(sentence, True)]
    sentence = f"column {column.name}: no {kind} in {n:,} of {len(values):,} rows ({examples}), which count as missing"
    return [Surprise(sentence, False)]


def unseen_levels(cells: Cells, column: Column, codes: np.ndarray) -> list[Surprise]:
    """Returns the levels of a category that were not seen in training, unless it has too many for all to be known."""
    assert column.levels is not None
    if len(column.levels) > categories.MAX_LEVELS or not (codes < 0).any():
        return []
    unseen = np.unique(cells.codes[(codes < 0) & (cells.codes >= 0)])
    unseen = [i for i in unseen if cells.texts[i] not in column.missing]
    if not unseen:
        return []
    n = int(cells.counts[unseen].sum())
    examples = ", ".join(repr(cells.texts[i][:30]) for i in unseen[:3])
    sentence = (
        f"column {column.name}: levels that were not seen in training in {n:,} of {len(codes):,} rows ({examples})"
    )
    return [Surprise(sentence, False)]
