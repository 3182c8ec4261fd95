"""Reads plain containers that others published as a pickle, without unpickling.

The reader knows no instruction of the format that could import, build or call anything.
"""

import pickletools
from pathlib import Path
from typing import Any

from metajax.types import InputError

_VALUES = ("BINFLOAT", "BININT", "BININT1", "BININT2", "LONG1", "SHORT_BINUNICODE", "BINUNICODE")
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_MARK = object()


def load_plain_pickle(path: Path) -> Any:
    """Reads dictionaries, lists, tuples, numbers and text from a pickle of protocol 2 or later.

    Raises:
        InputError: If the file is missing, damaged, or holds anything else.
    """
    try:
        return _StackMachine().run(path.read_bytes())
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (ValueError, IndexError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is not a pickle of plain containers ({error})") from None


class _StackMachine:
    """Executes the instructions of a pickle that make plain containers, and refuses all others."""

    def __init__(self) -> None:
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def run(self, data: bytes) -> Any:
        """Returns the object that a pickle describes.

        Raises:
            ValueError: If it has another instruction, or no end.
        """
        for opcode, argument, _ in pickletools.genops(data):
            name: str = opcode.name
            if name == "STOP":
                return self._stack.pop()
            if not (self._push(name, argument) or self._remember(name, argument) or self._collect(name)):
                raise ValueError(f"the file has the instruction {name}")
        raise ValueError("the file ends early")

    def _push(self, name: str, argument: Any) -> bool:
        """Pushes a value or an empty container. Returns whether the instruction does that, or nothing at all."""
        if name in _VALUES:
            self._stack.append(argument)
        elif name in _CONSTANTS:
            self._stack.append(_CONSTANTS[name])
        elif name in ("EMPTY_DICT", "EMPTY_LIST", "EMPTY_TUPLE"):
            self._stack.append({"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}[name]())
        elif name == "MARK":
            self._stack.append(_MARK)
        else:
            return name in ("PROTO", "FRAME")
        return True

    def _remember(self, name: str, argument: Any) -> bool:
        """Stores the last object, or pushes a stored one. Returns whether the instruction does that."""
        if name == "MEMOIZE":
            self._memo[len(self._memo)] = self._stack[-1]
        elif name in ("BINPUT", "LONG_BINPUT"):
            self._memo[int(argument)] = self._stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            self._stack.append(self._memo[int(argument)])
        else:
            return False
        return True

    def _collect(self, name: str) -> bool:
        """Puts objects into a container. Returns whether the instruction does that."""
        stack = self._stack
        if name in ("APPEND", "APPENDS"):
            values = self._since_mark() if name == "APPENDS" else [stack.pop()]
            stack[-1].extend(values)
        elif name in ("SETITEM", "SETITEMS"):
            values = self._since_mark() if name == "SETITEMS" else [stack.pop(-2), stack.pop()]
            stack[-1].update(zip(values[::2], values[1::2]))
        elif name == "TUPLE":
            stack.append(tuple(self._since_mark()))
        elif name in ("TUPLE1", "TUPLE2", "TUPLE3"):
            size = int(name[-1])
            stack[-size:] = [tuple(stack[-size:])]
        else:
            return False
        return True

    def _since_mark(self) -> list[Any]:
        """Removes the last mark and the objects after it, which it returns."""
        index = len(self._stack) - 1
        while self._stack[index] is not _MARK:
            index -= 1
            if index < 0:
                raise ValueError("an instruction lacks its mark")
        items = self._stack[index + 1 :]
        del self._stack[index:]
        return items
