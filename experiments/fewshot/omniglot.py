"""Omniglot few-shot classification: the four columns of the MAML paper's table 1, with any method.

    python -m experiments.fewshot.omniglot --preset quick --out runs/omniglot
    python -m experiments.fewshot.omniglot --preset cpu --method r2d2 --out runs/omniglot_cpu_r2d2_5w1s
    python -m experiments.fewshot.omniglot --preset cpu-inductive --out runs/omniglot_inductive_protonet_5w1s
    python -m experiments.fewshot.omniglot --preset paper --method maml --ways 20 --shots 5 --out runs/omniglot_paper

1100/100/423 characters for training, validation and test, rotations as new classes in all parts. Presets ``quick`` and
``cpu`` have Conv-4 of 64 filters with stride 2 and transductive batch norm; ``quick`` takes up to 12 minutes on 2 cores,
``cpu`` up to 40 (MAML++ much longer: it sees as many tasks as MAML and takes five inner steps on each). ``cpu-inductive``
trains a method on features (prototypical networks by default) on 60 ways with batch norm by running statistics.
``equal-tasks`` is a small comparison, with half the filters, in which every method sees the same number of tasks; see
``experiments.fewshot.maml_versions``.

Preset ``paper`` has the published settings of each method that was published on Omniglot, or says what they are of
(``experiments/fewshot/published_settings.py``), and wants a GPU. Published numbers stand beside measured ones in
``experiments/RESULTS.md``.
"""

import functools
import sys
from typing import Any

from experiments.fewshot import classify, published_settings
from metajax import fewshot, run
from metajax.types import InputError

# outer steps of preset `cpu` on few ways and on many, by the time that they were seen to take; `quick` has 3/10 of them.
# MAML++, with 8 tasks a step (4 on many ways), sees as many tasks as MAML
STEPS = {
    "maml": (8000, 3400),
    "fomaml": (10_000, 5000),
    "reptile": (6000, 15_000),
    "anil": (11_000, 8000),
    "boil": (8000, 3400),
    "meta-sgd": (7500, 7000),
    "maml++": (16_000, 3400),
    "imaml": (1800, 1800),
    "cavia": (8000, 8000),
    "linear-probe": (15_000, 15_000),
    "nearest-centroid": (15_000, 15_000),
}
SOLVED = (5000, 5000)
EQUAL_TASKS = 24_000


def preset(name: str, given: dict[str, Any]) -> dict[str, Any]:
    """The settings of a preset for the method, the ways and the shots that the command line gives."""
    method, ways = given.get("method", "protonet" if name == "cpu-inductive" else "maml"), given.get("ways", 5)
    values: dict[str, Any] = {"method": method, "data": "omniglot", "rotations": True}
    if given.get("data", "omniglot") != "omniglot":
        raise InputError(f"--data {given['data']}: this experiment is Omniglot's; use experiments.fewshot.classify")
    if name == "paper":
        return values | published_settings.of(method, ways, given.get("shots", "1"))
    if name == "cpu-inductive":
        return values | {"batch_norm": "running", "train_ways": 60, "tasks": 1, "outer_rate": 2e-3, "steps": 8000}
    if name == "equal-tasks":
        return values | {"width": 32, "tasks": 8, "steps": EQUAL_TASKS // 8, "outer_rate": 2e-3}
    few, many = STEPS.get(method, SOLVED)
    steps = few if ways < 10 else many
    if method != "reptile":
        values["outer_rate"] = 2e-3
    if ways >= 10 and method in fewshot.METHODS and fewshot.METHODS[method].family == "gradient":
        values["tasks"] = 4
    return {**values, "steps": steps if name == "cpu" else 3 * steps // 10}


PRESETS = {name: functools.partial(preset, name) for name in ("quick", "cpu", "cpu-inductive", "equal-tasks", "paper")}


def main(argv=None) -> int:
    config, options = run.parse(classify.Config, PRESETS, argv, __doc__, "omniglot", "runs/omniglot")
    return run.main(lambda: classify.command(config, options))


if __name__ == "__main__":
    sys.exit(main())
