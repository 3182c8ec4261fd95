"""Choices as cells of a table, such that they differ from each other and from an empty cell in every file format.

A choice is written as it is, as long as pandas, CSV and Parquet cannot take it for something else. Otherwise it is written as
``json:`` and its JSON: ``json:[3, 3]`` is the tuple ``(3, 3)``, ``json:"null"`` is the text ``null``, and ``json:"1"`` is the
text ``1`` if the number ``1`` is a choice, too (which is then ``json:1``). ``None`` is an empty cell: the conditions of the
space distinguish a parameter that is ``None`` from one that is inactive.
"""

import json
import math
from typing import Any

from metajax.space import Categorical, Float, Integer
from metajax.space._checks import frozen, same_kind
from metajax.types import InputError

PREFIX = "json:"
_WORDS = "null none nan na n/a <na> nat #n/a #na -nan -1.#ind -1.#qnan 1.#ind 1.#qnan"
_MISSING = {"", "#n/a n/a", *_WORDS.split()}


def is_missing_word(text: str) -> bool:
    """Whether readers of tables take the text for an empty cell."""
    return text.strip().lower() in _MISSING


def escaped(value: Any) -> str:
    """The value in the form that is always read back unchanged."""
    return PREFIX + json.dumps(value)


def cell_of(value: Any) -> Any:
    """The cell of a value that was read already: a text that looks escaped is not to be read once more."""
    return escaped(value) if isinstance(value, str) and value.startswith(PREFIX) else value


class Cells:
    """Writes and reads the cells of one ``Categorical``.

    Example:
        >>> cells = Cells("x", Categorical((None, "null", "1", 1, (3, 3))))
        >>> [cells.write(choice) for choice in cells.choices]
        [None, 'json:"null"', 'json:"1"', 'json:1', 'json:[3, 3]']
        >>> cells.read("json:[3, 3]"), cells.parse("(3, 3)")
        ((3, 3), (3, 3))
    """

    def __init__(self, name: str, domain: Categorical):
        self.name, self.choices = name, domain.choices
        self._exact = {choice: choice for choice in domain.choices}
        self._loose = _loose(domain.choices)
        choices = [c for c in self.choices if c is not None]
        odd = {c for c in choices if _is_odd(c) or len(self._alike(c)) > 1}
        uniform = not odd and len({_reading(c)[0] if not isinstance(c, str) else "text" for c in choices}) <= 1
        self._text_of_choice = {c: escaped(c) if c in odd else c if uniform else str(c) for c in choices}
        self._texts: dict[str, list[Any]] = {}
        for choice in self.choices:
            for text in {str(choice), json.dumps(choice)} if isinstance(choice, tuple) else {str(choice)}:
                self._texts.setdefault(text, []).append(choice)

    def write(self, choice: Any) -> Any:
        """The cell of a choice; all cells of a column have one type, or are empty."""
        return None if choice is None else self._text_of_choice[choice]

    def read(self, value: Any) -> Any:
        """The choice of a cell that is not empty, or the value itself if no choice fits.

        Raises:
            InputError: If several choices fit.
        """
        value = frozen(value)
        is_escaped, choice = self._unescaped(value)
        if is_escaped:
            return choice
        try:
            if value in self._exact and same_kind(self._exact[value], value):
                return self._exact[value]
        except TypeError:  # not hashable
            return value
        return self._only_choice(value, self._alike(value))

    def parse(self, text: str) -> Any:
        """The choice of a text, for sources that keep nothing but text; ``None`` for an empty cell.

        Raises:
            InputError: If several choices fit.
        """
        is_escaped, choice = self._unescaped(text)
        if is_escaped:
            return choice
        if not text:
            return None
        fitting = list(self._texts.get(text, []))
        if is_missing_word(text):
            if None not in fitting and (not fitting or None in self._exact):
                fitting.append(None)
            return self._only_choice(text, fitting)
        return self._only_choice(text, fitting or self._alike(text))

    def _unescaped(self, value: Any) -> tuple[bool, Any]:
        """Whether the value is the escaped form of a choice, and that choice."""
        if isinstance(value, str) and value.startswith(PREFIX):
            try:
                choice = frozen(json.loads(value.removeprefix(PREFIX)))
                if choice in self._exact and same_kind(self._exact[choice], choice):
                    return True, self._exact[choice]
            except (ValueError, TypeError, RecursionError):
                pass
        return False, None

    def _alike(self, value: Any) -> list[Any]:
        """The choices that a reader of tables may confuse with the value."""
        kind, key = _reading(value)
        if kind != "number":
            return self._loose.get((kind, key), [])
        near = [_rounded(key * (1 + shift)) for shift in (0.0, -1e-13, 1e-13)] if math.isfinite(key) else [key]
        return list(dict.fromkeys(c for n in near for c in self._loose.get((kind, n), [])))

    def _only_choice(self, value: Any, fitting: list[Any]) -> Any:
        """The only choice that fits, or the value itself if none does."""
        if len(fitting) > 1:
            raise InputError(
                f"{self.name}: {value!r} may be any of {fitting}; write {' or '.join(map(escaped, fitting))}"
            )
        return fitting[0] if fitting else value


def _is_odd(choice: Any) -> bool:
    """Whether a table may alter the choice, whatever the other choices are."""
    if isinstance(choice, str):
        tidy = choice.isprintable() and choice == choice.strip()
        return not tidy or choice.startswith(PREFIX) or is_missing_word(choice)
    return isinstance(choice, tuple) or (isinstance(choice, int) and not -(2**63) <= choice < 2**63)


def _reading(value: Any) -> tuple[str, Any]:
    """How a reader of tables may understand a value: as a Boolean, a number, or the text that it is."""
    if isinstance(value, bool):
        return "bool", value
    if isinstance(value, str) and value.strip().lower() in ("true", "false"):
        return "bool", value.strip().lower() == "true"
    if isinstance(value, str | int | float):
        try:
            return "number", float(value)
        except (ValueError, OverflowError):
            pass
    return "text", value


def _rounded(number: float) -> float:
    """The number with 12 digits, since readers may lose the last ones."""
    return float(f"{number:.11e}")


def _loose(choices: tuple[Any, ...]) -> dict[Any, list[Any]]:
    """The choices by how a reader of tables may understand them."""
    readings: dict[Any, list[Any]] = {}
    for choice in choices:
        kind, key = _reading(choice)
        readings.setdefault((kind, _rounded(key) if kind == "number" else key), []).append(choice)
    return readings


def from_text(name: str, domain: Any) -> Any:
    """A function from texts to cells of a data frame that hold values of a domain; ``None`` is an empty cell."""
    if isinstance(domain, Categorical):
        parse = Cells(name, domain).parse
        return lambda text: cell_of(parse(text))
    return lambda text: None if is_missing_word(text) else number(text) if isinstance(domain, Float | Integer) else text


def number(text: str) -> Any:
    """The number that a text stands for, integers exactly, or the text itself if it is not a number."""
    for kind in (int, float):
        try:
            return kind(text.replace("_", "?"))  # only Python reads 1_000 as a number
        except ValueError:
            pass
    return text


def subset(value: Any) -> Any:
    """The items of a ``Subset`` from a list or array, a single item, or text such as "0 3 7"."""
    if isinstance(value, str):
        words = value.removeprefix(PREFIX).replace(",", " ").strip("()[] ").split()
        return tuple(map(number, words))
    return tuple(value) if hasattr(value, "__iter__") else (value,)
