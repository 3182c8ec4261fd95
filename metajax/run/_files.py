"""Files that are written completely or not at all."""

import contextlib
import errno
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from metajax.types import InputError

_UNUSABLE = (
    *(errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST),
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG, errno.ELOOP),
)
"""What the operating system says about a path that cannot be read or written as it was given."""


@contextlib.contextmanager
def usable(argument: str, path: str | os.PathLike[str]) -> Iterator[None]:
    """Turns an error of the operating system about a path into one that names the argument.

    Other errors of the operating system, such as a full disk, pass.

    Args:
        argument: The name of the argument that the path was given as.
        path: The path.

    Raises:
        InputError: If the path cannot be used: a part of it is a file, a permission is missing, the disk is read-only.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _UNUSABLE:
            raise
        where = "" if error.filename is None or str(error.filename) == str(path) else f" at {error.filename}"
        reason = f"{os.strerror(error.errno)}{where}"
        raise InputError(f"{argument}={str(path)!r}: cannot be used ({reason}); give another path") from error


def read_json(path: Path) -> dict[str, Any]:
    """Reads a file that ``write_json`` wrote.

    Args:
        path: The file.

    Returns:
        The object in it.

    Raises:
        InputError: If the file is damaged.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "result.json"
        >>> write_json(path, {"accuracy": 0.9})
        >>> read_json(path)
        {'accuracy': 0.9}
    """
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:
        raise InputError(f"{path} is damaged ({error})") from error
    if not isinstance(content, dict):
        raise InputError(f"{path} is damaged (it holds no JSON object)")
    return content


def checksum_of(value: Any) -> str:
    """Returns the SHA-256 of plain values, by which a damaged or altered file is recognized."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def write_text(path: Path, text: str) -> None:
    """Replaces a file at once: a reader or a kill sees the old text or the new one, never a part.

    Args:
        path: The file.
        text: Its new contents, written as UTF-8.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "notes.txt"
        >>> write_text(path, "done")
        >>> path.read_text(encoding="utf-8")
        'done'
    """
    part = path.with_name(path.name + ".part")
    with part.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def write_json(path: Path, value: Any, indent: int | None = 2) -> None:
    """Replaces a file at once by a value as JSON.

    Args:
        path: The file.
        value: Plain values.
        indent: The indentation in spaces; ``None`` writes one line.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "a.json"
        >>> write_json(path, {"a": 1}, indent=None)
        >>> path.read_text(encoding="utf-8")
        '{"a": 1}\\n'
    """
    write_text(path, json.dumps(value, indent=indent) + "\n")
