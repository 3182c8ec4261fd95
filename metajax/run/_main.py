"""The frame of every command: one clear line and an exit status in place of a traceback."""

import ast
import errno
import re
import shlex
import sys
from collections.abc import Callable, Mapping

from metajax._compiled import keep_compiled
from metajax.run._loop import Diverged
from metajax.run._signals import Interrupted
from metajax.types import InputError


def main(command: Callable[[], object], flags: Mapping[str, str] | None = None) -> int:
    """Runs a command and returns the exit status of the process. Compiled programs are kept for the next process.

    The status is 2 after an ``InputError``, 1 after a ``Diverged`` or a full disk, 130 after Ctrl-C, and 128 + the number of
    the signal after another one. Each prints one line on standard error.

    The library names a wrong argument as a caller of Python writes it: ``trials=3`` anywhere in the message, or ``trials:`` at
    its beginning, or ``trials must be ...`` at the beginning of a clause. Where the command has a flag for the argument, the
    line names the flag: ``--trials 3``, ``--trials must be ...``.

    Args:
        command: A function without arguments.
        flags: The flags of the command by the names of the arguments that they set, such as ``{"trials": "--trials"}``.

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
        print(f"error: {_in_flags(str(error), flags or {})}", file=sys.stderr)
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


def _in_flags(message: str, flags: Mapping[str, str]) -> str:
    """Translates the arguments in an error of the library into the flags of the command.

    Example:
        >>> _in_flags("method='a b': use trials=16, or resume=True", {"method": "--method", "resume": "--resume"})
        "--method 'a b': use trials=16, or --resume"
        >>> _in_flags("search: trials must be an integer >= 16, got 3", {"trials": "--trials"})
        'search: --trials must be an integer >= 16, got 3'
    """
    if not flags:
        return message
    names = "|".join(flags)
    value = r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[^\s,;:()'"][^\s,;:()]*"""

    def flag(match: re.Match[str]) -> str:
        name, value = match.groups()
        if value in ("True", "False"):
            return flags[name] if value == "True" else flags[name].replace("--", "--no-", 1)
        quoted = value.startswith(("'", '"'))
        return f"{flags[name]} {shlex.quote(ast.literal_eval(value)) if quoted else value}"

    message = re.sub(rf"\b({names})=({value})", flag, message)
    message = re.sub(rf"^({names}): ", lambda match: f"{flags[match[1]]}: ", message)
    clause = rf"(^|: |[;,] |\band )({names})(?=(?:(?:, | and )\w+)* must\b)"
    return re.sub(clause, lambda match: match[1] + flags[match[2]], message)
