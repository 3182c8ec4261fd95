"""The cells of one column: what every rule reads, however the column was stored."""

import datetime
import functools
import math
import numbers
import re
from typing import Any

import numpy as np

from metajax._optional import optional
from metajax.types import InputError

_WHOLE = re.compile(r"(-?\d{1,15})\.0+")
_EXACT_WHOLE = 1e15  # Whole numbers below are written without an exponent.


class Cells:
    """The cells of one column: numbers, moments, or text. A missing cell has the code -1, NaN or NaT.

    Text is stored as the distinct texts and a code for each row, so that a rule looks at each text once.

    Args:
        name: The name of the column, for errors.
        codes: i64[n], the text of each row; -1 where the cell is missing.
        texts: The distinct texts, without surrounding blanks.
        numbers: f64[n], if the column was stored as numbers.
        moments: datetime64[us][n] in UTC, if it was stored as dates.
        is_declared: Whether the column was declared to be a category.

    Example:
        >>> pd = optional("pandas", "a table")
        >>> cells = Cells.of(pd.Series([" a", "b", "", "a "]), "letter")
        >>> cells.texts, cells.codes.tolist()
        (['a', 'b'], [0, 1, -1, 0])
    """

    def __init__(
        self,
        name: str,
        codes: np.ndarray | None = None,
        texts: list[str] | None = None,
        numbers: np.ndarray | None = None,
        moments: np.ndarray | None = None,
        is_declared: bool = False,
    ):
        self.name, self.numbers, self.moments, self.is_declared = name, numbers, moments, is_declared
        self._text = None if codes is None or texts is None else (codes, texts)

    @property
    def codes(self) -> np.ndarray:
        """i64[n], the text of each row; -1 where the cell is missing."""
        return self._as_text[0]

    @property
    def texts(self) -> list[str]:
        """The distinct texts."""
        return self._as_text[1]

    @functools.cached_property
    def counts(self) -> np.ndarray:
        """i64[texts], the number of rows with each text."""
        return np.bincount(self.codes[self.codes >= 0], minlength=len(self.texts))

    @property
    def n_known(self) -> int:
        """The number of cells that are not missing."""
        if self.numbers is not None:
            return int(np.count_nonzero(~np.isnan(self.numbers)))
        return int(np.count_nonzero(self.codes >= 0))

    @functools.cached_property
    def _as_text(self) -> tuple[np.ndarray, list[str]]:
        if self._text is not None:
            return self._text
        if self.numbers is not None:
            return _distinct(self.numbers, ~np.isnan(self.numbers), number_text)
        assert self.moments is not None
        return _distinct(self.moments, ~np.isnat(self.moments), lambda moment: str(moment).removesuffix(".000000"))

    @staticmethod
    def of(series: Any, name: str) -> "Cells":
        """Reads a series of pandas of any type.

        Args:
            series: The column.
            name: Its name, for errors.

        Raises:
            InputError: If it holds infinite numbers, complex numbers, or objects that are not values, such as lists.
        """
        pd = optional("pandas", "a table")
        dtype = series.dtype
        if isinstance(dtype, pd.CategoricalDtype):
            categories = [value_text(value, name) for value in dtype.categories]
            return _tidy(name, np.asarray(series.cat.codes, np.int64), categories, True)
        if isinstance(dtype, pd.PeriodDtype):
            series = series.dt.to_timestamp()
        types = pd.api.types
        if types.is_bool_dtype(dtype):
            values = series.to_numpy(dtype=object)
            is_known = ~np.asarray(pd.isna(values))
            codes = np.where(is_known, np.where(is_known, values, False).astype(bool).astype(np.int64), -1)
            return _tidy(name, codes, ["False", "True"])
        if types.is_complex_dtype(dtype):
            raise InputError(
                f"column {name} must not have complex numbers; put real and imaginary parts into two columns"
            )
        if types.is_numeric_dtype(dtype):
            values = series.to_numpy(dtype=np.float64, na_value=np.nan)
            if infinite := int(np.isinf(values).sum()):
                raise InputError(
                    f"column {name} must have finite values, but {infinite} are infinite; replace them or leave them "
                    "empty"
                )
            return Cells(name, numbers=values)
        if types.is_datetime64_any_dtype(dtype) or _is_arrow(dtype, ("timestamp", "date")):
            return Cells(name, moments=to_moments(series))
        if types.is_timedelta64_dtype(dtype):
            return Cells(name, numbers=series.dt.total_seconds().to_numpy(dtype=np.float64, na_value=np.nan))
        if not isinstance(dtype, pd.StringDtype):
            return _of_objects(series, name)
        codes, texts = pd.factorize(series)
        return _tidy(name, np.asarray(codes, np.int64), np.asarray(texts, object).tolist())


def _is_arrow(dtype: Any, kinds: tuple[str, ...]) -> bool:
    return hasattr(dtype, "pyarrow_dtype") and str(dtype.pyarrow_dtype).startswith(kinds)


def to_moments(values: Any) -> np.ndarray:
    """Returns dates of pandas as datetime64[us] in UTC; where they have no time zone they are taken as they are."""
    pd = optional("pandas", "a table")
    index = pd.DatetimeIndex(pd.to_datetime(values, errors="coerce", utc=True)).tz_localize(None)
    return index.to_numpy().astype("datetime64[us]")


def _of_objects(series: Any, name: str) -> Cells:
    """The cells of a column of Python objects: each is spelled as text."""
    pd = optional("pandas", "a table")
    values = series.to_numpy(dtype=object)
    try:
        missing = pd.isna(values)
        texts = [
            "" if is_missing else value_text(value, name)
            for is_missing, value in zip(missing.tolist(), values.tolist())
        ]
    except (TypeError, ValueError) as error:
        raise InputError(f"column {name}: {error}") from error
    codes, distinct = pd.factorize(np.array(texts, object))
    return _tidy(name, np.asarray(codes, np.int64), list(distinct))


def value_text(value: Any, name: str) -> str:
    """Returns the text of one value, as a file would have it.

    Raises:
        InputError: If it is not a value of a cell, such as a list.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bool | np.bool_):
        return str(bool(value))
    if isinstance(value, numbers.Real):
        return number_text(float(value))
    if isinstance(value, datetime.date | datetime.time | np.datetime64):
        return value.isoformat() if hasattr(value, "isoformat") else str(value)  # type: ignore[union-attr]
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if type(value).__name__ in ("Decimal", "Interval", "UUID", "Timedelta"):
        return str(value)
    raise InputError(f"column {name} must have numbers, text or dates, got values of type {type(value).__name__}")


def number_text(value: float) -> str:
    """Returns a number as text: whole numbers without a decimal point.

    Example:
        >>> number_text(3.0), number_text(0.5), number_text(1e300)
        ('3', '0.5', '1e+300')
    """
    value = float(value)
    return (
        str(int(value)) if math.isfinite(value) and abs(value) < _EXACT_WHOLE and value == int(value) else repr(value)
    )


def spelled(text: str) -> str:
    """Returns a text as categories compare it: ``1.0`` is ``1``, because a gap in a column turns the one into the other.

    Example:
        >>> [spelled(text) for text in ("1.0", "1", "02134", "1.50")]
        ['1', '1', '02134', '1.50']
    """
    match = _WHOLE.fullmatch(text)
    return match[1] if match else text


def _distinct(values: np.ndarray, is_known: np.ndarray, text: Any) -> tuple[np.ndarray, list[str]]:
    codes = np.full(len(values), -1, np.int64)
    distinct, codes[is_known] = np.unique(values[is_known], return_inverse=True)
    return codes, [text(value) for value in distinct]


def _tidy(name: str, codes: np.ndarray, texts: list[str], is_declared: bool = False) -> Cells:
    """Strips texts; equal ones become one, the empty one missing, and those of no row are left out."""
    is_used = np.bincount(codes[codes >= 0], minlength=len(texts)) > 0
    if is_used.all() and "" not in texts and all(map(str.__eq__, texts, map(str.strip, texts))):
        return Cells(name, codes, texts, is_declared=is_declared)
    position: dict[str, int] = {"": -1}
    new_codes = np.full(len(texts) + 1, -1, np.int64)  # The last one is that of missing cells.
    for i in np.flatnonzero(is_used):
        new_codes[i] = position.setdefault(texts[i].strip(), len(position) - 1)
    return Cells(name, new_codes[codes], list(position)[1:], is_declared=is_declared)
