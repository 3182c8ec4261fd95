"""The frame of every command: one clear line and an exit status in place of a traceback."""

import errno
import re
import sys
from collections.abc import Callable

from metajax.run._compiled import keep_compiled
from metajax.run._loop import Diverged
from metajax.run._signals import Interrupted
from metajax.types import InputError


def main(command: Callable[[], object]) -> int:
    """Runs a command and returns the exit status of the process. Compiled programs are kept for the next process.

    The status is 2 after an ``InputError``, 1 after a ``Diverged`` or a full disk, 130 after Ctrl-C, and 128 + the number of
    the signal after another one. Each prints one line on standard error. An error of the library speaks of ``resume=True``,
    which becomes ``--resume``.

    Args:
        command: A function without arguments.

    Returns:
        The exit status, 0 if all went well.

    Example:
        >>> main(lambda: print("training"))
        training
        0
    """
    keep_compiled()
    try:
        command()
    except InputError as error:
        message = re.sub(r"\b(resume|overwrite)=True", r"--\1", str(error))
        print(f"error: {message}", file=sys.stderr)
        return 2
    except Diverged as error:
        print(f"diverged: {error}", file=sys.stderr)
        return 1
    except Interrupted as stop:
        return int(stop.code)  # type: ignore[arg-type]
    except OSError as error:
        if error.errno not in (errno.ENOSPC, getattr(errno, "EDQUOT", None)):
            raise
        where = f" at {error.filename}" if error.filename else ""
        print(f"error: the disk is full{where}; finished work is kept: free some space and resume", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; finished work is saved, and resuming continues from there", file=sys.stderr)
        return 130
    return 0
