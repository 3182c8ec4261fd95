"""How long one fit may take. A budget of minutes must not go into a single model."""

import contextlib
import math
import threading
import time
from collections.abc import Iterator

_local = threading.local()


@contextlib.contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Limits the fits of this thread to this many seconds from now on."""
    _local.end = time.perf_counter() + seconds
    try:
        yield
    finally:
        _local.end = math.inf


def time_is_over() -> bool:
    """Says whether a fit has used the time that it was given; it should end with what it has learned so far.

    Returns:
        Whether the time is over; ``False`` where it is not limited.

    Example:
        >>> with time_limit(0.0):
        ...     time_is_over()
        True
        >>> time_is_over()
        False
    """
    return time.perf_counter() >= getattr(_local, "end", math.inf)


def seconds_left() -> float:
    """Returns how many seconds the fits of this thread may take; infinite where they are not limited."""
    return getattr(_local, "end", math.inf) - time.perf_counter()


def is_limited() -> bool:
    """Returns whether the fits of this thread are limited."""
    return seconds_left() < math.inf
