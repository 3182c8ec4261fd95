"""metajax: differentiable AutoML in JAX.

Every method is made of three verbs: relax a choice into a differentiable encoding (``metajax.space``), differentiate through
learning (``metajax.bilevel``), and decide (``metajax.search``). MAML, SuperNets, hyperparameter optimization by
gradient and the meta-learner are thin compositions of them.

Subpackages load when they are first used, so that ``import metajax`` costs little more than ``import jax``.

Example:
    >>> import metajax
    >>> space = metajax.Space({"layers": metajax.Integer(1, 8), "activation": metajax.Categorical(("relu", "tanh"))})
    >>> space.size
    16
"""

import importlib
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from metajax import (
        automl,
        bilevel,
        data,
        fewshot,
        hpo,
        integrations,
        nn,
        parallel,
        plot,
        predictor,
        run,
        search,
        space,
        supernet,
        testing,
        types,
    )
    from metajax.automl._estimators import AutoMLClassifier, AutoMLRegressor
    from metajax.space import Categorical, Float, Integer, Space, Subset
    from metajax.types import InputError, Learner

__version__ = "0.1.0"

_NAMES = {
    **dict.fromkeys(("Categorical", "Float", "Integer", "Space", "Subset"), "space"),
    **dict.fromkeys(("InputError", "Learner"), "types"),
    **dict.fromkeys(("AutoMLClassifier", "AutoMLRegressor"), "automl._estimators"),
}

__all__ = [
    "AutoMLClassifier",
    "AutoMLRegressor",
    "Categorical",
    "Float",
    "InputError",
    "Integer",
    "Learner",
    "Space",
    "Subset",
    "automl",
    "bilevel",
    "data",
    "fewshot",
    "hpo",
    "integrations",
    "nn",
    "parallel",
    "plot",
    "predictor",
    "run",
    "search",
    "space",
    "supernet",
    "testing",
    "types",
]
_SUBPACKAGES = frozenset(__all__) - set(_NAMES)


if not TYPE_CHECKING:  # a type checker would accept every name

    def __getattr__(name: str) -> Any:
        """Loads a subpackage or a name of one on first use.

        A missing optional package is an ``AttributeError``, because ``help`` and ``inspect.getmembers`` expect nothing else.
        The statement ``from metajax import name`` drops the message of an ``AttributeError``, so it gets an ``ImportError``.
        """
        if name in _SUBPACKAGES:
            module, attribute = f"metajax.{name}", None
        elif name in _NAMES:
            module, attribute = f"metajax.{_NAMES[name]}", name
        else:
            raise AttributeError(f"module 'metajax' has no attribute {name!r}")
        from metajax._optional import PACKAGES, hint
        from metajax.types import InputError as _InputError

        try:
            imported = importlib.import_module(module)
        except _InputError as error:  # of a module that says itself what it needs
            message = str(error)
        except ModuleNotFoundError as error:
            missing = (error.name or "").split(".")[0]
            if missing not in PACKAGES:
                raise
            message = f"metajax.{name} {hint(missing)}"
        else:
            value = imported if attribute is None else getattr(imported, attribute)
            globals()[name] = value
            return value
        from_statement = sys._getframe(1).f_code.co_name == "_handle_fromlist"
        raise (ImportError if from_statement else AttributeError)(message) from None


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
