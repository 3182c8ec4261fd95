"""How much of the time budget is left."""

import math
import time

from metajax.run import RunDirectory

ENDING_SECONDS = 4.0
"""Seconds that evaluating the model and drawing the report take, at the end of a search."""


class TimeBudget:
    """The time that a search has spent, including that of earlier processes, against its budget.

    Attributes:
        total: Seconds of the budget; infinite without one.
    """

    def __init__(self, directory: RunDirectory, minutes: float | None, start_time: float):
        """Reads what earlier processes spent from the metrics; ``start_time`` is when this process began to read the data."""
        self._previous_seconds = max((record.get("seconds", 0.0) for record in directory.metrics()), default=0.0)
        self._start_time = start_time
        self.total = math.inf if minutes is None else 60 * minutes

    @property
    def seconds(self) -> float:
        """Seconds spent so far."""
        return self._previous_seconds + time.perf_counter() - self._start_time

    def allows(self, seconds: float) -> bool:
        """Whether something that takes this many more seconds would end within the budget."""
        return self.seconds + seconds <= self.total
