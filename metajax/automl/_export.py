"""Writes a model as a folder that predicts without this library: a program, a loader and a model card."""

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from metajax.data.schema._categories import MAX_LEVELS
from metajax.data.schema._column import DROPPED
from metajax.data.schema._numerals import MISSING_WORDS
from metajax.data.tabular import Encoder
from metajax.run._files import usable
from metajax.types import InputError

PROGRAM, ENCODER, LOADER, CARD = "model.stablehlo", "encoder.json", "load.py", "MODEL_CARD.md"
"""The files of an export."""


def check_folder(path: Path | str) -> None:
    """Raises ``InputError`` if a folder cannot be written because it exists and is not empty."""
    path = Path(path)
    with usable("path", path):
        if path.is_dir() and not any(path.iterdir()):
            return
        if path.exists():
            raise InputError(
                f"path={str(path)!r}: must be a new or an empty folder, got one that exists; choose another"
            )


def write_folder(path: Path | str, files: Mapping[str, bytes | str]) -> None:
    """Writes a folder completely or not at all.

    Args:
        path: The folder, which must be new or empty.
        files: The content of each file by its name; text is written as UTF-8.

    Raises:
        InputError: If the folder holds files, or cannot be written.
    """
    path = Path(path)
    check_folder(path)
    with usable("path", path):
        path.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
        try:
            for name, content in files.items():
                (part / name).write_bytes(content.encode() if isinstance(content, str) else content)
            part.chmod(0o777 & ~_umask())
            if path.is_dir():
                path.rmdir()
            part.rename(path)
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise


def _umask() -> int:
    """The permissions that the process takes away from new files; they can only be read by setting them."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def encoder_json(encoder: Encoder, threshold: float) -> str:
    """Returns what the loader of a table reads beside the program.

    Args:
        encoder: The encoder of the model.
        threshold: The probability from which a row is labeled as the second of two classes.
    """
    content: dict[str, Any] = {
        "threshold": threshold,
        "max_levels": MAX_LEVELS,
        "dropped_kinds": list(DROPPED),
        "missing_words": sorted(MISSING_WORDS),
        "encoder": encoder.to_dict(),
    }
    return json.dumps(content, ensure_ascii=False)


def image_json(classes: list[str], threshold: float) -> str:
    """Returns what the loader of an image model reads beside the program."""
    return json.dumps({"threshold": threshold, "classes": classes}, ensure_ascii=False)


def loader(name: str) -> str:
    """Returns the source of a loader.

    Args:
        name: The module of this package that is written as ``load.py``.
    """
    return (Path(__file__).parent / f"{name}.py").read_text(encoding="utf-8")
