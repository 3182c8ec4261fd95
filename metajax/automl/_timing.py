"""How much of the time budget is left, and how long the parts of a search have taken so far."""

import contextlib
import math
import time
from collections.abc import Callable, Iterator

from metajax.run import RunDirectory
from metajax.run._compiled import compiling

# Seconds of the meta-learner's first fit and search, most of which are compilation. It is the estimate until one was measured.
FIRST_PROPOSAL_SECONDS = 10.0


class TimeBudget:
    """The time that a search has spent, including that of earlier processes, against its budget.

    Attributes:
        total: Seconds of the budget; infinite without one.
    """

    def __init__(self, directory: RunDirectory, minutes: float | None, started: float):
        """Reads what earlier processes spent from the metrics; ``started`` is when this process began to read the data."""
        self._earlier = max((record.get("seconds", 0.0) for record in directory.metrics()), default=0.0)
        self._started = started
        self.total = math.inf if minutes is None else 60 * minutes

    @property
    def seconds(self) -> float:
        """Seconds spent so far."""
        return self._earlier + time.perf_counter() - self._started

    def allows(self, seconds: float) -> bool:
        """Whether something that takes this many more seconds would end within the budget."""
        return self.seconds + seconds <= self.total


class Durations:
    """How long waves and proposals have taken.

    Compilation is measured apart, because it happens again only where sizes grow.

    Attributes:
        training: Seconds that all waves took together, without compilation.
        compilation: Seconds of compilation in the last wave. The next one may need as many: its networks have other shapes.
    """

    def __init__(self):
        compiling()  # The counter of compilation starts with its first call.
        self._waves: list[float] = []
        self.training = 0.0
        self.compilation = 0.0
        self._proposals: dict[int, float] = {}
        self._first_proposal = FIRST_PROPOSAL_SECONDS

    @contextlib.contextmanager
    def _measure(self, record: Callable[[float, float], None]) -> Iterator[None]:
        """Records the seconds of a block, with and without compilation."""
        started, compiled_before = time.perf_counter(), compiling()
        yield
        elapsed = time.perf_counter() - started
        record(elapsed, max(0.0, elapsed - (compiling() - compiled_before)))

    def measure_wave(self, fraction: float) -> contextlib.AbstractContextManager[None]:
        """Measures the training of this fraction of a wave."""

        def record(elapsed: float, without_compilation: float) -> None:
            self.record_wave(without_compilation, fraction)
            self.compilation = elapsed - without_compilation

        return self._measure(record)

    def record_wave(self, seconds: float, fraction: float) -> None:
        """Records how many seconds this fraction of a wave took, also where an earlier process trained it."""
        self._waves.append(seconds / fraction)
        self.training += seconds

    def measure_proposal(self, padded_size: int) -> contextlib.AbstractContextManager[None]:
        """Measures a proposal whose programs are compiled for ``padded_size`` trials."""

        def record(elapsed: float, without_compilation: float) -> None:
            if padded_size not in self._proposals:
                self._first_proposal = elapsed
            self._proposals[padded_size] = without_compilation

        return self._measure(record)

    @property
    def slowest_wave(self) -> float:
        """Seconds of the slowest of the last three waves, each scaled to a whole one."""
        return max(self._waves[-3:], default=0.0)

    def proposal_seconds(self, padded_size: int) -> float:
        """Expected seconds of a proposal by programs of this size, with compilation if they are not compiled yet."""
        return self._proposals.get(padded_size, self._first_proposal)
