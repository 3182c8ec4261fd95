"""What a model costs its user: bytes on disk and seconds of prediction."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

ROWS = 10_000
"""The number of rows whose prediction is timed."""
_MAX_SECONDS = 1.0  # The time that timing a model may take.
_FIRST_ROWS = ROWS // 10  # The time of all rows is estimated from this number of rows.


class Footprint(NamedTuple):
    """What a model costs.

    Attributes:
        size: Bytes of its files; ``None`` if it is not on disk.
        seconds: Seconds of predicting ``ROWS`` rows that are read already; ``None`` if that was not measured.
    """

    size: int | None = None
    seconds: float | None = None


def footprint(model: Any, directory: Path, x: np.ndarray | None, allows: Callable[[float], bool]) -> Footprint:
    """Measures a model that was saved.

    Args:
        model: The model.
        directory: Where it was saved.
        x: f32[n, inputs], encoded rows to predict; they are repeated. Nothing is timed without them.
        allows: Whether there is time for something that takes this many seconds.
    """
    files = [path for path in (directory / "model.json", directory / "model.npz") if path.is_file()]
    size = sum(path.stat().st_size for path in files) or None
    if x is None or not len(x) or not allows(2 * _MAX_SECONDS):
        return Footprint(size)
    rows = np.take(x, np.arange(ROWS) % len(x), axis=0)
    model.predict_inputs(rows[:_FIRST_ROWS])  # compiles
    if _time(model, rows[:_FIRST_ROWS]) * ROWS / _FIRST_ROWS > _MAX_SECONDS:
        return Footprint(size)
    return Footprint(size, _time(model, rows))


def _time(model: Any, rows: np.ndarray) -> float:
    """Seconds of one prediction."""
    start_time = time.perf_counter()
    model.predict_inputs(rows)
    return time.perf_counter() - start_time
