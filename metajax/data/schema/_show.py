"""A schema as a table for people."""

from collections.abc import Iterable, Sequence

from metajax.data.schema._column import Column, TargetColumn

_MAX_SHOWN = 6  # Levels that are shown of a category.


def listed(names: Iterable[object], limit: int = 12) -> str:
    """Returns the first names in words, and how many more there are.

    Example:
        >>> listed("abcd", 2)
        'a, b and 2 more'
    """
    texts = [str(name) for name in names]
    return ", ".join(texts[:limit]) + (f" and {len(texts) - limit} more" if len(texts) > limit else "")


def rule(column: Column) -> str:
    """Returns the rule of a column in words.

    Example:
        >>> rule(Column("x", "number", decimal=",", unit="%"))
        "decimal ',', '%' stripped"
    """
    words = []
    if column.kind == "number":
        words += [f"decimal {column.decimal!r}"] * (column.decimal != ".")
        words += [f"thousands {column.thousands!r}"] * bool(column.thousands)
        words += [f"{column.unit!r} stripped"] * bool(column.unit)
    elif column.kind == "boolean" and column.levels:
        words.append("0 is {}, 1 is {}".format(*column.levels))
    elif column.kind == "category" and column.levels is not None:
        words.append(f"{len(column.levels)} levels: {listed(column.levels, _MAX_SHOWN)}")
    elif column.kind == "date":
        words.append(f"{column.format}: {', '.join(p for p in column.parts or () if not p.endswith(('_sin', '_cos')))}")
    elif column.kind == "text":
        words.append(f"{column.width} counts of words, {column.width} of letters")
    if column.missing and column.is_used:
        words.append(f"missing: {listed(map(repr, column.missing), _MAX_SHOWN)}")
    return ", ".join(words)


def table(columns: Sequence[Column], target: TargetColumn | None, notes: Iterable[str]) -> str:
    """Returns the whole schema: the target, a line for each column, and the notes."""
    lines = []
    if target is not None:
        content = f"classes {listed(target.classes or ())}" if target.task == "classification" else "numbers"
        lines.append(f"target {target.name}: {target.task}, {content}")
    width = min(max([len(column.name) for column in columns], default=0), 40)
    for column in columns:
        kind = column.kind if column.is_used else f"{column.kind} (left out)"
        lines.append(f"  {column.name:<{width}}  {kind:<11} {rule(column)}".rstrip())
    return "\n".join([*lines, *(f"  note: {note}" for note in notes)])
