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

# outer steps by preset and method, for the minutes that a preset may take; one is `tasks` episodes (methods.SETTINGS)
STEPS = {
    "quick": {"maml": 2500, "fomaml": 3000, "anil": 3500, "boil": 2500, "meta-sgd": 2300, "maml++": 1000},
    "cpu": {"maml": 8000, "fomaml": 10_000, "anil": 11_000, "boil": 8000, "meta-sgd": 7500, "maml++": 4000},
}
OTHERS = {"quick": 1500, "cpu": 5000}


def preset(name: str, given: dict[str, Any]) -> dict[str, Any]:
    """The settings of a preset for the method and the ways that the command line gives."""
    method, ways = given.get("method", "maml"), given.get("ways", 5)
    values: dict[str, Any] = {"method": method, "data": "omniglot", "rotations": True}
    if given.get("data", "omniglot") != "omniglot":
        raise InputError(f"--data {given['data']}: this experiment is Omniglot's; use experiments.fewshot")
    if name != "paper":
        steps = STEPS[name].get(method, OTHERS[name])
        rate = {} if method == "reptile" else {"outer_rate": 2e-3}
        return {**values, **rate, "steps": steps if ways < 10 else steps // 4}
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
