"""Runs: config, directory, metrics, progress, checkpoints, and the one training loop."""

from metajax.run.config import OneLineParser, Options, parse, to_dict
from metajax.run.directory import RunDirectory, write_json, write_text
from metajax.run.loop import Diverged, load, train
from metajax.run.main import main
from metajax.run.meta import collect, hardware
from metajax.run.progress import Progress
from metajax.run.signals import Interrupted, Watch

__all__ = [
    "Diverged",
    "Interrupted",
    "OneLineParser",
    "Options",
    "Progress",
    "RunDirectory",
    "Watch",
    "collect",
    "hardware",
    "load",
    "main",
    "parse",
    "to_dict",
    "train",
    "write_json",
    "write_text",
]
