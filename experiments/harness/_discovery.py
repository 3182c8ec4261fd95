"""Finds the experiments by walking the packages: a new script is found without a list that would name it."""

import functools
import importlib
import pkgutil
from typing import NamedTuple

from experiments.harness._experiment import Experiment

PILLARS = ("fewshot", "nas", "predictor", "hpo", "automl")
"""The packages of experiments, in the order of the tables."""


class Pillar(NamedTuple):
    """A part of the project.

    Attributes:
        title: ``TITLE`` of the package.
        question: ``QUESTION`` of the package: what its experiments ask.
        experiments: Those that its modules export, by name.
    """

    title: str
    question: str
    experiments: tuple[Experiment, ...]


@functools.cache
def pillars() -> tuple[Pillar, ...]:
    """Returns every pillar with its experiments."""
    packages = [importlib.import_module(f"experiments.{name}") for name in PILLARS]
    return tuple(Pillar(package.TITLE, package.QUESTION, discover(package.__name__)) for package in packages)


def experiments() -> tuple[Experiment, ...]:
    """Returns every experiment, in the order of the tables."""
    return tuple(experiment for pillar in pillars() for experiment in pillar.experiments)


@functools.cache
def discover(package: str) -> tuple[Experiment, ...]:
    """Returns what the modules of a package export as ``EXPERIMENT``; modules whose name begins with ``_`` are helpers."""
    path = importlib.import_module(package).__path__
    names = sorted(module.name for module in pkgutil.iter_modules(path) if not module.name.startswith("_"))
    modules = [importlib.import_module(f"{package}.{name}") for name in names]
    return tuple(module.EXPERIMENT for module in modules if hasattr(module, "EXPERIMENT"))


def owner(result: str) -> Experiment | None:
    """Returns the experiment that a run below ``experiments/results`` belongs to, by the beginning of its name."""
    prefix = lambda experiment: experiment.results or experiment.name
    owners = [experiment for experiment in experiments() if result.startswith(prefix(experiment))]
    return max(owners, key=lambda experiment: len(prefix(experiment)), default=None)
