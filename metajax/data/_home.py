"""Where datasets live, and how they get there: ``$METAJAX_DATA``, or a cache in the user's home."""

import hashlib
import os
import struct
import tokenize
import urllib.error
import urllib.request
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from metajax.types import InputError


def home() -> Path:
    """``$METAJAX_DATA`` if set, else ``~/.cache/metajax/data``."""
    given = os.environ.get("METAJAX_DATA")
    return Path(given).expanduser() if given else Path.home() / ".cache" / "metajax" / "data"


def digest(path: Path, algorithm: str) -> str:
    """The hexadecimal digest of a file by ``"sha256"``, ``"md5"``, ..."""
    found = hashlib.new(algorithm)
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            found.update(block)
    return found.hexdigest()


def download(url: str, path: Path, checksum: str) -> Path:
    """Fetches a file that is not there yet, whole or not at all, and checks it.

    Args:
        checksum: ``algorithm:hexdigest``, such as ``md5:68d2...``; a file that is there already is checked too.

    Raises:
        InputError: if the network does not give it or the checksum is wrong; says which file to put where.
    """
    algorithm, expected = checksum.split(":")
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(path.name + ".part")
        try:
            with urllib.request.urlopen(url, timeout=30) as source, part.open("wb") as target:
                while block := source.read(1 << 20):
                    target.write(block)
        except (urllib.error.URLError, OSError, TimeoutError) as error:
            part.unlink(missing_ok=True)
            raise InputError(f"{path.name} could not be fetched ({error}); put the file of {url} at {path}") from error
        part.replace(path)
    found = digest(path, algorithm)
    if found != expected:
        raise InputError(f"{path}: {algorithm} is {found}, expected {expected}; replace it by the file of {url}")
    return path


def save_npz(path: Path, compress: bool = True, **arrays: Any) -> None:
    """Writes an ``.npz`` beside its place and renames it: a kill leaves the old file or the new one."""
    part = path.with_name(path.name + ".part")
    try:
        with part.open("wb") as file:
            (np.savez_compressed if compress else np.savez)(file, **arrays)
        part.replace(path)
    except OSError as error:  # a full disk: what is half written only takes up more of it
        part.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(path)) from error


# what zipfile, zlib and NumPy raise on damaged files, depending on the byte that is wrong
_UNREADABLE = (
    OSError,
    ValueError,
    EOFError,
    KeyError,
    TypeError,
    MemoryError,
    OverflowError,
    RuntimeError,
    SyntaxError,
    struct.error,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)


def array_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """The arrays of an ``.npz`` by name, with their shapes; only headers are read.

    Raises:
        InputError: if it is not a readable ``.npz``.
    """
    try:
        with zipfile.ZipFile(path) as file:
            shapes = {}
            for name in file.namelist():
                with file.open(name) as member:
                    version = np.lib.format.read_magic(member)
                    read = (
                        np.lib.format.read_array_header_1_0
                        if version == (1, 0)
                        else np.lib.format.read_array_header_2_0
                    )
                    shapes[name.removesuffix(".npy")] = read(member)[0]
            return shapes
    except _UNREADABLE as error:
        raise InputError(f"{path}: not a readable .npz ({error})") from error


def load_npz(path: Path, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Named arrays of an ``.npz`` file; nothing is ever unpickled.

    Raises:
        InputError: if the file is missing, is not an ``.npz``, lacks an array or holds pickled objects.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            missing = [name for name in names if name not in file]
            if missing:
                raise InputError(f"{path}: lacks the arrays {missing}; it holds {list(file)}")
            return {name: file[name] for name in names}
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except InputError:
        raise
    except _UNREADABLE as error:
        raise InputError(f"{path}: not a readable .npz of plain arrays ({error})") from error
