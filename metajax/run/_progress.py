"""Progress of a run: a bar on a terminal, plain lines elsewhere, so that a log stays readable."""

import sys
import time
from collections.abc import Mapping
from typing import Any


def short(metrics: Mapping[str, Any], limit: int = 4) -> str:
    """Returns the first few numbers in words: ``loss 0.123  accuracy 0.91``."""
    numbers = [(k, v) for k, v in metrics.items() if isinstance(v, int | float) and k not in ("step", "seconds")]
    return "  ".join(f"{k} {v:.4g}" for k, v in numbers[:limit])


def clock(seconds: float) -> str:
    """Returns a duration as ``m:ss`` or ``h:mm:ss``."""
    minutes, seconds = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d}" if minutes >= 60 else f"{minutes}:{seconds:02d}"


class Progress:
    """Shows the rate, the remaining time and the last metrics of a run.

    Args:
        total: The number of steps.
        start: The number of steps that were done before.
        label: What is running, for the beginning of a line.
        every: The seconds between two plain lines.
        show: Whether to print at all.

    Example:
        >>> progress = Progress(total=100, label="training", show=False)
        >>> progress.update(10, {"loss": 0.5})
        >>> progress.done
        10
    """

    def __init__(self, total: int, start: int = 0, label: str = "", every: float = 10.0, show: bool = True):
        self.total: int = total
        self.done: int = start
        self.start: int = start
        self.label: str = label
        self.every: float = every
        self.started: float = time.perf_counter()
        self.last: float = self.started
        self._bar: Any = None
        self._plain = show and not sys.stderr.isatty()
        if show and sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(total=total, initial=start, desc=label or None, unit="step", dynamic_ncols=True)

    def update(self, done: int, metrics: Mapping[str, Any]) -> None:
        """Shows that steps were done.

        Args:
            done: The number of steps done in all.
            metrics: Numbers by name; the first few are shown.
        """
        advanced, self.done = done - self.done, done
        if self._bar is not None:
            self._bar.set_postfix_str(short(metrics), refresh=False)
            self._bar.update(advanced)
        now = time.perf_counter()
        if self._plain and (now - self.last >= self.every or done >= self.total):
            self.last = now
            rate = (done - self.start) / max(now - self.started, 1e-9)
            remaining = clock((self.total - done) / max(rate, 1e-9))
            share = 100 * done / max(self.total, 1)
            head = f"{self.label}: " if self.label else ""
            print(
                f"{head}{done}/{self.total} {share:3.0f}%  {rate:.3g}/s  left {remaining}  {short(metrics)}",
                file=sys.stderr,
            )

    def close(self) -> None:
        """Ends the bar."""
        if self._bar is not None:
            self._bar.close()
