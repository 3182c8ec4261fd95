"""The bytes of a text file as text: compression and encoding."""

import codecs
import gzip
import zlib
from pathlib import Path
from typing import NamedTuple

from metajax.types import InputError

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_OTHER_FILES = {
    b"PK\x03\x04": "a zip or Excel file",
    b"PAR1": "a Parquet file",
    b"ARROW1": "a Feather file",
    b"%PDF": "a PDF",
}
_SAMPLE = 4096


class Text(NamedTuple):
    """The content of a text file.

    Attributes:
        content: The text.
        notes: The encoding, where it had to be guessed.
    """

    content: str
    notes: list[str]


def read_text(path: Path) -> Text:
    """Reads a text file: compressed by gzip or not; UTF-8, UTF-16 or UTF-32 with a byte order mark, UTF-8, or Windows-1252.

    Args:
        path: The file.

    Raises:
        InputError: If there is no such file, or it is not one of text.
    """
    try:
        data = path.read_bytes()
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path} cannot be read ({error})") from error
    file_kind = next((name for start, name in _OTHER_FILES.items() if data.startswith(start)), None)
    if file_kind:
        raise InputError(f"{path} is {file_kind}, not text; export it as CSV, or name it .parquet, .feather or .npz")
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), None)
    if encoding is None and b"\0" in data[:_SAMPLE]:
        raise InputError(f"{path} contains zero bytes; if it is UTF-16 without a byte order mark, save it as UTF-8")
    if encoding is not None:
        try:
            return Text(data.decode(encoding), [])
        except UnicodeDecodeError as error:
            raise InputError(
                f"{path} begins as {encoding}, but cannot be decoded as such ({error}); save it as UTF-8"
            ) from error
    try:
        return Text(data.decode("utf-8"), [])
    except UnicodeDecodeError:
        encoding = "cp1252"
    try:
        content = data.decode(encoding)
    except UnicodeDecodeError:
        encoding = "latin-1"
        content = data.decode(encoding)
    return Text(content, [f"The file is not UTF-8; it is read as {encoding}."])
