"""One column of a schema: what it is, and the parameters of the rule by which its cells are read."""

import dataclasses
from typing import Any

import numpy as np

from metajax.types import InputError

KINDS = ("number", "boolean", "category", "date", "text", "identifier", "constant", "empty")
"""What a column can be."""
DROPPED = ("identifier", "constant", "empty")
"""Kinds of columns that nothing is learned from."""
CYCLES = {"month": 12.0, "weekday": 7.0, "hour": 24.0}
"""The periodic parts of a date, with their periods."""


def parts_of(name: str) -> list[str]:
    """Returns the name of a number of a date, and those of its sine and cosine if it is periodic."""
    return [name, f"{name}_sin", f"{name}_cos"] if name in CYCLES else [name]


PARTS = tuple(part for name in ("days", "year", "month", "weekday", "hour") for part in parts_of(name))
"""The numbers that can be made of a date."""
# The parameters of each kind.
_PARAMETERS = {
    "number": ("missing", "decimal", "thousands", "unit"),
    "boolean": ("missing", "levels"),
    "category": ("missing", "levels"),
    "date": ("missing", "format", "origin", "parts"),
    "text": ("missing", "width"),
}


@dataclasses.dataclass(frozen=True)
class Column:
    """The rule by which the cells of one column are read.

    Attributes:
        name: The name of the column.
        kind: ``number``, ``boolean``, ``category``, ``date``, ``text``, or a kind that nothing is learned from: ``identifier``,
            ``constant``, ``empty``.
        missing: Cells that count as missing, beside empty ones.
        decimal: The decimal mark of numbers, ``.`` or ``,``.
        thousands: Their thousands separator, or "".
        unit: A currency, unit or percent sign that is stripped from numbers.
        levels: The levels of a category, the most frequent first; of a boolean, those that are false and true.
        format: The format of dates, as ``strftime`` has it, or ``ISO8601``.
        origin: The date from which days are counted.
        parts: The numbers that are made of a date.
        width: The number of counts that are made of a text.

    Example:
        >>> Column("price", "number", decimal=",", thousands=".", unit="€").to_dict()
        {'name': 'price', 'kind': 'number', 'missing': [], 'decimal': ',', 'thousands': '.', 'unit': '€'}
    """

    name: str
    kind: str
    missing: tuple[str, ...] = ()
    decimal: str = "."
    thousands: str = ""
    unit: str = ""
    levels: tuple[str, ...] | None = None
    format: str | None = None
    origin: str | None = None
    parts: tuple[str, ...] | None = None
    width: int = 32

    def __post_init__(self) -> None:
        where = f"column {self.name}:"
        if self.kind not in KINDS:
            raise InputError(f"{where} kind must be one of {', '.join(KINDS)}, got {self.kind!r}")
        if self.kind == "number" and (self.decimal not in (".", ",") or self.thousands not in ("", ".", ",", " ", "'")):
            raise InputError(
                f"{where} decimal must be . or , and thousands must be one of . , ' a blank, or empty; got "
                f"{self.decimal!r} and {self.thousands!r}"
            )
        if self.kind == "number" and self.decimal == self.thousands:
            raise InputError(f"{where} decimal and thousands must differ, got {self.decimal!r} for both")
        if self.kind == "boolean" and self.levels is not None and len(self.levels) != 2:
            raise InputError(
                f"{where} levels of a boolean must be two texts, that of false and that of true; got "
                f"{self.levels!r:.80}"
            )
        if self.levels is not None and len(set(self.levels)) < len(self.levels):
            raise InputError(f"{where} levels must differ from each other, but some appear twice")
        if unknown := [part for part in self.parts or () if part not in PARTS]:
            raise InputError(f"{where} parts must be among {', '.join(PARTS)}, got {unknown[0]!r}")
        if self.origin is not None:
            try:
                np.datetime64(self.origin, "us")
            except ValueError:
                raise InputError(f"{where} origin must be a date such as 2020-12-31, got {self.origin!r}") from None
        if not 1 <= self.width <= 4096:
            raise InputError(f"{where} width must be an integer from 1 to 4096, got {self.width}")

    @property
    def is_used(self) -> bool:
        """Whether something is learned from the column."""
        return self.kind not in DROPPED

    @property
    def is_complete(self) -> bool:
        """Whether all parameters of the rule are known; those of an edited schema may be left to the data."""
        return all(getattr(self, name) is not None for name in _PARAMETERS.get(self.kind, ()))

    def to_dict(self) -> dict[str, Any]:
        """Returns the column as plain values, with the parameters of its kind only."""
        values = {name: getattr(self, name) for name in _PARAMETERS.get(self.kind, ())}
        plain = {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
        return {"name": self.name, "kind": self.kind, **plain}

    @staticmethod
    def from_dict(content: Any) -> "Column":
        """Returns the column that ``to_dict`` wrote; parameters of another kind are ignored.

        Raises:
            InputError: If a value is of the wrong type or not accepted.
        """
        if not isinstance(content, dict) or not isinstance(content.get("name"), str):
            raise InputError(f"schema: a column must be an object with a name and a kind, got {content!r:.80}")
        name, kind = content["name"], content.get("kind")
        fields = {field.name: field for field in dataclasses.fields(Column)}
        unknown = [key for key in content if key not in fields]
        if unknown:
            raise InputError(f"column {name}: parameters must be among {', '.join(fields)}, got {unknown[0]}")
        values = {key: content[key] for key in _PARAMETERS.get(str(kind), ()) if content.get(key) is not None}
        for key, value in values.items():
            expected = "list" if "tuple" in str(fields[key].type) else "int" if key == "width" else "str"
            is_list_of_text = isinstance(value, list) and all(isinstance(v, str) for v in value)
            if not (is_list_of_text if expected == "list" else type(value).__name__ == expected):
                words = {"list": "a list of texts", "int": "an integer", "str": "a text"}[expected]
                raise InputError(f"column {name}: {key} must be {words}, got {value!r:.80}")
        parameters: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        return Column(name, str(kind), **parameters)


@dataclasses.dataclass(frozen=True)
class TargetColumn:
    """The column that is predicted.

    Attributes:
        name: Its name.
        task: ``classification`` or ``regression``.
        classes: The class labels as they are spelled, in the order of the outputs; ``None`` for regression.
        rule: The rule by which the values of a regression are read; ``None`` for classification.

    Example:
        >>> TargetColumn("won", "classification", ("no", "yes")).to_dict()
        {'name': 'won', 'task': 'classification', 'classes': ['no', 'yes']}
    """

    name: str
    task: str
    classes: tuple[str, ...] | None = None
    rule: Column | None = None

    def to_dict(self) -> dict[str, Any]:
        """Returns the target as plain values."""
        if self.rule is None:
            return {"name": self.name, "task": self.task, "classes": list(self.classes or ())}
        return {"name": self.name, "task": self.task, "rule": self.rule.to_dict()}

    @staticmethod
    def from_dict(content: Any) -> "TargetColumn":
        """Returns the target that ``to_dict`` wrote.

        Raises:
            InputError: If it is something else.
        """
        if not isinstance(content, dict) or not isinstance(content.get("name"), str):
            raise InputError(f"schema: the target must be an object with a name and a task, got {content!r:.80}")
        name, task, classes = content["name"], content.get("task"), content.get("classes")
        if task == "regression":
            return TargetColumn(
                name, task, rule=Column.from_dict(content.get("rule", {"name": name, "kind": "number"}))
            )
        if task != "classification":
            raise InputError(f"schema: the task of the target must be 'classification' or 'regression', got {task!r}")
        if classes is not None and not (isinstance(classes, list) and all(isinstance(label, str) for label in classes)):
            raise InputError(f"schema: the classes of {name} must be a list of texts")
        return TargetColumn(name, task, tuple(classes or ()))
