"""What a run sends its metrics to, beside ``metrics.jsonl``."""

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from metajax.run._files import read_json, write_json

_SENT_FILE = "sent.json"  # the last step that writers were sent


class Writer(Protocol):
    """Receives the metrics of a run as they come; trackers such as TensorBoard are reached by one.

    Example:
        >>> class Printer:
        ...     def write(self, metrics, step):
        ...         print(step, metrics)
        ...
        ...     def close(self):
        ...         pass
        >>> import tempfile
        >>> from metajax import run
        >>> with run.RunDirectory(tempfile.mkdtemp(), {}, writers=[Printer()]) as directory:
        ...     directory.log({"step": 1, "loss": 0.5})
        1 {'loss': 0.5}
    """

    def write(self, metrics: Mapping[str, float], step: int) -> None:
        """Receives numbers by name.

        Args:
            metrics: Finite numbers.
            step: The step that they belong to, larger than that of the call before.
        """
        ...

    def close(self) -> None:
        """Is called when the run directory is closed."""
        ...


class Writers:
    """The writers of a run. Each step is sent once, however often the run is resumed.

    A writer that fails is named on standard error and left out from then on, because a run does not depend on any.

    Args:
        writers: The writers.
        run: The directory of the run, where the last step that was sent is recorded.
    """

    def __init__(self, writers: Sequence[Writer], run: Path):
        self._writers, self._run, self._last_step = list(writers), run, None

    def send(self, record: Mapping[str, Any]) -> None:
        """Sends the metrics of a step that was not sent before."""
        if not self._writers:
            return
        path, step = self._run / _SENT_FILE, int(record["step"])
        if self._last_step is None:
            self._last_step = read_json(path)["step"] if path.is_file() else -math.inf
        if step <= self._last_step:
            return
        self._use_each(lambda writer: writer.write(numbers(record), step))
        self._last_step = step
        write_json(path, {"step": step})

    def close(self) -> None:
        """Closes the writers."""
        self._use_each(lambda writer: writer.close())
        self._writers.clear()

    def _use_each(self, use: Callable[[Writer], None]) -> None:
        """Uses every writer, and leaves out those that fail."""
        for writer in list(self._writers):
            try:
                use(writer)
            except Exception as error:  # Trackers raise whatever they like, such as errors of their network.
                self._writers.remove(writer)
                print(f"{self._run}: no more metrics are sent ({type(error).__name__}: {error})", file=sys.stderr)


def numbers(record: Mapping[str, Any]) -> dict[str, float]:
    """Returns the finite numbers of a record, without its step."""
    plain = {name: value for name, value in record.items() if isinstance(value, int | float)}
    return {
        name: value
        for name, value in plain.items()
        if name != "step" and not isinstance(value, bool) and abs(value) < float("inf")
    }
