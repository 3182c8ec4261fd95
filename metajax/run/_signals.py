"""SIGTERM and SIGINT set a flag, so that a run saves its state before it ends."""

import signal
import threading
from types import TracebackType


class Interrupted(SystemExit):
    """The run was asked to stop, and saved its state first. The exit status is 128 + the number of the signal."""

    def __init__(self, number: int, message: str):
        super().__init__(128 + number)
        self.message = message

    def __str__(self) -> str:
        return self.message


class Watch:
    """Remembers the first SIGTERM or SIGINT while it is open. A second one acts at once.

    Attributes:
        signal: The number of the signal, or ``None`` as long as there was none.

    Example:
        >>> with Watch() as watch:
        ...     signal.raise_signal(signal.SIGTERM)
        >>> watch.signal == signal.SIGTERM
        True
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._before: dict[int, object] = {}

    def _remember(self, number: int, _frame: object) -> None:
        self.signal = number
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        self._before = {}

    def __enter__(self) -> "Watch":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._before[number] = signal.signal(number, self._remember)
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._restore()
