"""The record of the data of a run, ``data.json``: by it, a resumed run refuses other data."""

from pathlib import Path

from metajax.run._files import read_json, write_json
from metajax.run._identity import Fingerprint, from_json, to_json
from metajax.types import InputError

DATA_FILE = "data.json"
DATA_FORMAT = 1
"""The version of ``data.json``."""


def write_data(run: Path, data: Fingerprint | None) -> None:
    """Records the data of a run, or with ``None`` that the run has not seen its data yet."""
    write_json(run / DATA_FILE, {"format": DATA_FORMAT, "data": None if data is None else to_json(data)}, None)


def read_data(run: Path) -> Fingerprint | None:
    """Returns the recorded fingerprint, or ``None`` in a run that has not seen its data yet.

    Raises:
        InputError: If there is no record, or it is damaged or of another format.
    """
    path = run / DATA_FILE
    if not path.is_file():
        raise InputError(
            f"{run}: the run there was made by a version of metajax that did not record the data (no {DATA_FILE}), so "
            "the data cannot be compared; replace the run with overwrite=True, or use another directory"
        )
    record = read_json(path)
    if record.get("format") != DATA_FORMAT:
        raise InputError(f"{path} has format {record.get('format')}; this version reads format {DATA_FORMAT}")
    try:
        return None if record["data"] is None else from_json(record["data"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is damaged ({error})") from error
