"""Categories and truth values: their levels, and the number of each cell's level."""

import numpy as np

from metajax.data.schema._cells import Cells, spelled
from metajax.data.schema._column import Column

MAX_LEVELS = 50
"""Levels of a category that are inputs of their own; a category with more of them has a target statistic, too."""
_MAX_STORED = 2_000  # Levels of such a category that are told apart; each has at least two rows.
_MIN_ROWS = 2
_MAX_SPELLINGS = 8  # Of two truth values.
_TRUTH = (("false", "true"), ("no", "yes"), ("n", "y"), ("f", "t"), ("off", "on"))


def boolean(cells: Cells) -> Column | None:
    """Returns the column as one of truth values, or ``None``: two texts such as ``no`` and ``yes``, in any case of letters."""
    lowered = {text.lower() for text in cells.texts[: _MAX_SPELLINGS + 1]}
    pair = next((pair for pair in _TRUTH if lowered == set(pair)), None) if len(cells.texts) <= _MAX_SPELLINGS else None
    return Column(cells.name, "boolean", levels=pair) if pair else None


def truth(cells: Cells, column: Column) -> np.ndarray:
    """Returns truth values as numbers f64[n]: 0, 1, or NaN where a cell is missing or neither."""
    assert column.levels is not None
    value_of_word = {"0": 0.0, "1": 1.0, "false": 0.0, "true": 1.0}
    value_of_word |= {level.lower(): float(i) for i, level in enumerate(column.levels)}
    value_of_word |= {text.lower(): np.nan for text in column.missing}
    values = [value_of_word.get(spelled(text).lower(), np.nan) for text in cells.texts]
    return np.array([*values, np.nan])[cells.codes]


def category(cells: Cells, missing: tuple[str, ...] = ()) -> Column:
    """Returns the column as a category, its levels by decreasing frequency. ``1.0`` is the level ``1``.

    Of a category with more than 50 levels, those of a single row are left out, and there are at most 2,000.

    Args:
        cells: The cells of the column.
        missing: Texts that count as missing.
    """
    counts = level_counts(cells, missing)
    levels = sorted(counts, key=lambda level: (-counts[level], level))
    if len(levels) > MAX_LEVELS:
        levels = [level for level in levels if counts[level] >= _MIN_ROWS][:_MAX_STORED] or levels[:MAX_LEVELS]
    return Column(cells.name, "category", missing, levels=tuple(levels))


def level_counts(cells: Cells, missing: tuple[str, ...] = ()) -> dict[str, int]:
    """Returns the number of rows of each level."""
    counts: dict[str, int] = {}
    for text, n in zip(cells.texts, cells.counts.tolist()):
        if text not in missing:
            counts[spelled(text)] = counts.get(spelled(text), 0) + n
    return counts


def codes(cells: Cells, column: Column) -> np.ndarray:
    """Returns the number of the level of each cell, i32[n]; -1 where it is missing or no level."""
    assert column.levels is not None
    position = {spelled(level): i for i, level in reversed(list(enumerate(column.levels)))}
    position |= {level: i for i, level in enumerate(column.levels)}
    position |= dict.fromkeys(column.missing, -1)
    level_indices = [position.get(text, position.get(spelled(text), -1)) for text in cells.texts]
    return np.array([*level_indices, -1], np.int32)[cells.codes]
