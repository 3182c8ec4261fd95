"""The identity of a dataset: columns, types, rows, and a digest of the content.

A run that is resumed with other data would mix two datasets. It is refused, with the part that differs.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from metajax.types import InputError


class Column(NamedTuple):
    """One column of a table, or a whole array.

    Attributes:
        name: The name of the column, "" for an array.
        type: Its type in words.
        digest: The SHA-256 of its values.
    """

    name: str
    type: str
    digest: str


class Part(NamedTuple):
    """A table or an array.

    Attributes:
        rows: The number of rows.
        columns: The columns in order.
    """

    rows: int
    columns: tuple[Column, ...]


_SHORT_DIGITS = 12  # Two of a million datasets share these with a probability of 0.2%.

Fingerprint = dict[str, Part]
"""The parts of a dataset by name."""


def fingerprint(**parts: Any) -> Fingerprint:
    """Returns the fingerprint of a dataset.

    Equal fingerprints mean equal data: the same columns in the same order, of the same types, with the same rows in the same
    order. The cost is one pass of SHA-256 (about a second for a gigabyte).

    Args:
        **parts: Data frames, series, arrays, files (as ``pathlib.Path``), lists of plain values, or nested dictionaries and
            tuples of these, each under a name of its own.

    Returns:
        The parts of the dataset by name.

    Raises:
        InputError: If a part holds something else.

    Example:
        >>> import numpy as np
        >>> easy = fingerprint(x=np.zeros((4, 2)), y=np.arange(4))
        >>> noise = fingerprint(x=np.ones((4, 2)), y=np.arange(4))
        >>> differences(easy, noise)
        ['x: other content']
    """
    return {name: part for argument, value in parts.items() for name, part in _parts(argument, value)}


def differences(recorded: Fingerprint, current: Fingerprint) -> list[str]:
    """Returns in words what differs between the data of a run and the data given.

    Args:
        recorded: The fingerprint of the run.
        current: The fingerprint of the data at hand.

    Returns:
        One line for each difference, and none if the data is the same.

    Example:
        >>> import numpy as np
        >>> differences(fingerprint(y=np.arange(4)), fingerprint(y=np.arange(5)))
        ['y: other number of rows (4 there, 5 given)']
    """
    lines = [f"{name}: there, but not given" for name in recorded if name not in current]
    lines += [f"{name}: given, but not there" for name in current if name not in recorded]
    for name in recorded:
        if name in current:
            lines += [f"{name}: {difference}" for difference in _compare(recorded[name], current[name])]
    return lines


def to_json(data: Fingerprint) -> dict[str, Any]:
    """Returns a fingerprint as plain values."""
    return {name: {"rows": part.rows, "columns": [list(c) for c in part.columns]} for name, part in data.items()}


def from_json(record: Mapping[str, Any]) -> Fingerprint:
    """Returns the fingerprint that ``to_json`` wrote.

    Raises:
        ValueError, KeyError, TypeError: If it is something else.
    """
    return {
        name: Part(int(part["rows"]), tuple(Column(*map(str, c)) for c in part["columns"]))
        for name, part in record.items()
    }


def digest(array: np.ndarray) -> str:
    """Returns the SHA-256 of an array's bytes, as 64 hexadecimal digits. Type and shape are not part of it."""
    flat = np.ascontiguousarray(array).reshape(-1)
    return hashlib.sha256(flat.view(np.uint8)).hexdigest()  # type: ignore[arg-type]


def short_digest(data: Fingerprint) -> str:
    """Returns 12 hexadecimal digits that stand for a whole fingerprint: equal for equal data, for people to compare."""
    text = json.dumps(to_json(data), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:_SHORT_DIGITS]


def _compare(recorded: Part, current: Part) -> Iterator[str]:
    """Yields in words what differs between two parts."""
    recorded_names, current_names = ([c.name for c in part.columns] for part in (recorded, current))
    if recorded_names != current_names:
        missing = [n for n in recorded_names if n not in current_names]
        new = [n for n in current_names if n not in recorded_names]
        changes = [
            f"{_listed(names)} {change}" for names, change in ((missing, "not given"), (new, "not there")) if names
        ]
        yield f"other columns ({'; '.join(changes) or 'in another order'})"
    recorded_columns = {c.name: c for c in recorded.columns}
    column_pairs = [(recorded_columns[c.name], c) for c in current.columns if c.name in recorded_columns]
    for a, b in column_pairs:
        if a.type != b.type:
            yield f"other type{f' of {a.name!r}' * bool(a.name)} ({a.type} there, {b.type} given)"
    if recorded.rows != current.rows:
        yield f"other number of rows ({recorded.rows} there, {current.rows} given)"
        return
    changed = [a.name for a, b in column_pairs if a.type == b.type and a.digest != b.digest]
    if changed:
        yield f"other content{f' of {_listed(changed)}' * bool(changed[0])}"


def _listed(names: list[str], limit: int = 5) -> str:
    """Returns the first names in words, and how many more there are."""
    suffix = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(map(repr, names[:limit])) + suffix


def _parts(name: str, value: Any) -> Iterator[tuple[str, Part]]:
    """Yields the tables and arrays inside a value, with their names."""
    if hasattr(value, "columns") and hasattr(value, "iloc"):  # a data frame, without importing pandas
        columns = [(str(label), value.iloc[:, i]) for i, label in enumerate(value.columns)]
        yield name, Part(len(value), tuple(_column(label, column) for label, column in columns))
    elif isinstance(value, Mapping):
        for key, child in value.items():
            yield from _parts(f"{name}.{key}", child)
    elif isinstance(value, Path):
        content = np.frombuffer(value.read_bytes(), np.uint8)
        yield name, Part(len(content), (Column("", "bytes of a file", digest(content)),))
    elif isinstance(value, list | tuple) and not all(isinstance(v, _PLAIN) for v in value):
        names = getattr(value, "_fields", range(len(value)))
        for key, child in zip(names, value):
            yield from _parts(f"{name}.{key}", child)
    elif isinstance(value, list | tuple | str | int | float | bool | None):
        plain = np.empty(len(value) if isinstance(value, list | tuple) else 1, object)
        plain[:] = value if isinstance(value, list | tuple) else [value]
        yield name, Part(len(plain), (_column("", plain),))
    elif hasattr(value, "shape") and hasattr(value, "dtype"):
        yield name, Part(len(value) if np.ndim(value) else 1, (_column("", value),))
    else:
        raise InputError(f"fingerprint: {name} must be a table, an array or a plain value, got {type(value).__name__}")


_PLAIN = (str, int, float, bool, type(None))


def _column(name: str, values: Any) -> Column:
    """Returns the identity of a series or an array. Text and mixed values are hashed with the type and length of each."""
    array = values.to_numpy() if hasattr(values, "to_numpy") else np.asarray(values)
    shape = list(array.shape[1:]) or ""
    if array.dtype.kind not in "OUST":
        return Column(name, f"{array.dtype}{shape}", digest(array))
    content, kinds = hashlib.sha256(), set()
    for value in array.reshape(-1).tolist():
        kind, text = type(value).__name__, digest(value) if isinstance(value, np.ndarray) else str(value)
        kinds.add(kind)
        content.update(f"{kind}:{len(text)}:{text}".encode("utf-8", "surrogatepass"))
    missing = {"float", "NoneType", "NAType"}
    return Column(name, f"{'text' if kinds - missing == {'str'} else 'mixed values'}{shape}", content.hexdigest())
