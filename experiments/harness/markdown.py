"""Tables in Markdown."""

from collections.abc import Iterable, Mapping, Sequence


def row(cells: Iterable[str]) -> str:
    """Returns one line of a table.

    Example:
        >>> row(["drnas", "93.5"])
        '| drnas | 93.5 |'
    """
    return f"| {' | '.join(cells)} |"


def table(head: Sequence[str], rows: Iterable[Iterable[str]]) -> str:
    """Returns a table from its head and its rows.

    Example:
        >>> print(table(["method", "score"], [["drnas", "93.5"]]))
        | method | score |
        |---|---|
        | drnas | 93.5 |
    """
    return "\n".join([row(head), "|---" * len(head) + "|", *map(row, rows)])


def number(value: float | None, form: str, absent: str = "–") -> str:
    """Returns a formatted number, or the mark of one that was not measured.

    Example:
        >>> number(0.5, ".2f"), number(None, ".2f")
        ('0.50', '–')
    """
    return absent if value is None else format(value, form)


def metrics_table(metrics: Mapping[str, float]) -> str:
    """Returns every metric of a run with its value: whole numbers whole, others to four digits.

    Example:
        >>> print(metrics_table({"parameters": 12345, "accuracy": 97.123}))
        | metric | value |
        |---|---|
        | parameters | 12,345 |
        | accuracy | 97.12 |
    """
    return table(["metric", "value"], ([name, short(value)] for name, value in metrics.items()))


def short(value: float) -> str:
    """Returns a whole number whole, and another one to four digits."""
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
