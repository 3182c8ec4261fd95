"""A table of architectures that were trained alone, and its file."""

import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from metajax.run._files import checksum_of, write_json
from metajax.types import InputError


class TruthTable(NamedTuple):
    """Scores of architectures.

    Attributes:
        accuracy: The accuracies, float[architectures, seeds].
        index: The indices of the architectures in ``space.at``, int[architectures].
        made_of: A hash of what the scores come from: space, parameters, data, training, seeds, key.

    Example:
        >>> table = TruthTable(np.array([[0.9], [0.8], [0.7]]), np.arange(3))
        >>> table.rank(1), table.rank(1, within=0.1)
        (2, 1)
    """

    accuracy: np.ndarray
    index: np.ndarray
    made_of: str = ""

    @property
    def mean(self) -> np.ndarray:
        """float[architectures], the mean over seeds."""
        return self.accuracy.mean(axis=1)

    def rank(self, index: int, within: float = 0.0) -> int:
        """Returns the rank of an architecture, 1 for the best: one more than the number of architectures that are better.

        Args:
            index: The index of the architecture in ``space.at``.
            within: The amount by which another architecture may be better and yet share the rank, such as one test image, ``1 /
                len(test)``.

        Raises:
            InputError: If the table does not have the architecture.
        """
        rows = np.flatnonzero(self.index == index)
        if not len(rows):
            raise InputError(
                f"rank: index must be one of the {len(self.index)} architectures of this table, got {index}"
            )
        mean = self.mean
        return 1 + int(np.sum(mean - mean[rows[0]] > within + 1e-6))  # accuracies are float32


def load_table(path: str | Path) -> TruthTable:
    """Reads a table that ``exhaust`` wrote to a file.

    Args:
        path: The path of the file.

    Returns:
        The table.

    Raises:
        InputError: If the file is missing, altered, or not finished.

    Example:
        >>> load_table("missing.json")
        Traceback (most recent call last):
        metajax.types.InputError: missing.json is not a table of exhaust ([Errno 2] No such file or directory: 'missing.json')
    """
    table = read_table(Path(path))
    n_trained = int(np.isfinite(table.accuracy).sum())
    if n_trained < table.accuracy.size:
        raise InputError(
            f"{path} holds only {n_trained} of {table.accuracy.size} trainings; call exhaust with this path to train the "
            "others"
        )
    return table


def read_table(path: Path) -> TruthTable:
    """Reads a table that may not be finished."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        content, checksum = record["table"], record["checksum"]
        table = TruthTable(np.array(content["accuracy"], np.float64), np.array(content["index"]), content["made_of"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is not a table of exhaust ({error})") from None
    if checksum != checksum_of(content):
        raise InputError(f"{path} was altered: its checksum is not that of its content; delete it to train again")
    return table


def write_table(path: Path, table: TruthTable) -> None:
    """Writes a table, with its checksum; trainings that are not done are null."""
    rows = [[None if np.isnan(score) else float(score) for score in row] for row in table.accuracy]
    content = {"made_of": table.made_of, "index": table.index.tolist(), "accuracy": rows}
    write_json(path, {"checksum": checksum_of(content), "table": content}, indent=None)


def hash_of(*parts: Any) -> str:
    """Returns a hash of arrays by their content and of everything else by its text."""
    digest = hashlib.sha256()
    for part in parts:
        value = np.asarray(part) if isinstance(part, np.ndarray | jax.Array) else None
        text = repr(part).encode() if value is None else f"{value.dtype}{value.shape}".encode() + value.tobytes()
        digest.update(text)
    return digest.hexdigest()
