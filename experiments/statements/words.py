"""What statements are made of: finished runs, and words for numbers."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple


class Run(NamedTuple):
    """A finished run: its configuration, its result and the command that made it."""

    config: dict[str, Any]
    result: dict[str, Any]
    command: str = ""

    @property
    def metrics(self) -> dict[str, Any]:
        return self.result["metrics"]


Runs = Mapping[str, Run]
"""Finished runs by the name of their directory."""
Statement = Callable[[Runs], list[str]]
"""Sentences about some runs; raises ``KeyError`` where a result that it needs is missing."""


def against(value: float, other: float, margin: float = 0.0) -> str:
    """How a number compares with another one.

    Example:
        >>> against(2.0, 1.0), against(1.0, 2.0), against(1.0, 1.05, margin=0.1)
        ('above', 'below', 'level with')
    """
    return "level with" if abs(value - other) <= margin else "above" if value > other else "below"


def listed(names: list[str]) -> str:
    """Names in a sentence.

    Example:
        >>> listed(["a", "b", "c"]), listed([])
        ('a, b and c', 'none')
    """
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names) or "none"


def duration(seconds: float) -> str:
    """Seconds in words.

    Example:
        >>> duration(45), duration(600)
        ('45 seconds', '10 minutes')
    """
    return f"{seconds / 60:.0f} minutes" if seconds >= 90 else f"{seconds:.0f} seconds"
