"""metajax: differentiable AutoML in JAX.

Three verbs: relax a choice into a differentiable encoding (``space``), differentiate through learning (``bilevel``),
decide (``search``). MAML, SuperNets, hyperparameters by gradient and the meta-learner are thin compositions of them.
Subpackages load when they are first used, so that ``import metajax`` costs little more than ``import jax``.
"""

import importlib
from typing import Any

__version__ = "0.1.0"

_SUBPACKAGES = (
    "automl",
    "bilevel",
    "data",
    "fewshot",
    "hpo",
    "nn",
    "plot",
    "predictor",
    "run",
    "search",
    "space",
    "supernet",
)
_NAMES = {"Space": "space", "Categorical": "space", "Float": "space", "Integer": "space", "Subset": "space"}
_NAMES |= {"Learner": "types", "AutoMLClassifier": "automl._estimators", "AutoMLRegressor": "automl._estimators"}


def __getattr__(name: str) -> Any:
    if name in (*_SUBPACKAGES, "types"):
        return importlib.import_module(f"metajax.{name}")
    if name in _NAMES:
        return getattr(importlib.import_module(f"metajax.{_NAMES[name]}"), name)
    raise AttributeError(f"module 'metajax' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*_SUBPACKAGES, *_NAMES, "types", "__version__"])
