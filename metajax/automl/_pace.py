"""How much time a search has left, and what going on would cost."""

import contextlib
import math
import time
from collections.abc import Callable, Iterator

from metajax.run import RunDirectory
from metajax.run._compiled import compiling

REPORT = 3.0
"""Seconds of drawing the report."""
_FIRST_PROPOSAL = 10.0  # seconds of the meta-learner's first fit and search, mostly compilation


class Clock:
    """Time spent on this search, earlier processes included, against the budget; since ``began``, when the data was read."""

    def __init__(self, directory: RunDirectory, minutes: float | None, began: float):
        self.before = max((r.get("seconds", 0.0) for r in directory.metrics()), default=0.0)
        self.began, self.budget = began, math.inf if minutes is None else 60 * minutes

    @property
    def seconds(self) -> float:
        return self.before + time.perf_counter() - self.began

    def allows(self, more: float) -> bool:
        """Would ``more`` seconds end within the budget?"""
        return self.seconds + more <= self.budget


class Pace:
    """What waves and proposals have taken, compilation apart, which does not come again but with a larger size."""

    def __init__(self):
        compiling()  # counts from its first call on
        self._waves: list[float] = []
        self.training = 0.0  # seconds of all waves
        self._proposals: dict[int, float] = {}
        self._compiling = _FIRST_PROPOSAL

    @contextlib.contextmanager
    def _timed(self, keep: Callable[[float, float], None]) -> Iterator[None]:
        began, before = time.perf_counter(), compiling()
        yield
        took = time.perf_counter() - began
        keep(took, max(0.0, took - (compiling() - before)))

    def wave(self, share: float) -> contextlib.AbstractContextManager[None]:
        """Around the training of this share of a wave."""
        return self._timed(lambda took, apart: self.remember(apart, share))

    def remember(self, seconds: float, share: float) -> None:
        """What the training of this share of a wave took, if in an earlier process."""
        self._waves.append(seconds / share)
        self.training += seconds

    def proposal(self, size: int) -> contextlib.AbstractContextManager[None]:
        """Around a proposal by programs that are compiled for ``size``."""

        def keep(took: float, apart: float) -> None:
            if size not in self._proposals:
                self._compiling = took
            self._proposals[size] = apart

        return self._timed(keep)

    @property
    def slowest(self) -> float:
        """Seconds of the slowest of the last three waves, each scaled to a whole one."""
        return max(self._waves[-3:], default=0.0)

    def proposing(self, size: int) -> float:
        """Seconds that a proposal is expected to take."""
        return self._proposals.get(size, self._compiling)
