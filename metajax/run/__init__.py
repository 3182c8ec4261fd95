"""Runs: config, directory, metrics, progress, checkpoints, and the one training loop."""

from metajax.run._config import OneLineParser, Options, parse, to_dict
from metajax.run._directory import RunDirectory, read_json, write_json, write_text
from metajax.run._identity import Fingerprint, differences, fingerprint
from metajax.run._loop import Diverged, load, train
from metajax.run._main import main
from metajax.run._meta import collect, hardware
from metajax.run._progress import Progress
from metajax.run._signals import Interrupted, Watch

__all__ = [
    "Diverged",
    "Fingerprint",
    "Interrupted",
    "OneLineParser",
    "Options",
    "Progress",
    "RunDirectory",
    "Watch",
    "collect",
    "differences",
    "fingerprint",
    "hardware",
    "load",
    "main",
    "parse",
    "read_json",
    "to_dict",
    "train",
    "write_json",
    "write_text",
]
