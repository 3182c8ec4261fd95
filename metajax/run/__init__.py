"""Runs: config, directory, metrics, progress, checkpoints, and the one training loop."""

from metajax.run.config import OneLineParser, Options, parse, to_dict
from metajax.run.directory import RunDirectory, read_json, write_json, write_text
from metajax.run.identity import Fingerprint, differences, fingerprint
from metajax.run.loop import Diverged, load, train
from metajax.run.main import main
from metajax.run.meta import collect, hardware
from metajax.run.progress import Progress
from metajax.run.signals import Interrupted, Watch

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
