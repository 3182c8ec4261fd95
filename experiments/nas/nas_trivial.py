"""The trivial answers on NAS-Bench-201, from its table alone: what a search has to beat.

    python -m experiments.nas.nas_trivial --out runs/nas201_trivial

The answers are a cell drawn at random, a cell of convolutions drawn at random, and the cell of 3 x 3 convolutions alone,
which is the one with the most parameters. The number of parameters also ranks all 15,625 cells. The test accuracy of every
cell is the mean of its seeds after 200 epochs. It takes a few seconds. The published table gives 87.06 ± 12.93, 93.20 ±
0.60 and 93.76% on CIFAR-10, and τ .577.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from experiments import harness
from experiments.harness.markdown import table
from metajax import run, supernet

DATASETS = ("cifar10", "cifar100", "imagenet16")
NAMES = {
    "random": "a random cell",
    "convolutions": "a random cell of convolutions",
    "conv3x3": "all 3 x 3 convolutions, the most parameters",
    "best": "the best cell of the table",
}


@dataclasses.dataclass(frozen=True)
class Config:
    """There is nothing to set: the table is what it is."""


def answers(oracle: supernet.truth.Oracle, column: str = "test200") -> dict[str, Any]:
    """Returns, for each answer and dataset, the mean accuracy and the deviation over its cells."""
    space = supernet.spaces.cell_space()
    cells = space.dicts(space.at(np.arange(int(space.size))))
    kinds = [set(cell.values()) for cell in cells]
    which = {
        "random": np.ones(len(cells), bool),
        "convolutions": np.array([kind <= {"conv1x1", "conv3x3"} for kind in kinds]),
        "conv3x3": np.array([kind == {"conv3x3"} for kind in kinds]),
    }
    parameters, first = oracle.scores(column="params_M"), oracle.scores(column=column)
    metrics: dict[str, Any] = {"cells": len(cells)}
    for dataset in DATASETS:
        scores = oracle.scores(dataset, column)
        for name, mask in which.items():
            metrics[f"{name}_{dataset}_test"] = float(scores[mask].mean())
            metrics[f"{name}_{dataset}_deviation"] = float(scores[mask].std())
        metrics[f"best_{dataset}_test"] = float(scores.max())
    largest = cells[int(np.argmax(parameters))]
    metrics["conv3x3_is_largest"] = int(set(largest.values()) == {"conv3x3"})
    metrics["conv3x3_params_M"] = float(parameters[which["conv3x3"]][0])
    metrics["share_above_conv3x3"] = float(np.mean(first > metrics["conv3x3_cifar10_test"]))
    metrics["parameters_kendall_tau"] = supernet.diagnosis.kendall_tau(parameters, first)
    metrics["parameters_kendall_tau_error"] = supernet.diagnosis.kendall_tau_error(parameters, first)
    return metrics


def look_up(config: Config, directory: run.RunDirectory, loaded: Mapping[str, Any]) -> dict[str, Any]:
    """Looks the answers up."""
    metrics = answers(supernet.truth.load_oracle())
    protocol = (
        "Test accuracy in % by the table, mean of a cell's seeds after 200 epochs, with the deviation over cells."
    )
    return {"metrics": metrics, "protocol": protocol}


def rows(metrics: dict[str, Any]) -> list[list[str]]:
    """Returns the name and the accuracies of every answer, with the deviation over cells where there are several."""
    lines = []
    for name, title in NAMES.items():
        spread = lambda dataset, name=name: metrics.get(f"{name}_{dataset}_deviation", 0.0)
        cells = [
            f"{metrics[f'{name}_{dataset}_test']:.2f}" + (f" ± {spread(dataset):.2f}" if spread(dataset) else "")
            for dataset in DATASETS
        ]
        lines.append([title, *cells])
    return lines


def markdown(config: dict[str, Any], result: dict[str, Any]) -> str:
    """The table of the trivial answers."""
    m = result["metrics"]
    return (
        table(["answer", "CIFAR-10", "CIFAR-100", "ImageNet16-120"], rows(m))
        + f"\n\nThe number of parameters ranks all {m['cells']:,} cells with τ {m['parameters_kendall_tau']:.3f} ± "
        f"{m['parameters_kendall_tau_error']:.3f} (standard error). Of the cells, {100 * m['share_above_conv3x3']:.1f}% "
        "are better than the cell of 3 x 3 convolutions.\n"
    )


EXPERIMENT = harness.Experiment(
    "nas_trivial",
    __doc__,
    Config,
    look_up,
    table=markdown,
    results="nas201_trivial",
)

if __name__ == "__main__":
    EXPERIMENT.exit()
