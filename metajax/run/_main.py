"""The frame of every command: one clear line and exit status 2 for bad input, 1 for a run that diverged."""

import errno
import sys
from collections.abc import Callable

from metajax.run._compiled import keep_compiled
from metajax.run._loop import Diverged
from metajax.run._signals import Interrupted
from metajax.types import InputError


def main(command: Callable[[], object]) -> int:
    """Runs ``command`` and returns the process's exit status; compiled programs are kept for the next one."""
    keep_compiled()
    try:
        command()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
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
        print(f"error: the disk is full{where}; what was finished is kept: free some space and resume", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; what was finished is saved, and resuming goes on from there", file=sys.stderr)
        return 130
    return 0
