"""Omniglot few-shot classification: the four columns of the MAML paper's table 1, with any method.

    python -m experiments.omniglot --preset quick --out runs/omniglot
    python -m experiments.omniglot --preset cpu --method r2d2 --out runs/omniglot_cpu_r2d2_5w1s
    python -m experiments.omniglot --preset paper --method maml --ways 20 --shots 5 --out runs/omniglot_paper_maml_20w5s

Conv-4 of 64 filters with stride 2, transductive batch norm; 1100/100/423 characters for training, validation and test,
rotations as new classes in all parts. Presets: ``quick`` takes up to 12 minutes on 2 cores, ``cpu`` up to 40; ``paper`` has
the published settings of each method (Finn et al. 2017, arXiv:1703.03400; Antoniou et al. 2019, arXiv:1810.09502; Snell et
al. 2017, arXiv:1703.05175; Nichol et al. 2018, arXiv:1803.02999), 60,000 iterations, and wants a GPU. Published numbers
stand beside measured ones in ``experiments/RESULTS.md``.
"""

import functools
import sys
from typing import Any

from experiments import fewshot
from metajax import run
from metajax.types import InputError

# outer steps of preset `cpu` on few ways and on many, by the time that they were seen to take; `quick` has 3/10 of them
STEPS = {
    "maml": (8000, 3400),
    "fomaml": (10_000, 5000),
    "reptile": (6000, 15_000),
    "anil": (11_000, 8000),
    "boil": (8000, 3400),
    "meta-sgd": (7500, 7000),
    "maml++": (8000, 2800),
    "imaml": (1800, 1800),
    "cavia": (8000, 8000),
    "linear-probe": (15_000, 15_000),
    "nearest-centroid": (15_000, 15_000),
}
SOLVED = (5000, 5000)


def preset(name: str, given: dict[str, Any]) -> dict[str, Any]:
    """The settings of a preset for the method and the ways that the command line gives."""
    method, ways = given.get("method", "maml"), given.get("ways", 5)
    values: dict[str, Any] = {"method": method, "data": "omniglot", "rotations": True}
    if given.get("data", "omniglot") != "omniglot":
        raise InputError(f"--data {given['data']}: this experiment is Omniglot's; use experiments.fewshot")
    if name != "paper":
        few, many = STEPS.get(method, SOLVED)
        steps = few if ways < 10 else many
        if method != "reptile":
            values["outer_rate"] = 2e-3
        if ways >= 10 and method in STEPS:
            values["tasks"] = 4
        return {**values, "steps": steps if name == "cpu" else 3 * steps // 10}
    tasks = 32 if ways < 10 else 16
    values |= {"steps": 60_000, "train_queries": 15, "tasks": tasks, "chunk": tasks, "cosine": False}
    if method == "maml++":
        values |= {"inner_steps": 5, "test_steps": 5, "inner_rate": 0.4 if ways < 10 else 0.1, "cosine": True}
    if method == "protonet":
        values |= {"train_queries": 5, "train_ways": 60, "tasks": 1, "chunk": 1}
    if method == "reptile":
        values |= {"train_queries": 10, "tasks": 5, "chunk": 5}
    return values


PRESETS = {name: functools.partial(preset, name) for name in ("quick", "cpu", "paper")}


def main(argv=None) -> int:
    config, options = run.parse(fewshot.Config, PRESETS, argv, __doc__, "omniglot", "runs/omniglot")
    return run.main(lambda: fewshot.command(config, options))


if __name__ == "__main__":
    sys.exit(main())
