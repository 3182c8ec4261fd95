"""Tables in Markdown."""

from collections.abc import Iterable, Sequence


def row(cells: Iterable[str]) -> str:
    """One line of a table.

    Example:
        >>> row(["drnas", "93.5"])
        '| drnas | 93.5 |'
    """
    return f"| {' | '.join(cells)} |"


def table(head: Sequence[str], rows: Iterable[Iterable[str]]) -> str:
    """A head and the lines below it.

    Example:
        >>> print(table(["method", "score"], [["drnas", "93.5"]]))
        | method | score |
        |---|---|
        | drnas | 93.5 |
    """
    return "\n".join([row(head), "|---" * len(head) + "|", *map(row, rows)])


def number(value: float | None, form: str, absent: str = "–") -> str:
    """Formatted, or what stands for one that was not measured.

    Example:
        >>> number(0.5, ".2f"), number(None, ".2f")
        ('0.50', '–')
    """
    return absent if value is None else format(value, form)
