"""A lock on a file that keeps a second process out of a run, on every platform; and what else differs between platforms.

The operating system holds the lock and releases it when the process ends, however it ends. The file itself stays: a directory
that holds nothing else counts as empty.
"""

import os
from pathlib import Path
from types import ModuleType
from typing import IO

fcntl: ModuleType | None
msvcrt: ModuleType | None
try:
    import fcntl  # Linux and macOS
except ImportError:
    fcntl = None
try:
    import msvcrt  # Windows
except ImportError:
    msvcrt = None


class Lock:
    """An exclusive lock on a file, held until ``release`` or the end of the process.

    Raises:
        BlockingIOError: If another process holds it.
    """

    def __init__(self, path: Path):
        self._file: IO[bytes] = path.open("ab")
        try:
            self._acquire()
        except OSError as error:
            self._file.close()
            raise BlockingIOError(f"{path} is locked by another process") from error

    def _acquire(self) -> None:
        if fcntl is not None:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        elif msvcrt is not None:
            self._file.seek(0)
            msvcrt.locking(self._file.fileno(), msvcrt.LK_NBLCK, 1)

    def release(self) -> None:
        """Lets the next process in. A second call does nothing."""
        if self._file.closed:
            return
        if fcntl is None and msvcrt is not None:
            self._file.seek(0)
            msvcrt.locking(self._file.fileno(), msvcrt.LK_UNLCK, 1)
        self._file.close()


def available_cores() -> int:
    """The number of processor cores that this process may use; macOS and Windows only tell how many there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
