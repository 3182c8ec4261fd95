"""Runs: config, directory, metrics, progress, checkpoints, and the one training loop.

A run is a directory. Killed at any instant and resumed, it ends in the same bits.
"""

from metajax.run._checkpoint import Checkpoints, load
from metajax.run._chunk import compiled_chunk, data_key
from metajax.run._config import OneLineParser, to_dict
from metajax.run._directory import RunDirectory
from metajax.run._files import read_json, write_json, write_text
from metajax.run._identity import Fingerprint, differences, fingerprint
from metajax.run._loop import Diverged, StepRecord, train
from metajax.run._main import main
from metajax.run._meta import collect, hardware
from metajax.run._progress import Progress
from metajax.run._signals import Interrupted, Watch
from metajax.run._writer import Writer

__all__ = [
    "Checkpoints",
    "Diverged",
    "Fingerprint",
    "Interrupted",
    "OneLineParser",
    "Progress",
    "RunDirectory",
    "StepRecord",
    "Watch",
    "Writer",
    "collect",
    "compiled_chunk",
    "data_key",
    "differences",
    "fingerprint",
    "hardware",
    "load",
    "main",
    "read_json",
    "to_dict",
    "train",
    "write_json",
    "write_text",
]
