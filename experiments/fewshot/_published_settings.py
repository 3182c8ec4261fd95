"""The published settings of few-shot methods, translated to a loss that is the mean over the support.

The inner rate of a method follows from what its authors' code does with the loss of the support:

* MAML, first-order MAML (github.com/cbfinn/maml): ``xent`` divides the loss of an example by the shots, and the gradient is
  that of the sum over the N·K examples. That is N times the mean, so the inner rates 0.4 on 5 ways and 0.1 on 20 ways are
  2.0 on a mean loss, both. Batch norm has no scale there, and its shift is not among the weights that adapt.
* Reptile (github.com/openai/supervised-reptile): The loss is a sum, minimized by Adam, which does not see the factor.
* MAML++ (github.com/AntreasAntoniou/HowToTrainYourMAMLPytorch), iMAML (github.com/aravindr93/imaml_dev), BOIL
  (github.com/HJ-Yoo/BOIL), CAVIA (github.com/lmzintgraf/cavia): The loss is a mean. Their rates stay as they are.
* Meta-SGD and ANIL: The authors published no code that could be found. Meta-SGD learns its rates, from one value in
  [0.005, 0.1]; ANIL takes MAML's settings here.

The following still differs:

* MAML takes as many queries as shots in its Omniglot code; the 15 of the paper's appendix are taken here. It draws the
  first weights of the head from a normal distribution of deviation 1, and those of convolutions by Glorot's rule.
* MAML++ scores an ensemble of five checkpoints; it rotates classes in training only.
* iMAML's code takes the inner steps on the plain loss with one proximal step after them, and solves
  ``(2 I + H / (λ + 10)) x = g``; here the proximal problem of the paper is solved, ``(I + H / λ) x = g``. 20-way settings
  were not published in the code; those of 5 ways are taken.
* Reptile's and iMAML's networks flatten 2 x 2 positions before the head, here they are averaged. Reptile's test draws
  minibatches from the support, here each step takes the whole.
* BOIL and CAVIA were not published on Omniglot; the settings are those of their few-shot image benchmarks.
"""

from collections.abc import Callable
from typing import Any

from metajax.types import InputError

Settings = dict[str, Any]


def of(method: str, ways: int, shots: str) -> Settings:
    """Returns the settings of a method for a number of ways and shots.

    Raises:
        InputError: If the method was not published with settings that could be checked.
    """
    if method not in METHODS:
        raise InputError(
            f"--method must be one of {', '.join(METHODS)} with --preset paper, got {method}; other methods were not "
            "published on Omniglot with settings that could be checked, so use --preset cpu for them"
        )
    return METHODS[method](ways, int(shots) if shots.isdigit() else 1)


def _adapting(
    tasks: int, rate: float, steps: int, test_steps: int, iterations: int = 60_000, **overrides: Any
) -> Settings:
    settings = {"tasks": tasks, "chunk": tasks, "inner_rate": rate, "inner_steps": steps, "test_steps": test_steps}
    return {**settings, "steps": iterations, "train_queries": 15, "outer_rate": 1e-3, "cosine": False, **overrides}


def _maml(ways: int, shots: int) -> Settings:
    rate, tasks, steps, test_steps = (0.4, 32, 1, 3) if ways < 10 else (0.1, 16, 5, 5)
    return _adapting(tasks, rate * ways, steps, test_steps, adapt_norms=False)


def _reptile(ways: int, shots: int) -> Settings:
    rate, steps, iterations = (1e-3, 5, 100_000) if ways < 10 else (5e-4, 10, 200_000)
    # ten examples of each class in all; the outer rate falls from 1 to 0
    return _adapting(5, rate, steps, 50, iterations, train_queries=max(1, 10 - shots), outer_rate=1.0)


def _maml_plus_plus(ways: int, shots: int) -> Settings:
    return _adapting(8, 0.1, 5, 5, 50_000, train_queries=1, cosine=True, pool=True, leak=0.01)


def _protonet(ways: int, shots: int) -> Settings:
    fixed = {"train_ways": 60, "train_queries": 5, "tasks": 1, "chunk": 1, "pool": True, "batch_norm": "running"}
    return {**fixed, "steps": 60_000, "outer_rate": 1e-3, "cosine": False, "halve_every": 2000}


METHODS: dict[str, Callable[[int, int], Settings]] = {
    "maml": _maml,
    "fomaml": _maml,
    "anil": lambda ways, shots: {**_maml(ways, shots), "adapt_norms": True},
    "meta-sgd": lambda ways, shots: _adapting(32 if ways < 10 else 16, 0.05, 1, 1),
    "maml++": _maml_plus_plus,
    "reptile": _reptile,
    "imaml": lambda ways, shots: _adapting(32, 0.1, 16, 16, 20_000, train_queries=shots),
    "boil": lambda ways, shots: _adapting(4, 0.5, 1, 1, 30_000),
    "cavia": lambda ways, shots: _adapting(16, 1.0, 2, 2),
    "protonet": _protonet,
}
