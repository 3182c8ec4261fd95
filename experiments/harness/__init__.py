"""What all experiments share: the command line, measurements that are saved one by one, results and their tables."""

from experiments.harness._checks import check_at_least
from experiments.harness._discovery import PILLARS, Pillar, discover, experiments, owner, pillars
from experiments.harness._experiment import Experiment
from experiments.harness._flags import Options, Preset, command_line, fail, parse
from experiments.harness._grid import Cell, compiled_anew, measure, selected
from experiments.harness._results import (
    RESULTS,
    Result,
    Results,
    add,
    check_finished,
    committed,
    figure_line,
    heading,
    origin,
    read,
)

__all__ = [
    "PILLARS",
    "RESULTS",
    "Cell",
    "Experiment",
    "Options",
    "Pillar",
    "Preset",
    "Result",
    "Results",
    "add",
    "check_at_least",
    "check_finished",
    "command_line",
    "committed",
    "compiled_anew",
    "discover",
    "experiments",
    "fail",
    "figure_line",
    "heading",
    "measure",
    "origin",
    "owner",
    "parse",
    "pillars",
    "read",
    "selected",
]
