"""Numbers as text: which decimal mark, thousands separator and unit a column has, and how its cells are read."""

import dataclasses
import functools
import math
import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from metajax.data.schema._cells import Cells
from metajax.data.schema._column import Column

_WORDS = """
? ?? - -- --- . .. … n/a n.a. n.a na nan #n/a #na #div/0! #value! #null! null none nil nul nd n.d. missing unknown
unbekannt k.a. inf -inf +inf infinity -infinity 1.#inf <na> (null) (none) tbd
"""
MISSING_WORDS = frozenset(_WORDS.split())
"""Texts that are a missing value where they stand among numbers or dates, in any case of letters."""
_MAX_STRAY_SHARE, _MAX_STRAY_TEXTS = 0.05, 3  # Of other texts among numbers.
_SAMPLE = 500  # Texts of a column that are looked at first.
_PLAIN = frozenset("0123456789+-.eE")
_SIGNS = str.maketrans(
    {
        "\u2212": "-",
        "\u2013": "-",
        "\ufe63": "-",
        "\uff0d": "-",
        "\u00a0": " ",
        "\u202f": " ",
        "\u2009": " ",
        "\u2019": "'",
    }
)
_CURRENCY = (
    r"[$€£¥₹₩₽₺₴฿]|(?:USD|EUR|GBP|CHF|JPY|CNY|INR|AUD|CAD|SEK|NOK|DKK|PLN|CZK|HUF|BRL|Rs\.?|US\$|R\$|kr\.?)(?![A-Za-z])"
)
_SUFFIX = r"[^\W\d]\S{0,9}|[%‰°$€£¥₹₩₽₺₴฿]\S{0,5}"
_UNIT = re.compile(rf"(?P<before>{_CURRENCY})?\s*[-+]?[\d.,' ]*\d[\d.,]*(?:[eE][-+]?\d+)?\s*(?P<after>{_SUFFIX})?")
# Decimal marks and thousands separators, the ordinary ones first.
_FORMATS = ((".", ""), (".", ","), (",", ""), (",", "."), (".", "'"), (".", " "), (",", " "), (",", "'"))
_COMMA_FIRST = ((",", "."), (",", ""), *(pair for pair in _FORMATS if pair not in ((",", "."), (",", ""))))


class Fit(NamedTuple):
    """A number format and how well it fits a column.

    Attributes:
        column: The column, read as numbers.
        stray: Other texts that stand among them, with the number of rows.
        is_comma: Whether only a decimal comma fits.
    """

    column: Column
    stray: dict[str, int]
    is_comma: bool


@functools.cache
def _pattern(decimal: str, thousands: str) -> re.Pattern[str]:
    d, t = re.escape(decimal), re.escape(thousands)
    integer_part = rf"(?:[1-9]\d{{0,2}}(?:{t}\d{{3}})+|\d+)" if thousands else r"\d+"
    return re.compile(rf"[-+]?(?:{integer_part}(?:{d}\d*)?|{d}\d+)(?:[eE][-+]?\d+)?", re.ASCII)


def parse(texts: Sequence[str], column: Column) -> np.ndarray:
    """Returns texts as numbers f64[n], NaN where a text is not a number.

    Args:
        texts: The texts, without surrounding blanks.
        column: The column, of kind ``number``.

    Example:
        >>> parse(["1.234,5 €", "(3)", "−2", "?"], Column("x", "number", decimal=",", thousands=".", unit="€")).tolist()
        [1234.5, -3.0, -2.0, nan]
    """
    skipped = frozenset(column.missing)
    present_texts = [text for text in texts if text not in skipped] if skipped else texts
    values = _plain(present_texts) if column.decimal == "." else None
    if values is None:
        pattern = _pattern(column.decimal, column.thousands)
        values = np.array([_number(text, column, pattern) for text in present_texts], np.float64)
    if len(present_texts) == len(texts):
        return values
    all_values = np.full(len(texts), np.nan)
    all_values[[text not in skipped for text in texts]] = values
    return all_values


def values(cells: Cells, column: Column) -> np.ndarray:
    """Returns the cells of a column of kind ``number``, f64[n], NaN where one is missing or is not a number."""
    if cells.numbers is not None:
        return cells.numbers
    return np.append(parse(cells.texts, column), np.nan)[cells.codes]


def _plain(texts: Sequence[str]) -> np.ndarray | None:
    """Texts as numbers if all are written as Python writes them, which is quick to see; otherwise ``None``."""
    if not _PLAIN.issuperset("".join(texts)):
        return None
    try:
        values = np.array(list(map(float, texts)), np.float64)
    except ValueError:
        return None
    values[np.isinf(values)] = np.nan
    return values


def _number(text: str, column: Column, pattern: re.Pattern[str]) -> float:
    """One text as a number, or NaN."""
    text = text.translate(_SIGNS)
    sign = 1.0
    if text.startswith("(") and text.endswith(")"):
        text, sign = text[1:-1].strip(), -1.0
    if unit := column.unit:
        if text.endswith(unit):
            text = text[: -len(unit)].rstrip()
        else:
            leading_sign = text[:1] if text[:1] in ("-", "+") else ""
            if text[len(leading_sign) :].lstrip().startswith(unit):
                text = leading_sign + text[len(leading_sign) :].lstrip()[len(unit) :].lstrip()
    if not pattern.fullmatch(text):
        return math.nan
    if column.thousands:
        text = text.replace(column.thousands, "")
    value = sign * float(text.replace(",", "."))
    return value if math.isfinite(value) else math.nan


def fit(cells: Cells, prefers_comma: bool = False) -> Fit | None:
    """Finds the number format of a column.

    A format is accepted if all texts are numbers, except for words that mean a missing value and a few stray ones: at most
    three different texts in at most 5% of the cells. Where several formats fit, ``1,234`` is a thousand, unless another column
    of the table has a decimal comma.

    Args:
        cells: The cells of the column.
        prefers_comma: Whether another column has a decimal comma.

    Returns:
        The format, or ``None`` if the column is not one of numbers.
    """
    texts, counts = cells.texts, cells.counts
    unit = _common_unit(texts)
    formats = _COMMA_FIRST if prefers_comma else _FORMATS
    candidates = [Column(cells.name, "number", decimal=d, thousands=t, unit=unit) for d, t in formats]
    if len(texts) > _SAMPLE:  # The few texts that may stand among numbers are few of the sample, too.
        sample = texts[:: len(texts) // _SAMPLE]
        if max(np.mean(~np.isnan(parse(sample, candidate))) for candidate in candidates) < 0.8:
            return None
    readable = []
    for candidate in candidates:
        readable.append(~np.isnan(parse(texts, candidate)))
        if readable[-1].all():
            break
    rows = [int(counts[mask].sum()) for mask in readable]
    best = int(np.argmax(rows))
    column, mask = candidates[best], readable[best]
    unread_texts = {texts[i]: int(counts[i]) for i in np.flatnonzero(~mask)}
    stray = {text: n for text, n in unread_texts.items() if text.lower() not in MISSING_WORDS}
    if not rows[best] or rows[best] < sum(unread_texts.values()):
        return None
    if len(stray) > _MAX_STRAY_TEXTS or sum(stray.values()) > _MAX_STRAY_SHARE * cells.n_known:
        return None
    # Only a comma fits if the same numbers cannot be read with a point.
    is_comma = column.decimal == "," and rows[best] > max(
        int(counts[~np.isnan(parse(texts, candidate))].sum()) for candidate in candidates if candidate.decimal == "."
    )
    return Fit(dataclasses.replace(column, missing=tuple(unread_texts)), unread_texts, is_comma)


def _common_unit(texts: Sequence[str]) -> str:
    """The one currency or unit that stands before or after the numbers of a column; "" if there is none or more than one."""
    if _PLAIN.issuperset("".join(texts[:1000])):
        return ""
    units: Counter[str] = Counter()
    for text in texts[:1000]:
        text = text.translate(_SIGNS)
        match = _UNIT.fullmatch(text.strip("()").lstrip("+-").strip())
        if match:
            units.update(unit for unit in (match["before"], match["after"]) if unit)
    return next(iter(units)) if len(units) == 1 else ""
