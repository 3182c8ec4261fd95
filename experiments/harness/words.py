"""Numbers and names in words, for the sentences of the first page."""


def against(value: float, other: float, margin: float = 0.0) -> str:
    """Returns how a number compares with another one.

    Example:
        >>> against(2.0, 1.0), against(1.0, 2.0), against(1.0, 1.05, margin=0.1)
        ('above', 'below', 'level with')
    """
    return "level with" if abs(value - other) <= margin else "above" if value > other else "below"


def listed(names: list[str]) -> str:
    """Returns names as a part of a sentence.

    Example:
        >>> listed(["a", "b", "c"]), listed([])
        ('a, b and c', 'none')
    """
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names) or "none"


def duration(seconds: float) -> str:
    """Returns seconds in words.

    Example:
        >>> duration(45), duration(600)
        ('45 seconds', '10 minutes')
    """
    return f"{seconds / 60:.0f} minutes" if seconds >= 90 else f"{seconds:.0f} seconds"
