"""What a run sends its metrics to, beside ``metrics.jsonl``."""

from collections.abc import Mapping
from typing import Any, Protocol


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


def numbers(record: Mapping[str, Any]) -> dict[str, float]:
    """Returns the finite numbers of a record, without its step."""
    plain = {name: value for name, value in record.items() if isinstance(value, int | float)}
    return {
        name: value
        for name, value in plain.items()
        if name != "step" and not isinstance(value, bool) and abs(value) < float("inf")
    }
