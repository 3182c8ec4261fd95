"""The main job: a model for a user's dataset.

``search`` is what ``metajax search`` runs. ``AutoMLClassifier`` and ``AutoMLRegressor`` are the same search as scikit-learn
estimators; they need scikit-learn and load when they are first used.

The other names are its parts. A table is prepared (``prepare``) and becomes a task (``table_task``). Populations of its models
are trained in waves (``WaveHistory``); the best configurations are trained again (``refit``) and evaluated on the test rows
(``evaluate_on_test``). ``prior`` is the warm start from other datasets. ``models`` has the model types beside networks.
"""

import sys
from typing import TYPE_CHECKING, Any

from metajax.automl import models, prior
from metajax.automl._ensemble import Evaluation, Refit, evaluate_on_test, refit
from metajax.automl._load_trials import load_trials
from metajax.automl._model import FittedModel
from metajax.automl._prepare import Prepared, prepare
from metajax.automl._result import SearchOutcome
from metajax.automl._search import load_model, search
from metajax.automl._settings import Config
from metajax.automl._space import default_config, tabular_space
from metajax.automl._tables import table_task
from metajax.automl._task import Task
from metajax.automl._training import Data, TrainingResults
from metajax.automl._wave_files import Wave
from metajax.automl._waves import WaveHistory
from metajax.types import InputError

if TYPE_CHECKING:
    from metajax.automl._estimators import AutoMLClassifier, AutoMLRegressor

__all__ = [
    "AutoMLClassifier",
    "AutoMLRegressor",
    "Config",
    "Data",
    "Evaluation",
    "FittedModel",
    "Prepared",
    "Refit",
    "SearchOutcome",
    "Task",
    "TrainingResults",
    "Wave",
    "WaveHistory",
    "default_config",
    "evaluate_on_test",
    "load_model",
    "load_trials",
    "models",
    "prepare",
    "prior",
    "refit",
    "search",
    "table_task",
    "tabular_space",
]


if not TYPE_CHECKING:  # A type checker would accept every name.

    def __getattr__(name: str) -> Any:
        """Loads the estimators on first use. Without scikit-learn they are missing, with a message that says what to install.

        ``hasattr`` and ``inspect`` expect an ``AttributeError``; the statement ``from metajax.automl import name`` would drop
        the message of one, so it gets an ``ImportError``.
        """
        if name not in ("AutoMLClassifier", "AutoMLRegressor"):
            raise AttributeError(f"module 'metajax.automl' has no attribute {name!r}")
        try:
            from metajax.automl import _estimators
        except InputError as error:
            is_from_import = sys._getframe(1).f_code.co_name == "_handle_fromlist"
            raise (ImportError if is_from_import else AttributeError)(str(error)) from None
        return getattr(_estimators, name)
