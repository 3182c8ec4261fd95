"""Dates and times as text: their format, and the numbers that a model gets of them."""

import dataclasses
import re
from typing import Any, NamedTuple

import numpy as np

from metajax._optional import optional
from metajax.data.schema._cells import Cells, to_moments
from metajax.data.schema._column import CYCLES, Column, parts_of
from metajax.data.schema._numerals import MISSING_WORDS
from metajax.types import InputError

ISO = "ISO8601"
_DAYS = (
    "%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%d.%m.%Y", "%d.%m.%y", "%m/%d/%Y", "%d/%m/%Y", "%m/%d/%y", "%d/%m/%y", "%d-%m-%Y",
    "%m-%d-%Y", "%d %b %Y", "%d %B %Y", "%d-%b-%Y", "%d-%b-%y", "%b %d, %Y", "%B %d, %Y", "%b %d %Y", "%b %Y",
    "%B %Y", "%Y%m%d",
)  # fmt: skip
_TIMES = ("", " %H:%M", " %H:%M:%S", " %H:%M:%S.%f", " %I:%M %p", " %I:%M:%S %p", "T%H:%M", "T%H:%M:%S")
_CLOCKS = ("%H:%M", "%H:%M:%S", "%I:%M %p", "%I:%M:%S %p")
_ISO = re.compile(r"\d{4}-\d\d(-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?\s*(Z|[+-]\d\d:?\d\d)?)?)?")
_LOOKS = re.compile(
    r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}(\D.*)?|\d{4}-\d\d|(19|20)\d\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])"
    r"|\d{1,2}:\d\d(:\d\d)?( ?[AaPp][Mm])?|\d{1,2}[ -][A-Za-z]{3,9}[ -]\d{2,4}(\D.*)?"
    r"|[A-Za-z]{3,9} (\d{1,2},? )?\d{4}(\D.*)?"
)
_MIN_SHARE = 0.95  # Of the cells that must be dates.
_SAMPLE = 100
_SWAPPED = {"%m/%d": "%d/%m", "%m-%d": "%d-%m", "%d/%m": "%m/%d", "%d-%m": "%m-%d", "%d.%m": "%m.%d"}


class Fit(NamedTuple):
    """A format of dates and how well it fits a column.

    Attributes:
        column: The column, read as dates.
        stray: Texts that are not dates, with the number of rows.
        ambiguous: Whether day and month could be the other way around.
    """

    column: Column
    stray: dict[str, int]
    ambiguous: bool


def parse(texts: Any, format: str) -> np.ndarray:
    """Returns texts as datetime64[us], NaT where a text is not a date of this format.

    Example:
        >>> parse(["31.12.2020", "31.13.2020"], "%d.%m.%Y").astype(str).tolist()
        ['2020-12-31T00:00:00.000000', 'NaT']
    """
    pd = optional("pandas", "a table")
    values = np.array(list(texts), object)
    if format == ISO:  # pandas also takes a bare year for a date
        values = np.array([text if _ISO.fullmatch(text) else None for text in values], object)
    try:
        return to_moments(pd.to_datetime(pd.Series(values, dtype=object), format=format, errors="coerce", utc=True))
    except ValueError as error:
        raise InputError(f"schema: format must be a format of dates, got {format!r} ({error})") from error


def fit(cells: Cells) -> Fit | None:
    """Finds the format of dates in a column.

    All cells must be dates, except for words that mean a missing value and at most 5% of others. Where month and day could
    be exchanged, a slash or dash means month first and a point day first.

    Args:
        cells: The cells of the column.

    Returns:
        The format, or ``None`` if these are not dates.
    """
    if cells.moments is not None:
        return Fit(_complete(Column(cells.name, "date", format=ISO), cells.moments), {}, False)
    texts, counts = cells.texts, cells.counts
    plain = [text for text in texts[: 2 * _SAMPLE] if text.lower() not in MISSING_WORDS][:_SAMPLE]
    if not plain or sum(bool(_LOOKS.fullmatch(text)) for text in plain) < 0.9 * len(plain):
        return None
    words = np.array([text.lower() in MISSING_WORDS for text in texts], bool)
    n_known = int(counts[~words].sum())
    scored = []
    for number, format in enumerate(_formats(plain)):
        is_date = ~np.isnat(parse(texts, format))
        scored.append((int(counts[is_date].sum()), -number, format, is_date))
    if not scored:
        return None
    n_dates, _, format, is_date = max(scored, key=lambda score: score[:2])
    if n_dates < 2 or n_dates < _MIN_SHARE * n_known or n_dates < int(counts[~is_date].sum()):
        return None
    stray = {texts[i]: int(counts[i]) for i in np.flatnonzero(~is_date)}
    swapped_format = next((format.replace(a, b) for a, b in _SWAPPED.items() if a in format), None)
    ambiguous = swapped_format is not None and any(f == swapped_format and n == n_dates for n, _, f, _ in scored)
    column = Column(cells.name, "date", missing=tuple(stray), format=format)
    return Fit(_complete(column, moments(cells, column)), stray, ambiguous)


def _formats(plain: list[str]) -> list[str]:
    """The formats that fit half of a sample, the preferred ones first."""
    if sum(bool(_ISO.fullmatch(text)) for text in plain) >= 0.9 * len(plain):
        return [ISO]
    formats = [day + time for day in _DAYS for time in _TIMES] + list(_CLOCKS)
    candidates = [f for f in formats if not np.isnat(parse(plain[:3], f)).all()]
    return [f for f in candidates if np.mean(~np.isnat(parse(plain, f))) >= 0.5]


def moments(cells: Cells, column: Column) -> np.ndarray:
    """Returns the cells of a column of dates as datetime64[us]."""
    if cells.moments is not None:
        return cells.moments
    assert column.format is not None
    skipped = set(column.missing)
    of_text = parse(["" if text in skipped else text for text in cells.texts], column.format)
    return np.append(of_text, np.datetime64("NaT", "us"))[cells.codes]


def _complete(column: Column, values: np.ndarray) -> Column:
    """The column with the first date as its origin, and with the parts that vary."""
    dates_present = values[~np.isnat(values)]
    origin = str(dates_present.min()) if len(dates_present) else "1970-01-01"
    is_clock = column.format in _CLOCKS
    numbers = _numbers(dates_present, np.datetime64(origin, "us"))
    varying = [
        name for name, value in numbers.items() if len(np.unique(value)) > 1 and not (is_clock and name == "days")
    ]
    parts = tuple(part for name in varying for part in parts_of(name))
    return Column(column.name, "date", column.missing, format=column.format, origin=origin, parts=parts or ("days",))


def completed(cells: Cells, column: Column) -> Column:
    """Returns a column of an edited schema, and fills in the parameters that it leaves to the data."""
    if column.format is None:
        date_fit = fit(cells)
        column = date_fit.column if date_fit is not None else dataclasses.replace(column, format=ISO)
    return column if column.is_complete else _complete(column, moments(cells, column))


def numbers(values: np.ndarray, column: Column) -> np.ndarray:
    """Returns the parts of dates, f64[n, parts], NaN where a date is missing.

    Args:
        values: datetime64[us][n].
        column: The column of dates.
    """
    assert column.origin is not None and column.parts is not None
    by_name = _numbers(values, np.datetime64(column.origin, "us"))
    blocks = []
    for part in column.parts:
        name, _, wave = part.partition("_")
        value = by_name[name]
        if wave:
            value = (np.sin if wave == "sin" else np.cos)(2 * np.pi * value / CYCLES[name])
        blocks.append(value)
    return np.stack(blocks, axis=1)


def _numbers(values: np.ndarray, origin: np.datetime64) -> dict[str, np.ndarray]:
    """Days since the origin, year, month from 0, weekday from Monday, and hour of dates."""
    is_missing = np.isnat(values)
    values = np.where(is_missing, origin, values)
    years, months, days = (values.astype(f"datetime64[{unit}]") for unit in "YMD")
    parts = {
        "days": (values - origin) / np.timedelta64(86_400_000_000, "us"),
        "year": years.astype(np.int64) + 1970.0,
        "month": (months - years).astype(np.int64) + 0.0,
        "weekday": (days.astype(np.int64) + 3) % 7 + 0.0,
        "hour": (values - days) / np.timedelta64(3_600_000_000, "us"),
    }
    return {name: np.where(is_missing, np.nan, value) for name, value in parts.items()}
